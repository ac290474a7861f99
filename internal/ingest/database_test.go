package ingest

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/testkit"
)

const shopScript = `
CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT UNIQUE, score REAL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT REFERENCES customers, note VARCHAR(20) CHECK (note <> 'no'));
CREATE INDEX by_customer ON orders (customer);
CREATE TABLE log (at, what);
INSERT INTO customers VALUES (1, 'ada@example.com', 1.5), (2, 'zoe@example.com', NULL);
INSERT INTO orders VALUES (7, 1, 'first'), (8, 2, NULL);
INSERT INTO log VALUES (1, 'x'), ('2024-01-01', x'00');`

func TestTablesOfADatabaseAreChosenAndRenamed(t *testing.T) {
	path := database(t, shopScript)
	p := newProject(t)
	report, err := p.take(path, Options{Exclude: []string{"log"}, Tables: map[string]Target{
		"Customers": {Table: "people", Columns: map[string]string{"email": "mail"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `CREATE INDEX "by_customer" ON "orders" ("customer")
CREATE TABLE "orders" (
  "id" INTEGER PRIMARY KEY,
  "customer" INTEGER,
  "note" TEXT,
  CHECK (note <> 'no'),
  FOREIGN KEY ("customer") REFERENCES "people"
) STRICT
CREATE TABLE "people" (
  "id" INTEGER PRIMARY KEY AUTOINCREMENT,
  "mail" TEXT,
  "score" REAL,
  UNIQUE ("mail")
) STRICT
`
	if diff := cmp.Diff(want, shell(t, p.path, "SELECT sql FROM sqlite_schema"+withoutOwn)); diff != "" {
		t.Error(diff)
	}
	p.sameValues(t, path, report)
	if diff := cmp.Diff([]string{}, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
	p = newProject(t)
	report, err = p.take(path, Options{Include: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"table orders: The foreign key on customer to customers was not imported: that table is not imported from the file."}, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
}

func TestTablesOfADatabaseGoIntoOthers(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.mustTake(t, database(t, shopScript))
	more := database(t, `
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, extra TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, note TEXT);
CREATE TABLE log (at, what);
CREATE TABLE fresh (a INTEGER PRIMARY KEY, b, c TEXT);
INSERT INTO customers VALUES (2, 'new@example.com', 'x'), (3, 'bob@example.com', 'y');
INSERT INTO orders VALUES (9, 3, 'third');
INSERT INTO log VALUES (NULL, 0.5);
INSERT INTO fresh VALUES (1, 'skipped', '12');`)
	report, err := p.take(more, Options{Tables: map[string]Target{
		"customers": {Mode: Upsert, Skip: []string{"extra"}},
		"orders":    {Mode: Append},
		"log":       {Mode: Replace},
		"fresh":     {Skip: []string{"b"}, Types: map[string]string{"c": "INTEGER"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := shell(t, p.path, `SELECT id, email, score FROM customers ORDER BY id; SELECT * FROM orders ORDER BY id; SELECT quote(at), quote(what) FROM log;
SELECT a, typeof(c), c FROM fresh; SELECT sql FROM sqlite_schema WHERE name = 'fresh';`+"\n")
	want := `1|ada@example.com|1.5
2|new@example.com|
3|bob@example.com|
7|1|first
8|2|
9|3|third
NULL|0.5
1|integer|12
CREATE TABLE "fresh" (
  "a" INTEGER,
  "c" INTEGER
) STRICT
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%+v", diff, report)
	}
	counts := map[string][4]int64{}
	for _, table := range report.Tables {
		counts[table.Name] = [4]int64{table.Inserted, table.Updated, table.Deleted, table.Rejected}
	}
	wantCounts := map[string][4]int64{"customers": {1, 1, 0, 0}, "orders": {1, 0, 0, 0}, "log": {1, 0, 2, 0}, "fresh": {1, 0, 0, 0}}
	if diff := cmp.Diff(wantCounts, counts); diff != "" {
		t.Error(diff)
	}
	if _, err := p.take(more, Options{Include: []string{"orders"}, Target: Target{Mode: Append}}); !problem.Is(err, problem.CodeValidationFailed) {
		t.Errorf("rows that are there already: %v", err)
	}
	report, err = p.take(more, Options{Include: []string{"orders"}, Target: Target{Mode: Append}, OnError: Skip})
	if err != nil || report.RejectedRows != 1 || report.Rejects[0].Line != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestFaultsOfOptionsForADatabase(t *testing.T) {
	t.Parallel()
	path := database(t, shopScript)
	for _, test := range []struct {
		options     Options
		field, want string
	}{
		{Options{Include: []string{"custommers"}}, "include_tables[0]", `Did you mean "customers"?`},
		{Options{Target: Target{Table: "x"}}, "table", "several tables"},
		{Options{Tables: map[string]Target{"orders": {Mode: "merge"}}}, "tables.orders.mode", "Must be one of create"},
		{Options{Tables: map[string]Target{"orders": {Table: "a b"}}}, "tables.orders.table", "must begin with a letter"},
		{Options{Tables: map[string]Target{"orders": {Table: "x"}, "log": {Table: "X"}}}, "table", "cannot become one new table"},
		{Options{Tables: map[string]Target{"orders": {Columns: map[string]string{"nothing": "x"}}}}, "tables.orders.columns.nothing", `There is no column "nothing" in the file`},
		{Options{Tables: map[string]Target{"orders": {Columns: map[string]string{"note": "id"}}}}, "tables.orders.columns.note", "not allowed here or used twice"},
		{Options{Tables: map[string]Target{"orders": {Mode: Append}}}, "tables.orders.table", "There is no table \"orders\" in the project"},
	} {
		p := newProject(t)
		_, err := p.take(path, test.options)
		var known *problem.Error
		if !errors.As(err, &known) || known.Code != problem.CodeValidationFailed || !strings.HasSuffix(known.Details[0].Field, test.field) || !strings.Contains(known.Details[0].Message, test.want) {
			t.Errorf("got %v\nwant %s: %s", err, test.field, test.want)
		}
		if tables := mustTables(t, p); len(tables) > 0 {
			t.Errorf("%s: there are tables now: %v", test.field, tables)
		}
	}
}

func TestPreviewOfADatabase(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"x.sqlite": readAll(t, database(t, shopScript)),
		"x.sql":    shopScript,
		"x.sql.gz": gzipped(t, strings.NewReader(shopScript)),
		"x.zip":    zipped(t, "x.sql", shopScript),
	} {
		source, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, name, content), Scratch: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		p := newProject(t)
		preview, err := source.Preview(t.Context(), p.DB, Options{Exclude: []string{"log"}, Tables: map[string]Target{"orders": {Skip: []string{"note"}}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := json.Marshal(preview.Tables)
		if err != nil {
			t.Fatal(err)
		}
		want := `[{"source":"customers","name":"customers","mode":"create","rows":2,"columns":[` +
			`{"source":"id","name":"id","declared_type":"INTEGER","type":"INTEGER"},{"source":"email","name":"email","declared_type":"TEXT","type":"TEXT"},` +
			`{"source":"score","name":"score","declared_type":"REAL","type":"REAL"}],"sample":[[1,"ada@example.com",1.5],[2,"zoe@example.com",null]]},` +
			`{"source":"orders","name":"orders","mode":"create","rows":2,"columns":[{"source":"id","name":"id","declared_type":"INTEGER","type":"INTEGER","decisive":"7","line":1},` +
			`{"source":"customer","name":"customer","declared_type":"","type":"INTEGER","reason":"all values are whole numbers","decisive":"1","line":1}],"sample":[[7,1],[8,2]]}]`
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if tables := mustTables(t, p); len(tables) > 0 {
			t.Errorf("%s: there are tables now: %v", name, tables)
		}
		if _, err := source.Load(t.Context(), p.DB, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := source.Preview(t.Context(), p.DB, Options{}); !problem.Is(err, problem.CodeConflict) {
			t.Errorf("%s: a preview of tables that are there: %v", name, err)
		}
	}
}

func TestProgressOfADatabase(t *testing.T) {
	path := database(t, "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO t SELECT i FROM n; CREATE TABLE u (a); INSERT INTO u SELECT a FROM t;")
	var told []Progress
	p := newProject(t)
	if _, err := p.takeTold(path, Options{}, func(now Progress) { told = append(told, now) }); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(told); i++ {
		if told[i].Bytes < told[i-1].Bytes {
			t.Errorf("%v follows %v", told[i], told[i-1])
		}
	}
	last := told[len(told)-1]
	if len(told) < 10 || last.Bytes != last.Size || last.Rows != 5000 || last.Table != "u" {
		t.Errorf("%d times, the last time %v", len(told), last)
	}
}

func readAll(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// repacked returns a ZIP file made from the members of another.
func repacked(t *testing.T, content string, change func(name, content string) (string, bool), more ...string) string {
	t.Helper()
	r, err := zip.NewReader(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for _, file := range r.File {
		m, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		if changed, kept := change(file.Name, string(b)); kept {
			members = append(members, file.Name, changed)
		}
	}
	return zipped(t, append(members, more...)...)
}

func TestArchives(t *testing.T) {
	t.Parallel()
	x := newExporter(t)
	original := x.project(1)
	original.mustTake(t, database(t, shopScript))
	archive := readAll(t, x.file(export.Request{Format: "archive"}))
	same := func(name, content string) (string, bool) { return content, true }
	p := newProject(t)
	report, err := p.take(write(t, "x.zip", repacked(t, archive, same)), Options{})
	if err != nil || report.Kind != "archive" {
		t.Fatalf("%s, %v", report.Kind, err)
	}
	if diff := cmp.Diff(original.identities(t), p.identities(t)); diff != "" {
		t.Error(diff)
	}
	if _, err := p.take(write(t, "x.zip", archive), Options{}); !problem.Is(err, problem.CodeConflict) {
		t.Errorf("the same once more: %v", err)
	}
	if _, err := p.take(write(t, "x.zip", archive), Options{Tables: map[string]Target{"customers": {Table: "c2"}, "orders": {Table: "o2"}, "log": {Table: "l2"}}}); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		name   string
		change func(name, content string) (string, bool)
		more   []string
		want   string
	}{
		{"a member", func(name, content string) (string, bool) {
			if name == "csv/orders.csv" {
				content += " "
			}
			return content, true
		}, nil, `the member "csv/orders.csv" does not match its checksum in SHA256SUMS`},
		{"a member more", same, []string{"extra.txt", "x"}, `the member "extra.txt" is not listed in SHA256SUMS`},
		{"a member less", func(name, content string) (string, bool) { return content, name != "README.txt" }, nil, `it has no member "README.txt", which SHA256SUMS lists`},
		{"the sums", func(name, content string) (string, bool) {
			if name == "SHA256SUMS" {
				return "nothing\n", true
			}
			return content, true
		}, nil, "SHA256SUMS has a line that is not a checksum"},
	} {
		p := newProject(t)
		_, err := p.take(write(t, "x.zip", repacked(t, archive, test.change, test.more...)), Options{})
		if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, "x.zip", zipped(t, "a.csv", "a,b\n")), Format: "archive"}); !problem.Is(err, problem.CodeValidationFailed) {
		t.Errorf("an archive that is none: %v", err)
	}
}

// TestOpeningIsStopped cancels the opening of a database that takes long to check.
func TestOpeningIsStopped(t *testing.T) {
	t.Parallel()
	path := database(t, "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 400000) INSERT INTO t SELECT hex(randomblob(50)) FROM n; CREATE INDEX i ON t (a);")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	start := time.Now()
	source, err := Open(ctx, source.Opening{Workers: workers, Path: path})
	if err == nil {
		source.Close()
		t.Skip("this machine is too fast")
	}
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > testkit.Slack {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}

func TestBytesOfAGzipFileAreCounted(t *testing.T) {
	content := gzipped(t, bytes.NewReader(bytes.Repeat([]byte("a,b\n1,2\n"), 10_000)))
	var last Progress
	p := newProject(t)
	if _, err := p.takeTold(write(t, "x.csv.gz", content), Options{}, func(now Progress) { last = now }); err != nil {
		t.Fatal(err)
	}
	if last.Bytes != last.Size {
		t.Errorf("the last time %v", last)
	}
}
