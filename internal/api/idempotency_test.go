package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

// serveKeyed serves the API's own routes, for a project with the table people, and the
// given additional ones.
func serveKeyed(t *testing.T, more ...*rest.Endpoint) *fixture {
	t.Helper()
	h := openHouse(t, clock)
	f := serve(t, h, append(routes(h.handlers()), more...))
	h.inside(t, "shop", func(db *projectdb.DB) error {
		_, err := db.CreateTable(t.Context(), new(problem.Faults), projectdb.NewTable{Name: "people", Columns: []projectdb.NewColumn{{Name: "name"}}})
		return err
	})
	return f
}

// post makes a call with keys. A body that is not a *strings.Reader is sent in chunks.
func (f *fixture) post(t *testing.T, path string, body io.Reader, keys ...string) reply {
	t.Helper()
	r := testkit.Request(t, "POST", f.URL+"/projects/shop"+path, "good", body)
	r.Header[rest.KeyHeader] = keys
	return replyOf(testkit.Send(t, http.DefaultClient.Do, r))
}

// people returns how many rows the table people has, as the rows of a query answer.
func (f *fixture) people(t *testing.T) string {
	t.Helper()
	body := f.post(t, "/query", strings.NewReader(`{"sql":"SELECT count(*) AS n FROM people"}`)).body
	_, body, _ = strings.Cut(body, `"rows":`)
	rows, _, _ := strings.Cut(body, `,"row_count"`)
	return rows
}

func TestSameKeyManyTimesAtOnce(t *testing.T) {
	f := serveKeyed(t)
	var made, replayed, running atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				got := f.post(t, "/records/people", strings.NewReader(`{"name":"Ada"}`), "k")
				switch {
				case got.status == http.StatusConflict && got.header.Get("Retry-After") == "1":
					running.Add(1)
					time.Sleep(time.Millisecond)
					continue
				case got.status != http.StatusCreated || !strings.Contains(got.body, `{"table":"people","row":{"id":1,"name":"Ada"}}`):
					t.Errorf("status %d: %s", got.status, got.body)
				case got.header.Get(rest.ReplayedHeader) == "true":
					replayed.Add(1)
				default:
					made.Add(1)
				}
				return
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || replayed.Load() != 63 || f.people(t) != `[{"n":1}]` {
		t.Errorf("%d made, %d replayed, %d met a running one; rows %s", made.Load(), replayed.Load(), running.Load(), f.people(t))
	}
}

func TestKeyOfRunningCall(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan error)
	f := serveKeyed(t, rest.Route("POST", "/projects/{project}/slow", "slow", "Take long", rest.Scope(registry.RecordsWrite),
		rest.Plain(func(context.Context, *Workspace, *noInput) (string, error) {
			entered <- struct{}{}
			return "done", <-leave
		}), keepWith(projectdb.SchemaTransaction)))
	slow := func(result error) reply {
		answered := make(chan reply)
		go func() { answered <- f.post(t, "/slow", nil, "k") }()
		<-entered
		got := f.post(t, "/slow", nil, "k")
		if got.status != http.StatusConflict || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, `"field":"Idempotency-Key"`) {
			t.Errorf("while it runs: status %d, %v, %s", got.status, got.header, got.body)
		}
		leave <- result
		return <-answered
	}
	if got := slow(errors.New("a defect")); got.status != http.StatusInternalServerError {
		t.Errorf("the call that fails: status %d, %s", got.status, got.body)
	}
	if got := slow(nil); got.status != http.StatusOK {
		t.Errorf("the same again: status %d, %s", got.status, got.body)
	}
	if got := f.post(t, "/slow", nil, "k"); got.status != http.StatusOK || got.header.Get(rest.ReplayedHeader) != "true" || !strings.Contains(got.body, `"data":"done"`) {
		t.Errorf("after it: status %d, %v, %s", got.status, got.header, got.body)
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	f := serveKeyed(t)
	for _, test := range []struct {
		keys []string
		want int
	}{
		{[]string{""}, 422},
		{[]string{"a\tb"}, 422},
		{[]string{"ключ"}, 422},
		{[]string{strings.Repeat("x", 256)}, 422},
		{[]string{"a", "b"}, 422},
		{[]string{"a", "a"}, 422},
		{[]string{strings.Repeat("x", 255)}, 201},
		{[]string{`"a b"`}, 201},
		{nil, 201},
	} {
		got := f.post(t, "/records/people", strings.NewReader(`{"name":"Ada"}`), test.keys...)
		if got.status != test.want || test.want == 422 && !strings.Contains(got.body, `"details":[{"field":"Idempotency-Key"`) {
			t.Errorf("%q: status %d, %s", test.keys, got.status, got.body)
		}
	}
	if got := f.people(t); got != `[{"n":3}]` {
		t.Errorf("rows %s", got)
	}
}

// TestKeyWithBodies sends bodies of every length that gets special treatment.
func TestKeyWithBodies(t *testing.T) {
	f := serveKeyed(t)
	long := `{"data":[` + strings.Repeat(`{"name":"Ada"},`, 9_999) + `{"name":"Ada"}]}`
	for key, body := range map[string]func() io.Reader{
		"small":  func() io.Reader { return strings.NewReader(`{"name":"Ada"}`) },
		"large":  func() io.Reader { return strings.NewReader(long) },
		"chunks": func() io.Reader { return io.MultiReader(strings.NewReader(long)) },
	} {
		first := f.post(t, "/records/people", body(), key)
		before := f.people(t)
		second := f.post(t, "/records/people", body(), key)
		if first.status != 201 || second.status != 201 || second.header.Get(rest.ReplayedHeader) != "true" || data(first.body) != data(second.body) {
			t.Errorf("%s: status %d, then %d, replayed %q, %.80s", key, first.status, second.status, second.header.Get(rest.ReplayedHeader), second.body)
		}
		if got := f.post(t, "/records/people", io.MultiReader(body(), strings.NewReader(" ")), key); got.status != 422 {
			t.Errorf("%s with a space more: status %d", key, got.status)
		}
		if after := f.people(t); after != before {
			t.Errorf("%s: %s, then %s rows", key, before, after)
		}
	}
}

// data returns an answer without the parts that differ from call to call.
func data(body string) string {
	data, _, _ := strings.Cut(body, `,"request_id"`)
	return data
}
