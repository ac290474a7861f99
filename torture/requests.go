//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits on the cost of a hostile request.
const (
	maxRequestTime   = 3 * time.Second  // for a body of up to 32 MiB
	recordsLimit     = 10 * time.Second // the deadline of calls on records
	maxAnswer        = 256 << 10
	maxRequestMemory = 700 << 20 // the budget for bodies, plus what is decoded from them
	maxAfterChange   = 50 * time.Millisecond
)

// runRequests sends small requests that cause a lot of work: floods of faults, lists
// of millions, patterns that take forever. Each is refused before the work starts, or
// ends at its deadline, and others are served meanwhile.
func runRequests(t *trial) {
	data := t.path("data")
	token := t.project(data, "p")
	s := t.start(data)
	c := s.open("p", token)
	t.tablesOfLoad(c)
	t.floods(s, c)
	t.patterns(s, c)
	t.holdTheWriter(s, c)
	t.manyTables(s, c)
	t.wrongTokens(s, c)
	t.fillTheQueue(s, c)
	s.checkLog()
	s.end()
}

// many returns before, n copies of text, and after.
func many(before, text string, n int, after string) []byte {
	b := make([]byte, 0, len(before)+n*(len(text)+1)+len(after))
	b = append(b, before...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, text...)
	}
	return append(b, after...)
}

func (t *trial) floods(s *server, c *client) {
	floods := []struct {
		name, method, path string
		body               []byte
	}{
		{"20,000 columns without a name", "POST", c.path("/table"), many(`{"table_name":"f","columns":[`, "{}", 20_000, "]}")},
		{"300,000 columns without a name", "POST", c.path("/table"), many(`{"table_name":"f","columns":[`, "{}", 300_000, "]}")},
		{"100,000 tables without a name", "POST", "/bootstrap", many(`{"project_slug":"f","project_name":"f","initial_project_user":{"username":"u","password":"p"},"tables":[`, "{}", 100_000, "]}")},
		{"two million unknown columns in a condition", "PATCH", c.path("/records/ballast"), many(`{"data":{"n":1},"where":[`, `{"column":"x"}`, 2_000_000, "]}")},
		{"two million conditions", "PATCH", c.path("/records/ballast"), many(`{"data":{"n":1},"where":{"or":[`, `{"n":1}`, 2_000_000, "]}}")},
		{"sixteen million values of in", "DELETE", c.path("/records/ballast"), many(`{"where":[{"column":"n","op":"in","value":[`, "1", 16_000_000, "]}]}")},
		{"unknown fields", "POST", c.path("/table"), []byte(`{"table_name":"f",` + repeated(50_000, `"x#":1`) + `}`)},
		{"rows with unknown columns", "POST", c.path("/records/ballast"), many(`{"data":[`, `{"x":1,"y":2,"z":3}`, 10_000, "]}")},
		{"a million rows", "POST", c.path("/records/ballast"), many(`{"data":[`, `{}`, 5_000_000, "]}")},
		{"deep JSON", "POST", c.path("/records/ballast"), []byte(strings.Repeat("[", 10_000_000))},
		{"deep conditions", "PATCH", c.path("/records/ballast"), []byte(`{"data":{"n":1},"where":` + strings.Repeat(`[{"or":`, 500_000) + `1`)},
		{"a long query string", "GET", c.path("/records/ballast?filters=" + url.QueryEscape(string(many("[", `{"column":"x"}`, 500, "]")))), nil},
	}
	for _, f := range floods {
		base := s.resident()
		peaks := s.watch(memoryForced)
		began := time.Now()
		r, err := c.withDeadline(time.Minute).send(f.method, f.path, bytes.NewReader(f.body), "Content-Type", "application/json")
		took := time.Since(began)
		own, _ := peaks()
		switch {
		case err != nil:
			t.fault("%s: after %.1f s: %v", f.name, took.Seconds(), err)
		case r.status < 400 || r.status >= 500:
			t.fault("%s: %s", f.name, r)
		case len(r.body) > maxAnswer:
			t.fault("%s: the answer has %d bytes", f.name, len(r.body))
		}
		if took > t.within(maxRequestTime) {
			t.fault("%s, %d KiB: took %.1f s", f.name, len(f.body)>>10, took.Seconds())
		}
		if own-base > maxRequestMemory {
			t.fault("%s, %d KiB: the server grew by %d MiB", f.name, len(f.body)>>10, (own-base)>>20)
		}
		t.figure(f.name, "%d, %.2f s, %d MiB", r.status, took.Seconds(), max(0, own-base)>>20)
		if !s.alive() {
			t.stop("%s: the server ended: %s", f.name, s.lastWords())
		}
	}
}

// patterns sends filters whose patterns would take hours with backtracking: none of
// them may block a project's readers.
func (t *trial) patterns(s *server, c *client) {
	t.table(c, "texts", "a")
	for range 3 {
		t.expect(c, "POST", c.path("/records/texts"), map[string]any{"a": strings.Repeat("a", 9_000_000)}, nil)
	}
	var crew sync.WaitGroup
	var mu sync.Mutex
	var slowest time.Duration
	for _, pattern := range []string{
		"%" + strings.Repeat("a", 24_000) + "b", strings.Repeat("%a", 10_000) + "%b", "%" + strings.Repeat("_", 20_000) + "b", strings.Repeat("%_a", 8_000) + "b",
	} {
		crew.Go(func() {
			filter := fmt.Sprintf(`[{"column":"a","op":"like","value":%q}]`, pattern)
			began := time.Now()
			r, err := s.open("p", c.token).withDeadline(30 * time.Second).get(c.path("/records/texts?columns=id&filters=" + url.QueryEscape(filter)))
			took := time.Since(began)
			if err != nil || r.status >= 500 && r.status != 503 {
				t.fault("like with %d bytes: after %.1f s: %s %v", len(pattern), took.Seconds(), r, err)
			} else if took > recordsLimit+time.Second {
				t.fault("like with %d bytes took %.1f s", len(pattern), took.Seconds())
			}
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, took)
		})
	}
	t.othersAreServed(s, c, "ballast", "beside hostile patterns", 3*time.Second)
	crew.Wait()
	t.figure("slowest hostile pattern over 27 MB", "%.2f s", slowest.Seconds())
}

// holdTheWriter sends changes whose conditions take long: other writes must not be
// blocked for longer than the deadline.
func (t *trial) holdTheWriter(s *server, c *client) {
	var conditions []string
	for i := range 4000 {
		conditions = append(conditions, fmt.Sprintf(`{"column":"a","op":"like","value":"%%aaaaaaaa%%b%d%%"}`, i))
	}
	body := `{"data":{"a":"x"},"where":[{"or":[` + strings.Join(conditions, ",") + `]}]}`
	var crew sync.WaitGroup
	crew.Go(func() {
		began := time.Now()
		r, err := s.open("p", c.token).withDeadline(40*time.Second).send("PATCH", c.path("/records/texts"), strings.NewReader(body), "Content-Type", "application/json")
		if took := time.Since(began); err != nil || r.status >= 500 && r.status != 503 || took > recordsLimit+2*time.Second {
			t.fault("a change with %d conditions: after %.1f s: %s %v", len(conditions), took.Seconds(), r, err)
		}
	})
	t.pause(200 * time.Millisecond)
	began := time.Now()
	r, err := c.withDeadline(40*time.Second).post("/records/keyed", map[string]any{"k": "beside"})
	took := time.Since(began)
	if err != nil || r.status != 201 && r.status != 503 || took > recordsLimit+2*time.Second {
		t.fault("an insert beside a long change: after %.1f s: %s %v", took.Seconds(), r, err)
	}
	crew.Wait()
	t.figure("an insert beside a change that takes for ever", "%d after %.2f s", r.status, took.Seconds())
}

// manyTables creates thousands of tables and measures what a schema change costs the
// next call.
func (t *trial) manyTables(s *server, c *client) {
	tables := 4000
	if t.short {
		tables = 300
	}
	made := t.project(s.data, "tables")
	c = s.open("tables", made)
	var list []map[string]any
	for i := range tables {
		list = append(list, map[string]any{"table_name": fmt.Sprintf("t%d", i), "columns": []any{map[string]any{"name": "a"}}})
	}
	for chunk := range slices.Chunk(list, 500) {
		for _, table := range chunk {
			t.expect(c, "POST", c.path("/table"), table, nil)
		}
	}
	var quickest, slowest time.Duration = time.Hour, 0
	for i := range 5 {
		t.table(c, fmt.Sprintf("more%d", i), "a")
		began := time.Now()
		t.expect(c, "GET", c.path("/records/t7?limit=1"), nil, nil)
		took := time.Since(began)
		quickest, slowest = min(quickest, took), max(slowest, took)
	}
	if quickest > t.within(maxAfterChange) {
		t.fault("the call after a change of the schema took %d ms at best, with %d tables", quickest.Milliseconds(), tables)
	}
	t.figure(fmt.Sprintf("the call after a change of the schema, %d tables", tables), "%.1f to %.1f ms", float64(quickest.Microseconds())/1000, float64(slowest.Microseconds())/1000)
}

// wrongTokens sends wrong tokens as fast as it can: it is told to wait, while a valid
// token from the same address is not.
func (t *trial) wrongTokens(s *server, c *client) {
	stop := make(chan struct{})
	var crew sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for range 4 {
		crew.Go(func() {
			wrong := s.open("p", c.token[:30]+"AAAAAAAAAA")
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := wrong.get(c.path("/tables"))
				if err != nil {
					t.fault("a wrong token: %v", err)
					return
				}
				mu.Lock()
				answers[r.status]++
				mu.Unlock()
			}
		})
	}
	for begin := time.Now(); time.Since(begin) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
		if r, err := c.get(c.path("/auth/me")); err != nil || r.status != 200 {
			t.fault("a valid token beside wrong ones: %s %v", r, err)
		}
	}
	close(stop)
	crew.Wait()
	if answers[401] > 400 || answers[429] == 0 {
		t.fault("wrong tokens in two seconds: %v", answers)
	}
	t.figure("wrong tokens of one address in two seconds: tried, put off", "%d, %d", answers[401], answers[429])
}

// fillTheQueue requests exports behind one that never ends: the queue is bounded, and
// another project does not wait for it.
func (t *trial) fillTheQueue(s *server, c *client) {
	victim := t.project(s.data, "waiting")
	other := s.open("waiting", victim)
	t.table(other, "t", "a")
	for range 3 {
		if r, err := c.post("/export/query", map[string]any{"sql": unending + "SELECT i FROM n", "format": "csv"}, "Prefer", "respond-async"); err != nil || r.status != 202 {
			t.fault("order an export without an end: %s %v", r, err)
		}
	}
	orders := 1500
	began := time.Now()
	refused := 0
	for range orders {
		r, err := c.post("/export/table/singles", map[string]any{}, "Prefer", "respond-async")
		if err != nil || r.status != 202 && r.status != 429 {
			t.fault("order an export: %s %v", r, err)
			break
		}
		if r.status == 429 {
			if refused++; refused > 20 {
				break
			}
		}
		if time.Since(began) > 30*time.Second {
			t.fault("1,500 orders take more than 30 s")
			break
		}
	}
	if refused == 0 {
		t.fault("the queue of a project has no end")
	}
	asked := time.Now()
	r, err := other.withDeadline(40*time.Second).post("/export/table/t", map[string]any{})
	took := time.Since(asked)
	if err != nil || r.status != 201 || took > 10*time.Second {
		t.fault("an export of another project behind a full queue: after %.1f s: %s %v", took.Seconds(), r, err)
	}
	t.figure("an export of another project behind a full queue", "%.2f s", took.Seconds())
}
