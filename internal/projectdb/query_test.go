package projectdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// openLibrary creates a project with one readable and one unreadable table.
func openLibrary(t testing.TB) *DB {
	db := openProject(t,
		NewTable{Name: "books", Columns: []NewColumn{{Name: "title"}, {Name: "pages", Type: "INTEGER"}}},
		NewTable{Name: "secrets", Columns: []NewColumn{{Name: "v"}}})
	put(t, db, "books", `{"title":"a","pages":10}`, `{"title":"b","pages":20}`, `{"title":"c"}`)
	put(t, db, "secrets", `{"v":"hidden"}`)
	return db
}

// booksOnly permits only the table with the id 1.
var booksOnly = []ids.Table{1}

// inFolder returns the names and sizes of the files next to the project.
func inFolder(t testing.TB, db *DB) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(db.sql.Path()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "workers" {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

func TestQueryAnswers(t *testing.T) {
	t.Parallel()
	db := openLibrary(t)
	for _, test := range []struct{ sql, params, want string }{
		{"SELECT title FROM books ORDER BY id DESC", ``, `title="c"; title="b"; title="a"`},
		{"select title, PAGES from BOOKS where pages > ?", `[15]`, `title="b" pages=20`},
		{"SELECT title FROM books WHERE pages = :p OR title = @t", `{"p":10,"@t":"c"}`, `title="a"; title="c"`},
		{"SELECT $a AS x, $a AS y", `{"a":1.5}`, `x=1.5 y=1.5`},
		{"SELECT ?2 AS x, ?1 AS y", `["one",2]`, `x=2 y="one"`},
		{"SELECT ?1 AS x", `{"1":"one"}`, `x="one"`},
		{"SELECT 1 AS x;", `[]`, `x=1`},
		{"SELECT 1 AS x -- the end", `{}`, `x=1`},
		{"-- first\n /* then */ SELECT 1 AS x", ``, `x=1`},
		{"/**/WITH n(i) AS (VALUES (1), (2)) SELECT sum(i) AS s FROM n", ``, `s=3`},
		{"SELECT count(*) AS n FROM books", `null`, `n=3`},
		{"SELECT b.title AS t, count(*) AS n FROM books b JOIN books c ON c.pages <= b.pages GROUP BY 1", ``, `t="a" n=1; t="b" n=2`},
		{"SELECT x FROM (SELECT 9223372036854775807 AS x UNION SELECT NULL) WHERE x IN (SELECT x)", ``, `x=9223372036854775807`},
		{"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT i FROM n", ``, `i=1; i=2; i=3`},
		{"SELECT value AS v FROM json_each('[1,null,\"x\"]')", ``, `v=1; v=null; v="x"`},
		{"SELECT 1 AS a, 2 AS A", ``, `a=1 A=2`},
		{"SELECT x'00ff' AS b, 'a' || char(0) AS t", ``, `b="AP8=" t="a\u0000"`},
		{"WITH secrets(v) AS (SELECT 'mine') SELECT v FROM secrets", ``, `v="mine"`},
		{"SELECT title AS 'secrets' FROM books LIMIT 1", ``, `secrets="a"`},
	} {
		result, err := db.Query(ctx, Query{SQL: test.sql, Params: jsontext.Value(test.params), Limit: 10, Readable: booksOnly})
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		if got := strings.ReplaceAll(text(result.Rows), "\n", "; "); got != test.want || result.Truncated {
			t.Errorf("%s\n got %s, truncated %v\nwant %s", test.sql, got, result.Truncated, test.want)
		}
	}
	result, err := db.Query(ctx, Query{SQL: "EXPLAIN  /* how */ query PLAN SELECT * FROM books WHERE id = 1", Limit: 10, Readable: booksOnly})
	if err != nil || !strings.Contains(text(result.Rows), "SEARCH books") {
		t.Errorf("EXPLAIN QUERY PLAN: %s, %v", text(result.Rows), err)
	}
}

func TestQueryRefuses(t *testing.T) {
	db := openLibrary(t)
	folder := inFolder(t, db)
	planted := filepath.Join(filepath.Dir(db.sql.Path()), "planted.db")
	const denied, invalid = "permission_denied", "validation_failed sql"
	limit := QueryTimeout
	if testkit.Race {
		limit = time.Minute
	}
	for _, test := range []struct{ sql, params, want string }{
		// Statements that reach an unreadable table indirectly.
		{"SELECT v FROM secrets", ``, denied},
		{"SELECT v FROM SECRETS", ``, denied},
		{`SELECT v FROM main."secrets"`, ``, denied},
		{"SELECT count(*) FROM secrets", ``, denied},
		{"SELECT 1 AS x FROM secrets", ``, denied},
		{"SELECT rowid AS r FROM secrets", ``, denied},
		{"SELECT b.title FROM books b, secrets", ``, denied},
		{"SELECT title FROM books WHERE EXISTS (SELECT 1 FROM secrets WHERE v LIKE 'h%')", ``, denied},
		{"SELECT (SELECT v FROM secrets) AS v", ``, denied},
		{"SELECT title FROM books UNION SELECT v FROM secrets", ``, denied},
		{"SELECT title FROM books EXCEPT SELECT v FROM secrets", ``, denied},
		{"WITH x AS (SELECT v FROM secrets) SELECT count(*) AS n FROM x", ``, denied},
		{"WITH books AS (SELECT v FROM secrets) SELECT v FROM books", ``, denied},
		{"WITH secrets AS (SELECT * FROM main.secrets) SELECT v FROM secrets", ``, denied},
		{"SELECT title FROM books ORDER BY (SELECT v FROM secrets)", ``, denied},
		{"EXPLAIN QUERY PLAN SELECT v FROM secrets", ``, denied},
		// The server's own tables.
		{"SELECT * FROM _tables", ``, invalid},
		{"SELECT count(*) FROM _project", ``, invalid},
		{"SELECT sql FROM sqlite_schema", ``, invalid},
		{"SELECT sql FROM sqlite_master", ``, invalid},
		{"SELECT count(*) FROM sqlite_schema", ``, invalid},
		{"SELECT * FROM sqlite_sequence", ``, invalid},
		{"SELECT * FROM pragma_table_info('secrets')", ``, invalid},
		{"SELECT * FROM pragma_database_list", ``, invalid},
		{"SELECT * FROM dbstat", ``, invalid},
		{"SELECT * FROM sqlite_dbpage", ``, invalid},
		// Statements that write or reach outside.
		{"DELETE FROM books", ``, invalid},
		{"WITH x AS (SELECT 1) DELETE FROM books", ``, invalid},
		{"WITH x AS (SELECT 1) INSERT INTO books (title) SELECT 'x' RETURNING *", ``, invalid},
		{"WITH x AS (SELECT 1) UPDATE books SET title = 'x'", ``, invalid},
		{"ATTACH '" + planted + "' AS p", ``, invalid},
		{"VACUUM INTO '" + planted + "'", ``, invalid},
		{"PRAGMA user_version = 7", ``, invalid},
		{"CREATE TEMP TABLE x (y)", ``, invalid},
		{"BEGIN", ``, invalid},
		{"SELECT load_extension('x')", ``, invalid},
		{"SELECT writefile('" + planted + "', 'x')", ``, invalid},
		{"SELECT readfile('/etc/passwd')", ``, invalid},
		{"SELECT sqlite_version()", ``, invalid},
		{"SELECT 1 AS x; DELETE FROM books", ``, invalid},
		{"SELECT 1 AS x; SELECT 2 AS x", ``, invalid},
		// Statements that cost too much.
		{"SELECT length(printf('%.*c', 900000000, 'x')) AS n", ``, "result_too_large"},
		{"SELECT length(hex(zeroblob(400000000))) AS n", ``, "result_too_large"},
		{"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300) SELECT length(group_concat(printf('%100000d', i))) AS n FROM n", ``, "result_too_large"},
		{"SELECT 1 AS x WHERE 'a' LIKE '" + strings.Repeat("%a", 26_000) + "'", ``, invalid},
		{"SELECT 1" + strings.Repeat(" + 1", 1100) + " AS x", ``, invalid},
		{"SELECT 1 AS x" + strings.Repeat(" UNION ALL SELECT 1", 600), ``, invalid},
		{"SELECT '" + strings.Repeat("x", 100_000) + "' AS x", ``, invalid},
		// Texts that are not queries.
		{"", ``, invalid},
		{" -- nothing\n", ``, invalid},
		{";", ``, invalid},
		{"EXPLAIN SELECT 1", ``, invalid},
		{"EXPLAIN QUERY SELECT 1", ``, invalid},
		{"VALUES (1)", ``, invalid},
		{"SELEC 1", ``, invalid},
		{"SELECT", ``, invalid},
		{"SELECT nope FROM books", ``, invalid},
		{"SELECT * FROM nowhere", ``, invalid},
		{"SELECT 1 AS x\x00 FROM books", ``, invalid},
		{"SELECT 'open", ``, invalid},
		{"SELECT 1 AS x /* open", ``, "ok"},
		{"SELECT 1 AS x, 2 AS x", ``, "ok"},
		{"SELECT * FROM books a JOIN books b", ``, "ok"},
		{`SELECT 1 AS "", 2 AS x`, ``, invalid},
		{"SELECT 'a' LIKE '" + strings.Repeat("%a", 400) + "' AS x", ``, "ok"},
		{"SELECT json_object('a', 1" + strings.Repeat(", 'b', 2", 60) + ") AS x", ``, "ok"},
		{"SELECT coalesce(NULL" + strings.Repeat(", 1", 200) + ") AS x", ``, invalid},
		{"SELECT 1 AS x WHERE 1" + strings.Repeat(" AND 1", 300), ``, "ok"},
		{"SELECT abs(-9223372036854775808) AS x", ``, invalid},
		{"SELECT json('{') AS x", ``, invalid},
		// Parameters.
		{"SELECT ? AS x", ``, "validation_failed params"},
		{"SELECT ? AS x", `[]`, "validation_failed params"},
		{"SELECT ? AS x", `[1,2]`, "validation_failed params"},
		{"SELECT ? AS x", `{"x":1}`, "validation_failed params.x params"},
		{"SELECT :x AS x, :y AS y", `{"x":1,"z":2}`, "validation_failed params.z params.y"},
		{"SELECT ? AS x, ? AS y", `[[],{}]`, "validation_failed params[0] params[1]"},
		{"SELECT ? AS x", `[99999999999999999999]`, "validation_failed params[0]"},
		{"SELECT ? AS x", `"1"`, "validation_failed params"},
		{"SELECT 1 AS x", `[1]`, "validation_failed params"},
	} {
		start := time.Now()
		_, err := db.Query(ctx, Query{SQL: test.sql, Params: jsontext.Value(test.params), Limit: 10, Timeout: limit, Readable: booksOnly})
		if got := complaint(err); got != test.want {
			t.Errorf("%.300s: got %s, want %s (%v)", test.sql, got, test.want, err)
		}
		if err != nil && strings.Contains(problem.From(err).Message, filepath.Dir(planted)) {
			t.Errorf("%.300s: the message shows a path: %v", test.sql, err)
		}
		if took := time.Since(start); took > limit+testkit.Slack {
			t.Errorf("%.300s took %s", test.sql, took)
		}
	}
	if got := inFolder(t, db); got != folder {
		t.Errorf("the folder held %s, now %s", folder, got)
	}
	if got := ask(t, other(t, db), "SELECT (SELECT group_concat(title) FROM books), (SELECT user_version FROM pragma_user_version)"); got != fmt.Sprintf("'a,b,c'|%d", len(schema.Migrations)) {
		t.Errorf("the project was changed: %s", got)
	}
}

// Repeated column names get a number that no other column has.
func TestColumnsOfOneName(t *testing.T) {
	db := openLibrary(t)
	for sql, want := range map[string]string{
		"SELECT a.title, b.title FROM books a JOIN books b":                 "title title_2",
		"SELECT 1 AS x, 2 AS x, 3 AS x":                                     "x x_2 x_3",
		"SELECT 1 AS x, 2 AS x, 3 AS x_2, 4 AS x":                           "x x_3 x_2 x_4",
		"SELECT 1 AS x_2, 2 AS x, 3 AS x, 4 AS x_2":                         "x_2 x x_3 x_2_2",
		`SELECT 1 AS x, 2 AS X, 3 AS "ü", 4 AS "ü", 5 AS "x y", 6 AS "x y"`: "x X ü ü_2 x y x y_2",
		"SELECT 1 AS c" + strings.Repeat(", 1 AS c", 1999):                  "",
	} {
		result, err := db.Query(ctx, Query{SQL: sql, Limit: 3})
		if err != nil {
			t.Fatalf("%.100s: %v", sql, err)
		}
		var names []string
		seen := map[string]bool{}
		for _, column := range result.Columns {
			names, seen[column.Name] = append(names, column.Name), true
		}
		if got := strings.Join(names, " "); want != "" && got != want || len(seen) != len(names) {
			t.Errorf("%.100s: %.200s, want %s", sql, got, want)
		}
	}
}

func TestQueryIsBounded(t *testing.T) {
	t.Parallel()
	db := openLibrary(t)
	endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	result, err := db.Query(ctx, Query{SQL: endless, Limit: 7})
	if err != nil || result.Len() != 7 || !result.Truncated {
		t.Errorf("%d rows, truncated %v, %v", result.Len(), result.Truncated, err)
	}
	result, err = db.Query(ctx, Query{SQL: "SELECT title FROM books", Limit: 3})
	if err != nil || result.Len() != 3 || result.Truncated {
		t.Errorf("%d rows, truncated %v, %v", result.Len(), result.Truncated, err)
	}
	result, err = db.Query(ctx, Query{SQL: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT zeroblob(5000000) AS b FROM n", Limit: 1000})
	if err != nil || !result.Truncated || result.Batch.Size() > maxResultBytes+5_000_000 {
		t.Errorf("%d bytes, truncated %v, %v", result.Batch.Size(), result.Truncated, err)
	}
	for _, sql := range []string{
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT count(*) AS c FROM n a, n b, n c, n d",
	} {
		start := time.Now()
		_, err = db.Query(ctx, Query{SQL: sql, Limit: 7, Timeout: 100 * time.Millisecond})
		if took := time.Since(start); !problem.Is(err, problem.CodeQueryTimeout) || took > testkit.Slack {
			t.Errorf("%s: %v after %s", sql, err, took)
		}
		caller, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err = db.Query(caller, Query{SQL: sql, Limit: 7})
		cancel()
		if problem.Is(err, problem.CodeQueryTimeout) || problem.Is(err, problem.CodeValidationFailed) || err == nil {
			t.Errorf("%s: the caller left, and got %v", sql, err)
		}
	}
	if _, err := db.Query(ctx, Query{SQL: "SELECT 1 AS x", Limit: 1}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A right is bound to the id of a table: while names change hands, a query must never
// read what its token may not.
func TestQueryWhileNamesChangeHands(t *testing.T) {
	db := openLibrary(t)
	stop := make(chan struct{})
	swapped := make(chan error, 1)
	go func() {
		for {
			for _, names := range [][2]string{{"books", "x"}, {"secrets", "books"}, {"x", "secrets"}} {
				if err := rename(names[0], names[1])(ctx, db); err != nil {
					swapped <- err
					return
				}
			}
			select {
			case <-stop:
				swapped <- nil
				return
			default:
			}
		}
	}()
	answers := map[problem.Code]int{}
	for range 300 {
		result, err := db.Query(ctx, Query{SQL: "SELECT * FROM books", Limit: 10, Readable: booksOnly})
		if err == nil && strings.Contains(text(result.Rows), "hidden") {
			t.Fatalf("a secret was read: %s", text(result.Rows))
		}
		if err != nil {
			answers[problem.From(err).Code]++
		}
	}
	close(stop)
	if err := <-swapped; err != nil {
		t.Fatal(err)
	}
	delete(answers, problem.CodePermissionDenied)
	delete(answers, problem.CodeValidationFailed) // between two renames the table does not exist
	if len(answers) > 0 {
		t.Errorf("further answers: %v", answers)
	}
}

// TestReservedTablesDoNotExist checks that clients are told the same about the
// server's own tables as about a table that does not exist.
func TestReservedTablesDoNotExist(t *testing.T) {
	db := openProject(t, things)
	statements := []string{
		"SELECT * FROM %s", "SELECT count(*) FROM %s", "SELECT 1 FROM main.%s", "SELECT 1 FROM temp.%s", `SELECT 1 FROM "%s"`, "SELECT 1 FROM '%s'", "SELECT 1 FROM [%s]",
		"SELECT nosuch FROM %s", "SELECT %s.nosuch FROM %[1]s", "SELECT table_name FROM %s", "SELECT a.nosuch FROM %s AS a", "SELECT nosuch FROM main.%s",
		"SELECT 1 FROM things WHERE id IN (SELECT 1 FROM %s)", "SELECT 1 IN %s", "SELECT (SELECT nosuch FROM %s)", "SELECT nosuch, (SELECT nosuch FROM %s)",
		"SELECT * FROM things JOIN %s USING (id)", "SELECT * FROM things NATURAL JOIN %s", "SELECT * FROM %s, nowhere", "SELECT * FROM nowhere, %s",
		"SELECT * FROM %s(1)", "SELECT %s(1)", "SELECT %s FROM things", "SELECT 1 AS %s FROM things", "SELECT '%s' AS x, nosuch FROM things", "SELECT %s %[1]s %[1]s FROM",
		"WITH %s AS (SELECT 1 AS a) SELECT nosuch FROM %[1]s", "WITH %s AS (SELECT 1 AS a) SELECT a FROM %[1]s", "WITH %s AS (SELECT 1 AS a) SELECT a FROM main.%[1]s",
		"SELECT * FROM things INDEXED BY %s", "SELECT * FROM things INDEXED BY sqlite_autoindex_%s_1", "EXPLAIN QUERY PLAN SELECT nosuch FROM %s",
		"SELECT load_extension('x') FROM %s", "SELECT nosuch FROM %s; SELECT 1",
	}
	tell := func(sql, name string) string {
		result, err := db.Query(ctx, Query{SQL: fmt.Sprintf(sql, name), Limit: 1})
		told := fmt.Sprint(err)
		if err == nil {
			told = text(result.Rows)
		}
		return strings.ReplaceAll(strings.ReplaceAll(sqlite.Fold(told), sqlite.Fold(name), "?"), "sqlite_autoindex_?", "?")
	}
	for _, sql := range statements {
		for _, name := range []string{"_tables", "_PROJECT", "_receipts", "pragma_table_list", "SQLITE_MASTER", "sqlite_sequence"} {
			if got, want := tell(sql, name), tell(sql, "_nope"); got != want {
				t.Errorf(sql+": got %q, want %q", name, got, want)
			}
		}
	}
}

// TestHiddenTablesShowNoColumns asks for existing and missing columns of a table that
// the token may not read.
func TestHiddenTablesShowNoColumns(t *testing.T) {
	db := openLibrary(t)
	for _, sql := range []string{"SELECT v FROM secrets", "SELECT nosuch FROM secrets", `SELECT s.nosuch FROM main."SECRETS" s`, "SELECT * FROM books JOIN secrets USING (title)", "SELECT nosuch FROM books, secrets"} {
		_, err := db.Query(ctx, Query{SQL: sql, Limit: 1, Readable: booksOnly})
		if got, want := fmt.Sprint(err), "permission_denied: This token may not read the records of the table secrets."; got != want {
			t.Errorf("%s: %s", sql, got)
		}
	}
	_, err := db.Query(ctx, Query{SQL: "SELECT nosuch, 'secrets' AS x FROM books", Limit: 1, Readable: booksOnly})
	if got := problem.From(err).Message; got != "sql: SQLite says: no such column: nosuch." {
		t.Error(got)
	}
}
