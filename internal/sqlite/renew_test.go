package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// breakSync makes the next syncs of a connection's log fail.
func breakSync(t *testing.T, c *Conn) {
	t.Helper()
	thread, db, err := handles(c.c)
	if err != nil {
		t.Fatal(err)
	}
	var file *lib.Tsqlite3_file
	if code := lib.Xsqlite3_file_control(thread, db, 0, lib.SQLITE_FCNTL_JOURNAL_POINTER, uintptr(unsafe.Pointer(&file))); code != lib.SQLITE_OK || file.FpMethods == 0 {
		t.Fatalf("the log has no file: %d", code)
	}
	place := lib.Xsqlite3_malloc64(thread, uint64(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	methods := view[lib.Tsqlite3_io_methods](place)
	*methods = *view[lib.Tsqlite3_io_methods](file.FpMethods)
	methods.FxSync = functionAddress(func(*libc.TLS, uintptr, int32) int32 { return lib.SQLITE_IOERR_FSYNC })
	file.FpMethods = place
}

func openCounting(t *testing.T) (db *DB, troubles *[]error) {
	t.Helper()
	troubles = new([]error)
	db, err := Open(filepath.Join(t.TempDir(), "x.db"), Options{
		Schema:  Schema{Migrations: []string{"CREATE TABLE t (a INTEGER PRIMARY KEY)"}},
		Files:   &Files{},
		Trouble: func(err error) { *troubles = append(*troubles, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if used := db.options.Files.Used(); used != 0 {
			t.Errorf("a closed database counts %d files", used)
		}
	})
	return db, troubles
}

func insert(n int) func(*Conn) error {
	return func(c *Conn) error { return c.Exec("INSERT INTO t VALUES (?)", n) }
}

func rows(t *testing.T, db *DB) (n int64) {
	t.Helper()
	if err := db.Read(t.Context(), func(c *Conn) (err error) {
		n, err = c.Int("SELECT count(*) FROM t")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFailedSync makes a sync fail in each kind of write transaction: no write is
// acknowledged, nothing is retried, and the connections are replaced afterwards.
func TestFailedSync(t *testing.T) {
	for name, write := range map[string]func(*DB, context.Context, func(*Conn) error) error{
		"group": (*DB).Write, "exclusive": (*DB).Exclusive, "restructure": (*DB).Restructure,
	} {
		t.Run(name, func(t *testing.T) {
			db, troubles := openCounting(t)
			if err := write(db, t.Context(), insert(1)); err != nil || rows(t, db) != 1 {
				t.Fatal(err)
			}
			writer := <-db.writer
			breakSync(t, writer)
			db.writer <- writer
			ran := 0
			err := write(db, t.Context(), func(c *Conn) error { ran++; return insert(2)(c) })
			if !SyncFailed(err) || FaultOf(err) != IO || ran != 1 {
				t.Errorf("the write ran %d times and ended with %v", ran, err)
			}
			if len(*troubles) != 1 || !strings.Contains((*troubles)[0].Error(), "sync has failed") {
				t.Errorf("the log says %v", *troubles)
			}
			if err := write(db, t.Context(), insert(3)); err != nil {
				t.Errorf("the next write: %v", err)
			}
			if now := <-db.writer; now == writer {
				t.Error("the writer is the old one")
			} else {
				db.writer <- now
			}
			// A write that was not acknowledged may be there, once.
			if n := rows(t, db); n != 2 && n != 3 {
				t.Errorf("there are %d rows", n)
			}
		})
	}
}

// TestFailedSyncOfMany makes the shared transaction of several writes fail: each is
// answered, and none is rerun.
func TestFailedSyncOfMany(t *testing.T) {
	db, _ := openCounting(t)
	writer := <-db.writer
	if err := writer.Exec("INSERT INTO t VALUES (0)"); err != nil { // so that the log has a file
		t.Fatal(err)
	}
	breakSync(t, writer)
	const writes = 5
	ran := make([]int, writes)
	errs := make([]error, writes)
	var running sync.WaitGroup
	for i := range writes {
		running.Go(func() {
			errs[i] = db.Write(t.Context(), func(c *Conn) error { ran[i]++; return insert(i + 1)(c) })
		})
	}
	waitFor(t, func() bool {
		db.group.mu.Lock()
		defer db.group.mu.Unlock()
		return len(db.group.waiting) == writes
	})
	db.writer <- writer
	running.Wait()
	for i, err := range errs {
		if !SyncFailed(err) || ran[i] != 1 {
			t.Errorf("write %d ran %d times: %v", i, ran[i], err)
		}
	}
	if err := db.Write(t.Context(), insert(9)); err != nil || rows(t, db) < 2 {
		t.Errorf("the next write: %v", err)
	}
}

// TestReadersAreRenewed holds a reader while a sync fails.
func TestReadersAreRenewed(t *testing.T) {
	db, _ := openCounting(t)
	if rows(t, db); db.options.Files.Used() != 1+2*filesPerConn {
		t.Fatalf("%d files", db.options.Files.Used())
	}
	var old *Conn
	err := db.Read(t.Context(), func(c *Conn) error {
		old = c
		writer := <-db.writer
		db.renew(writer, errors.New("broken"))
		db.writer <- nil
		_, err := c.Int("SELECT count(*) FROM t") // a running read continues
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range cap(db.readers) {
		if err := db.Read(t.Context(), func(c *Conn) error {
			if c == old {
				t.Error("a reader from before is used again")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A writer whose foreign keys cannot be re-enabled is not used again.
func TestForeignKeysStayEnforced(t *testing.T) {
	var told error
	db, err := Open(filepath.Join(t.TempDir(), "keys.db"), Options{Schema: Schema{ApplicationID: 1}, Trouble: func(err error) { told = err }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Restructure(t.Context(), func(c *Conn) error {
		return c.c.SetAuthorizer(zs.AuthorizeFunc(func(action zs.Action) zs.AuthResult {
			if action.Type() == zs.OpPragma && action.Pragma() == "foreign_keys" {
				return zs.AuthResultDeny
			}
			return zs.AuthResultOK
		}))
	})
	if err != nil || told == nil {
		t.Fatalf("%v, told %v", err, told)
	}
	err = db.Write(t.Context(), func(c *Conn) error {
		if on, err := c.Int("PRAGMA foreign_keys"); err != nil || on != 1 {
			t.Errorf("foreign keys are %d, %v", on, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
