//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// diskSize is the size of the disk of part disk: several times the reserve.
const diskSize = 320 << 20

// maxRecovery is how long it may take until writes work again after space has been
// freed.
const maxRecovery = 5 * time.Second

// runDisk fills a small disk, first through clients and then with an unrelated file to
// the last byte. Reads continue, writes are told that the disk is full, whatever frees
// space works, nothing acknowledged is lost, and writes work again soon after space
// has been freed.
func runDisk(t *trial) {
	at := t.path("disk")
	t.must(os.MkdirAll(at, 0o700), "make a folder")
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		t.skip("mount a tmpfs: %v", err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	data := filepath.Join(at, "data")
	alpha, beta, gamma := t.project(data, "alpha"), t.project(data, "beta"), t.project(data, "gamma")
	spare := []string{t.token(data, "alpha", "records:read"), t.token(data, "alpha", "records:read")}
	s := t.start(data, logBeside(t))
	c := s.open("alpha", alpha)
	t.tablesOfLoad(c)
	t.table(c, "blob", "k", "filling")
	t.table(c, "doomed", "k")
	t.expect(c, "POST", c.path("/export/table/ballast"), map[string]any{"format": "csv"}, nil)
	// After this start the third project stays closed until the disk is full.
	s.end()
	s = t.start(data, logBeside(t))
	c = c.at(s)
	t.expect(s.open("beta", beta), "GET", "/projects/beta/tables", nil, nil)

	// Unrelated files on the same disk, which are removed at the end.
	others := filepath.Join(at, "others")
	t.must(os.WriteFile(others, make([]byte, 64<<20), 0o600), "fill a part of the disk")
	book := newLedger()
	l := t.startLoad(s, c, book)
	acked := t.fill(c)
	close(l.halt)
	l.crew.Wait()
	t.figure("rows of 8 KB acknowledged until the disk was full", "%d; %d bytes are free", len(acked), free(at))
	t.askFull("filled by clients", s, c, s.open("beta", beta), s.open("gamma", gamma))
	t.findWaysOut("filled by clients", c, spare[0], false)

	filler := filepath.Join(at, "filler")
	t.must(fillUp(filler), "fill the disk")
	t.askFull("filled by a stranger", s, c, s.open("beta", beta), s.open("gamma", gamma))
	t.findWaysOut("filled by a stranger", c, spare[1], true)
	t.deleteProject(s.open("gamma", gamma))

	t.must(errors.Join(os.Remove(filler), os.Remove(others)), "give space back")
	var last reply
	took, ok := t.until(maxRecovery, func() bool {
		var err error
		last, err = c.post("/records/blob", map[string]any{"k": "again"})
		return err == nil && last.status == 201
	})
	if !ok {
		t.fault("writes do not go on %.1f s after space is back: %s", took.Seconds(), last)
	}
	t.figure("writes go on after space is back", "%.2f s, without a restart", took.Seconds())
	s.checkLog()
	t.restartFull(s, data, filler, alpha)
	t.compareDatabase(filepath.Join(data, "projects", "1.db"), book)
	t.comparePresent(filepath.Join(data, "projects", "1.db"), acked)
	book.figures(t)
}

// fill lets several clients insert until each has been told often enough that the disk
// is full, and returns the acknowledged rows.
func (t *trial) fill(c *client) (acked []string) {
	var mu sync.Mutex
	var crew sync.WaitGroup
	filling := strings.Repeat("x", 8000)
	for w := range 4 {
		crew.Go(func() {
			refused := 0
			for n := 0; refused < 10 && n < 20*diskSize/8000; n += 20 {
				rows := make([]map[string]any, 20)
				for i := range rows {
					rows[i] = map[string]any{"k": fmt.Sprintf("%d-%d", w, n+i), "filling": filling}
				}
				r, err := c.post("/records/blob", map[string]any{"data": rows, "return": "none"})
				switch {
				case err != nil:
					t.fault("insert: %v", err)
					return
				case r.status == 201:
					mu.Lock()
					for _, row := range rows {
						acked = append(acked, row["k"].(string))
					}
					mu.Unlock()
				case r.status == 507 && r.failure().Code == "storage_full":
					refused++
				case r.status == 503 && r.failure().Code == "busy":
					time.Sleep(50 * time.Millisecond)
				default:
					t.fault("insert into a full disk: %s", r)
					return
				}
			}
			if refused < 10 {
				t.fault("the disk did not become full")
			}
		})
	}
	crew.Wait()
	return acked
}

// free returns how many bytes are free on the disk that holds path.
func free(path string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

// fillUp writes a file until the disk is completely full.
func fillUp(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		piece := make([]byte, size)
		for {
			if n, err := file.Write(piece); err != nil || n < size {
				break
			}
		}
	}
	return nil
}

// askFull makes calls that must work on a full disk, and calls that must be refused.
func (t *trial) askFull(state string, s *server, c, beta, gamma *client) {
	for _, ask := range []struct {
		c      *client
		method string
		path   string
		body   any
	}{
		{c, "GET", c.path("/records/blob?limit=1"), nil},
		{c, "GET", c.path("/auth/me"), nil},
		{c, "POST", c.path("/query"), map[string]any{"sql": "SELECT count(*) AS n FROM ballast"}},
		{beta, "GET", beta.path("/tables"), nil},
	} {
		if r, err := ask.c.call(ask.method, ask.path, ask.body); err != nil || r.status != 200 {
			t.fault("%s: %s %s: %s %v", state, ask.method, ask.path, r, err)
		}
	}
	// A project that is not open may have to wait for space, but it is not damaged.
	r, err := gamma.get(gamma.path("/tables"))
	if code := r.failure().Code; err != nil || r.status != 200 && code != "storage_full" && code != "busy" {
		t.fault("%s: a project that was not open: %s %v", state, r, err)
	}
	for _, w := range []*client{c, beta} {
		r, err := w.post("/table", map[string]any{"table_name": "another", "columns": []any{map[string]any{"name": "a"}}})
		if err != nil || r.status != 507 || r.failure().Code != "storage_full" {
			t.fault("%s: make a table in %s: %s %v", state, w.project, r, err)
		}
	}
	if !s.alive() {
		t.stop("%s: the server ended: %s", state, s.lastWords())
	}
}

// findWaysOut makes calls that free space or revoke rights.
func (t *trial) findWaysOut(state string, c *client, token string, last bool) {
	var me struct {
		Token struct {
			ID int64 `json:"id"`
		} `json:"token"`
	}
	other := *c
	other.token = token
	t.expect(&other, "GET", c.path("/auth/me"), nil, &me)
	ways := []struct {
		method, path string
		body         any
	}{
		{"DELETE", fmt.Sprintf("/auth/tokens/%d", me.Token.ID), nil},
		{"DELETE", "/records/ballast/" + map[bool]string{false: "1000", true: "1001"}[last], nil},
		{"DELETE", "/records/ballast", map[string]any{"where": []any{map[string]any{"column": "id", "op": "<", "value": map[bool]int{false: 100, true: 200}[last]}}}},
	}
	if last {
		var list struct{ Exports []manifest }
		t.expect(c, "GET", c.path("/exports?status=ready"), nil, &list)
		ways = append(ways, struct {
			method, path string
			body         any
		}{"DELETE", "/table/doomed", nil})
		for _, m := range list.Exports[:min(1, len(list.Exports))] {
			ways = append(ways, struct {
				method, path string
				body         any
			}{"DELETE", "/exports/" + m.ID, nil})
		}
	}
	for _, way := range ways {
		if r, err := c.call(way.method, c.path(way.path), way.body); err != nil || r.status != 200 {
			t.fault("%s: %s %s: %s %v", state, way.method, way.path, r, err)
		}
	}
	if r, err := other.get(c.path("/auth/me")); err != nil || r.status != 401 {
		t.fault("%s: a token that was revoked answers %s %v", state, r, err)
	}
}

func (t *trial) deleteProject(c *client) {
	r, err := c.call("DELETE", c.path(""), map[string]any{"confirm_project_slug": c.project})
	if err != nil || r.status != 200 {
		t.fault("delete a project while the disk is full: %s %v", r, err)
	}
}

// restartFull restarts the server on a full disk: it must serve reads.
func (t *trial) restartFull(s *server, data, filler, token string) {
	s.end()
	t.must(fillUp(filler), "fill the disk")
	again, err := t.tryStart(data, logBeside(t), func(o *startOptions) { o.anyState = true })
	if err != nil {
		t.fault("start on a full disk: %v", err)
	} else {
		c := again.open("alpha", token)
		if r, err := c.get(c.path("/records/blob?limit=1")); err != nil || r.status != 200 {
			t.fault("read after a start on a full disk: %s %v", r, err)
		}
	}
	t.must(os.Remove(filler), "remove the filler")
	if again != nil {
		again.end()
	}
}

// comparePresent checks that acknowledged rows are there.
func (t *trial) comparePresent(path string, acked []string) {
	there := t.groupsOf(path, "SELECT k, count(*) FROM blob GROUP BY k")
	for _, k := range acked {
		if there[k] != 1 {
			t.fault("the acknowledged row %s is there %d times", k, there[k])
		}
	}
}
