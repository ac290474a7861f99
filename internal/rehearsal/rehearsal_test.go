package rehearsal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// fixture is a data folder with exports and a stage.
type fixture struct {
	t       testing.TB
	dir     *projectdb.Dir
	exports *export.Exports
	stage   *Stage
	folder  string
	last    ids.Project // the last project
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, folder: t.TempDir()}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	f.dir, err = projectdb.OpenDir(filepath.Join(f.folder, "projects"), projectdb.DirOptions{Relaxed: true})
	check(err)
	f.exports, err = export.Open(export.Config{
		Config:   jobs.Config{Database: filepath.Join(f.folder, "exports.db"), Folder: filepath.Join(f.folder, "exports"), Now: time.Now, Random: rand.Reader},
		Projects: f.dir,
	})
	check(err)
	f.exports.Start()
	t.Cleanup(func() { check(errors.Join(f.exports.Close(), f.dir.Close())) })
	f.stage, err = Open(Config{Folder: filepath.Join(f.folder, "rehearsals")})
	check(err)
	return f
}

// project creates a project with tables and returns its id.
func (f *fixture) project(tables ...filled) ids.Project {
	f.t.Helper()
	f.last++
	err := f.dir.Create(context.Background(), f.last, func(db *projectdb.DB) error {
		return db.Load(context.Background(), func(l *projectdb.Loader) error {
			for _, t := range tables {
				if err := t.create(l); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.last
}

// filled is a table with rows.
type filled struct {
	shape projectdb.Table
	rows  [][]sqlite.Value
}

func (t filled) create(l *projectdb.Loader) error {
	table, err := l.CreateTable(t.shape)
	if err != nil {
		return err
	}
	var names []string
	for _, c := range t.shape.Columns {
		names = append(names, c.Name)
	}
	in, _, err := l.Insert(&table, names, false)
	if err != nil {
		return err
	}
	defer in.Close()
	for _, row := range t.rows {
		if err := in.Row(row); err != nil {
			return err
		}
	}
	for _, x := range t.shape.Indexes {
		if err := l.CreateIndex(x); err != nil {
			return err
		}
	}
	return nil
}

// export runs an export and returns its manifest and artifact.
func (f *fixture) export(o export.Request) (*export.Manifest, []byte) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := f.exports.Create(ctx, new(problem.Faults), o)
	if err == nil {
		m, err = f.exports.Wait(ctx, o.Project.ID, m.ID)
	}
	if err != nil || m.Status != export.Ready {
		f.t.Fatalf("%s %s is %s: %v", o.Kind, o.Format, m.Status, err)
	}
	a, err := f.exports.Artifact(ctx, o.Project.ID, m.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	defer a.File.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(a.File); err != nil {
		f.t.Fatal(err)
	}
	return &a.Manifest, content.Bytes()
}

func (f *fixture) rehearse(o export.Request) (*export.Manifest, Rehearsal) {
	f.t.Helper()
	m, content := f.export(o)
	r, err := f.stage.Rehearse(context.Background(), bytes.NewReader(content), m)
	if err != nil {
		f.t.Fatalf("%s %s: %v", o.Kind, o.Format, err)
	}
	if left, err := os.ReadDir(f.stage.config.Folder); err != nil || len(left) > 0 {
		f.t.Fatalf("%s %s has left %v, %v", o.Kind, o.Format, left, err)
	}
	return m, r
}

// orders returns requests to export a project in every format.
func orders(id ids.Project, table string) (all []export.Request) {
	project := export.ProjectRef{ID: id, Slug: "p"}
	for _, name := range []string{"zip-csv", "zip-ndjson", "zip-parquet", "json", "sqlite", "sql", "archive"} {
		all = append(all, export.Request{Project: project, Kind: export.DatabaseExport, Format: name})
	}
	for _, name := range []string{"csv", "json", "ndjson", "xlsx", "parquet", "sqlite"} {
		all = append(all, export.Request{Project: project, Kind: export.TableExport, Format: name, Table: table})
	}
	for _, profile := range []string{"excel", "excel-eu", "postgres", "bigquery", "duckdb"} {
		all = append(all, export.Request{Project: project, Kind: export.DatabaseExport, Format: "zip-csv", CSV: export.CSVOptions{Profile: profile}})
	}
	return all
}

// TestAnythingIsRestoredThatTheFormatHolds makes random tables and rehearses them in
// every format. What is not restored unchanged is exactly what the manifest counts as
// replaced.
func TestAnythingIsRestoredThatTheFormatHolds(t *testing.T) {
	draw := rapid.Custom(func(rt *rapid.T) []filled {
		return []filled{drawTable(rt, "first"), drawTable(rt, "Second_one"), drawTable(rt, "readme")}
	})
	for seed := range 8 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			tables := draw.Example(seed)
			id := f.project(tables...)
			for _, o := range orders(id, "first") {
				m, r := f.rehearse(o)
				if len(r.Tables) != len(m.Tables) || r.Restorable != (len(r.Faults) == 0) {
					t.Fatalf("%s %s: %+v", o.Kind, o.Format, r)
				}
				for i, got := range r.Tables {
					replaced := m.Tables[i].Replaced
					if o.Format == "archive" {
						replaced = 0 // those are in the texts that accompany the database
					}
					if got.ContentEqual != (replaced == 0) || !got.ColumnsEqual || got.SchemaEqual != nil && !*got.SchemaEqual {
						t.Errorf("%s %s %+v, %d replaced: %+v\n%q\n%v\n%v", o.Kind, o.Format, o.CSV, replaced, got, r.Faults, tables, r.Notes)
					}
				}
			}
		})
	}
}

func drawTable(rt *rapid.T, name string) filled {
	shape := projectdb.Table{Name: name}
	if rapid.Bool().Draw(rt, "key") {
		shape.Columns = []projectdb.Column{{Name: "id", Type: "INTEGER"}}
		shape.PrimaryKey, shape.RowidKey = []projectdb.KeyPart{{Column: "id"}}, true
		shape.Autoincrement = rapid.Bool().Draw(rt, "counts")
	}
	for i := range rapid.IntRange(1, 4).Draw(rt, "columns") {
		kind := rapid.SampledFrom([]string{"INTEGER", "REAL", "TEXT", "BLOB", "ANY"}).Draw(rt, "type")
		shape.Columns = append(shape.Columns, projectdb.Column{Name: fmt.Sprintf("c%d", i), Type: kind})
	}
	if rapid.Bool().Draw(rt, "index") {
		last := shape.Columns[len(shape.Columns)-1].Name
		shape.Indexes = []projectdb.Index{{Name: "by_" + name, Table: name, Parts: []projectdb.KeyPart{{Column: last}}}}
	}
	t := filled{shape: shape}
	for i := range rapid.IntRange(0, 6).Draw(rt, "rows") {
		var row []sqlite.Value
		for _, c := range shape.Columns {
			if c.Name == "id" {
				row = append(row, sqlite.IntValue(int64(i*7+1)))
			} else {
				row = append(row, drawValue(rt, c.Type))
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func drawValue(rt *rapid.T, kind string) sqlite.Value {
	if kind == "ANY" {
		kind = rapid.SampledFrom([]string{"INTEGER", "REAL", "TEXT", "BLOB"}).Draw(rt, "class")
	}
	if rapid.IntRange(0, 5).Draw(rt, "null") == 0 {
		return sqlite.Value{}
	}
	switch kind {
	case "INTEGER":
		return sqlite.IntValue(rapid.Int64().Draw(rt, "integer"))
	case "REAL":
		f := rapid.OneOf(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }), rapid.SampledFrom([]float64{math.Inf(1), 0, 1, 1e20})).Draw(rt, "real")
		return sqlite.FloatValue(f + 0) // no negative zero, which REAL columns cannot hold
	case "BLOB":
		return sqlite.BlobValue(rapid.SliceOf(rapid.Byte()).Draw(rt, "blob"))
	}
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "1", "1.0", "007", "NULL", `\N`, "=x", "'=x", "a\x00b", "\r\n", `"`, "\xff", "Infinity", " "}))
	return sqlite.TextValue(text.Draw(rt, "text"))
}

func number(n int) filled {
	t := filled{shape: projectdb.Table{Name: "numbers", Columns: []projectdb.Column{{Name: "n", Type: "INTEGER"}}}}
	for i := range n {
		t.rows = append(t.rows, []sqlite.Value{sqlite.IntValue(int64(i))})
	}
	return t
}

// TestTablesWithNamesOfDescriptions checks that such tables are not mistaken for files
// that describe the data.
func TestTablesWithNamesOfDescriptions(t *testing.T) {
	f := newFixture(t)
	var tables []filled
	for _, name := range []string{"README", "license", "manifest", "checksums", "datapackage"} {
		table := number(2)
		table.shape.Name = name
		tables = append(tables, table)
	}
	id := f.project(tables...)
	for _, o := range orders(id, "license") {
		if _, r := f.rehearse(o); !r.Restorable {
			t.Errorf("%s %s: %q", o.Kind, o.Format, r.Faults)
		}
	}
}

// TestFaultsAreTold rehearses artifacts that do not match their manifest.
func TestFaultsAreTold(t *testing.T) {
	f := newFixture(t)
	other := number(1)
	other.shape.Name = "others"
	m, content := f.export(export.Request{Project: export.ProjectRef{ID: f.project(number(3), other), Slug: "p"}, Kind: export.DatabaseExport, Format: "sqlite"})
	for name, test := range map[string]struct {
		change func(m *export.Manifest)
		want   string
	}{
		"nothing": {func(*export.Manifest) {}, ""},
		"bytes":   {func(m *export.Manifest) { m.SHA256 = new("0") }, "SHA-256"},
		"rows":    {func(m *export.Manifest) { m.Tables[0].RowCount = 4 }, "3 rows, the snapshot had 4"},
		"values":  {func(m *export.Manifest) { m.Tables[0].ContentHash = "1" }, "numbers was restored with different values."},
		"no hash": {func(m *export.Manifest) { m.Tables[0].ContentHash = "" }, "nothing about the values"},
		"schema":  {func(m *export.Manifest) { m.Tables[0].SchemaSHA256 = "1" }, "different keys, constraints or indexes"},
		"type":    {func(m *export.Manifest) { m.Tables[0].Columns[0].Type = "TEXT" }, "different columns"},
		"column": {func(m *export.Manifest) {
			m.Tables[0].Columns = append(m.Tables[0].Columns, export.ResultColumn{Name: "x"})
		}, "different columns"},
		"table":        {func(m *export.Manifest) { m.Tables[0].Name = "letters" }, "letters was not restored"},
		"more tables":  {func(m *export.Manifest) { m.Tables = m.Tables[:1] }, "others, which the manifest does not list"},
		"another kind": {func(m *export.Manifest) { m.Format = "zip" }, "cannot be restored"},
	} {
		changed := *m
		changed.Tables = slices.Clone(m.Tables)
		for i := range changed.Tables {
			changed.Tables[i].Columns = slices.Clone(m.Tables[i].Columns)
		}
		test.change(&changed)
		r, err := f.stage.Rehearse(context.Background(), bytes.NewReader(content), &changed)
		if told := strings.Join(r.Faults, "\n"); err != nil || r.Restorable != (test.want == "") || !strings.Contains(told, test.want) {
			t.Errorf("%s: %v, %q, want %q", name, err, told, test.want)
		}
	}
}

// TestRehearsalsAreBounded has one rehearsal wait for another, fills the disk, and
// cancels a request.
func TestRehearsalsAreBounded(t *testing.T) {
	f := newFixture(t)
	m, content := f.export(export.Request{Project: export.ProjectRef{ID: f.project(number(3)), Slug: "p"}, Kind: export.DatabaseExport, Format: "sqlite"})
	stage := func(c Config) *Stage {
		c.Folder = filepath.Join(f.folder, "rehearsals")
		s, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	code := func(err error) problem.Code {
		var known *problem.Error
		errors.As(err, &known)
		if known == nil {
			return ""
		}
		return known.Code
	}
	s := stage(Config{AtOnce: 1, Patience: time.Millisecond})
	s.places <- struct{}{}
	if _, err := s.Rehearse(context.Background(), bytes.NewReader(content), m); code(err) != problem.CodeBusy {
		t.Errorf("beside another: %v", err)
	}
	full := stage(Config{Disk: disk.Budget{Free: func(string) (int64, int64, error) { return 1000, 1e9, nil }}})
	if _, err := full.Rehearse(context.Background(), bytes.NewReader(content), m); code(err) != problem.CodeStorageFull {
		t.Errorf("on a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := stage(Config{}).Rehearse(ctx, bytes.NewReader(content), m); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := f.stage.Rehearse(context.Background(), bytes.NewReader(content), &export.Manifest{Kind: export.SchemaExport}); code(err) != problem.CodeValidationFailed {
		t.Errorf("a schema: %v", err)
	}
	// What a crash leaves behind is removed at the next start.
	if err := os.MkdirAll(filepath.Join(f.folder, "rehearsals", "left", "projects"), 0o700); err != nil {
		t.Fatal(err)
	}
	stage(Config{})
	if left, err := os.ReadDir(filepath.Join(f.folder, "rehearsals")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
