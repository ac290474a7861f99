package ingest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/testkit"
)

// exporter exports project 1 of a folder and creates projects in it.
type exporter struct {
	*export.Exports
	t      *testing.T
	folder string
	dir    *projectdb.Dir
}

func newExporter(t *testing.T) *exporter {
	t.Helper()
	x := &exporter{t: t, folder: t.TempDir()}
	var err error
	if x.dir, err = projectdb.OpenDir(filepath.Join(x.folder, "projects"), projectdb.DirOptions{Now: time.Now, Relaxed: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.dir.Close() })
	x.Exports, err = export.Open(export.Config{
		Config:   jobs.Config{Database: filepath.Join(x.folder, "exports.db"), Folder: filepath.Join(x.folder, "exports"), Now: time.Now, Random: rand.Reader},
		Projects: x.dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	x.Start()
	t.Cleanup(func() { x.Close() })
	return x
}

// project creates a project and returns its database and the path of its file.
func (x *exporter) project(id ids.Project) project {
	x.t.Helper()
	ctx := context.Background()
	if err := x.dir.Create(ctx, id, func(*projectdb.DB) error { return nil }); err != nil {
		x.t.Fatal(err)
	}
	db, release, err := x.dir.Lease(ctx, id)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(release)
	found, err := filepath.Glob(filepath.Join(x.folder, "projects", fmt.Sprint("*", id, ".db")))
	if err != nil || len(found) != 1 {
		x.t.Fatalf("the file of project %d: %v, %v", id, found, err)
	}
	return project{db, found[0]}
}

// file exports project 1 and returns the path of the artifact.
func (x *exporter) file(o export.Request) string {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o.Project, o.Kind = export.ProjectRef{ID: 1, Slug: "p1"}, export.DatabaseExport
	m, err := x.Create(ctx, new(problem.Faults), o)
	if err == nil {
		m, err = x.Wait(ctx, 1, m.ID)
	}
	if err != nil || m.Status != export.Ready {
		x.t.Fatalf("the export is %s: %v", m.Status, err)
	}
	a, err := x.Artifact(ctx, 1, m.ID)
	if err != nil {
		x.t.Fatal(err)
	}
	defer a.File.Close()
	return a.File.(*os.File).Name()
}

// withoutOwn excludes the server's own tables.
const withoutOwn = " WHERE name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name;\n"

// everything prints the schema and all values of a project with the sqlite3 shell.
func (p project) everything(t *testing.T) string {
	t.Helper()
	all := shell(t, p.path, "SELECT sql FROM sqlite_schema"+withoutOwn)
	if strings.Contains(all, "AUTOINCREMENT") {
		all += shell(t, p.path, "SELECT name, seq FROM sqlite_sequence"+withoutOwn)
	}
	return all + p.allValues(t)
}

func (p project) allValues(t *testing.T) (all string) {
	t.Helper()
	tables, err := p.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(tables, func(a, b projectdb.Table) int { return strings.Compare(a.Name, b.Name) })
	for _, table := range tables {
		all += table.Name + "\n" + values(t, p.path, table.Name, columnNamesOf(&table), numbers(len(table.Columns)))
	}
	return all
}

// identities prints ids, times and display names.
func (p project) identities(t *testing.T) string {
	t.Helper()
	return shell(t, p.path, "SELECT * FROM _tables ORDER BY id; SELECT * FROM _columns ORDER BY id;\n")
}

// TestExportsOfAProjectComeBack loads random databases into a project, exports it in
// every lossless form, and imports each file into another project: schema and values are
// the same.
func TestExportsOfAProjectComeBack(t *testing.T) {
	for seed := range testkit.Scale(4, 12) {
		t.Run(itoa(seed), func(t *testing.T) {
			t.Parallel()
			plain := seed%2 == 1 // what JSON and CSV can hold
			script := rapid.Custom(func(rt *rapid.T) string { return drawScript(rt, plain) }).Example(seed)
			x := newExporter(t)
			original := x.project(1)
			if _, err := original.take(database(t, script), Options{}); err != nil {
				t.Fatalf("%v\n%s", err, script)
			}
			for i, tables := 0, mustTables(t, original); i < len(tables); i += 2 {
				name := new("Name of " + tables[i].Name + " 💩")
				if _, err := original.UpdateTable(context.Background(), new(problem.Faults), tables[i].Name, projectdb.TablePatch{DisplayName: &name}); err != nil {
					t.Fatal(err)
				}
			}
			x.compare(original, plain, script)
		})
	}
}

func (x *exporter) compare(original project, plain bool, script string) {
	t := x.t
	want := original.everything(t)
	number := ids.Project(1)
	comesBack := func(name string, o export.Request, options Options, show func(project) string) {
		t.Helper()
		number++
		copied := x.project(number)
		path := x.file(o)
		report, err := copied.take(path, options)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, script)
		}
		if diff := cmp.Diff(show(original), show(copied)); diff != "" {
			t.Errorf("%s: %s\n%s\n%v", name, diff, script, report.Notes)
		}
	}
	everything := func(p project) string { return p.everything(t) }
	for _, form := range []string{"sqlite", "sql", "archive"} {
		comesBack(form, export.Request{Format: form}, Options{}, everything)
	}
	comesBack("sql.gz", export.Request{Format: "sql", Compression: "gzip"}, Options{}, everything)
	comesBack("sqlite.zst", export.Request{Format: "sqlite", Compression: "zstd"}, Options{}, everything)
	comesBack("identities", export.Request{Format: "archive"}, Options{}, func(p project) string { return p.identities(t) })
	if plain {
		values := func(p project) string { return p.allValues(t) }
		comesBack("json", export.Request{Format: "json"}, Options{}, values)
		told := toldTypes(mustTables(t, original))
		for _, form := range []string{"zip-ndjson", "zip-parquet"} {
			comesBack(form, export.Request{Format: form}, Options{Tables: told}, values)
		}
		for _, name := range format.Profiles() {
			profile, err := format.Profile(name)
			if err != nil {
				t.Fatal(err)
			}
			options := Options{Target: Target{ReadOptions: profile.ReadOptions()}, Tables: told}
			comesBack("zip-csv as it describes itself, "+name, export.Request{Format: "zip-csv", CSV: export.CSVOptions{Profile: name}}, Options{Tables: told}, values)
			comesBack("zip-csv, "+name, export.Request{Format: "zip-csv", CSV: export.CSVOptions{Profile: name}}, options, values)
		}
	}
	if got := original.everything(t); got != want {
		t.Error("the original has changed")
	}
}

// TestZIPsOfCSVAreNotGuessedAt exports names and texts that a guess would take for
// something else.
func TestZIPsOfCSVAreNotGuessedAt(t *testing.T) {
	t.Parallel()
	x := newExporter(t)
	original := x.project(1)
	script := "CREATE TABLE a (No TEXT, \"null\" TEXT);\nINSERT INTO a VALUES ('1.50', '2023'), ('10.00', 'No'), (NULL, '');\n" +
		"CREATE TABLE b (kind TEXT, yes TEXT);\nINSERT INTO b VALUES ('kind', 'yes'), ('Total: 3', NULL);\n"
	if _, err := original.take(database(t, script), Options{}); err != nil {
		t.Fatal(err)
	}
	for i, profile := range format.Profiles() {
		copied := x.project(ids.Project(2 + i))
		report, err := copied.take(x.file(export.Request{Format: "zip-csv", CSV: export.CSVOptions{Profile: profile}}), Options{})
		if err != nil || len(report.Notes) > 0 {
			t.Fatal(err, report.Notes)
		}
		if diff := cmp.Diff(original.allValues(t), copied.allValues(t)); diff != "" {
			t.Errorf("%s: %s", profile, diff)
		}
	}
}

func mustTables(t *testing.T, p project) []projectdb.Table {
	t.Helper()
	tables, err := p.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// toldTypes returns the types of all columns, which a text file cannot carry.
func toldTypes(tables []projectdb.Table) map[string]Target {
	told := map[string]Target{}
	for _, table := range tables {
		types := map[string]string{}
		for _, column := range table.Columns {
			types[column.Name] = column.Type
		}
		told[table.Name] = Target{Types: types}
	}
	return told
}

// drawScript draws statements for several tables that refer to each other.
func drawScript(rt *rapid.T, plain bool) string {
	names := []string{"orders", "Order_Lines", "select", "x1"}[:rapid.IntRange(1, 4).Draw(rt, "tables")]
	var script strings.Builder
	for i, name := range names {
		columns, types := drawColumns(rt, plain)
		key := rapid.SampledFrom([]string{"id INTEGER PRIMARY KEY AUTOINCREMENT", "id INTEGER PRIMARY KEY", "id INTEGER UNIQUE", "id INT PRIMARY KEY"}).Draw(rt, "key")
		lines := append([]string{key}, columns...)
		if i > 0 {
			lines = append(lines, fmt.Sprintf("parent INTEGER REFERENCES %s (id) ON DELETE CASCADE", format.QuoteIdent(names[i-1])))
		}
		if rapid.Bool().Draw(rt, "generated") && !plain {
			lines = append(lines, "g ANY GENERATED ALWAYS AS (id + 1) "+rapid.SampledFrom([]string{"VIRTUAL", "STORED"}).Draw(rt, "stored"))
		}
		if rapid.Bool().Draw(rt, "check") {
			lines = append(lines, "CHECK (id > 0)")
		}
		fmt.Fprintf(&script, "CREATE TABLE %s (%s) STRICT;\n", format.QuoteIdent(name), strings.Join(lines, ", "))
		for row := range rapid.IntRange(0, 8).Draw(rt, "rows") {
			list := []string{fmt.Sprint(row + 1)}
			for _, column := range types {
				list = append(list, drawLiteral(rt, column, plain))
			}
			if i > 0 {
				list = append(list, "NULL")
			}
			fmt.Fprintf(&script, "INSERT INTO %s VALUES (%s);\n", format.QuoteIdent(name), strings.Join(list, ", "))
		}
		if rapid.Bool().Draw(rt, "index") {
			fmt.Fprintf(&script, "CREATE INDEX i%d ON %s (c0 DESC, id) WHERE id > 2;\n", i, format.QuoteIdent(name))
		}
	}
	return script.String()
}

func drawColumns(rt *rapid.T, plain bool) (columns, types []string) {
	kinds := []string{"INTEGER", "REAL", "TEXT", "BLOB", "ANY"}
	if plain {
		kinds = kinds[:4]
	}
	for i := range rapid.IntRange(1, 4).Draw(rt, "columns") {
		kind := rapid.SampledFrom(kinds).Draw(rt, "type")
		extra := rapid.SampledFrom([]string{"", "", "DEFAULT NULL", "COLLATE NOCASE"}).Draw(rt, "extra")
		columns, types = append(columns, fmt.Sprintf("c%d %s %s", i, kind, extra)), append(types, kind)
	}
	return columns, types
}

func drawLiteral(rt *rapid.T, columnType string, plain bool) string {
	if columnType == "ANY" {
		columnType = rapid.SampledFrom([]string{"INTEGER", "REAL", "TEXT", "BLOB"}).Draw(rt, "class")
	}
	for {
		v := drawStored(rt, columnType)
		text := string(v.Bytes)
		if !plain || !strings.ContainsRune(text, 0) {
			return source.SQLLiteral(v)
		}
	}
}

func TestExportsOfChinookComeBack(t *testing.T) {
	path := testData(t, "chinook.sqlite")
	x := newExporter(t)
	original := x.project(1)
	original.mustTake(t, path)
	x.compare(original, true, "chinook")
}
