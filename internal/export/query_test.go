package export

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestQueryExport(t *testing.T) {
	f := started(t, small)
	order := Request{Kind: QueryExport, SQL: "SELECT email, count(*) OVER () FROM contacts WHERE age > :least ORDER BY id", Params: []byte(`{"least":0}`), TokenID: 7}
	m, content := f.export(order)
	if want := "email,count(*) OVER ()\nada@example.com,2\nzoë@example.com,2\n"; string(content) != want {
		t.Errorf("got %q", content)
	}
	if m.RowCount != 2 || m.Table != nil || *m.CreatedByTokenID != 7 || m.Snapshot.Commit != 4 || m.DownloadName != "shop_query_export.csv" ||
		m.Options.SQL != order.SQL || string(m.Options.Params) != `{"least":0}` || m.Progress.RowsTotal != 2 {
		t.Errorf("manifest is %+v", m)
	}
	order.Format = "ndjson"
	if _, content = f.export(order); !strings.HasPrefix(string(content), `{"email":"ada@example.com","count(*) OVER ()":2}`) {
		t.Errorf("got %s", content)
	}
	for _, order.Format = range []string{"xlsx", "parquet", "json"} {
		f.export(order)
	}
	order.Format = "sqlite"
	_, content = f.export(order)
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "SELECT * FROM query_result", testkit.Tool(t, "sqlite3"), path); got != "ada@example.com|2\nzoë@example.com|2\n" {
		t.Errorf("the shell reads %q", got)
	}
}

// TestQueryParquetHasTypes reads the schema of a result with an independent library.
func TestQueryParquetHasTypes(t *testing.T) {
	f := started(t, hard)
	m, content := f.export(Request{Kind: QueryExport, Format: "parquet",
		SQL: "SELECT id, id * 2 AS twice, r, t, b, a, count(*) OVER () AS n, NULL AS none, iif(id % 2, 1, 'x') AS mixed FROM hard ORDER BY id"})
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, field := range file.Schema().Fields() {
		got = append(got, field.Name()+" "+field.Type().String())
	}
	want := []string{"id INT(64,true)", "twice INT(64,true)", "r DOUBLE", "t STRING", "b BYTE_ARRAY", "a STRING", "n INT(64,true)", "none STRING", "mixed STRING"}
	if diff := cmp.Diff(want, got); diff != "" || m.RowCount != int64(len(hardValues())) || file.NumRows() != m.RowCount {
		t.Errorf("%d rows, columns (-want +got):\n%s", file.NumRows(), diff)
	}
}

// A result of many columns or of long values is exported within the memory of a worker.
func TestLargeRowsFitAWorker(t *testing.T) {
	t.Parallel()
	f := started(t, small)
	columns := make([]string, 1900)
	for i := range columns {
		columns[i] = fmt.Sprintf("n AS c%d", i)
	}
	const numbers = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < %d) SELECT "
	wide := fmt.Sprintf(numbers, 2000) + strings.Join(columns, ", ") + " FROM r"
	long := fmt.Sprintf(numbers, 12) + "printf('%.9000000c', 'x') AS x FROM r"
	for _, format := range testkit.Scale([]string{"parquet"}, []string{"csv", "ndjson", "json", "xlsx", "parquet", "sqlite"}) {
		f.export(Request{Kind: QueryExport, Format: format, SQL: wide})
		if format != "xlsx" { // an Excel cell holds less
			f.export(Request{Kind: QueryExport, Format: format, SQL: long})
		}
	}
}

func TestQueryExportIsRefused(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	for _, test := range []struct {
		request Request
		code    problem.Code
		want    string
	}{
		{Request{SQL: "SELECT nmae FROM contacts", Format: "doc"}, problem.CodeValidationFailed, "format sql"},
		{Request{SQL: "DELETE FROM contacts"}, problem.CodeValidationFailed, "sql"},
		{Request{SQL: "SELECT * FROM _tables"}, problem.CodeValidationFailed, "sql"},
		{Request{SQL: "SELECT 1; SELECT 2"}, problem.CodeValidationFailed, "sql"},
		{Request{SQL: "SELECT ?1", Params: []byte(`[]`)}, problem.CodeValidationFailed, "params"},
		{Request{SQL: "SELECT name FROM companies JOIN contacts USING (id)", Readable: []ids.Table{1}}, problem.CodePermissionDenied, ""},
		{Request{SQL: ""}, problem.CodeValidationFailed, "sql"},
	} {
		test.request.Kind, test.request.Project = QueryExport, shop
		_, err := f.Create(background, new(problem.Faults), test.request)
		var fields []string
		if err != nil {
			for _, d := range problem.From(err).Details {
				fields = append(fields, d.Field)
			}
		}
		if codeOf(err) != test.code || strings.Join(fields, " ") != test.want {
			t.Errorf("%s: %v", test.request.SQL, err)
		}
	}
}

func TestQueryExportRunsLongAndEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir(), func(c *Config) { c.QueryTimeout = 300 * time.Millisecond })
	f.project(shop.ID, small)
	f.Start()
	endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
	for _, columns := range []string{"i FROM n", "count(*) FROM n"} {
		m := f.create(Request{Kind: QueryExport, SQL: endless + columns})
		m, err := f.Wait(background, shop.ID, m.ID)
		if m.Status != Failed || !strings.Contains(*m.Error, "longer than 300ms") {
			t.Errorf("%s: %s, %v", columns, m.Status, err)
		}
	}
	m := f.create(Request{Kind: QueryExport, SQL: endless + "i FROM n LIMIT 1"})
	if f.wait(m).RowCount != 1 || len(f.files()) != 1 {
		t.Errorf("files are %v", f.files())
	}
}

// TestQueryIsNotBlamedForTheFormat requests values that the statement can return but
// the format cannot hold.
func TestQueryIsNotBlamedForTheFormat(t *testing.T) {
	f := started(t, small)
	m := f.create(Request{Kind: QueryExport, Format: "xlsx", SQL: "SELECT hex(zeroblob(20000)) AS long"})
	got, err := f.Wait(background, shop.ID, m.ID)
	if got.Status != Failed || !strings.HasPrefix(*got.Error, "The format cannot hold the table: cell A2") {
		t.Errorf("got %s: %v", got.Status, err)
	}
}

// A hostile statement fails only its own export, not the server, and leaves nothing
// behind.
func TestHostileQueryExports(t *testing.T) {
	t.Parallel()
	wide := make([]string, 1900)
	for i := range wide {
		wide[i] = fmt.Sprintf("v||%d", i)
	}
	// The wait is the same for every format.
	one := []string{"csv"}
	each := testkit.Scale(one, []string{"csv", "parquet", "sqlite"})
	for name, test := range map[string]struct {
		sql     string
		timeout time.Duration
		want    string
		formats []string
	}{
		"rows that are too wide":   {"WITH v(v) AS (SELECT printf('%.9999990c', 'x')) SELECT " + strings.Join(wide, ",") + " FROM v", time.Minute, "more memory", each},
		"what cannot be ended":     {"SELECT instr(printf('%.9999000c', 'a'), printf('%.4999000c', 'a') || 'b') AS n", time.Second, "longer than 1s", one},
		"what does not end":        {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", time.Second, "longer than 1s", one},
		"a value that is too long": {"SELECT group_concat(printf('%.9999000c', 'a')) AS n FROM contacts", time.Minute, "more memory", each},
	} {
		f := newFixture(t, t.TempDir(), func(c *Config) { c.QueryTimeout = test.timeout })
		f.project(shop.ID, small)
		f.Start()
		for _, format := range test.formats {
			m := f.create(Request{Kind: QueryExport, SQL: test.sql, Format: format})
			ctx, cancel := context.WithTimeout(background, time.Minute)
			got, err := f.Wait(ctx, shop.ID, m.ID)
			cancel()
			if codeOf(err) != problem.CodeExportFailed || got.Error == nil || !strings.Contains(*got.Error, test.want) {
				t.Errorf("%s as %s: %s, %v", name, format, got.Status, err)
			}
		}
		if files := f.files(); len(files) != 0 {
			t.Errorf("left by %s: %v", name, files)
		}
		f.export(Request{Kind: QueryExport, SQL: "SELECT 1 AS n"})
	}
}

// A query export is canceled even if its statement does not respond to cancellation.
func TestCancelOfADeafQueryExport(t *testing.T) {
	f := started(t, small)
	m := f.create(Request{Kind: QueryExport, SQL: "SELECT instr(printf('%.9999000c', 'a'), printf('%.4999000c', 'a') || 'b') AS n"})
	eventually(t, func() bool { return f.status(m) == Running })
	began := time.Now()
	if err := f.Delete(background, shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > testkit.Slack {
		t.Errorf("the cancel took %s", took)
	}
	if got := f.status(m); got != Canceled {
		t.Errorf("it is %s", got)
	}
}

// A large result succeeds as long as the disk has room, and fails when it does not.
func TestLargeQueryExport(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 40)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Disk.Free = func(string) (int64, int64, error) { return free.Load(), 1 << 40, nil }
	})
	f.project(shop.ID, small)
	f.Start()
	large := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) SELECT printf('%%.9999c', 'x') AS v FROM n"
	m, content := f.export(Request{Kind: QueryExport, SQL: fmt.Sprintf(large, 15_000)})
	if m.RowCount != 15_000 || len(content) != 2+15_000*10_000 {
		t.Errorf("%d rows, %d bytes", m.RowCount, len(content))
	}
	m = f.create(Request{Kind: QueryExport, SQL: fmt.Sprintf(large, 10_000_000)})
	eventually(t, func() bool { return f.status(m) == Running })
	free.Store(0)
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	if _, err := f.Wait(ctx, shop.ID, m.ID); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("on a full disk: %v", err)
	}
}
