package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// workbook writes an Excel workbook with one sheet per list of rows.
func workbook(t testing.TB, columns []format.Column, rows ...[]sqlite.Value) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "book.xlsx")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := format.NewXLSX(f, columns, format.XLSXOptions{Sheet: "Data"})
	if err != nil {
		t.Fatal(err)
	}
	var b sqlite.Batch
	b.Reset(len(columns))
	for _, row := range rows {
		b.Append(row...)
	}
	if err := x.Rows(&b); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKindsAreRecognizedByContent(t *testing.T) {
	book, err := os.ReadFile(workbook(t, []format.Column{{Name: "a"}}, []sqlite.Value{sqlite.IntValue(1)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, content string
		want          string
	}{
		{"json", `[{"a":1},{"a":2}]`, "json"},
		{"json with white space", "\ufeff \n[\n  { \"a\" : 1 } ]", "json"},
		{"json without rows", "[]", "json"},
		{"json of numbers is still JSON", "[1,2]", "json"},
		{"ndjson", "{\"a\":1}\n{\"a\":2}\n", "ndjson"},
		{"one object", `{"a":1}`, "ndjson"},
		{"a header in brackets", "[id],[name]\n1,x\n", "csv"},
		{"a header in braces", "{id},{name}\n1,x\n", "csv"},
		{"csv", "a,b\n1,2\n", "csv"},
		{"a workbook", string(book), "xlsx"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, "wrong.csv", test.content)})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Format() != test.want {
				t.Errorf("got %s, want %s", s.Format(), test.want)
			}
		})
	}
}

func TestTypesOfFilesThatHaveThem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, values, want string }{
		{"integers", `1|-9007199254740993`, "INTEGER"},
		{"reals", `1.0|2.5`, "REAL"},
		{"numbers", `1|2.5`, "REAL"},
		{"numbers of which one is no real", `9007199254740993|2.5`, "ANY"},
		{"too large for an integer", `1|9223372036854775808`, "ANY"},
		{"texts that look like numbers", `"1"|"2"`, "TEXT"},
		{"numbers and texts", `1|"x"`, "ANY"},
		{"truth values", `true|false|null`, "INTEGER"},
		{"nothing", `null|null`, "TEXT"},
		{"lists and objects", `[1, 2]|{"x": 1}`, "TEXT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var array, lines []string
			for _, v := range strings.Split(test.values, "|") {
				array, lines = append(array, `{"v":`+v+`}`), append(lines, `{"v":`+v+"}\n")
			}
			for file, content := range map[string]string{"x.json": "[" + strings.Join(array, ",") + "]", "x.ndjson": strings.Join(lines, "")} {
				if got := types(newProject(t).mustTake(t, write(t, file, content))); got != "v "+test.want {
					t.Errorf("%s: %s, want %s", file, got, test.want)
				}
			}
		})
	}
}

func TestRowsOfJSONThatLackKeys(t *testing.T) {
	p := newProject(t)
	p.mustTake(t, write(t, "x.json", `[{"a":1},{"b":"x","a":2},{}]`))
	if got := shell(t, p.path, ".nullvalue NULL\nSELECT * FROM x;\n"); got != "1|NULL\n2|x\nNULL|NULL\n" {
		t.Errorf("got %s", got)
	}
}

func TestRowsWithoutColumns(t *testing.T) {
	t.Parallel()
	for _, options := range []Options{{}, {Target: Target{Table: "person", Mode: Append}}} {
		p := newProject(t)
		p.mustTake(t, database(t, people))
		if _, err := p.take(write(t, "x.json", "[{},{}]"), options); err == nil || !strings.Contains(err.Error(), "file: The rows of x have no columns.") {
			t.Errorf("got %v", err)
		}
	}
}

func TestJSONIntoATableThatIsThere(t *testing.T) {
	p := newProject(t)
	p.mustTake(t, database(t, people))
	path := write(t, "x.json", `[{"id":9,"name":"Jo","age":"41","score":"1e2","photo":"AP8="},{"id":10,"name":7,"age":true}, {"id":11,"name":"x","age":1.5}]`)
	report, err := p.take(path, Options{Target: Target{Table: "person", Mode: Append}, OnError: Skip})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"3|age|1.5|The column holds integers, but the number is not one."}, rejected(report.Rejects)); diff != "" {
		t.Error(diff)
	}
	if got := shell(t, p.path, "SELECT id, typeof(name), name, typeof(age), age, score, hex(photo) FROM person WHERE id > 8;\n"); got != "9|text|Jo|integer|41|100.0|00FF\n10|text|7|integer|1||\n" {
		t.Errorf("got %s", got)
	}
}

func TestWorkbookWithoutSheets(t *testing.T) {
	book, err := excelize.OpenFile(workbook(t, []format.Column{{Name: "a"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	book.WorkBook.Sheets.Sheet = nil
	path := filepath.Join(t.TempDir(), "none.xlsx")
	if err := book.SaveAs(path); err != nil {
		t.Fatal(err)
	}
	if _, err := newProject(t).take(path, Options{}); err == nil || !strings.Contains(err.Error(), "file: The file contains no table.") {
		t.Errorf("got %v", err)
	}
}

func TestSheets(t *testing.T) {
	path := workbook(t, []format.Column{{Name: "day"}, {Name: "n"}},
		[]sqlite.Value{sqlite.TextValue("2024-01-31"), sqlite.IntValue(1)},
		[]sqlite.Value{sqlite.TextValue("n/a"), sqlite.FloatValue(2.5)})
	p := newProject(t)
	report, err := p.take(path, Options{NullTexts: []string{"n/a"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := types(report); report.Tables[0].Name != "book" || got != "day TEXT, n REAL" {
		t.Errorf("table %s: %s", report.Tables[0].Name, got)
	}
	if got := shell(t, p.path, ".nullvalue NULL\nSELECT * FROM book;\n"); got != "2024-01-31|1.0\nNULL|2.5\n" {
		t.Errorf("rows: %s", got)
	}
	report, err = p.take(path, Options{Sheet: "data", Target: Target{ReadOptions: format.ReadOptions{Header: new(false)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := types(report); report.Tables[0].Name != "Data" || got != "A TEXT, B ANY" {
		t.Errorf("table %s: %s", report.Tables[0].Name, got)
	}
	other := write(t, "other.csv", "a\n1\n")
	if _, err = p.take(other, Options{Sheet: "Data"}); err == nil || !strings.Contains(err.Error(), "not an Excel workbook") {
		t.Errorf("got %v", err)
	}
	if _, err = p.take(path, Options{Sheet: "Dta"}); err == nil || !strings.Contains(err.Error(), `Did you mean "Data"?`) {
		t.Errorf("got %v", err)
	}
}

func TestPreviewSaysWhatALoadWouldDo(t *testing.T) {
	p := newProject(t)
	p.mustTake(t, database(t, people))
	path := write(t, "more people.csv", "id;name;age\n3;Cy;7\n4;Di;x\n")
	for _, test := range []struct {
		name string
		o    Options
		db   bool
		want string
	}{
		{"a new table", Options{}, true, `{"source":"more people.csv","kind":"csv","dialect":{"encoding":"utf-8","bom":false,"delimiter":";","quote":"\"","header":true,"line_end":"lf"},` +
			`"tables":[{"source":"more people","name":"more_people","mode":"create","rows":2,"columns":[` +
			`{"source":"id","name":"id","declared_type":"","type":"INTEGER","reason":"all values are whole numbers","decisive":"3","line":2},` +
			`{"source":"name","name":"name","declared_type":"","type":"TEXT","reason":"a value is not a number in the form that exports write: \"Cy\"","decisive":"Cy","line":2},` +
			`{"source":"age","name":"age","declared_type":"","type":"TEXT","reason":"a value is not a number in the form that exports write: \"x\"","decisive":"x","line":3}],` +
			`"sample":[[3,"Cy","7"],[4,"Di","x"]]}],"notes":[],"rejected_rows":0}`},
		{"a table that is there", Options{Target: Target{Table: "PERSON", Mode: Append}}, true, `{"source":"more people.csv","kind":"csv","dialect":{"encoding":"utf-8","bom":false,"delimiter":";","quote":"\"","header":true,"line_end":"lf"},` +
			`"tables":[{"source":"more people","name":"person","mode":"append","rows":2,"columns":[` +
			`{"source":"id","name":"id","declared_type":"","type":"INTEGER"},{"source":"name","name":"name","declared_type":"","type":"TEXT"},{"source":"age","name":"age","declared_type":"","type":"INTEGER"}],` +
			`"sample":[[3,"Cy",7],[4,"Di","x"]]}],"notes":[],"rejected_rows":1,` +
			`"rejects":[{"table":"more people","line":3,"column":"age","value":"x","reason":"The column holds numbers, but the text is not one."}]}`},
		{"a new project", Options{Target: Target{Skip: []string{"id", "name"}, Types: map[string]string{"age": "ANY"}}}, false, `{"source":"more people.csv","kind":"csv","dialect":{"encoding":"utf-8","bom":false,"delimiter":";","quote":"\"","header":true,"line_end":"lf"},` +
			`"tables":[{"source":"more people","name":"more_people","mode":"create","rows":2,"columns":[` +
			`{"source":"age","name":"age","declared_type":"","type":"ANY","reason":"it was asked for"}],` +
			`"sample":[[7],["x"]]}],"notes":[],"rejected_rows":0}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			db := p.DB
			if !test.db {
				db = nil
			}
			preview, err := s.Preview(t.Context(), db, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if preview.SHA256 != s.SHA256() {
				t.Errorf("SHA-256 %s", preview.SHA256)
			}
			out, err := json.Marshal(preview)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Replace(string(out), `"sha256":"`+preview.SHA256+`",`, "", 1)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if tables, err := p.Tables(t.Context()); err != nil || len(tables) != 2 {
		t.Errorf("a preview has made tables: %v, %v", tables, err)
	}
	s, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, "team.csv", "id,name\n1,x\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Preview(t.Context(), p.DB, Options{}); !problem.Is(err, problem.CodeConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestAnImportStopsWithinASecond(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	n := testkit.Scale[int64](400_000, 2_000_000)
	for i := range n {
		fmt.Fprintf(&rows, "%d,x,y\n", i)
	}
	path := write(t, "x.csv", "a,b,c\n"+rows.String())
	for _, stopAt := range []int64{1000, n / 2, n} {
		p := newProject(t)
		s, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var stopped time.Time
		s.progress = func(p Progress) {
			if p.Rows >= stopAt && stopped.IsZero() && (p.Bytes > p.Size/2 || stopAt == 1000) {
				stopped = time.Now()
				cancel()
			}
		}
		_, err = s.Load(ctx, p.DB, Options{})
		if took := time.Since(stopped); err != context.Canceled || took > testkit.Slack {
			t.Errorf("stopped at row %d after %s with %v", stopAt, took, err)
		}
		if tables, err := p.Tables(t.Context()); err != nil || len(tables) != 0 {
			t.Errorf("tables: %v, %v", tables, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// brokenRows panics when it is read.
type brokenRows struct{ source.Rows }

func (brokenRows) Columns() []format.Column      { return []format.Column{{Name: "a", Type: "INTEGER"}} }
func (brokenRows) Next() ([]sqlite.Value, error) { panic("a fault of ours") }
func (brokenRows) Close() error                  { return nil }

func TestAPanicInTheReaderFailsTheImportOnly(t *testing.T) {
	p := newProject(t)
	p.mustTake(t, write(t, "x.csv", "a\n1\n"))
	broken := source.Table{Name: "x", Open: func(context.Context) (source.Rows, error) { return brokenRows{}, nil }}
	load := &tableLoad{unchanged: func() error { return nil }, mappings: []tableMapping{{Table: broken, target: Target{Mode: Append}}}}
	if err := load.load(t.Context(), func(fill func(*projectdb.Loader) error) error { return p.Load(t.Context(), fill) }, &Report{}); err == nil || !strings.Contains(err.Error(), "a fault of ours") {
		t.Errorf("got %v", err)
	}
}

func TestHugeCells(t *testing.T) {
	t.Parallel()
	cell := strings.Repeat("ä", 5<<20)
	for file, content := range map[string]string{"x.csv": "a,b\n1,\"" + cell + "\"\n2,\n", "x.json": `[{"a":1,"b":"` + cell + `"}]`} {
		p := newProject(t)
		p.mustTake(t, write(t, file, content))
		if got := shell(t, p.path, "SELECT length(b), b = replace(hex(zeroblob(5242880/2)), '00', 'ä') || replace(hex(zeroblob(5242880/2)), '00', 'ä') FROM x WHERE a = 1;\n"); got != "5242880|1\n" {
			t.Errorf("%s: %s", file, got)
		}
	}
	for file, content := range map[string]string{
		"x.csv":  "a,b\n1,\"" + strings.Repeat("x", 70<<20),
		"x.json": `[{"a":"` + strings.Repeat("x", 80<<20),
	} {
		if _, err := newProject(t).take(write(t, file, content), Options{}); !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestTooManyColumns(t *testing.T) {
	t.Parallel()
	names := make([]string, 2001)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	wide := func(n int, join, end string) string { return strings.Join(names[:n], join) + end }
	for _, test := range []struct {
		file, content string
		refused       bool
	}{
		{"x.csv", wide(2000, ",", "\n") + strings.Repeat("1,", 1999) + "1\n", false},
		{"x.csv", wide(2001, ",", "\n"), true},
		{"x.json", `[{"` + wide(2000, `":1,"`, `":1}]`), false},
		{"x.json", `[{"` + wide(2001, `":1,"`, `":1}]`), true},
	} {
		report, err := newProject(t).take(write(t, test.file, test.content), Options{})
		if refused := problem.Is(err, problem.CodeValidationFailed); refused != test.refused || err == nil && len(report.Tables[0].Columns) != 2000 {
			t.Errorf("%s: %v", test.file, err)
		}
	}
}
