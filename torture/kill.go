//go:build linux

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	zs "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// killsPerFolder is how many kills a data folder goes through before a new one is
// made, so that comparing stays fast.
const killsPerFolder = 50

// runKill kills servers at random moments under a mixed load. Everything acknowledged
// must be there, nothing may be there in part, every job must be settled, and nothing
// temporary may be left.
func runKill(t *trial) {
	var slowest, slowestReady time.Duration
	rows, keys, batches, compared := 0, 0, 0, 0
	for done := 0; done < t.kills && t.failed() < maxFaults; {
		n := min(killsPerFolder, t.kills-done)
		book := newLedger()
		settled, ready := t.killFolder(t.path(fmt.Sprintf("data-%03d", done/killsPerFolder)), book, n)
		slowest, slowestReady = max(slowest, settled), max(slowestReady, ready)
		done += n
		for _, ok := range book.singles {
			if ok {
				rows++
			}
		}
		keys, batches, compared = keys+acked(book.keyed), batches+acked(book.batches), compared+book.checked
	}
	t.figure("kills", "%d", t.kills)
	t.figure("acknowledged rows, batches, idempotency keys; lost or halved", "%d, %d, %d; %d", rows, batches, keys, t.failed())
	t.figure("artifacts compared by SHA-256 and length", "%d", compared)
	t.figure("slowest: ready again, jobs settled", "%.2f s, %.2f s", slowestReady.Seconds(), slowest.Seconds())
}

// killFolder kills the servers of one data folder n times.
func (t *trial) killFolder(data string, book *ledger, n int) (settled, ready time.Duration) {
	token := t.project(data, "p")
	s := t.start(data)
	c := s.open("p", token)
	t.tablesOfLoad(c)
	for range n {
		before := t.failed()
		l := t.startLoad(s, c, book)
		moment := t.killAtRandom(s)
		l.wait()
		t.compareCopy(data, book)
		s = t.start(data)
		ready = max(ready, s.ready)
		settled = max(settled, t.settle(s, c, book))
		t.checkLeftovers(data)
		s.checkLog()
		if t.failed() > before {
			t.fault("the faults above follow the kill %s", moment)
		}
		if t.failed() >= maxFaults {
			break
		}
	}
	s.end()
	t.compareDatabase(filepath.Join(data, "projects", "1.db"), book)
	return settled, ready
}

// killAtRandom kills the server after 5 to 500 ms, or shortly after one of its logs
// has grown, which means during a commit or between a commit and its answer. It
// returns a description of the moment.
func (t *trial) killAtRandom(s *server) string {
	wait := time.Duration(t.pick(5, 500)) * time.Millisecond
	aim := t.pick(0, 9)
	after := time.Duration(t.pick(0, 500)) * time.Microsecond
	t.pause(wait)
	moment := fmt.Sprintf("after %s", wait)
	if log, aimed := map[int]string{7: "exports.db-wal", 8: "imports.db-wal", 9: "projects/1.db-wal"}[aim]; aimed {
		waitForGrowth(filepath.Join(s.data, log), 300*time.Millisecond)
		time.Sleep(after)
		moment += fmt.Sprintf(" and %s after %s has grown", after, log)
	}
	s.kill()
	return moment
}

// waitForGrowth returns as soon as a file is written to, or after limit.
func waitForGrowth(path string, limit time.Duration) {
	written := func() time.Time {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	before := written()
	for begin := time.Now(); time.Since(begin) < limit && written().Equal(before); {
		time.Sleep(20 * time.Microsecond)
	}
}

// compareCopy compares the database of the load, as left by a crash, with the ledger.
// It works on a copy, so that the server itself has to recover the files.
func (t *trial) compareCopy(data string, book *ledger) {
	from, to := filepath.Join(data, "projects", "1.db"), t.path("copy.db")
	for _, end := range []string{"", "-wal"} {
		os.Remove(to + end)
		t.must(copyFile(from+end, to+end), "copy a database")
	}
	t.compareDatabase(to, book)
	os.Remove(to + "-shm")
}

// compareDatabase compares a database with the ledger.
func (t *trial) compareDatabase(path string, book *ledger) {
	db, err := zs.OpenConn(path, zs.OpenReadWrite)
	if err != nil {
		t.fault("open the database: %v", err)
		return
	}
	defer db.Close()
	if text, err := sqlitex.ResultText(db.Prep("PRAGMA integrity_check(1)")); err != nil || text != "ok" {
		t.fault("integrity_check: %s %v", text, err)
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	there := t.groups(db, "SELECT k, count(*) FROM singles GROUP BY k")
	for k, acked := range book.singles {
		if n := there[k]; acked && n != 1 || n > 1 {
			t.fault("the row %s, acknowledged: %t, is there %d times", k, acked, n)
		}
	}
	for _, c := range []struct {
		sql string
		of  map[string]work
	}{
		{"SELECT batch, count(*) FROM batches GROUP BY batch", book.batches},
		{"SELECT k, count(*) FROM keyed GROUP BY k", book.keyed},
		{"SELECT tag, count(*) FROM imported GROUP BY tag", book.imports},
	} {
		there := t.groups(db, c.sql)
		for name, w := range c.of {
			if n := there[name]; n != w.size && (w.acked || n != 0) {
				t.fault("of %s, acknowledged: %t, %d of %d rows are there", name, w.acked, n, w.size)
			}
		}
	}
}

// groupsOf runs SQL that returns names and numbers on a database of a stopped server.
func (t *trial) groupsOf(path, sql string) map[string]int {
	db, err := zs.OpenConn(path, zs.OpenReadWrite)
	if err != nil {
		t.stop("open the database: %v", err)
	}
	defer db.Close()
	return t.groups(db, sql)
}

func (t *trial) groups(db *zs.Conn, sql string) map[string]int {
	groups := map[string]int{}
	err := sqlitex.ExecuteTransient(db, sql, &sqlitex.ExecOptions{ResultFunc: func(s *zs.Stmt) error {
		groups[s.ColumnText(0)] = s.ColumnInt(1)
		return nil
	}})
	if err != nil {
		t.fault("%s: %v", sql, err)
	}
	return groups
}

// checkLeftovers reports temporary files that a crash has left and the next start has
// not removed. No job may be running.
func (t *trial) checkLeftovers(data string) {
	err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(data, path)
		switch {
		case strings.HasSuffix(name, ".part"), strings.Contains(name, "/tmp/"), strings.HasPrefix(name, "rehearsals/"):
			t.fault("left over: %s", name)
		case strings.HasPrefix(name, "imports/"):
			t.fault("left over: %s", name)
		}
		return nil
	})
	t.must(err, "look for temporary files")
}
