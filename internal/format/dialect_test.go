package format

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
)

// dialect draws any valid dialect. The texts for NULL include ones that base64 and texts
// can produce.
func dialect() *rapid.Generator[Dialect] {
	return rapid.Custom(func(t *rapid.T) Dialect {
		return Dialect{
			Delimiter:    rapid.SampledFrom([]string{",", ";", "\t", "|"}).Draw(t, "delimiter"),
			Header:       rapid.Bool().Draw(t, "header"),
			BOM:          rapid.Bool().Draw(t, "bom"),
			NullText:     rapid.SampledFrom([]string{"", "", `\N`, "NULL", "-", "=", "+AA=", "é"}).Draw(t, "null text"),
			LineEnding:   rapid.SampledFrom([]LineEnd{LF, CRLF}).Draw(t, "line ending"),
			Quote:        rapid.SampledFrom([]Quoting{QuoteMinimal, QuoteAll}).Draw(t, "quote"),
			FormulaGuard: rapid.Bool().Draw(t, "formula guard"),
		}
	})
}

// trickyText draws texts that dialects must distinguish.
func trickyText() *rapid.Generator[string] {
	return rapid.OneOf(text(), rapid.SampledFrom([]string{
		"", `\N`, "NULL", "-", "=", "+AA=", "é", "'", "''", "'-", "''=", "=1+1", "'=1+1", "+1", "-1", "@a", "\tx", "\rx", "'\t", "a=b", `="x"`,
	}))
}

func trickyRows(t *rapid.T, width int) [][]sqlite.Value {
	cell := rapid.OneOf(value(), rapid.Map(trickyText(), sqlite.TextValue), rapid.Just(sqlite.BlobValue([]byte("\xf8\x00"))), rapid.Just(sqlite.BlobValue([]byte("5\x42\xcb"))))
	return rapid.SliceOfN(rapid.SliceOfN(cell, width, width), 0, 20).Draw(t, "rows")
}

func TestEachDialectRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(t, "width")
		rows := trickyRows(t, width)
		names := rapid.SliceOfN(trickyText(), width, width).Draw(t, "names")
		d := dialect().Draw(t, "dialect")
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		file := encode(NewCSV(columns(names...), d), batch(width, rows...))
		r, err := NewCSVReader(iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(file))), d.Reading())
		if err != nil {
			t.Fatalf("%v in %q", err, file)
		}
		if d.Header && fmt.Sprint(r.Header()) != fmt.Sprint(names) {
			t.Fatalf("header %q, want %q", r.Header(), names)
		}
		r.buf = append(make([]byte, 0, len(r.buf[:r.end])+rapid.IntRange(1, 64).Draw(t, "buffer")), r.buf[:r.end]...)
		r.buf = r.buf[:cap(r.buf)]
		for i, row := range rows {
			fields, err := r.Read()
			if err != nil || len(fields) != width {
				t.Fatalf("row %d: %v, %v in %q", i, fields, err, file)
			}
			for j, v := range row {
				want, null := asField(v)
				if f := fields[j]; f.Null != null || !null && string(f.Bytes) != want {
					t.Fatalf("row %d, field %d: %q (null %v), want %q (null %v) in %q", i, j, f.Bytes, f.Null, want, null, file)
				}
			}
		}
		if extra, err := r.Read(); err != io.EOF {
			t.Fatalf("after the last row: %v, %v in %q", extra, err, file)
		}
	})
}

// guarded is an independent version of what the formula guard does to a text.
func guarded(s string) string {
	rest := strings.TrimLeft(s, "'")
	if rest != "" && strings.Contains("=+-@\t\r", rest[:1]) {
		return "'" + s
	}
	return s
}

// encoding/csv drops the CR of a CRLF inside quotes and skips empty lines, so the rows
// have neither.
func TestEachDialectIsReadByEncodingCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(2, 5).Draw(t, "width")
		rows := trickyRows(t, width)
		d := dialect().Draw(t, "dialect")
		d.Header = false
		var want [][]string
		for _, row := range rows {
			record := make([]string, width)
			for i, v := range row {
				if v.Kind == sqlite.Text {
					row[i] = sqlite.TextValue(strings.ReplaceAll(string(v.Bytes), "\r", ""))
				}
				text, null := asField(row[i])
				switch {
				case null:
					text = d.NullText
				case d.FormulaGuard && (v.Kind == sqlite.Text || v.Kind == sqlite.Blob):
					text = guarded(text)
				}
				record[i] = text
			}
			want = append(want, record)
		}
		file := encode(NewCSV(make([]Column, width), d), batch(width, rows...))
		oracle := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(file), "\ufeff")))
		oracle.Comma = rune(d.Delimiter[0])
		got, err := oracle.ReadAll()
		if err != nil {
			t.Fatalf("encoding/csv: %v in %q", err, file)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("encoding/csv read %q from %q, want %q", got, file, want)
		}
	})
}

func TestProfiles(t *testing.T) {
	rows := batch(7, []sqlite.Value{
		{}, sqlite.TextValue(""), sqlite.TextValue("=1+1"), sqlite.TextValue("'-x"), sqlite.IntValue(-5), sqlite.FloatValue(-1.5), sqlite.TextValue(`\N`),
	})
	for profile, want := range map[string]string{
		"lossless": "a,b,c,d,e,f,-g\n" + `,"",=1+1,'-x,-5,-1.5,\N` + "\n",
		"postgres": "a,b,c,d,e,f,-g\n" + `,"",=1+1,'-x,-5,-1.5,\N` + "\n",
		"excel":    "\ufeffa,b,c,d,e,f,'-g\r\n" + `,"",'=1+1,''-x,-5,-1.5,\N` + "\r\n",
		"excel-eu": "\ufeffa;b;c;d;e;f;'-g\r\n" + `;"";'=1+1;''-x;-5;-1.5;\N` + "\r\n",
		"bigquery": "a,b,c,d,e,f,-g\n" + `\N,"",=1+1,'-x,-5,-1.5,"\N"` + "\n",
		"duckdb":   "a,b,c,d,e,f,-g\n" + `\N,"",=1+1,'-x,-5,-1.5,"\N"` + "\n",
	} {
		d, err := Profile(profile)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		if got := string(encode(NewCSV(columns("a", "b", "c", "d", "e", "f", "-g"), d), rows)); got != want {
			t.Errorf("%s wrote %q, want %q", profile, got, want)
		}
	}
	if _, err := Profile("lotus"); err == nil || !strings.Contains(err.Error(), strings.Join(Profiles(), ", ")) {
		t.Errorf("an unknown profile gave %v, want a fault that lists all", err)
	}
	for _, name := range Profiles() {
		if _, err := Profile(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if lossless, _ := Profile("lossless"); lossless != DefaultDialect() {
		t.Errorf("lossless is %+v, not the default", lossless)
	}
}

func TestQuoteAll(t *testing.T) {
	d := DefaultDialect()
	d.Quote, d.NullText = QuoteAll, "NULL"
	got := string(encode(NewCSV(columns("a", "b", "c", "d"), d),
		batch(4, []sqlite.Value{{}, sqlite.IntValue(1), sqlite.FloatValue(math.Inf(-1)), sqlite.TextValue("NULL")}, []sqlite.Value{sqlite.BlobValue(nil), sqlite.BlobValue([]byte{0}), {}, {}})))
	want := `"a","b","c","d"` + "\n" + `NULL,"1","-Infinity","NULL"` + "\n" + `"","AA==",NULL,NULL` + "\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDialectFaults(t *testing.T) {
	fields := func(d Dialect) string {
		err := d.Validate()
		if err == nil {
			return ""
		}
		var p *problem.Error
		if !errors.As(err, &p) || p.Code != problem.CodeValidationFailed {
			t.Fatalf("%v is no validation failure", err)
		}
		var names []string
		for _, detail := range p.Details {
			names = append(names, detail.Field)
		}
		return strings.Join(names, " ")
	}
	if got := fields(Dialect{Delimiter: ":", NullText: "a,b", LineEnding: CR, Quote: "none"}); got != "delimiter null_text line_ending quote" {
		t.Errorf("faults of %q", got)
	}
	for _, null := range []string{"0", "-1", "1e5", "Infinity", "-Infinity", `"`, ",", "a;b", "\t", "a\nb", " ", "x ", "\xff", "\ufeff", "'", "'x", `\.`, strings.Repeat("x", 33)} {
		d := DefaultDialect()
		if d.NullText = null; fields(d) != "null_text" {
			t.Errorf("%q as text for NULL: faults of %q", null, fields(d))
		}
	}
	for _, null := range []string{"", `\N`, "NULL", "-", "n/a", "(no value)", "無"} {
		d := DefaultDialect()
		if d.NullText = null; fields(d) != "" {
			t.Errorf("%q as text for NULL: faults of %q", null, fields(d))
		}
	}
}

func TestDialectAsJSON(t *testing.T) {
	d, err := Profile("excel-eu")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(d)
	if want := `{"delimiter":";","header":true,"bom":true,"null_text":"","line_ending":"crlf","quote":"minimal","formula_guard":true}`; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

// The shell is given only the delimiter: it skips the BOM and the CR at the end of a row
// by itself.
func TestShellImportsCSV(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	rows := [][]sqlite.Value{
		{sqlite.IntValue(math.MinInt64), sqlite.TextValue("two\r\nlines"), sqlite.TextValue(`say "hi", you`)},
		{sqlite.FloatValue(0.1), sqlite.TextValue("😀;é\rx"), sqlite.TextValue(" padded ")},
	}
	for _, profile := range []string{"lossless", "excel-eu"} {
		d, err := Profile(profile)
		if err != nil {
			t.Fatal(err)
		}
		d.Header = false
		file := t.TempDir() + "/table.csv"
		writeFile(t, file, encode(NewCSV(make([]Column, 3), d), batch(3, rows...)))
		script := fmt.Sprintf("CREATE TABLE t(a,b,c);\n.mode csv\n.separator \"%s\" \"\\n\"\n.import %s t\nSELECT hex(a), hex(b), hex(c) FROM t;\n", d.Delimiter, file)
		cmd := exec.Command(shell, "-bail", ":memory:")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("sqlite3: %v: %s", err, out)
		}
		var want strings.Builder
		for _, row := range rows {
			var cells []string
			for _, v := range row {
				text, _ := asField(v)
				cells = append(cells, fmt.Sprintf("%X", text))
			}
			want.WriteString(strings.Join(cells, d.Delimiter) + "\n")
		}
		if got := string(out); got != want.String() {
			t.Errorf("%s: sqlite3 read %s, want %s", profile, got, want.String())
		}
	}
}
