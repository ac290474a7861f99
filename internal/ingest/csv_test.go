package ingest

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// exported returns a table as CSV, written by our own writer.
func exported(t testing.TB, p project, table string) string {
	t.Helper()
	shape, err := p.Table(context.Background(), table)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.OpenFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var columns []format.Column
	var names []string
	for _, column := range shape.Columns {
		columns = append(columns, format.Column{Name: column.Name, Type: column.Type})
		names = append(names, column.Name)
	}
	encoder := format.NewCSV(columns, format.DefaultDialect())
	rows, err := c.Scan(selectSQL(shape.Name, "", names))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := encoder.Head(nil)
	err = eachBatch(context.Background(), rows, func(b *sqlite.Batch) error {
		out = encoder.Rows(out, b, false)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func types(r Report) string {
	var list []string
	for _, column := range r.Tables[0].Columns {
		list = append(list, column.Name+" "+column.Type)
	}
	return strings.Join(list, ", ")
}

func TestCSVTypesAreThoseThatRoundTrip(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, values, want string }{
		{"whole numbers", "1|-1|0|9223372036854775807|-9223372036854775808", "INTEGER"},
		{"beyond 64 bits", "1|9223372036854775808", "TEXT"},
		{"leading zero", "007|12", "TEXT"},
		{"plus sign", "+1", "TEXT"},
		{"minus zero", "-0", "TEXT"},
		{"reals", "1.5|-0.1|1e+21|2.0|1e-07", "REAL"},
		{"other exponent", "1E5|1e5", "TEXT"},
		{"negative zero, whose sign a REAL column forgets", "-0.0", "TEXT"},
		{"infinities among reals", "1.5|Infinity|-Infinity", "REAL"},
		{"infinity alone may be a word", "Infinity", "TEXT"},
		{"not a number", "NaN|1.5", "TEXT"},
		{"nulls do not count", "1||3", "INTEGER"},
		{"only nulls", "|", "TEXT"},
		{"an empty text among texts", "x|\"\"", "TEXT"},
		{"quotes do not matter", "\"1\"|2", "INTEGER"},
		{"hexadecimal and underscores", "0x10|1_000", "TEXT"},
		{"spaces", " 1|2", "TEXT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			lines := "id,value\n"
			for i, value := range strings.Split(test.values, "|") {
				lines += fmt.Sprintf("x%d,%s\n", i, value)
			}
			path := write(t, "t.csv", lines)
			report := p.mustTake(t, path)
			if got := report.Tables[0].Columns[1].Type; got != test.want {
				t.Errorf("type is %s, want %s (%s)", got, test.want, report.Tables[0].Columns[1].Reason)
			}
			want := strings.ReplaceAll(lines, "\"1\"", "1")
			want = strings.ReplaceAll(want, ", 1", ",\" 1\"") // our writer guards spaces with quotes
			if got := exported(t, p, "t"); got != want {
				t.Errorf("exported again:\n%s", cmp.Diff(want, got))
			}
		})
	}
}

// TestCSVNumbersInOtherForms has numbers that come in as such though an export writes
// them in another way, unless the options say that the file is an export.
func TestCSVNumbersInOtherForms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, values, want, exported string }{
		{"prices", "9.90|10.00|100.5|7|0.00", "REAL", "9.9|10.0|100.5|7.0|0.0"},
		{"trailing zeros", "1.50", "REAL", "1.5"},
		{"too large for a REAL", "9007199254740993|1.5", "TEXT", "9007199254740993|1.5"},
		{"too many digits", "1.5|3.14159265358979323", "TEXT", "1.5|3.14159265358979323"},
		{"a sign of zero", "1.5|-0.00", "TEXT", "1.5|-0.00"},
		{"a leading zero", "1.5|01.50", "TEXT", "1.5|01.50"},
		{"an empty text among numbers", "\"1\"|\"\"", "INTEGER", "1|"},
		{"only empty texts", "\"\"|\"\"", "TEXT", "\"\"|\"\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := func(values string) string {
				text := "id,value\n"
				for i, value := range strings.Split(values, "|") {
					text += fmt.Sprintf("x%d,%s\n", i, value)
				}
				return text
			}
			p := newProject(t)
			path := write(t, "t.csv", lines(test.values))
			report := p.mustTake(t, path)
			if got := report.Tables[0].Columns[1]; got.Type != test.want {
				t.Errorf("type is %s, want %s (%s)", got.Type, test.want, got.Reason)
			}
			if got := exported(t, p, "t"); got != lines(test.exported) {
				t.Errorf("exported again: %s", got)
			}
			if told := strings.Contains(strings.Join(texts(report.Notes), "\n"), "types to TEXT"); told != (test.want == "REAL") {
				t.Errorf("notes: %v", report.Notes)
			}
			p = newProject(t)
			if _, err := p.take(path, Options{Target: Target{ReadOptions: format.ReadOptions{Profile: "lossless"}}}); err != nil {
				t.Fatal(err)
			}
			if got := exported(t, p, "t"); got != strings.ReplaceAll(lines(test.values), "\"1\"", "1") {
				t.Errorf("an export comes back as %s", got)
			}
		})
	}
}

func TestCSVSampleFilesComeInAndGoOutUnchanged(t *testing.T) {
	for _, name := range []string{"tweets.csv", "police-deaths.csv"} {
		t.Run(name, func(t *testing.T) {
			path := testData(t, name)
			p := newProject(t)
			report := p.mustTake(t, path)
			original, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, got := records(t, string(original)), records(t, exported(t, p, report.Tables[0].Name))
			if diff := cmp.Diff(want[1:], got[1:]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func records(t testing.TB, content string) [][]string {
	t.Helper()
	out, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCSVNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file, content string
		options       Options
		table, want   string
		notes         []string
	}{
		{"people.csv", "name,age\nAda,36\n", Options{}, "people", "name TEXT, age INTEGER", nil},
		{"my data (2).csv", "name,age\nAda,36\n", Options{}, "my_data_2", "name TEXT, age INTEGER", nil},
		{"2024.csv", "name,age\nAda,36\n", Options{Target: Target{Table: "years"}}, "years", "name TEXT, age INTEGER", nil},
		{"2024.csv", "1,2\n3,4\n", Options{}, "table_2024", "column_1 INTEGER, column_2 INTEGER", nil},
		{"x.csv", "First name,first name,ID\na,b,c\n", Options{Target: Target{ReadOptions: format.ReadOptions{Header: new(true)}}}, "x", "First_name TEXT, first_name_2 TEXT, ID TEXT", []string{
			"column First name: The name is empty, not allowed here or used twice; the column is now named First_name.",
			"column first name: The name is empty, not allowed here or used twice; the column is now named first_name_2.",
		}},
		{"x.csv", "a,,a\n1,2,3\n", Options{Target: Target{ReadOptions: format.ReadOptions{Header: new(true)}}}, "x", "a INTEGER, column_2 INTEGER, a_2 INTEGER", []string{
			"column number 2: The name is empty, not allowed here or used twice; the column is now named column_2.",
			"column a: The name is empty, not allowed here or used twice; the column is now named a_2.",
		}},
		{"x.csv", "name,age\n", Options{}, "x", "name TEXT, age TEXT", nil},
	} {
		t.Run(test.file+" "+test.table, func(t *testing.T) {
			p := newProject(t)
			report, err := p.take(write(t, test.file, test.content), test.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := report.Tables[0].Name; got != test.table {
				t.Errorf("table %q, want %q", got, test.table)
			}
			if got := types(report); got != test.want {
				t.Errorf("columns %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(append([]string{}, test.notes...), texts(report.Notes)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCSVNullAndEmptyText(t *testing.T) {
	p := newProject(t)
	content := "id,note\nx,\ny,\"\"\nz,\"a\r\nb\"\n"
	p.mustTake(t, write(t, "n.csv", content))
	if got := exported(t, p, "n"); got != content {
		t.Errorf("got %q", got)
	}
}

func TestCSVKeepsBytesThatAreNotUTF8(t *testing.T) {
	p := newProject(t)
	content := "id,naïve\nx,caf\xe9\ny,über\nz,ßßß\n"
	report := p.mustTake(t, write(t, "n.csv", content))
	if got := exported(t, p, "n"); !strings.Contains(got, "x,caf\xe9\n") {
		t.Errorf("got %q", got)
	}
	want := []string{
		"column naïve: The name is empty, not allowed here or used twice; the column is now named naive.",
		"file: 1 field has bytes that are not UTF-8. They are kept as they are.",
	}
	if diff := cmp.Diff(want, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
}

// TestCSVKeepsNULs reads what exports write: a NUL is not a fault if the options say how
// to read the file.
func TestCSVKeepsNULs(t *testing.T) {
	const content = "id,x\n1,nul \x00 here\n"
	path := write(t, "n.csv", content)
	p := newProject(t)
	if _, err := p.take(path, Options{}); err == nil || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("got %v", err)
	}
	dialect := format.DefaultDialect().ReadOptions()
	if _, err := p.take(path, Options{Target: Target{ReadOptions: dialect}}); err != nil {
		t.Fatal(err)
	}
	if got := exported(t, p, "n"); got != content {
		t.Errorf("got %q", got)
	}
}

func TestCSVBadRowsAreNamedAndNothingIsImported(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, content, want string }{
		{"too long", "a,b\n1,2\n1,2,3\n", "Line 3: The row has 3 fields, but there are 2 columns. Set ragged to pad_names to have as many columns as the longest row has fields."},
		{"too long twice", "a,b\n1,2\n1,2,3\n\"x\ny\",2\n3,4,5\n", "2 rows cannot be imported, so nothing was. The first: Line 3: The row has 3 fields, but there are 2 columns."},
		{"unclosed quote", "a,b\n1,\"2\n", "Line 2, column 3: the quote that opens here is never closed."},
		{"NUL", "a,b\n" + strings.Repeat("1,2\n", 100_000) + "1,x\x00y\n", "Line 100002, column b: The value contains a NUL character."},
		{"empty", "", "The file is empty."},
		{"only blank lines", "\n\n", "The file contains only empty lines."},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			_, err := p.take(write(t, "x.csv", test.content), Options{})
			if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if tables, _ := p.Tables(context.Background()); len(tables) != 0 {
				t.Errorf("tables were made: %v", tables)
			}
		})
	}
}

func TestCSVUnderATakenNameIsAConflict(t *testing.T) {
	p := newProject(t)
	path := write(t, "people.csv", "name,age\nAda,36\n")
	p.mustTake(t, path)
	_, err := p.take(path, Options{})
	if !problem.Is(err, problem.CodeConflict) || !strings.Contains(err.Error(), "people") {
		t.Fatalf("got %v", err)
	}
	if _, err := p.take(path, Options{Target: Target{Table: "no good"}}); !problem.Is(err, problem.CodeValidationFailed) {
		t.Fatalf("got %v", err)
	}
}

func TestCSVThatChangesBetweenTheReadingsIsRefused(t *testing.T) {
	p := newProject(t)
	path := write(t, "x.csv", "a,b\n1,2\n")
	source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("a,b\n1,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Load(context.Background(), p.DB, Options{}); !problem.Is(err, problem.CodeValidationFailed) {
		t.Fatalf("got %v", err)
	}
}

func TestWhatIsNoDatabaseAndNoTextIsRefused(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"jpeg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00" + strings.Repeat("\x00\x01", 99), "JPEG"},
		{"zip", "PK\x03\x04abcdefghijkl", "ZIP"},
		{"NUL", "a,b\nc\x00,d\n", "NUL"},
		{"binary", strings.Repeat("\x01\x02\x80\xff\x07\x03", 500), "not CSV text"},
		{"HTML", "\ufeff\n<!DOCTYPE html>\n<html><title>Not found, sorry</title></html>\n", "HTML page"},
		{"HTML without a type", "<html lang=en>\n", "HTML page"},
		{"XML", "<?xml version=\"1.0\"?>\n<rows><row a='1'/></rows>\n", "XML document"},
		{"SQLite header only", format.SQLiteMagic, "SQLite"},
		{"SQLite header and noise", format.SQLiteMagic + strings.Repeat("\x93\x11noise", 2000), "SQLite"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, "x", test.content)})
			if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
		})
	}
	if _, err := Open(t.Context(), source.Opening{Workers: workers, Path: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(t.Context(), source.Opening{Workers: workers, Path: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "not exist") {
		t.Errorf("no file: %v", err)
	}
}

func TestCSVDialectsAreDetectedAndOverridden(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		dialect       format.ReadOptions
		want          string // as exported
		note          string
	}{
		{"semicolons", "a;b\n1;x,y\n2;z\n", format.ReadOptions{}, "a,b\n1,\"x,y\"\n2,z\n", ""},
		{"tabs and CRLF", "a\tb\r\n1\tx\r\n2\t\r\n", format.ReadOptions{}, "a,b\n1,x\n2,\n", ""},
		{"UTF-16", "\xff\xfea\x00,\x00b\x00\n\x00\xe9\x00,\x001\x00\n\x00", format.ReadOptions{}, "a,b\né,1\n", "utf-16le"},
		{"UTF-16 with half a pair", "\xfe\xff\x00a\x00,\x00b\x00\n\xd8\x00\x00x\x00,\x001\x00\n", format.ReadOptions{}, "a,b\n\ufffdx,1\n", "file: 1 field has bytes that are not UTF-16BE. Each of them is now U+FFFD."},
		{"UTF-8 with a byte of another encoding", "é,b\nü,1\n\xfc,2\n", format.ReadOptions{}, "e,b\nü,1\n\xfc,2\n", "file: 1 field has bytes that are not UTF-8. They are kept as they are."},
		{"Windows-1252", "a,b\ncaf\xe9,1\n\x80,2\n", format.ReadOptions{}, "a,b\ncafé,1\n€,2\n", "windows-1252"},
		{"no header though it looks like one", "a,b\nc,d\n", format.ReadOptions{Header: new(false)}, "column_1,column_2\na,b\nc,d\n", ""},
		{"another delimiter than the likely one", "a:b,c\n1:2,3\n", format.ReadOptions{Delimiter: ":", Header: new(true)}, "a,b_c\n1,\"2,3\"\n", ""},
		{"a text for NULL", "a,b\n1,\\N\n2,\n", format.ReadOptions{NullText: new(`\N`)}, "a,b\n1,\n2,\"\"\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			report, err := p.take(write(t, "x.csv", test.content), Options{Target: Target{ReadOptions: test.dialect}})
			if err != nil {
				t.Fatal(err)
			}
			if got := exported(t, p, "x"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if notes := strings.Join(texts(report.Notes), "\n"); !strings.Contains(notes, test.note) {
				t.Errorf("notes: %s", notes)
			}
		})
	}
}

// TestLateRowsHaveTheirSay has values beyond the sample that contradict the types
// guessed from it. The report matches that of a preview, which reads everything first,
// and an export reproduces the file.
func TestLateRowsHaveTheirSay(t *testing.T) {
	t.Parallel()
	const rows = guessRows + 5000
	line := func(i int) string { return fmt.Sprintf("%d,%d.5,,%d\n", i, i, i%7) }
	for _, test := range []struct {
		name    string
		at      int    // index of the row to replace
		row     string // the replacement
		options Options
		want    string
		lost    int64
	}{
		{"none", 0, line(0), Options{}, "a INTEGER, b REAL, c TEXT, d INTEGER", 0},
		{"a text", rows - 1, "x,1.5,,3\n", Options{}, "a TEXT, b REAL, c TEXT, d INTEGER", 0},
		{"a text right behind", guessRows, "x,1.5,,3\n", Options{}, "a TEXT, b REAL, c TEXT, d INTEGER", 0},
		{"a text right before", guessRows - 1, "x,1.5,,3\n", Options{}, "a TEXT, b REAL, c TEXT, d INTEGER", 0},
		{"a number where there was none", guessRows + 100, "1,1.5,7,3\n", Options{}, "a INTEGER, b REAL, c INTEGER, d INTEGER", 0},
		{"several", guessRows + 100, "+1,+2,x,007\n", Options{}, "a TEXT, b TEXT, c TEXT, d TEXT", 0},
		{"a row of another length", guessRows + 100, "x,x,x,x,x\n", Options{OnError: Skip}, "a INTEGER, b REAL, c TEXT, d INTEGER", 1},
		{"told", guessRows + 100, "x,1.5,,3\n", Options{Target: Target{Types: map[string]string{"a": "ANY", "b": "REAL", "c": "TEXT", "d": "INTEGER"}}}, "a ANY, b REAL, c TEXT, d INTEGER", 0},
		{"told in part", guessRows + 100, "1,+2,,3\n", Options{Target: Target{Types: map[string]string{"a": "INTEGER"}}}, "a INTEGER, b TEXT, c TEXT, d INTEGER", 0},
		{"left out", guessRows + 100, "x,1.5,,3\n", Options{Target: Target{Skip: []string{"a"}}}, "b REAL, c TEXT, d INTEGER", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var content strings.Builder
			content.WriteString("a,b,c,d\n")
			for i := range rows {
				if i == test.at {
					content.WriteString(test.row)
				} else {
					content.WriteString(line(i))
				}
			}
			p := newProject(t)
			source, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, "x.csv", content.String())})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			preview, err := source.Preview(t.Context(), p.DB, test.options)
			if err != nil {
				t.Fatal(err)
			}
			report, err := source.Load(t.Context(), p.DB, test.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := types(report); got != test.want {
				t.Errorf("types %s, want %s", got, test.want)
			}
			if diff := cmp.Diff(preview.Tables[0].Columns, report.Tables[0].Columns); diff != "" {
				t.Errorf("the preview says another thing: %s", diff)
			}
			if r := report.Tables[0]; report.RejectedRows != test.lost || r.Rejected != test.lost || r.Rows != rows-test.lost {
				t.Errorf("%+v", report)
			}
			if want := content.String(); test.lost == 0 && len(test.options.Target.Skip) == 0 && exported(t, p, "x") != want {
				t.Error("an export is another file")
			}
		})
	}
}

func TestLateValuesOfJSON(t *testing.T) {
	content := strings.Repeat("{\"a\":1,\"b\":2}\n", guessRows+10) + "{\"a\":1.5,\"b\":\"x\"}\n"
	p := newProject(t)
	if got := types(p.mustTake(t, write(t, "x.ndjson", content))); got != "a REAL, b ANY" {
		t.Error(got)
	}
	if got := shell(t, p.path, "SELECT typeof(a), typeof(b), count(*) FROM x GROUP BY 1, 2 ORDER BY 3;\n"); got != fmt.Sprintf("real|text|1\nreal|integer|%d\n", guessRows+10) {
		t.Error(got)
	}
}
