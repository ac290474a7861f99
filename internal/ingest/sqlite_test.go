package ingest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
)

// project is an empty project and the path of its database.
type project struct {
	*projectdb.DB
	path string
}

func newProject(t testing.TB) project {
	t.Helper()
	folder := t.TempDir()
	dir, err := projectdb.OpenDir(folder, projectdb.DirOptions{Now: time.Now, Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	ctx := context.Background()
	if err := dir.Create(ctx, 1, func(*projectdb.DB) error { return nil }); err != nil {
		t.Fatal(err)
	}
	db, release, err := dir.Lease(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(files, func(name string) bool { return !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") })
	return project{db, files[i]}
}

// take imports a file into the project.
func (p project) take(path string, o Options) (Report, error) {
	return p.takeTold(path, o, nil)
}

func (p project) takeTold(path string, o Options, tell func(Progress)) (Report, error) {
	source, err := Open(context.Background(), source.Opening{Workers: workers, Path: path})
	if err != nil {
		return Report{}, err
	}
	source.OnProgress(tell)
	defer source.Close()
	return source.Load(context.Background(), p.DB, o)
}

func (p project) mustTake(t testing.TB, path string) Report {
	t.Helper()
	report, err := p.take(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// database creates a SQLite file with the sqlite3 shell.
func database(t testing.TB, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source.sqlite")
	shell(t, path, script)
	return path
}

// values prints every value of a table in row order, with class, bytes and all digits,
// as the sqlite3 shell sees them.
func values(t testing.TB, path, table string, columns []string, order string) string {
	t.Helper()
	var list []string
	for _, name := range columns {
		x := format.QuoteIdent(name)
		list = append(list, "typeof("+x+"), quote(CAST("+x+" AS BLOB)), CASE typeof("+x+") WHEN 'real' THEN printf('%!.17g', "+x+") END")
	}
	return shell(t, path, "SELECT "+strings.Join(list, ", ")+" FROM "+format.QuoteIdent(table)+" ORDER BY "+order+";\n")
}

// sameValues compares every table of a report with its source, using the sqlite3 shell.
func (p project) sameValues(t *testing.T, source string, report Report) {
	t.Helper()
	for _, table := range report.Tables {
		var theirs, ours []string
		for _, column := range table.Columns {
			theirs, ours = append(theirs, column.Source), append(ours, column.Name)
		}
		order := "rowid"
		if without := shell(t, source, "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = "+sqlText(table.Source)+";\n"); strings.TrimSpace(without) == "1" {
			order = numbers(len(theirs))
		}
		want, got := values(t, source, table.Source, theirs, order), values(t, p.path, table.Name, ours, order)
		if want != got {
			t.Errorf("table %s: values differ\n%s", table.Source, cmp.Diff(want, got))
		}
		if rows := int64(strings.Count(want, "\n")); rows != table.Rows {
			t.Errorf("table %s: %d rows reported, %d in the file", table.Source, table.Rows, rows)
		}
	}
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// numbers returns column numbers for an ORDER BY over all n columns.
func numbers(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = itoa(3*i + 2)
	}
	return strings.Join(list, ", ")
}

func texts(list []source.Note) []string {
	out := []string{}
	for _, n := range list {
		out = append(out, n.String())
	}
	return out
}

func testData(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("ZANGTABLE_TEST_DATA")
	if folder == "" {
		t.Skip("ZANGTABLE_TEST_DATA is not set")
	}
	return filepath.Join(folder, name)
}

func TestChinookComesInUnchanged(t *testing.T) {
	path := testData(t, "chinook.sqlite")
	p := newProject(t)
	report := p.mustTake(t, path)
	p.sameValues(t, path, report)
	if diff := cmp.Diff([]string{}, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
