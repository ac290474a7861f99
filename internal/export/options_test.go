package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

func ptr[T any](v T) *T { return &v }

func TestDialects(t *testing.T) {
	f := started(t, small)
	columns := projectdb.Selection{Columns: []string{"id", "note"}}
	for _, test := range []struct {
		name    string
		options CSVOptions
		want    string
	}{
		{"default", CSVOptions{}, "id,note\n1,\"a,\"\"b\"\"\nc\"\n2,\"\"\n3,\n"},
		{"excel-eu", CSVOptions{Profile: "excel-eu"}, "\ufeffid;note\r\n1;\"a,\"\"b\"\"\nc\"\r\n2;\"\"\r\n3;\r\n"},
		{"changed", CSVOptions{Profile: "duckdb", Delimiter: ptr("\t"), Header: ptr(false), Quote: ptr(format.QuoteAll)}, "\"1\"\t\"a,\"\"b\"\"\nc\"\n\"2\"\t\"\"\n\"3\"\t\\N\n"},
	} {
		m, content := f.export(Request{Kind: TableExport, Table: "contacts", Selection: columns, CSV: test.options})
		if diff := cmp.Diff(test.want, string(content)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if test.name == "default" {
			if m.Options.Dialect != nil {
				t.Errorf("%s: dialect is %+v", test.name, m.Options.Dialect)
			}
			continue
		}
		// The manifest tells a reader everything it needs.
		text, err := json.Marshal(m.Options.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		var dialect format.Dialect
		if err := json.Unmarshal(text, &dialect); err != nil {
			t.Fatal(err)
		}
		reader, err := format.NewCSVReader(strings.NewReader(string(content)), dialect.Reading())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 3 {
			fields, err := reader.Read()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(string(fields[1].Bytes), fields[1].Null))
		}
		if diff := cmp.Diff([]string{"a,\"b\"\ncfalse", "false", got[2]}, got); diff != "" || !strings.HasSuffix(got[2], "true") {
			t.Errorf("%s: read (-want +got):\n%s", test.name, diff)
		}
	}
	_, content := f.export(Request{Kind: DatabaseExport, CSV: CSVOptions{Delimiter: ptr("|")}})
	if got := unzip(t, content)["companies.csv"]; got != "id|name\n1|Acme\n2|\n" {
		t.Errorf("in a ZIP file: %q", got)
	}
}

// TestDialectsOfTables gives tables of one ZIP file different dialects.
func TestDialectsOfTables(t *testing.T) {
	f := started(t, small)
	m, content := f.export(Request{Kind: DatabaseExport, CSV: CSVOptions{Delimiter: ptr(";"), NullText: ptr("NULL")}, TableOptions: map[string]TableOptions{
		"companies": {CSV: CSVOptions{LineEnding: ptr(format.CRLF)}},
		"contacts":  {Selection: projectdb.Selection{Columns: []string{"id", "note"}, Limit: 2}, CSV: CSVOptions{Profile: "postgres", Quote: ptr(format.QuoteAll)}},
	}})
	want := map[string]string{
		"companies.csv": "id;name\r\n1;Acme\r\n2;NULL\r\n", // like the others except for the line ends
		"contacts.csv":  "\"id\",\"note\"\n\"1\",\"a,\"\"b\"\"\nc\"\n\"2\",\"\"\n",
	}
	if diff := cmp.Diff(want, unzip(t, content)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	for name, want := range map[string]format.Dialect{
		"companies": {Delimiter: ";", Header: true, NullText: "NULL", LineEnding: format.CRLF, Quote: format.QuoteMinimal},
		"contacts":  {Delimiter: ",", Header: true, LineEnding: format.LF, Quote: format.QuoteAll},
	} {
		if got := m.Options.TableOptions[name].Dialect; got == nil || *got != want {
			t.Errorf("the manifest has for %s the dialect %+v, want %+v", name, got, want)
		}
	}
	if m.Options.TableOptions["contacts"].Profile != "postgres" || m.Options.Dialect.Delimiter != ";" {
		t.Errorf("options are %+v", m.Options)
	}
}

func TestOptionFaults(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	for _, test := range []struct {
		name    string
		request Request
		want    []string
	}{
		{"csv", Request{CSV: CSVOptions{Profile: "excell", Delimiter: ptr("x"), NullText: ptr("1"), LineEnding: ptr(format.CR), Quote: ptr(format.Quoting("no"))},
			Compression: "rar", Split: true},
			[]string{"profile", "delimiter", "null_text", "line_ending", "quote", "compression", "split"}},
		{"json", Request{Format: "json", CSV: CSVOptions{Profile: "excel", Header: ptr(true), BOM: ptr(true), FormulaGuard: ptr(false)}},
			[]string{"profile", "header", "bom", "formula_guard"}},
		{"sqlite", Request{Format: "sqlite", Canonical: true, Compression: "gzip"}, []string{"canonical"}},
		{"xlsx", Request{Format: "xlsx", Split: true, Compression: "zstd"}, []string{"compression"}},
		{"unknown", Request{Format: "doc", Split: true, CSV: CSVOptions{Header: ptr(true)}}, []string{"format"}},
		{"archive", Request{Kind: DatabaseExport, Format: "archive", Canonical: true, Compression: "gzip", CSV: CSVOptions{BOM: ptr(true)}},
			[]string{"bom", "compression", "canonical"}},
	} {
		test.request.Project = shop
		if test.request.Kind == "" {
			test.request.Kind, test.request.Table = TableExport, "contacts"
		}
		_, err := f.Create(background, new(problem.Faults), test.request)
		var got []string
		if err != nil {
			for _, d := range problem.From(err).Details {
				got = append(got, d.Field)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestCompression(t *testing.T) {
	f := started(t, small)
	for name, tool := range map[string]string{"gzip": "gzip", "zstd": "zstd"} {
		path := testkit.Tool(t, tool)
		m, content := f.export(Request{Kind: TableExport, Table: "contacts", Compression: name})
		if got := run(t, string(content), path, "-dc"); got != contactsCSV {
			t.Errorf("%s gives %q", name, got)
		}
		if want := "contacts.csv." + map[string]string{"gzip": "gz", "zstd": "zst"}[name]; m.DownloadName != want || m.ContentType != "application/"+name {
			t.Errorf("%s: %s, %s", name, m.DownloadName, m.ContentType)
		}
		m, content = f.export(Request{Kind: SchemaExport, Format: "sql", Compression: name})
		if got := run(t, string(content), path, "-dc"); !strings.Contains(got, "CREATE TABLE \"contacts\"") || m.Options.Compression != name {
			t.Errorf("%s gives %q", name, got)
		}
	}
	f.reopen()
	if n := len(f.files()); n != 4 {
		t.Errorf("%d files are left by a restart, want 4", n)
	}
}

// shuffled fills a project with the same rows in another order of rowids, and with
// another history.
func shuffled(seed uint64) func(*projectdb.DB) error {
	return func(db *projectdb.DB) error {
		return db.Load(context.Background(), func(l *projectdb.Loader) error {
			table, err := l.CreateTable(projectdb.Table{Name: "loose", Columns: []projectdb.Column{
				{Name: "a", Type: "ANY"}, {Name: "t", Type: "TEXT", Collation: "NOCASE"},
			}})
			if err != nil {
				return err
			}
			in, _, err := l.Insert(&table, []string{"a", "t"}, false)
			if err != nil {
				return err
			}
			defer in.Close()
			var rows [][]sqlite.Value
			for _, v := range hardValues() {
				rows = append(rows, []sqlite.Value{v, sqlite.TextValue("x")}, []sqlite.Value{v, sqlite.TextValue("X")})
			}
			for i := range 10_000 {
				rows = append(rows, []sqlite.Value{sqlite.IntValue(int64(i / 2)), sqlite.TextValue(fmt.Sprint(i % 7))})
			}
			rand.New(rand.NewPCG(seed, 0)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			for _, row := range rows {
				if err := in.Row(row); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func TestCanonicalExportsOfEqualDataAreEqual(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	f.project(1, shuffled(1))
	time.Sleep(1100 * time.Millisecond) // the tables get a different creation time
	f.project(2, shuffled(2))
	f.Start()
	orders := []Request{
		{Kind: DatabaseExport, Format: "json"}, {Kind: DatabaseExport, Format: "zip"}, {Kind: DatabaseExport, Format: "sql"},
		{Kind: DatabaseExport, Format: "zip-ndjson"}, {Kind: DatabaseExport, Format: "zip-parquet"}, {Kind: SchemaExport, Format: "sql"},
		{Kind: SchemaExport, Format: "json"},
	}
	for _, name := range []string{"csv", "json", "ndjson", "xlsx", "parquet"} {
		orders = append(orders, Request{Kind: TableExport, Table: "loose", Format: name})
	}
	orders = append(orders,
		Request{Kind: TableExport, Table: "loose", Compression: "gzip"},
		Request{Kind: TableExport, Table: "loose", Compression: "zstd"},
		Request{Kind: TableExport, Table: "loose", Selection: projectdb.Selection{Columns: []string{"t"}, Sort: "t", Descending: true, Limit: 5000}})
	for _, order := range orders {
		order.Canonical = true
		var content [2][]byte
		for i := range content {
			// Some files contain the slug.
			order.Project = ProjectRef{ID: ids.Project(i + 1), Slug: "same"}
			m := f.create(order)
			f.clock.Add(time.Hour + time.Second)
			m, err := f.Wait(background, order.Project.ID, m.ID)
			if err != nil {
				t.Fatal(err)
			}
			if m.Snapshot != nil || !m.Options.Canonical {
				t.Errorf("%s: the snapshot is %v", order.Format, m.Snapshot)
			}
			a, err := f.Artifact(background, order.Project.ID, m.ID)
			if err != nil {
				t.Fatal(err)
			}
			content[i] = make([]byte, *m.SizeBytes)
			if _, err := io.ReadFull(a.File, content[i]); err != nil {
				t.Fatal(err)
			}
			a.File.Close()
		}
		if string(content[0]) != string(content[1]) {
			t.Errorf("%s %s %s: the files differ", order.Kind, order.Format, order.Compression)
		}
	}
}
