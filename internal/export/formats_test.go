package export

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/testkit"
)

// started returns a fixture with the project shop and running workers.
func started(t *testing.T, fill func(*projectdb.DB) error) *fixture {
	t.Helper()
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, fill)
	f.Start()
	return f
}

const contactsCSV = "id,email,age,score,photo,note\n" +
	"1,ada@example.com,36,1.0,AP8=,\"a,\"\"b\"\"\nc\"\n" +
	"2,zoë@example.com,9223372036854775807,0.1,,\"\"\n" +
	"3,😀,-9223372036854775808,1e+300,,\n"

func TestTableCSV(t *testing.T) {
	f := started(t, small)
	m, content := f.export(Request{Kind: TableExport, Table: "Contacts"})
	if diff := cmp.Diff(contactsCSV, string(content)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	rows, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Errorf("encoding/csv reads %d rows, %v", len(rows), err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + m.ID + `","kind":"table_export","scope":"project","project":"shop","table":"contacts","format":"csv",` +
		`"download_name":"contacts.csv","download_url":"/projects/shop/export/download/` + m.ID + `","storage_backend":"local",` +
		`"content_type":"text/csv; charset=utf-8","row_count":3,"status":"ready","size_bytes":156,"sha256":"` + *m.SHA256 + `",` +
		`"tables":[{"name":"contacts","row_count":3,"rows_expected":3,"columns":[{"name":"id","type":"INTEGER"},{"name":"email","type":"TEXT"},` +
		`{"name":"age","type":"INTEGER"},{"name":"score","type":"REAL"},{"name":"photo","type":"BLOB"},{"name":"note","type":"TEXT"}],` +
		`"content_hash":"c98f949ffb7323dc59b89c9ed57feb8d"}],"snapshot":{"commit":4,"time":"` + m.Snapshot.Time + `"},` +
		`"format_version":1,"options":{},"progress":{"rows_done":3,"rows_total":3,"bytes":156},"error":null,"created_at":"2026-06-01T18:23:45Z",` +
		`"completed_at":"2026-06-01T18:23:45Z","expires_at":"2026-06-02T18:23:45Z","created_by_token_id":null,"operation_run_id":null}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func TestTableJSONWithSelection(t *testing.T) {
	f := started(t, small)
	m, content := f.export(Request{Kind: TableExport, Table: "1", Format: "json", FileName: "../Ada's \u202e list.json", Selection: projectdb.Selection{
		Columns: []string{"age", "EMAIL"}, Sort: "age", Descending: true, Limit: 2,
		Filters: []byte(`[{"column":"age","op":"!=","value":9223372036854775807}]`),
	}})
	want := "[\n{\"age\":36,\"email\":\"ada@example.com\"},\n{\"age\":-9223372036854775808,\"email\":\"😀\"}\n]\n"
	if string(content) != want {
		t.Errorf("got %s", content)
	}
	if m.DownloadName != "_Ada's _ list.json" {
		t.Errorf("download name is %q", m.DownloadName)
	}
	options, err := json.Marshal(m.Options)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"file_name":"../Ada's ` + "\u202e" + ` list.json","columns":["age","EMAIL"],"filters":[{"column":"age","op":"!=","value":9223372036854775807}],"sort":"age","order":"desc","limit":2}`; want != string(options) {
		t.Errorf("options are %s", options)
	}
}

func TestDatabaseZIP(t *testing.T) {
	tool := testkit.Tool(t, "unzip")
	f := started(t, small)
	m, content := f.export(Request{Kind: DatabaseExport})
	want := map[string]string{"contacts.csv": contactsCSV, "companies.csv": "id,name\n1,Acme\n2,\n"}
	if diff := cmp.Diff(want, unzip(t, content)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if m.DownloadName != "shop_database_export.zip" || m.RowCount != 5 || m.Format != "zip" {
		t.Errorf("manifest is %+v", m)
	}
	path := filepath.Join(t.TempDir(), "e.zip")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", tool, "-tq", path)
}

func TestDatabaseOfChosenTables(t *testing.T) {
	f := started(t, small)
	for _, test := range []struct {
		name    string
		request Request
		want    map[string]string
	}{
		{"included", Request{Include: []string{"companies", "2"}}, map[string]string{"companies.csv": "id,name\n1,Acme\n2,\n"}},
		{"excluded", Request{Exclude: []string{"contacts"}}, map[string]string{"companies.csv": "id,name\n1,Acme\n2,\n"}},
		{"all excluded", Request{Exclude: []string{"contacts", "companies"}}, map[string]string{}},
		{"with options", Request{Format: "zip-csv", Exclude: []string{"1"}, TableOptions: map[string]TableOptions{
			"companies": {Selection: projectdb.Selection{Columns: []string{"name"}, Sort: "id", Descending: true, Limit: 1}},
		}}, map[string]string{"companies.csv": "name\n\n"}},
	} {
		test.request.Kind = DatabaseExport
		_, content := f.export(test.request)
		if diff := cmp.Diff(test.want, unzip(t, content)); diff != "" {
			t.Errorf("%s: members (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestDatabaseJSON(t *testing.T) {
	f := started(t, small)
	_, content := f.export(Request{Kind: DatabaseExport, Format: "json"})
	var got struct {
		Project    string
		ExportedAt string `json:"exported_at"`
		Snapshot   projectdb.SnapshotID
		Tables     map[string]struct {
			Columns []projectdb.ColumnObject
			Rows    []map[string]any
		}
	}
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if got.Project != "shop" || got.ExportedAt != "2026-06-01T18:23:45Z" || got.Snapshot.Commit != 4 {
		t.Errorf("frame is %+v", got)
	}
	contacts, companies := got.Tables["contacts"], got.Tables["companies"]
	if len(contacts.Rows) != 3 || len(companies.Rows) != 2 || len(contacts.Columns) != 6 || contacts.Columns[1].ColumnName != "email" {
		t.Errorf("tables are %+v", got.Tables)
	}
}

// shapes fills a project with every feature that tables can have.
func shapes(db *projectdb.DB) error {
	return db.Load(context.Background(), func(l *projectdb.Loader) error {
		part := func(name string) projectdb.KeyPart { return projectdb.KeyPart{Column: name} }
		country, err := l.CreateTable(projectdb.Table{
			Name: "country",
			Columns: []projectdb.Column{
				{Name: "code", Type: "TEXT", NotNull: true, Collation: "NOCASE"},
				{Name: "name", Type: "TEXT", Default: "'it''s'"},
				{Name: "since", Type: "TEXT", Default: "CURRENT_TIMESTAMP"},
				{Name: "twice", Type: "INTEGER", Generated: "length(name) * 2"},
			},
			PrimaryKey:   []projectdb.KeyPart{part("code")},
			WithoutRowid: true,
			Checks:       []string{"length(code) = 2"},
		})
		if err != nil {
			return err
		}
		_, err = l.CreateTable(projectdb.Table{
			Name: "select",
			Columns: []projectdb.Column{
				{Name: "id", Type: "INTEGER"},
				{Name: "country", Type: "TEXT"},
				{Name: "extra", Type: "ANY"},
			},
			PrimaryKey:    []projectdb.KeyPart{part("id")},
			RowidKey:      true,
			Autoincrement: true,
			Uniques:       []projectdb.Unique{{Columns: []projectdb.KeyPart{part("country"), part("extra")}}},
			ForeignKeys: []projectdb.ForeignKey{{
				Columns: []string{"country"}, Parent: "country", ParentColumns: []string{"code"}, OnDelete: "CASCADE",
			}},
		})
		if err != nil {
			return err
		}
		return l.CreateIndex(projectdb.Index{
			Name: "country_name", Table: country.Name, Unique: true, Origin: "c",
			Parts: []projectdb.KeyPart{{Expression: "lower(name)", Descending: true}, part("code")}, Where: "name IS NOT NULL",
		})
	})
}

// TestSchemaSQLBuildsTheSameSchema compares the schema of the project's file with that
// of a database built by the export, both as the shell prints them.
func TestSchemaSQLBuildsTheSameSchema(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	folder := t.TempDir()
	f := newFixture(t, folder)
	f.project(shop.ID, shapes)
	f.Start()
	m, content := f.export(Request{Kind: SchemaExport, Format: "sql"})
	if m.ContentType != "application/sql" || m.DownloadName != "shop_schema_export.sql" || m.RowCount != 0 {
		t.Errorf("manifest is %+v", m)
	}
	const query = `
SELECT s.type, s.name, s.tbl_name, s.sql FROM sqlite_schema AS s WHERE s.name NOT LIKE '\_%' ESCAPE '\' AND s.tbl_name NOT LIKE '\_%' ESCAPE '\' ORDER BY 1, 2;
SELECT l.*, x.* FROM pragma_table_list AS l, pragma_table_xinfo(l.name) AS x WHERE l.name IN ('country', 'select') ORDER BY l.name, x.cid;
SELECT i.tbl_name, x.* FROM sqlite_schema AS i, pragma_index_xinfo(i.name) AS x WHERE i.type = 'index' AND i.tbl_name IN ('country', 'select') ORDER BY i.name, x.seqno;
SELECT * FROM pragma_foreign_key_list('select');
`
	built := filepath.Join(t.TempDir(), "built.db")
	run(t, string(content), shell, "-bail", built)
	want := run(t, query, shell, "-bail", "-readonly", filepath.Join(folder, "projects", "1.db"))
	got := run(t, query, shell, "-bail", "-readonly", built)
	if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(want, "country_name") {
		t.Errorf("schema (-project +built):\n%s", diff)
	}
}

func TestSchemaJSON(t *testing.T) {
	f := started(t, shapes)
	_, content := f.export(Request{Kind: SchemaExport})
	var got struct {
		Project string
		Tables  []projectdb.TableDescription
	}
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if got.Project != "shop" || len(got.Tables) != 2 {
		t.Fatalf("got %s", content)
	}
	country, other := got.Tables[0], got.Tables[1]
	if diff := cmp.Diff([]string{"lower(name)", "code"}, country.Indexes[len(country.Indexes)-1].Columns); diff != "" {
		t.Errorf("index columns (-want +got):\n%s", diff)
	}
	if string(country.Columns[1].DefaultValue) != `"it's"` || *country.Columns[2].DefaultExpression != "CURRENT_TIMESTAMP" ||
		country.PrimaryKey[0] != "code" || country.Checks[0] != "length(code) = 2" ||
		other.TableName != "select" || other.ForeignKeys[0].ParentTable != "country" || other.ForeignKeys[0].OnDelete != "CASCADE" {
		t.Errorf("got %s", content)
	}
}

// everyFormat returns the formats of all kinds of exports.
func everyFormat() (list []fileFormat) {
	for _, kind := range []Kind{TableExport, DatabaseExport, QueryExport, SchemaExport} {
		list = append(list, formatsOf(kind)...)
	}
	return list
}

func TestDownloadName(t *testing.T) {
	csv := formatsOf(TableExport)[0]
	long := strings.Repeat("é", 150)
	for _, test := range []struct{ asked, want string }{
		{"", "contacts.csv"},
		{"list.csv", "list.csv"},
		{"list.CSV", "list.csv"},
		{"list.txt", "list.txt.csv"},
		{"a/b\\c", "a_b_c.csv"},
		{"...", "contacts.csv"},
		{".csv", "contacts.csv"},
		{"con", "_con.csv"},
		{"a\x00\nb", "a__b.csv"},
		{long, long[:200] + ".csv"},
	} {
		if got := csv.downloadName(test.asked, "contacts"); got != test.want {
			t.Errorf("name for %q is %q, want %q", test.asked, got, test.want)
		}
		want := strings.TrimSuffix(test.want, ".csv") + ".csv.gz"
		if got := csv.compressed("gzip").downloadName(test.asked, "contacts"); got != want {
			t.Errorf("compressed, the name for %q is %q, want %q", test.asked, got, want)
		}
	}
}

// TestZIPsOfCSVSayTheirDialect looks at the comments in a ZIP file of CSV, by which an
// import reads it without a guess.
func TestZIPsOfCSVSayTheirDialect(t *testing.T) {
	f := started(t, small)
	for _, profile := range format.Profiles() {
		_, content := f.export(Request{Kind: DatabaseExport, Format: "zip-csv", CSV: CSVOptions{Profile: profile}})
		r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil || len(r.File) == 0 {
			t.Fatal(err)
		}
		want, err := format.Profile(profile)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range r.File {
			if d, ok := format.CommentDialect(member.Comment); !ok || d != want {
				t.Errorf("%s: %s says %q", profile, member.Name, member.Comment)
			}
		}
	}
}
