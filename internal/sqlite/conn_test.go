package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	zs "zombiezen.com/go/sqlite"

	"github.com/zangtable/zangtable/internal/sqltext"
)

func memoryConn(t testing.TB) *Conn {
	t.Helper()
	c, err := openConn(filepath.Join(t.TempDir(), "conn.db"), zs.OpenReadWrite|zs.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func pragmasOf(t testing.TB, c *Conn) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range []string{"foreign_keys", "trusted_schema", "cell_size_check", "recursive_triggers", "mmap_size", "query_only", "busy_timeout", "journal_mode", "synchronous"} {
		value, err := c.Text("PRAGMA " + name)
		if err != nil {
			t.Fatalf("PRAGMA %s: %v", name, err)
		}
		found[name] = value
	}
	return found
}

func checkPragmas(t testing.TB, kind string, c *Conn, want map[string]string) {
	t.Helper()
	found := pragmasOf(t, c)
	for _, m := range []map[string]string{
		{"foreign_keys": "1", "trusted_schema": "0", "cell_size_check": "1", "recursive_triggers": "0", "mmap_size": "0", "busy_timeout": "5000", "journal_mode": "wal"},
		want,
	} {
		for name, value := range m {
			// Without a memory map the pragma may return no row at all.
			if name == "mmap_size" && found[name] == "" {
				continue
			}
			if found[name] != value {
				t.Errorf("%s: PRAGMA %s is %q, want %q", kind, name, found[name], value)
			}
		}
	}
	if err := c.Exec("PRAGMA writable_schema = ON"); err != nil {
		return
	}
	if err := c.Exec("UPDATE sqlite_schema SET sql = 'x'"); err == nil {
		t.Errorf("%s: the schema table can be written, so the connection is not defensive", kind)
	}
}

func TestPragmasOnEveryConnection(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		db := open(t, Options{Readers: 5, Relaxed: relaxed})
		synchronous := map[bool]string{false: "2", true: "1"}[relaxed]
		writer := <-db.writer
		checkPragmas(t, "writer", writer, map[string]string{"query_only": "0", "synchronous": synchronous})
		db.writer <- writer

		readOnly := map[string]string{"query_only": "1"}
		var conns []*Conn
		for range cap(db.readers) {
			c, err := db.leaseReader(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			checkPragmas(t, "reader", c, readOnly)
			conns = append(conns, c)
		}
		for _, c := range conns {
			db.readers <- c
		}
		snapshot, err := db.Snapshot(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range snapshot.Conns {
			checkPragmas(t, "snapshot", c, readOnly)
		}
		if err := snapshot.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := OpenFile(db.Path())
		if err != nil {
			t.Fatal(err)
		}
		checkPragmas(t, "file", file, readOnly)
		file.Close()
	}
}

func TestReadersCannotWrite(t *testing.T) {
	db := open(t, Options{})
	for name, read := range map[string]func(func(*Conn) error) error{
		"reader": func(fn func(*Conn) error) error { return db.Read(t.Context(), fn) },
		"snapshot": func(fn func(*Conn) error) error {
			s, err := db.Snapshot(t.Context(), 1)
			if err != nil {
				return err
			}
			defer s.Close()
			return fn(s.Conns[0])
		},
	} {
		for _, sql := range []string{"INSERT INTO item (name) VALUES ('x')", "DROP TABLE item", "CREATE TABLE t (x)", "PRAGMA user_version = 9"} {
			if err := read(func(c *Conn) error { return c.Exec(sql) }); err == nil {
				t.Errorf("%s ran %q", name, sql)
			}
		}
	}
}

func TestPrepareTakesOneStatement(t *testing.T) {
	c := memoryConn(t)
	for _, sql := range []string{"SELECT 1; SELECT 2", "SELECT 1; x"} {
		if _, err := c.Prepare(sql); !errors.Is(err, ErrTrailing) {
			t.Errorf("Prepare(%q): %v, want ErrTrailing", sql, err)
		}
	}
	if _, err := c.Prepare("SELECT 1\x00; DROP TABLE x"); err == nil {
		t.Error("a statement with a NUL was accepted")
	}
	for _, sql := range []string{"SELECT 1;", "SELECT 1 ; \n\t", "SELECT 1 -- note", "SELECT 1; -- note", ";; /* a */ -- b\n SELECT 1; /* c"} {
		if n, err := c.Int(sql); err != nil || n != 1 {
			t.Errorf("%q: %d, %v", sql, n, err)
		}
	}
	for _, sql := range []string{"", " \r\n\f", "-- note", ";", "/* x */", "/**/", "/* x", "/***/;--", "\ufeff", "--\n/*\n*/\n"} {
		if err := c.Exec(sql); !errors.Is(err, ErrNoStatement) {
			t.Errorf("Exec(%q): %v, want ErrNoStatement", sql, err)
		}
	}
	for _, sql := range []string{"/*", "/", "-", "- -", "\v", "*/", "/* x */ y", "\u00a0"} {
		if err := c.Exec(sql); FaultOf(err) != BadSQL {
			t.Errorf("Exec(%q): %v, want bad SQL", sql, err)
		}
	}
}

// FuzzPrepare looks for text that SQLite compiles to nothing although SkipEmpty leaves
// part of it, and for any other crash.
func FuzzPrepare(f *testing.F) {
	for _, sql := range []string{"SELECT 1", "-- a\n;", "/*/", "/* */;SELECT 1 -- x", "\ufeff\ufeff;", "/*", "SELECT 1;;"} {
		f.Add(sql)
	}
	c := memoryConn(f)
	f.Fuzz(func(t *testing.T, sql string) {
		s, err := c.Prepare(sql)
		if err != nil {
			return
		}
		defer s.Close()
		if sqltext.SkipEmpty(sql) == "" {
			t.Fatalf("%q was prepared", sql)
		}
		if _, err := s.Step(); zs.ErrCode(err) == zs.ResultMisuse {
			t.Fatalf("%q compiled to nothing", sql)
		}
	})
}

func TestSameTextMayRunInsideItself(t *testing.T) {
	c := memoryConn(t)
	if err := c.Script("CREATE TABLE n (i); INSERT INTO n VALUES (1), (2), (3)"); err != nil {
		t.Fatal(err)
	}
	const query = "SELECT i FROM n WHERE i >= ? ORDER BY i"
	var pairs []string
	for range 3 {
		pairs = nil
		err := c.Query(query, []any{1}, func(outer *Stmt) error {
			return c.Query(query, []any{outer.Int(0)}, func(inner *Stmt) error {
				pairs = append(pairs, fmt.Sprint(outer.Int(0), inner.Int(0)))
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(pairs, ","); got != "1 1,1 2,1 3,2 2,2 3,3 3" {
		t.Errorf("pairs are %s", got)
	}
}

func TestStatementCacheIsBounded(t *testing.T) {
	c := memoryConn(t)
	for round := range 2 {
		for i := range 3 * maxIdleStmts {
			if n, err := c.Int(fmt.Sprintf("SELECT %d", i)); err != nil || n != int64(i) {
				t.Fatalf("round %d: SELECT %d gave %d, %v", round, i, n, err)
			}
			if len(c.idle) > maxIdleStmts {
				t.Fatalf("%d statements are kept", len(c.idle))
			}
		}
	}
	// The most recently used one is kept, the least recently used one is evicted.
	if _, ok := c.idle[fmt.Sprintf("SELECT %d", 3*maxIdleStmts-1)]; !ok {
		t.Error("the statement used last was dropped")
	}
	if _, ok := c.idle["SELECT 0"]; ok {
		t.Error("the statement unused for longest was kept")
	}
}

func TestCachedStatementForgetsValuesAndFaults(t *testing.T) {
	c := memoryConn(t)
	if _, err := c.Int("SELECT ?", 7); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Int("SELECT ?"); err != nil || n != 0 {
		t.Errorf("a value of the last use was left: %d, %v", n, err)
	}
	if _, err := c.Int("SELECT ?", 1, 2); err == nil {
		t.Error("a second value for one parameter was accepted")
	}
	if _, err := c.Int("SELECT ?", struct{}{}); err == nil {
		t.Error("a struct was bound")
	}
	if n, err := c.Int("SELECT ?", 3); err != nil || n != 3 {
		t.Errorf("after a failed use: %d, %v", n, err)
	}
}

func TestCachedStatementFollowsTheSchema(t *testing.T) {
	c := memoryConn(t)
	columns := func() (n int) {
		s, err := c.Prepare("SELECT * FROM t")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if more, err := s.Step(); err != nil || !more {
			t.Fatal(more, err)
		}
		return s.Columns()
	}
	if err := c.Script("CREATE TABLE t (a); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if n := columns(); n != 1 {
		t.Errorf("%d columns, want 1", n)
	}
	if err := c.Script("ALTER TABLE t ADD COLUMN b; ALTER TABLE t ADD COLUMN c"); err != nil {
		t.Fatal(err)
	}
	if n := columns(); n != 3 {
		t.Errorf("%d columns after the change, want 3", n)
	}
	if err := c.Script("DROP TABLE t"); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("SELECT * FROM t"); !FaultOf(err).InSQL() {
		t.Errorf("reading a dropped table: %v", err)
	}
}

func TestReadsRunAtTheSameTime(t *testing.T) {
	db := open(t, Options{Readers: 3})
	var meet, done sync.WaitGroup
	meet.Add(3)
	for range 3 {
		done.Go(func() {
			err := db.Read(t.Context(), func(*Conn) error {
				meet.Done()
				meet.Wait()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}
