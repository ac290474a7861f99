package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newSandbox(t *testing.T, limits SandboxLimits) (s *Sandbox, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sandbox.sqlite")
	s, err := OpenSandbox(context.Background(), path, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

func TestSandboxMakesAndFillsTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sandbox.sqlite")
	s, err := OpenSandbox(context.Background(), path, SandboxLimits{Bytes: 1 << 20, Statement: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DROP TABLE IF EXISTS t",
		"CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT CHECK (length(v) < 9) REFERENCES nowhere)",
		"INSERT INTO t VALUES (1, replace('a\\n', '\\n', char(10))), (2, unistr('\\u0041')), (3, CAST(x'00' AS TEXT))",
		"DELETE FROM sqlite_sequence",
		"INSERT INTO sqlite_sequence VALUES ('t', 9)",
		"CREATE UNIQUE INDEX i ON t (lower(v)) WHERE id > 1",
		"CREATE TABLE u AS SELECT * FROM t",
		"UPDATE t SET v = 'x' WHERE id = 1",
		"DELETE FROM u WHERE id IN (SELECT id FROM t WHERE id = 1)",
		"DROP INDEX i",
		"DROP TABLE u",
		"ANALYZE sqlite_schema",
	} {
		if err := s.Run(statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if err := errors.Join(s.Commit(), s.Close()); err != nil {
		t.Fatal(err)
	}
	c, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Text("SELECT group_concat(id || ':' || hex(v), ' ') || ' ' || (SELECT seq FROM sqlite_sequence) FROM t")
	if want := "1:78 2:41 3:00 9"; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestSandboxRefusesEverythingElse(t *testing.T) {
	folder := t.TempDir()
	outside := filepath.Join(folder, "outside")
	for _, statement := range []string{
		"ATTACH '" + outside + "' AS other",
		"DETACH main",
		"VACUUM",
		"VACUUM INTO '" + outside + "'",
		"PRAGMA writable_schema = ON",
		"PRAGMA journal_mode = WAL",
		"PRAGMA temp_store_directory = '/'",
		"SELECT * FROM pragma_database_list",
		"INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (a)')",
		"UPDATE sqlite_schema SET sql = ''",
		"DELETE FROM sqlite_master",
		"DROP TABLE sqlite_schema",
		"SELECT load_extension('x')",
		"SELECT writefile('" + outside + "', 'x')",
		"SELECT readfile('/etc/passwd')",
		"SELECT sqlite_version()",
		"CREATE TABLE t (a DEFAULT (load_extension('x')))",
		"CREATE TABLE t (a, b AS (sqlite_source_id()))",
		"CREATE TEMP TABLE t (a)",
		"CREATE TABLE temp.t (a)",
		"CREATE VIEW v AS SELECT 1",
		"CREATE TEMP VIEW v AS SELECT 1",
		"CREATE TRIGGER r AFTER INSERT ON known BEGIN SELECT 1; END",
		"CREATE VIRTUAL TABLE f USING fts5(a)",
		"INSERT INTO sqlite_dbpage VALUES (1, zeroblob(4096))",
		"ALTER TABLE known RENAME TO other",
		"BEGIN",
		"COMMIT",
		"ROLLBACK",
		"SAVEPOINT s",
		"SELECT zeroblob(1000000000)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO known SELECT randomblob(1000) FROM n",
		"SELECT 1; SELECT 2",
		"nonsense",
	} {
		s, _ := newSandbox(t, SandboxLimits{Bytes: 1 << 20, Statement: time.Minute})
		if err := s.Run("CREATE TABLE known (a)"); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(statement); err == nil {
			t.Errorf("%s: it ran", statement)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("there are files now: %v, %v", entries, err)
	}
}

func TestSandboxStopsWhatRunsTooLong(t *testing.T) {
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	s, _ := newSandbox(t, SandboxLimits{Bytes: 1 << 20, Statement: 50 * time.Millisecond})
	if err := s.Run(endless); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v, want %v", err, ErrTooLong)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	s, err := OpenSandbox(ctx, filepath.Join(t.TempDir(), "s"), SandboxLimits{Bytes: 1 << 20, Statement: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Run(endless); FaultOf(err) != Interrupted {
		t.Errorf("got %v, want an interrupt", err)
	}
}
