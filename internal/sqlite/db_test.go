package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	zs "zombiezen.com/go/sqlite"
)

func TestClosedDBRefuses(t *testing.T) {
	db := open(t, Options{})
	other, err := Open(filepath.Join(t.TempDir(), "other.db"), Options{Schema: testSchema})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	nothing := func(*Conn) error { return nil }
	_, snapshotErr := other.Snapshot(t.Context(), 1)
	for name, err := range map[string]error{
		"Read":        other.Read(t.Context(), nothing),
		"Write":       other.Write(t.Context(), nothing),
		"Exclusive":   other.Exclusive(t.Context(), nothing),
		"Restructure": other.Restructure(t.Context(), nothing),
		"Checkpoint":  other.Checkpoint(t.Context()),
		"Snapshot":    snapshotErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := db.Read(t.Context(), nothing); err != nil {
		t.Error(err)
	}
}

func TestReadSeesOneState(t *testing.T) {
	db := open(t, Options{})
	err := db.Read(t.Context(), func(c *Conn) error {
		before, err := c.Int("SELECT count(*) FROM item")
		if err != nil {
			return err
		}
		if err := db.Write(context.Background(), insertItem("meanwhile")); err != nil {
			return err
		}
		after, err := c.Int("SELECT count(*) FROM item")
		if before != after {
			t.Errorf("saw %d, then %d rows", before, after)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestExclusiveCancelledLeavesNothing(t *testing.T) {
	db := open(t, Options{})
	for name, stop := range map[string]func(context.CancelFunc){
		"during a statement": func(cancel context.CancelFunc) { time.AfterFunc(20*time.Millisecond, cancel) },
		"before a statement": func(cancel context.CancelFunc) { cancel() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Exclusive(ctx, func(c *Conn) error {
			if err := c.Script("CREATE TABLE half (x); INSERT INTO half VALUES (1)"); err != nil {
				return err
			}
			stop(cancel)
			return c.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO half SELECT i FROM n")
		})
		if FaultOf(err) != Interrupted {
			t.Errorf("%s: %v", name, err)
		}
		if n := count(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"); n != 0 {
			t.Errorf("%s: a table was left", name)
		}
		if err := db.Write(t.Context(), insertItem(name)); err != nil {
			t.Errorf("%s: the writer is unusable: %v", name, err)
		}
	}
}

func TestExclusivePanicFreesTheWriter(t *testing.T) {
	db := open(t, Options{})
	func() {
		defer func() { recover() }()
		db.Exclusive(t.Context(), func(c *Conn) error {
			c.Exec("INSERT INTO item (name) VALUES ('half')")
			panic("boom")
		})
	}()
	if err := db.Write(t.Context(), insertItem("next")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "SELECT count(*) FROM item"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestRestructureChecksForeignKeys(t *testing.T) {
	db := open(t, Options{})
	script(t, db, `CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
		CREATE TABLE child (p INTEGER REFERENCES parent (id) ON DELETE CASCADE) STRICT;
		INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);`)
	tests := []struct {
		name, sql string
		broken    bool
		failed    bool
	}{
		{"rebuild keeps children", "CREATE TABLE parent_new (id INTEGER PRIMARY KEY, note TEXT) STRICT; INSERT INTO parent_new SELECT id, NULL FROM parent; DROP TABLE parent; ALTER TABLE parent_new RENAME TO parent", false, false},
		{"orphan", "DELETE FROM parent", true, true},
		{"bad SQL", "DELETE FROM parent; SELECT nonsense", false, true},
	}
	for _, test := range tests {
		err := db.Restructure(t.Context(), func(c *Conn) error { return c.Script(test.sql) })
		var broken *BrokenReference
		if (err != nil) != test.failed || errors.As(err, &broken) != test.broken {
			t.Errorf("%s: %v", test.name, err)
		}
		if broken != nil && (broken.Table != "child" || broken.Parent != "parent") {
			t.Errorf("%s: blames %v", test.name, broken)
		}
		if n := count(t, db, "SELECT count(*) FROM child"); n != 1 {
			t.Errorf("%s: %d children are left", test.name, n)
		}
		err = db.Exclusive(t.Context(), func(c *Conn) error { return c.Exec("INSERT INTO child VALUES (77)") })
		if FaultOf(err) != ForeignKey {
			t.Errorf("%s: foreign keys are off afterwards: %v", test.name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Restructure(ctx, func(c *Conn) error {
		cancel()
		return c.Exec("DELETE FROM parent")
	})
	if FaultOf(err) != Interrupted {
		t.Errorf("canceled: %v", err)
	}
	err = db.Exclusive(t.Context(), func(c *Conn) error { return c.Exec("INSERT INTO child VALUES (77)") })
	if FaultOf(err) != ForeignKey {
		t.Errorf("foreign keys are off after canceling: %v", err)
	}
}

func TestCheckpointEmptiesTheLog(t *testing.T) {
	db := open(t, Options{})
	if err := db.Write(t.Context(), insertItem("x")); err != nil {
		t.Fatal(err)
	}
	if err := db.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(db.Path() + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the log: %v, %v", info, err)
	}
}

// TestLogShrinksAfterALargeTransaction writes a lot in one transaction, committed or
// not: the disk space that the log used for it is freed, if not at once, then when
// nobody reads an older state any more.
func TestLogShrinksAfterALargeTransaction(t *testing.T) {
	type transact func(*DB, context.Context, func(*Conn) error) error
	for name, transact := range map[string]transact{"exclusive": (*DB).Exclusive, "restructure": (*DB).Restructure} {
		for _, end := range []error{nil, errors.New("in vain")} {
			db := open(t, Options{})
			script(t, db, "CREATE TABLE filler (b BLOB)")
			fill := func(c *Conn) error {
				for range 2 * maxLog >> 20 {
					if err := c.Exec("INSERT INTO filler VALUES (zeroblob(1 << 20))"); err != nil {
						return err
					}
				}
				return end
			}
			check := func(when string, large bool) {
				t.Helper()
				if info, err := os.Stat(db.Path() + "-wal"); err != nil || info.Size() > maxLog != large {
					t.Errorf("%s, %s, %v: the log is %v, %v", name, when, end, info.Size(), err)
				}
			}
			if err := transact(db, t.Context(), fill); !errors.Is(err, end) {
				t.Fatal(err)
			}
			check("alone", false)
			err := db.Read(t.Context(), func(c *Conn) error {
				if _, err := c.Int("SELECT count(*) FROM filler"); err != nil {
					return err
				}
				began := time.Now()
				err := transact(db, t.Context(), fill)
				if waited := time.Since(began); waited > busyTimeout {
					t.Errorf("the writer waited %s for a reader", waited)
				}
				check("beside a reader", end == nil)
				return err
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			if err := transact(db, t.Context(), insertItem("after")); err != nil {
				t.Fatal(err)
			}
			check("after the reader", false)
		}
	}
}

func TestCloseLeavesOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.db")
	db, err := Open(path, Options{Schema: testSchema})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), insertItem("x")); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files are left: %v", len(files), files)
	}
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	steps := []string{
		"CREATE TABLE a (x)",
		"ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2);",
		"CREATE TABLE b (z); -- with a note",
	}
	reopen := func(id int32, n int) error {
		db, err := Open(path, Options{Schema: Schema{ApplicationID: id, Migrations: steps[:n]}})
		if err != nil {
			return err
		}
		defer db.Close()
		if got := count(t, db, "PRAGMA user_version"); got != int64(n) {
			t.Errorf("user_version is %d, want %d", got, n)
		}
		if got := count(t, db, "PRAGMA application_id"); got != int64(id) {
			t.Errorf("application_id is %d, want %d", got, id)
		}
		return nil
	}
	for _, n := range []int{1, 1, 3, 3} {
		if err := reopen(7, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := reopen(7, 2); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer file: %v", err)
	}
	if err := reopen(8, 3); !errors.Is(err, ErrForeign) {
		t.Errorf("a file of another program: %v", err)
	}
	steps = append(steps, "CREATE TABLE c (x); CREATE TABLE a (again)")
	if err := reopen(7, 4); err == nil {
		t.Error("a failing migration was accepted")
	}
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE name = 'c'"); err != nil || n != 0 {
		t.Errorf("a failed migration left a table (%v)", err)
	}
}

// A file of another program is refused and left untouched.
func TestForeignFilesAreRefusedUntouched(t *testing.T) {
	create := func(sql string) func(string) {
		return func(path string) {
			c, err := openConn(path, zs.OpenReadWrite|zs.OpenCreate)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Script(sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(content string) func(string) {
		return func(path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, make := range map[string]func(string){
		"another application":         create("PRAGMA application_id = 9; CREATE TABLE t (x)"),
		"another user_version":        create("PRAGMA user_version = 1; CREATE TABLE t (x)"),
		"tables without any identity": create("CREATE TABLE t (x)"),
		"text":                        text(strings.Repeat("not a database\n", 1000)),
	} {
		path := filepath.Join(t.TempDir(), "foreign.db")
		make(path)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		db, err := Open(path, Options{Schema: testSchema})
		if err == nil {
			t.Errorf("%s was opened", name)
			db.Close()
		} else if !errors.Is(err, ErrForeign) && FaultOf(err) != Damaged {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was changed (%v)", name, err)
		}
	}
}

// Consecutive reads use one connection, which already knows the schema.
func TestReadsOneAfterTheOtherShareAConnection(t *testing.T) {
	db := open(t, Options{Readers: 3})
	used := map[*Conn]bool{}
	for range 10 {
		if err := db.Read(t.Context(), func(c *Conn) error { used[c] = true; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(used) != 1 {
		t.Errorf("%d connections were used", len(used))
	}
	// All of them can be in use at once, and are returned.
	for range 3 {
		var wg, all sync.WaitGroup
		all.Add(3)
		for range 3 {
			wg.Go(func() {
				err := db.Read(context.Background(), func(*Conn) error {
					all.Done()
					all.Wait()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// A short deadline ends only what it was set for, and the longer one stays.
func TestBriefly(t *testing.T) {
	const endless = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n) SELECT count(*) FROM n"
	db, err := Open(filepath.Join(t.TempDir(), "a.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.ReadWithin(t.Context(), Deadlines{Run: 200 * time.Millisecond}, func(c *Conn) error {
		for range 3 {
			late, err := c.Briefly(time.Millisecond, func() error { return c.Exec(endless) })
			if !late || err != nil {
				t.Errorf("late %v (%v)", late, err)
			}
			if n, err := c.Int("SELECT 1"); n != 1 || err != nil {
				t.Error("afterwards:", n, err)
			}
		}
		if late, err := c.Briefly(time.Hour, func() error { return c.Exec("SELECT 1") }); late || err != nil {
			t.Errorf("late %v (%v)", late, err)
		}
		return c.Exec(endless)
	})
	if !errors.Is(err, ErrTooLong) {
		t.Errorf("the longer deadline: %v", err)
	}
}
