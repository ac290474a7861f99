package export

import (
	"bytes"
	"context"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// hardValues returns values that some program or other gets wrong.
func hardValues() []sqlite.Value {
	values := []sqlite.Value{{}, sqlite.BlobValue([]byte{}), sqlite.BlobValue([]byte{0, 0xff, '\n', '"'})}
	for _, i := range []int64{0, -1, 1 << 53, 1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64} {
		values = append(values, sqlite.IntValue(i))
	}
	for _, r := range []float64{0, math.Copysign(0, -1), 0.1, 1.0 / 3, 100, 1e21, 5e-324, math.MaxFloat64, math.Inf(1), math.Inf(-1), 9007199254740993} {
		values = append(values, sqlite.FloatValue(r))
	}
	for _, t := range []string{
		"", " ", "a,b", `say "hi"`, "two\nlines", "cr\ronly", "cr\r\nlf", "😀 zoë", "bad \xff\xc3( utf-8", "nul \x00 here", "\x01\x1f control", "_x0041_",
		"=1+1", "+1", "-1", "@x", "'=1", "\tx", "NULL", `\N`, "1", "1.0", "true", "\\.", "\ufeffbom", "</c><x>&amp;",
	} {
		values = append(values, sqlite.TextValue(t))
	}
	return values
}

// hard fills a project with a table that has every hard value in every column that can
// hold it, and with an empty table.
func hard(db *projectdb.DB) error { return hardTable(db, hardValues()) }

func hardTable(db *projectdb.DB, values []sqlite.Value) error {
	return db.Load(context.Background(), func(l *projectdb.Loader) error {
		names := []string{"id", "i", "r", "t", "b", "a"}
		kinds := map[string]sqlite.Kind{"i": sqlite.Integer, "r": sqlite.Real, "t": sqlite.Text, "b": sqlite.Blob}
		shape := projectdb.Table{Name: "hard", PrimaryKey: []projectdb.KeyPart{{Column: "id"}}, RowidKey: true}
		for i, name := range names {
			shape.Columns = append(shape.Columns, projectdb.Column{Name: name, Type: []string{"INTEGER", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"}[i]})
		}
		if _, err := l.CreateTable(projectdb.Table{Name: "empty", Columns: []projectdb.Column{{Name: "x", Type: "TEXT"}}}); err != nil {
			return err
		}
		table, err := l.CreateTable(shape)
		if err != nil {
			return err
		}
		in, _, err := l.Insert(&table, names, false)
		if err != nil {
			return err
		}
		defer in.Close()
		for n, value := range values {
			row := make([]sqlite.Value, len(names))
			row[0] = sqlite.IntValue(int64(n + 1))
			for i, name := range names[1:] {
				if name == "a" || kinds[name] == value.Kind {
					row[i+1] = value
				}
			}
			if err := in.Row(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// judgeSQL prints every value of the table hard as the shell sees it.
const judgeSQL = `SELECT id` +
	`||' '||typeof(i)||' '||coalesce(i,'')||'|'||typeof(r)||' '||coalesce(printf('%!.17g',r),'')||'|'||typeof(t)||' '||hex(CAST(t AS BLOB))` +
	`||'|'||typeof(b)||' '||hex(b)||'|'||typeof(a)||' '||CASE typeof(a) WHEN 'real' THEN printf('%!.17g',a) ELSE hex(CAST(a AS BLOB)) END` +
	` FROM hard ORDER BY id; SELECT count(*) FROM empty;`

// TestHardValuesInDatabases has the shell read the project's file and the exported
// databases, and compares them.
func TestHardValuesInDatabases(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	folder := t.TempDir()
	f := newFixture(t, folder)
	f.project(shop.ID, hard)
	f.Start()
	want := run(t, judgeSQL, shell, "-bail", "-readonly", filepath.Join(folder, "projects", "1.db"))
	if n := strings.Count(want, "\n"); n != len(hardValues())+1 {
		t.Fatalf("the shell shows %d lines", n)
	}
	limit := projectdb.Selection{Limit: 1 << 40}
	for name, order := range map[string]Request{
		"sqlite":         {Format: "sqlite"},
		"sqlite, chosen": {Format: "sqlite", Include: []string{"hard", "empty"}},
		"sqlite, parts":  {Format: "sqlite", TableOptions: map[string]TableOptions{"hard": {Selection: limit}}},
		"sql":            {Format: "sql"},
		"archive":        {Format: "archive"},
	} {
		order.Kind = DatabaseExport
		m, content := f.export(order)
		path := filepath.Join(t.TempDir(), "x.db")
		switch order.Format {
		case "sql":
			run(t, string(content), shell, "-bail", path)
		case "archive":
			content = []byte(unzip(t, content)["data.sqlite"])
			fallthrough
		default:
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := run(t, judgeSQL, shell, "-bail", path); got != want {
			t.Errorf("%s (-project +export):\n%s", name, cmp.Diff(want, got))
		}
		if got := run(t, "PRAGMA integrity_check; PRAGMA application_id; PRAGMA journal_mode; SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_%' ESCAPE '\\'", shell, "-bail", path); got != "ok\n0\ndelete\n0\n" {
			t.Errorf("%s: the shell says %q", name, got)
		}
		if bytes.Contains(content, []byte("table_name")) || bytes.Contains(content, []byte("_columns")) {
			t.Errorf("%s: something of the server's own tables is left", name)
		}
		if m.RowCount != int64(len(hardValues())) || m.Progress.RowsDone != m.RowCount {
			t.Errorf("%s: %d rows, progress %+v", name, m.RowCount, m.Progress)
		}
	}
}

// TestLineEndsInCSV has the shell import line ends that encoding/csv cannot
// distinguish.
func TestLineEndsInCSV(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	f := started(t, hard)
	_, content := f.export(Request{Kind: TableExport, Table: "hard", Selection: projectdb.Selection{
		Columns: []string{"id", "t"}, Filters: []byte(`[{"column":"t","op":"like","value":"cr%"}]`),
	}})
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, ".mode csv\n.import "+path+" x\nSELECT hex(t) FROM x ORDER BY CAST(id AS INT);\n", shell)
	if want := hex.EncodeToString([]byte("cr\ronly")) + "\n" + hex.EncodeToString([]byte("cr\r\nlf")) + "\n"; !strings.EqualFold(strings.ReplaceAll(got, "\r", ""), want) {
		t.Errorf("the shell reads %s, want %s", got, want)
	}
}

func TestXLSXRefusesALongText(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, small)
	long := strings.Repeat("x", format.XLSXText+1)
	row := []byte(`{"email":"long","note":"` + long + `"}`)
	if _, err := db.InsertRecord(background, new(problem.Faults), "contacts", row, projectdb.InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	f.Start()
	m := f.create(Request{Kind: TableExport, Table: "contacts", Format: "xlsx"})
	got, err := f.Wait(background, shop.ID, m.ID)
	if got.Status != Failed || !strings.Contains(*got.Error, "F5") || !strings.Contains(*got.Error, "32,768") && !strings.Contains(*got.Error, "32768") {
		t.Errorf("got %s: %v", got.Status, err)
	}
	if len(f.files()) != 0 {
		t.Errorf("files are %v", f.files())
	}
}
