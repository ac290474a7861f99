package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// guarded opens a database with a table that strangers may read, one that they may
// not, and traps around them.
func guarded(t testing.TB) *DB {
	db := open(t, Options{})
	script(t, db, `
		CREATE TABLE open (id INTEGER PRIMARY KEY, v TEXT) STRICT;
		INSERT INTO open VALUES (1, 'one'), (2, 'two');
		CREATE TABLE secret (id INTEGER PRIMARY KEY, v TEXT) STRICT;
		INSERT INTO secret VALUES (1, 'hidden');
		CREATE TABLE _own (v TEXT) STRICT;
		INSERT INTO _own VALUES ('ours');
		CREATE TABLE json_tree (key TEXT, value TEXT) STRICT;
		INSERT INTO json_tree VALUES ('k', 'hidden');
		CREATE TABLE "Été" (v TEXT) STRICT;
		INSERT INTO "Été" VALUES ('hidden');
		CREATE VIEW open_view AS SELECT v FROM secret;
		CREATE VIEW fair_view AS SELECT v FROM open;`)
	return db
}

func permitted(table string) bool {
	return table == "open" || table == "open_view" || table == "fair_view"
}

// readGuarded runs fn under the guard, on a connection of its own.
func readGuarded(ctx context.Context, db *DB, permitted func(string) bool, fn func(*Conn) error) error {
	c, err := OpenReader(db.Path())
	if err != nil {
		return err
	}
	defer c.Close()
	return askOn(ctx, c, permitted, fn)
}

func askOn(ctx context.Context, c *Conn, permitted func(string) bool, fn func(*Conn) error) error {
	return c.ReadPinned(func() error {
		return c.Guarded(ctx, Guard{Permitted: permitted}, func() error { return fn(c) })
	})
}

// ask runs a stranger's statement and returns its rows as text.
func ask(ctx context.Context, db *DB, sql string) (string, error) {
	var rows []string
	err := readGuarded(ctx, db, permitted, func(c *Conn) error {
		return c.Query(sql, nil, func(s *Stmt) error {
			var row []string
			for i := range s.Columns() {
				row = append(row, s.Text(i))
			}
			rows = append(rows, strings.Join(row, "|"))
			return nil
		})
	})
	return strings.Join(rows, ","), err
}

func TestGuardLetsPermittedReadsThrough(t *testing.T) {
	db := guarded(t)
	for sql, want := range map[string]string{
		"SELECT v FROM open ORDER BY id":                        "one,two",
		"SELECT v FROM OPEN WHERE id = 2":                       "two",
		"SELECT v FROM main.open LIMIT 1":                       "one",
		"SELECT count(*) FROM open":                             "2",
		"SELECT count(*) FROM open AS secret":                   "2",
		"SELECT 1 FROM open":                                    "1,1",
		"WITH x AS (SELECT v FROM open) SELECT count(*) FROM x": "2",
		"WITH x(n) AS (SELECT 7) SELECT n FROM x":               "7",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3) SELECT i FROM n":   "1,2,3",
		"WITH secret(v) AS (SELECT 'mine') SELECT v FROM secret":                                      "mine",
		"SELECT a.v FROM open a JOIN open b ON a.id = b.id WHERE a.v IN (SELECT v FROM open) LIMIT 1": "one",
		"SELECT value FROM json_each('[1,2]')":                                                        "1,2",
		"SELECT count(*) FROM json_each('[1,2]')":                                                     "2",
		"SELECT upper(min(v)), length(min(v)), group_concat(v) FROM open":                             "ONE|3|one,two",
		"SELECT count(*) FROM fair_view":                                                              "2",
		"VALUES (1), (2)":                                                                             "1,2",
		"SELECT row_number() OVER (ORDER BY id) FROM open":                                            "1,2",
	} {
		if got, err := ask(t.Context(), db, sql); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", sql, got, err, want)
		}
	}
}

func TestGuardRefuses(t *testing.T) {
	db := guarded(t)
	folder := filepath.Dir(db.Path())
	outside := filepath.Join(folder, "planted.db")
	for _, sql := range []string{
		"SELECT v FROM secret",
		"SELECT v FROM SECRET",
		`SELECT v FROM "main"."secret"`,
		"SELECT count(*) FROM secret",
		"SELECT 1 FROM secret",
		"SELECT rowid FROM secret",
		"SELECT secret FROM secret('x')",
		"SELECT o.v FROM open o, secret s",
		"SELECT v FROM open WHERE EXISTS (SELECT 1 FROM secret)",
		"SELECT (SELECT v FROM secret)",
		"SELECT v FROM open UNION SELECT v FROM secret",
		"WITH x AS (SELECT v FROM secret) SELECT count(*) FROM x",
		"WITH x AS (SELECT count(*) AS n FROM secret) SELECT n FROM x",
		"WITH secret AS (SELECT v FROM main.secret) SELECT v FROM secret",
		"WITH open AS (SELECT v FROM secret) SELECT v FROM open",
		"SELECT v FROM open_view",
		"SELECT count(*) FROM open_view",
		"SELECT v FROM _own",
		"SELECT count(*) FROM _own",
		"SELECT value FROM json_tree",
		"SELECT count(*) FROM json_tree",
		"SELECT value FROM main.json_tree",
		`SELECT v FROM "Été"`,
		`SELECT count(*) FROM "Été"`,
		"SELECT name FROM sqlite_schema",
		"SELECT count(*) FROM sqlite_master",
		"SELECT * FROM sqlite_temp_master",
		"SELECT count(*) FROM sqlite_temp_schema",
		"SELECT * FROM sqlite_sequence",
		"SELECT name FROM pragma_table_info('open')",
		"SELECT count(*) FROM pragma_database_list",
		"SELECT file FROM pragma_database_list",
		"SELECT * FROM pragma_module_list",
		"SELECT * FROM dbstat",
		"SELECT count(*) FROM dbstat",
		"SELECT * FROM bytecode('SELECT 1')",
		"SELECT load_extension('x')",
		"SELECT sqlite_compileoption_get(1)",
		"SELECT sqlite_source_id()",
		"SELECT LOAD_EXTENSION('x')",
		"SELECT readfile('/etc/passwd')",
		"SELECT writefile('" + outside + "', 'x')",
		"SELECT fts3_tokenizer('simple')",
		"SELECT nonsense('x')",
		"ATTACH '" + outside + "' AS other",
		"ATTACH ':memory:' AS other",
		"DETACH main",
		"VACUUM",
		"VACUUM INTO '" + outside + "'",
		"PRAGMA table_info(open)",
		"PRAGMA query_only = OFF",
		"PRAGMA writable_schema = ON",
		"PRAGMA journal_mode = DELETE",
		"INSERT INTO open VALUES (3, 'x')",
		"WITH x AS (SELECT 1) INSERT INTO open SELECT 3, 'x'",
		"UPDATE open SET v = 'x'",
		"DELETE FROM open",
		"REPLACE INTO open VALUES (1, 'x')",
		"DROP TABLE open",
		"ALTER TABLE open RENAME TO closed",
		"CREATE TABLE t (x)",
		"CREATE TEMP TABLE t (x)",
		"CREATE TEMP TABLE t AS SELECT * FROM open",
		"CREATE TEMP VIEW v AS SELECT * FROM secret",
		"CREATE VIEW v AS SELECT * FROM secret",
		"CREATE TEMP TRIGGER t AFTER INSERT ON open BEGIN SELECT 1; END",
		"CREATE VIRTUAL TABLE temp.v USING fts5(x)",
		"CREATE INDEX i ON open (v)",
		"ANALYZE",
		"REINDEX",
		"BEGIN",
		"COMMIT",
		"ROLLBACK",
		"SAVEPOINT s",
		"RELEASE s",
		"SELECT 1; SELECT 2",
		"SELECT 1; DROP TABLE open",
		"",
		"-- nothing",
		"SELECT printf('%.*c', 900000000, 'x')",
		"SELECT length(printf('%900000000d', 1))",
		"SELECT hex(zeroblob(400000000))",
		"SELECT length(zeroblob(1000000000))",
		"SELECT length(randomblob(100000000))",
		"SELECT replace(hex(zeroblob(4000000)), '0', 'xxxxxxxxxx')",
		"SELECT v FROM open WHERE v LIKE '" + strings.Repeat("%a", 26_000) + "'",
		"SELECT " + "1" + strings.Repeat(" + 1", 1100),
		"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 600),
		"SELECT '" + strings.Repeat("x", 100_001) + "'",
		"SELECT 1" + strings.Repeat(", 1", 2001),
		"SELECT max(1" + strings.Repeat(", 1", 130) + ")",
		"SELECT ?10001",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		got, err := ask(t.Context(), db, sql)
		runtime.ReadMemStats(&after)
		shown := sql[:min(len(sql), 80)]
		if err == nil {
			t.Errorf("%s gave %.40q", shown, got)
		}
		if took := time.Since(start); took > testkit.Slack {
			t.Errorf("%s took %v", shown, took)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s allocated %d bytes", shown, grown)
		}
		if files, _ := filepath.Glob(filepath.Join(folder, "*")); len(files) != 3 {
			t.Fatalf("%s left files: %v", shown, files)
		}
	}
	if n := count(t, db, "SELECT count(*) FROM open"); n != 2 {
		t.Errorf("%d rows are left", n)
	}
	if got, err := ask(t.Context(), db, "SELECT count(*) FROM open"); err != nil || got != "2" {
		t.Errorf("an honest statement afterwards: %q, %v", got, err)
	}
	checkIntegrity(t, db)
}

func TestGuardTellsDeniedFromBadSQL(t *testing.T) {
	db := guarded(t)
	for sql, want := range map[string]Fault{
		"SELECT v FROM secret":    Denied,
		"SELECT v FROM nowhere":   BadSQL,
		"SELECT nope FROM open":   BadSQL,
		"SELEC v FROM open":       BadSQL,
		"INSERT INTO open VALUES": BadSQL,
		"DROP TABLE open":         Denied,
	} {
		if _, err := ask(t.Context(), db, sql); FaultOf(err) != want {
			t.Errorf("%s: fault %d (%v), want %d", sql, FaultOf(err), err, want)
		}
	}
}

func TestGuardStopsEndlessStatements(t *testing.T) {
	db := guarded(t)
	const limit = 150 * time.Millisecond
	for _, sql := range []string{
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) SELECT count(*) FROM n a, n b, n c, n d",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0",
	} {
		// On a busy machine, the best of a few attempts counts.
		took := time.Hour
		for try := 0; try < 5 && took > limit+200*time.Millisecond; try++ {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			start := time.Now()
			_, err := ask(ctx, db, sql)
			took = time.Since(start)
			cancel()
			if FaultOf(err) != Interrupted {
				t.Errorf("%s: %v", sql, err)
			}
		}
		if took > limit+200*time.Millisecond {
			t.Errorf("%s ran %v, the limit was %v", sql, took, limit)
		}
		if got, err := ask(t.Context(), db, "SELECT count(*) FROM open"); err != nil || got != "2" {
			t.Errorf("the connection is unusable afterwards: %q, %v", got, err)
		}
	}
}

// A statement of one caller is recompiled for the next.
func TestGuardForgetsTheLastCaller(t *testing.T) {
	db := guarded(t)
	c, err := OpenReader(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const sql = "SELECT v FROM secret"
	run := func(permitted bool) error {
		return askOn(t.Context(), c, func(string) bool { return permitted }, func(c *Conn) error { return c.Exec(sql) })
	}
	if err := run(true); err != nil {
		t.Fatal(err)
	}
	if err := run(false); FaultOf(err) != Denied {
		t.Fatalf("the next caller read the table: %v", err)
	}
	if len(c.idle) != 0 {
		for text := range c.idle {
			if text == sql {
				t.Error("the statement of a stranger is kept")
			}
		}
	}
}

func TestGuardSeesTablesMadeLater(t *testing.T) {
	db := guarded(t)
	if _, err := ask(t.Context(), db, "SELECT count(*) FROM later"); FaultOf(err) != BadSQL {
		t.Errorf("a missing table: %v", err)
	}
	script(t, db, "CREATE TABLE later (x TEXT) STRICT")
	if _, err := ask(t.Context(), db, "SELECT count(*) FROM later"); FaultOf(err) != Denied {
		t.Errorf("a table made later: %v", err)
	}
}

// functionName depends on an unexported field of the driver.
func TestFunctionNamesAreSeen(t *testing.T) {
	db := guarded(t)
	for sql, want := range map[string]Fault{
		"SELECT upper('x')":               Other,
		"SELECT sqlite_version()":         BadSQL,
		"SELECT load_extension('x')":      BadSQL,
		"SELECT json_extract('{}', '$')":  Other,
		"SELECT upper(sqlite_version())":  BadSQL,
		"SELECT sum(1), avg(2), count(3)": Other,
	} {
		if _, err := ask(t.Context(), db, sql); FaultOf(err) != want {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func FuzzGuard(f *testing.F) {
	db := guarded(f)
	folder := filepath.Dir(db.Path())
	for _, sql := range []string{
		"SELECT v FROM secret", "WITH secret AS (SELECT 1) SELECT count(*) FROM secret", "ATTACH 'x' AS y",
		"SELECT * FROM open, json_each('[1]')", "EXPLAIN SELECT 1", "SELECT v FROM open_view",
	} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		got, err := ask(ctx, db, sql)
		if err == nil && (strings.Contains(got, "hidden") || strings.Contains(got, "ours")) && !strings.Contains(sql, "hidden") && !strings.Contains(sql, "ours") {
			t.Fatalf("%q told a secret: %q", sql, got)
		}
		if files, _ := os.ReadDir(folder); len(files) != 3 {
			t.Fatalf("%q left files", sql)
		}
	})
}
