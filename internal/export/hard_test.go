package export

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// hardValues are values that something or other gets wrong.
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

// hard fills a project with a table in which every hard value stands in every
// column that can hold it, and an empty table.
func hard(db *projectdb.DB) error {
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
		for n, value := range hardValues() {
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

// judgeSQL shows every value of the table hard as the shell sees it.
const judgeSQL = `SELECT id` +
	`||' '||typeof(i)||' '||coalesce(i,'')||'|'||typeof(r)||' '||coalesce(printf('%!.17g',r),'')||'|'||typeof(t)||' '||hex(CAST(t AS BLOB))` +
	`||'|'||typeof(b)||' '||hex(b)||'|'||typeof(a)||' '||CASE typeof(a) WHEN 'real' THEN printf('%!.17g',a) ELSE hex(CAST(a AS BLOB)) END` +
	` FROM hard ORDER BY id; SELECT count(*) FROM empty;`

// TestHardValuesInDatabases lets the shell read the project's file and what
// the formats made of it.
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
	for name, order := range map[string]Order{
		"sqlite":         {Format: "sqlite"},
		"sqlite, chosen": {Format: "sqlite", Include: []string{"hard", "empty"}},
		"sqlite, parts":  {Format: "sqlite", TableOptions: map[string]projectdb.Selection{"hard": limit}},
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

// eachHard calls fn for every hard value with the columns in which it stands.
func eachHard(fn func(row int, columns map[string]bool, v sqlite.Value)) {
	column := map[sqlite.Kind]string{sqlite.Integer: "i", sqlite.Real: "r", sqlite.Text: "t", sqlite.Blob: "b"}
	for i, v := range hardValues() {
		fn(i, map[string]bool{column[v.Kind]: v.Kind != sqlite.Null, "a": true}, v)
	}
}

// hardText returns a value as CSV shows it; a real in a REAL column has no sign of
// zero.
func hardText(column string, v sqlite.Value) string {
	switch v.Kind {
	case sqlite.Integer:
		return strconv.FormatInt(v.Int, 10)
	case sqlite.Text:
		return string(v.Bytes)
	case sqlite.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes)
	case sqlite.Real:
		switch {
		case math.IsInf(v.Float, 1):
			return "Infinity"
		case math.IsInf(v.Float, -1):
			return "-Infinity"
		case v.Float == 0 && column == "r":
			return "0.0"
		}
		s := strconv.FormatFloat(v.Float, 'g', -1, 64)
		if v.Float == math.Trunc(v.Float) && math.Abs(v.Float) < 1e21 {
			s = strconv.FormatFloat(v.Float, 'f', 1, 64)
		}
		return s
	}
	return ""
}

func TestHardValuesInCSV(t *testing.T) {
	f := started(t, hard)
	_, content := f.export(Order{Kind: TableExport, Table: "hard"})
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(rows) != len(hardValues())+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	eachHard(func(row int, columns map[string]bool, v sqlite.Value) {
		for i, column := range rows[0][1:] {
			want := ""
			if columns[column] {
				// encoding/csv turns CR LF into LF, also in quotes.
				want = strings.ReplaceAll(hardText(column, v), "\r\n", "\n")
			}
			if got := rows[row+1][i+1]; got != want && !equalReals(got, want) {
				t.Errorf("row %d, %s is %q, want %q", row+1, column, got, want)
			}
		}
	})
}

func equalReals(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && strings.ContainsAny(a, ".e") && math.Float64bits(x) == math.Float64bits(y)
}

// TestLineEndsInCSV lets the shell import what encoding/csv cannot tell apart.
func TestLineEndsInCSV(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	f := started(t, hard)
	_, content := f.export(Order{Kind: TableExport, Table: "hard", Selection: projectdb.Selection{
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

func TestHardValuesInJSON(t *testing.T) {
	f := started(t, hard)
	for _, name := range []string{"json", "ndjson"} {
		m, content := f.export(Order{Kind: TableExport, Table: "hard", Format: name})
		checkHardObjects(t, name, content)
		// Infinities and the invalid text, each in two columns.
		if m.Tables[0].Replaced != 6 {
			t.Errorf("%s: %d values were replaced", name, m.Tables[0].Replaced)
		}
	}
	_, content := f.export(Order{Kind: DatabaseExport, Format: "zip-ndjson"})
	checkHardObjects(t, "zip-ndjson", []byte(unzip(t, content)["hard.ndjson"]))
	_, content = f.export(Order{Kind: DatabaseExport, Format: "archive"})
	checkHardObjects(t, "archive", []byte(unzip(t, content)["ndjson/hard.ndjson"]))
}

func checkHardObjects(t *testing.T, name string, content []byte) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var rows []map[string]any
	if content[0] == '[' {
		if err := decoder.Decode(&rows); err != nil {
			t.Fatal(err)
		}
	} else {
		for {
			var row map[string]any
			if err := decoder.Decode(&row); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	if len(rows) != len(hardValues()) {
		t.Fatalf("%s has %d rows", name, len(rows))
	}
	eachHard(func(row int, columns map[string]bool, v sqlite.Value) {
		for _, column := range []string{"i", "r", "t", "b", "a"} {
			var want any
			switch text := hardText(column, v); {
			case !columns[column], v.Kind == sqlite.Null, v.Kind == sqlite.Real && math.IsInf(v.Float, 0):
			case v.Kind == sqlite.Integer, v.Kind == sqlite.Real:
				want = json.Number(text)
			default:
				want = wellFormed(text)
			}
			got := rows[row][column]
			if got == want || want != nil && got != nil && equalReals(fmt.Sprint(got), fmt.Sprint(want)) {
				continue
			}
			t.Errorf("%s: row %d, %s is %#v, want %#v", name, row+1, column, got, want)
		}
	})
}

// wellFormed replaces each byte that is not UTF-8.
func wellFormed(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func TestHardValuesInParquet(t *testing.T) {
	f := started(t, hard)
	_, table := f.export(Order{Kind: TableExport, Table: "hard", Format: "parquet"})
	_, database := f.export(Order{Kind: DatabaseExport, Format: "zip-parquet"})
	members := unzip(t, database)
	if len(members) != 2 || len(members["empty.parquet"]) == 0 {
		t.Errorf("members are %d", len(members))
	}
	for name, content := range map[string][]byte{"parquet": table, "zip-parquet": []byte(members["hard.parquet"])} {
		type row struct {
			ID *int64   `parquet:"id,optional"`
			I  *int64   `parquet:"i,optional"`
			R  *float64 `parquet:"r,optional"`
			T  *string  `parquet:"t,optional"`
			B  []byte   `parquet:"b,optional"`
			A  *string  `parquet:"a,optional"`
		}
		rows, err := parquet.Read[row](bytes.NewReader(content), int64(len(content)))
		if err != nil || len(rows) != len(hardValues()) {
			t.Fatalf("%s: %d rows, %v", name, len(rows), err)
		}
		eachHard(func(i int, columns map[string]bool, v sqlite.Value) {
			got := rows[i]
			show := func(column string, present bool, text string) {
				want := columns[column] && v.Kind != sqlite.Null
				if present != want || present && text != wellFormed(hardText(column, v)) && !equalReals(text, hardText(column, v)) {
					t.Errorf("%s: row %d, %s is %v %q, want %v %q", name, i+1, column, present, text, want, hardText(column, v))
				}
			}
			show("i", got.I != nil, fmt.Sprint(deref(got.I)))
			show("r", got.R != nil, hardText("r", sqlite.FloatValue(deref(got.R))))
			show("t", got.T != nil, deref(got.T))
			show("b", got.B != nil, base64.StdEncoding.EncodeToString(got.B))
			show("a", got.A != nil, deref(got.A))
		})
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func TestHardValuesInXLSX(t *testing.T) {
	f := started(t, hard)
	_, content := f.export(Order{Kind: TableExport, Table: "hard", Format: "xlsx"})
	book, err := excelize.OpenReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	eachHard(func(row int, columns map[string]bool, v sqlite.Value) {
		for i, column := range []string{"i", "r", "t", "b", "a"} {
			cell, _ := excelize.CoordinatesToCellName(i+2, row+2)
			got, err := book.GetCellValue("hard", cell, excelize.Options{RawCellValue: true})
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if columns[column] {
				want = wellFormed(hardText(column, v))
			}
			// XML readers turn CR into LF unless it is written as a reference.
			if got != want && !sameNumber(got, want) {
				t.Errorf("cell %s (%s) is %q, want %q", cell, column, got, want)
			}
		}
	})
}

func sameNumber(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

func TestXLSXRefusesALongText(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, small)
	long := strings.Repeat("x", format.XLSXText+1)
	row := []byte(`{"email":"long","note":"` + long + `"}`)
	if _, err := db.InsertRecord(background, "contacts", row, projectdb.InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	f.Start()
	m := f.create(Order{Kind: TableExport, Table: "contacts", Format: "xlsx"})
	got, err := f.Wait(background, shop.ID, m.ID)
	if got.Status != Failed || !strings.Contains(*got.Error, "F5") || !strings.Contains(*got.Error, "32,768") && !strings.Contains(*got.Error, "32768") {
		t.Errorf("got %s: %v", got.Status, err)
	}
	if len(f.files()) != 0 {
		t.Errorf("files are %v", f.files())
	}
}
