//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// R8.
const (
	queryLimit      = 5 * time.Second
	queryGrace      = 200 * time.Millisecond
	maxQueryMemory  = 64 << 20
	maxTemporary    = 1 << 30
	canary          = "CANARY-7f3a9c"
	foreignCanary   = "STRANGER-CANARY-51b2"
	statementsShort = 5 // of each list in a short run
)

// runSQL sends hostile statements: each ends within its limit, the server's own memory
// hardly grows, no file is left behind, and nothing forbidden is answered.
func runSQL(t *trial) {
	data, scratch := t.path("data"), t.path("tmp")
	t.must(os.MkdirAll(scratch, 0o700), "make a folder")
	token := t.project(data, "p")
	q := &hostile{t: t, data: data, scratch: scratch, token: token}
	q.start()
	c := q.s.open("p", token)
	t.tablesOfLoad(c)
	t.table(c, "secrets", "word")
	t.expect(c, "POST", c.path("/records/secrets"), map[string]any{"word": canary}, nil)
	narrow := t.token(data, "p", "query:read", "records:read:ballast")
	q.warmUp()
	before := q.files()

	q.refuse(narrow)
	for _, list := range []struct {
		name string
		of   []statement
	}{{"greedy", greedy}, {"slow", slow}} {
		of := list.of
		if t.short {
			of = slices.Clone(of)
			t.random.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
			of = of[:min(statementsShort, len(of))]
		}
		q.torment(list.name, of)
	}
	q.inTurn()
	t.pause(500 * time.Millisecond)
	for name, size := range q.files() {
		if old, known := before[name]; !known {
			t.fault("a file is left: %s, %d bytes, before: %d", name, size, old)
		}
	}
	q.s.checkLog()
	q.s.end()
}

// refuse sends statements that must not be answered.
func (q *hostile) refuse(narrow string) {
	t := q.t
	for _, x := range forbidden {
		if _, r, err := q.s.open("p", q.token).query(x.sql); err != nil || r.status < 400 || r.status >= 500 {
			t.fault("forbidden, %s: %s %v", x.name, r, err)
		}
	}
	for _, x := range sneaking {
		_, r, err := q.s.open("p", narrow).query(x.sql)
		if err != nil || r.status != 403 || bytes.Contains(r.body, []byte(canary)) {
			t.fault("a table that may not be read, %s: %s %v", x.name, r, err)
		}
	}
	t.figure("forbidden statements, ways to a forbidden table; refused", "%d, %d; all but %d", len(forbidden), len(sneaking), t.failed())
}

// hostile is a server that receives hostile SQL.
type hostile struct {
	t             *trial
	s             *server
	data, scratch string
	token         string
	slowest       time.Duration
	own, worker   int64
	temporary     int64
}

func (q *hostile) start() {
	q.s = q.t.start(q.data, func(o *startOptions) {
		o.environment = []string{"TMPDIR=" + q.scratch, "SQLITE_TMPDIR=" + q.scratch}
	})
}

// warmUp brings the server to its normal memory use.
func (q *hostile) warmUp() {
	for i := range 200 {
		_, _, _ = q.s.open("p", q.token).query(fmt.Sprintf("SELECT n, words FROM ballast WHERE n > %d LIMIT 500", i))
	}
}

// torment sends one statement after the other.
func (q *hostile) torment(kind string, list []statement) {
	for _, x := range list {
		if q.t.ctx.Err() != nil || q.t.failed() >= maxFaults {
			return
		}
		if !q.s.alive() {
			q.start()
			q.warmUp()
		}
		q.one(kind, x)
	}
	q.t.figure(kind+" statements: number, slowest", "%d, %.2f s", len(list), q.slowest.Seconds())
	q.t.figure("memory: the server grew by, largest worker, temporary files", "%d MiB, %d MiB, %d MiB", q.own>>20, q.worker>>20, q.temporary>>20)
	q.slowest = 0
}

func (q *hostile) one(kind string, x statement) {
	t := q.t
	c := q.s.open("p", q.token).withDeadline(30 * time.Second)
	base := q.s.resident()
	peaks := q.s.watch(memoryForced)
	temporary := q.watchTemporary()
	began := time.Now()
	_, r, err := c.query(x.sql)
	took := time.Since(began)
	own, worker := peaks()
	q.slowest, q.own, q.worker = max(q.slowest, took), max(q.own, own-base), max(q.worker, worker)
	q.temporary = max(q.temporary, temporary())
	switch {
	case err != nil:
		t.fault("%s, %s: after %.1f s: %v", kind, x.name, took.Seconds(), err)
	case r.status >= 500:
		t.fault("%s, %s: %s", kind, x.name, r)
	}
	if took > queryLimit+t.within(queryGrace) {
		t.fault("%s, %s: took %.2f s", kind, x.name, took.Seconds())
	}
	if own-base > maxQueryMemory {
		t.fault("%s, %s: the server grew by %d MiB", kind, x.name, (own-base)>>20)
	}
	if q.temporary > maxTemporary+maxTemporary/4 {
		t.fault("%s, %s: %d MiB of temporary files", kind, x.name, q.temporary>>20)
		q.temporary = 0
	}
	if err != nil && q.s.alive() {
		q.s.kill() // whatever still runs would distort the next measurement
	}
}

// inTurn sends small statements of eight projects alongside hostile ones of another,
// and checks that they are served.
func (q *hostile) inTurn() {
	t := q.t
	if !q.s.alive() {
		q.start()
	}
	victim := t.project(q.data, "victim")
	stop := make(chan struct{})
	var crew sync.WaitGroup
	for i := range 4 {
		crew.Go(func() {
			c := q.s.open("p", q.token).withDeadline(20 * time.Second)
			for {
				select {
				case <-stop:
					return
				default:
				}
				list := append(slices.Clone(greedy), slow...)
				_, _, _ = c.query(list[(i*7)%len(list)].sql)
			}
		})
	}
	c := q.s.open("victim", victim).withDeadline(20 * time.Second)
	var slowest time.Duration
	calls := 0
	for begin := time.Now(); time.Since(begin) < 4*time.Second; calls++ {
		asked := time.Now()
		if _, r, err := c.query("SELECT 1 AS one"); err != nil || r.status != 200 && r.status != 503 {
			t.fault("a small statement of another project beside hostile ones: %s %v", r, err)
			break
		}
		slowest = max(slowest, time.Since(asked))
	}
	close(stop)
	crew.Wait()
	t.figure("small statements of another project beside hostile ones: number, slowest", "%d, %.0f ms", calls, float64(slowest.Microseconds())/1000)
}

// files returns the files in the data folder, in the server's own folder for temporary
// files and wherever SQLite may put some.
func (q *hostile) files() map[string]int64 {
	found := map[string]int64{}
	for _, root := range []string{q.data, q.scratch} {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") || strings.Contains(path, "/victim") {
				return nil
			}
			if name, _ := filepath.Rel(q.data, path); name != "projects/2.db" {
				if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
					found[path] = info.Size()
				}
			}
			return nil
		})
	}
	for _, pattern := range []string{"/tmp/etilqs_*", "/var/tmp/etilqs_*", "stranger.db"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			found[path] = 0
		}
	}
	return found
}

// watchTemporary samples the size of the unlinked files that the server and its
// children have open, until the returned function is called.
func (q *hostile) watchTemporary() (peak func() int64) {
	stop, done := make(chan struct{}), make(chan struct{})
	var most int64
	go func() {
		defer close(done)
		for {
			var sum int64
			for _, pid := range append(q.s.children(), q.s.cmd.Process.Pid) {
				sum += deletedBytes(pid)
			}
			most = max(most, sum)
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-done
		return most
	}
}

// deletedBytes returns the total size of the unlinked files that a process has open.
func deletedBytes(pid int) (sum int64) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasSuffix(target, " (deleted)") || strings.HasPrefix(target, "/memfd:") || strings.HasPrefix(target, "/dev/") {
			continue
		}
		if info, err := os.Stat(link); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
	}
	return sum
}
