package format

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

// readAll returns all records, with quoted fields as "text" and others as text.
func readAll(r *CSVReader) ([][]string, error) {
	var rows [][]string
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		row := make([]string, len(fields))
		for i, f := range fields {
			row[i] = string(f.Bytes)
			if f.Quoted {
				row[i] = `"` + row[i] + `"`
			}
		}
		rows = append(rows, row)
	}
}

func TestCSVReaderDetects(t *testing.T) {
	for _, c := range []struct{ file, dialect, header, rows string }{
		{"comma_in_quotes", "utf-8 , lf", "first last address city zip", `[["John" "Doe" "120 any st." "\"Anytown, WW\"" "08123"]]`},
		{"empty", "utf-8 , lf", "a b c", `[["1" "\"\"" "\"\""] ["2" "3" "4"]]`},
		{"empty_crlf", "utf-8 , crlf", "a b c", `[["1" "\"\"" "\"\""] ["2" "3" "4"]]`},
		{"escaped_quotes", "utf-8 , lf", "a b", `[["1" "\"ha \"ha\" ha\""] ["3" "4"]]`},
		{"json", "utf-8 , lf", "key val", `[["1" "\"{\"type\": \"Point\", \"coordinates\": [102.0, 0.5]}\""]]`},
		{"newlines", "utf-8 , lf", "a b c", `[["1" "2" "3"] ["\"Once upon \na time\"" "5" "6"] ["7" "8" "9"]]`},
		{"newlines_crlf", "utf-8 , crlf", "a b c", `[["1" "2" "3"] ["\"Once upon \r\na time\"" "5" "6"] ["7" "8" "9"]]`},
		{"quotes_and_newlines", "utf-8 , lf", "a b", `[["1" "\"ha \n\"ha\" \nha\""] ["3" "4"]]`},
		{"no_final_newline", "utf-8 , lf", "a b c", `[["1" "2" "3"]]`},
		{"utf8", "utf-8 , lf", "a b c", `[["1" "2" "3"] ["4" "5" "ʤ"]]`},
		{"utf8_bom", "utf-8 bom , lf", "id name", `[["1" "Zoë"]]`},
		{"windows1252_semicolon", "windows-1252 ; crlf", "id ville prix", `[["1" "Orléans" "1,50"] ["2" "Besançon" "2,75"]]`},
		{"tabs", "utf-8 \t lf", "id name note", `[["1" "Ada" "5\" disk"] ["2" "Bob" "\"a\tb\""]]`},
		{"tabs_unquoted", "utf-8 \t no quotes lf", "id name", `[["1" "\"Ada\" Lovelace"] ["2" "Bob"]]`},
		{"pipes", "utf-8 | lf", "id name", `[["1" "a,b"] ["2" "c;d"]]`},
		{"cr", "utf-8 , cr", "a b", `[["1" "\"x\ry\""] ["2" "z"]]`},
		{"one_column", "utf-8 , lf", "name", `[["Ada"] [""] ["\"\""] ["Bob"]]`},
		{"blank_lines", "utf-8 , lf", "a b", `[["1" "2"]]`},
		{"no_header", "utf-8 , lf", "", `[["1" "Ada"] ["2" "Bob"]]`},
		{"utf16le", "utf-16le , lf", "id name", `[["1" "漢字"]]`},
		{"utf16be_bom", "utf-16be bom , lf", "id name", `[["1" "漢字"]]`},
		{"ragged", "utf-8 , lf", "a b c", `[["1" "" "\"\""] ["" ""] ["" "" "" "4"]]`},
	} {
		t.Run(c.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "csv", c.file+".csv"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewCSVReader(iotest.OneByteReader(bytes.NewReader(data)), ReadDialect{})
			if err != nil {
				t.Fatal(err)
			}
			d := r.Dialect()
			dialect := string(d.Encoding)
			if d.BOM {
				dialect += " bom"
			}
			dialect += " " + string(d.Delimiter)
			if d.Quote == NoQuote {
				dialect += " no quotes"
			}
			if dialect += " " + string(d.LineEnd); dialect != c.dialect {
				t.Errorf("detected %q, want %q", dialect, c.dialect)
			}
			if header := strings.Join(r.Header(), " "); header != c.header || d.Header != (c.header != "") {
				t.Errorf("header %q, want %q", header, c.header)
			}
			rows, err := readAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%q", rows); got != c.rows {
				t.Errorf("read %s, want %s", got, c.rows)
			}
		})
	}
}

func TestCSVReaderOverrides(t *testing.T) {
	for _, c := range []struct {
		name, file string
		dialect    ReadDialect
		want       string
	}{
		{"delimiter", "a;b,c\n1;2,3\n", ReadDialect{Delimiter: ';'}, `[["1" "2,3"]]`},
		{"header", "1,2\n3,4\n", ReadDialect{Header: WithHeader}, `[["3" "4"]]`},
		{"no header", "a,b\n3,4\n", ReadDialect{Header: WithoutHeader}, `[["a" "b"] ["3" "4"]]`},
		{"quote", "a,b\n'x,y','it''s'\n", ReadDialect{Quote: '\''}, `[["\"x,y\"" "\"it's\""]]`},
		{"no quote", "a,b\n\"x\",y\n", ReadDialect{Quote: NoQuote}, `[["\"x\"" "y"]]`},
		{"encoding", "a,b\nZo\xc3\xab,1\n", ReadDialect{Encoding: Windows1252}, `[["ZoÃ«" "1"]]`},
		{"lf keeps a lone cr", "a,b\nx\ry,1\n", ReadDialect{}, `[["x\ry" "1"]]`},
		{"cr keeps an lf", "a,b\rx\ny,1\r", ReadDialect{LineEnd: CR}, `[["x\ny" "1"]]`},
	} {
		r, err := NewCSVReader(strings.NewReader(c.file), c.dialect)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		rows, err := readAll(r)
		if got := fmt.Sprintf("%q", rows); got != c.want || err != nil {
			t.Errorf("%s: read %s (%v), want %s", c.name, got, err, c.want)
		}
	}
}

func TestCSVReaderFaults(t *testing.T) {
	exact := DefaultDialect().Reading()
	small := exact
	small.MaxField, small.MaxColumns = 10, 3
	for _, c := range []struct {
		name, file string
		dialect    ReadDialect
		want       string
	}{
		{"empty", "", ReadDialect{}, "The file is empty."},
		{"only a BOM", bom, ReadDialect{}, "The file is empty."},
		{"no header", "", exact, "The file has no header row: it is empty."},
		{"NUL", "a,b\n\x00,1\n", ReadDialect{}, "The file contains NUL bytes, so it is not CSV text."},
		{"SQLite", "SQLite format 3\x00\x10\x00", ReadDialect{}, "The file is a SQLite database, not CSV text."},
		{"binary", "\x01\x02\x03\x04,\x05\x06\n", ReadDialect{}, "The file is binary, not CSV text."},
		{"text after quote", "a,b\n1,\"x\ny\"z\n", exact, "line 3, column 3: text follows the closing quote of a field; a quote inside quotes must be doubled"},
		{"CR after quote", "a,b\n1,\"x\"\rz\n", exact, "line 2, column 6: text follows the closing quote of a field; a quote inside quotes must be doubled"},
		{"unclosed", "a,b\n1,2\n\n3,\"x\ny\n", exact, "line 4, column 3: the quote that opens here is never closed"},
		{"long field", "a,b\n1,12345678901\n", small, "line 2, column 3: the field is longer than 10 bytes; a closing quote may be missing"},
		{"many fields", "a,b,c\n1,2,3,4\n", small, "line 2, column 8: the row has more than 3 fields"},
	} {
		r, err := NewCSVReader(strings.NewReader(c.file), c.dialect)
		if err == nil {
			_, err = readAll(r)
		}
		var fault *CSVError
		if !errors.As(err, &fault) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestCSVReaderKeepsAnErrorOfItsSource(t *testing.T) {
	for _, cut := range []string{"a,b\n1,2\n3", "a,b\n1,2\n3,\"x", "a,b\n1,2\n3,\"x\"", "a,b\n1,2\n", "a,b\n1,2\n3,"} {
		broken := errors.New("disk on fire")
		dialect := DefaultDialect().Reading()
		r := newReader(io.MultiReader(strings.NewReader(cut), iotest.ErrReader(broken)), Detected{Delimiter: ',', Quote: '"'}, dialect.MaxField, dialect.MaxColumns)
		rows, err := readAll(r)
		if !errors.Is(err, broken) || len(rows) != 2 {
			t.Errorf("%q: %d rows, error %v; want 2 and the source's", cut, len(rows), err)
		}
		if _, again := r.Read(); !errors.Is(again, broken) {
			t.Errorf("%q: read again: %v", cut, again)
		}
	}
}

func TestCSVReaderCountsInvalidUTF8(t *testing.T) {
	file := "a,b\nZoë,\xff\n\xc3,漢\n"
	r, err := NewCSVReader(strings.NewReader(file), ReadDialect{Encoding: UTF8})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readAll(r)
	if got := fmt.Sprintf("%q", rows); err != nil || got != `[["Zoë" "\xff"] ["\xc3" "漢"]]` || r.Invalid() != 2 {
		t.Errorf("read %s (%v), %d invalid; want the bytes as they are, 2 invalid", got, err, r.Invalid())
	}
}

func TestCSVReaderLine(t *testing.T) {
	r, err := NewCSVReader(strings.NewReader("a,b\n\"1\n\n\",2\n\n3,4\n"), ReadDialect{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{2, 6} {
		if _, err := r.Read(); err != nil || r.Line() != want {
			t.Errorf("line %d (%v), want %d", r.Line(), err, want)
		}
	}
}

func TestSniffASampleCutAnywhere(t *testing.T) {
	file := []byte("id,name,note\n" + strings.Repeat("1,Zoë,\"漢字, \"\"x\"\"\n\"\n2,Ada,\n", 3))
	for n := len("id,name,note\n1"); n < len(file); n++ {
		d, err := Sniff(file[:n])
		d.Repeats, d.lenient = false, false
		if err != nil || d != (Detected{Encoding: UTF8, Delimiter: ',', Quote: '"', Header: true, LineEnd: LF, Columns: 3}) {
			t.Errorf("%q: %+v, %v", file[:n], d, err)
		}
	}
}

func TestSniffHeader(t *testing.T) {
	for file, want := range map[string]bool{
		"id,name\n":                     true,
		"id,name\n1,Ada\n":              true,
		"city\nParis\nRome\n":           true,
		"city\nParis\ncity\n":           false,
		"a,A\n1,2\n":                    true,
		"a,\n1,2\n":                     true,
		",name,age\n0,Ada,3\n1,Bob,\n":  true, // as pandas writes
		"id,name,name\n1,Ada,x\n":       true,
		"id,name,\n1,Ada,\n":            true,
		"name,name\nAda,Byron\n":        true, // as likely as not
		",name\n,Ada\n":                 false,
		",\n1,2\n":                      false,
		",5,age\n0,Ada,3\n":             false,
		"id,name,\n1,Ada,\nx,Bob,\n":    true, // rows may end with a delimiter
		"id,name,\n1,name,\n":           true,
		"1,2\n3,4\n":                    false,
		"Ada,1.5e3\n":                   false,
		"Ada,2024-01-02\n":              false,
		"Ada,2024-01-02T10:20:30Z\n":    false,
		"Ada,ada@example.com\n":         false,
		"Ada,https://example.com\n":     false,
		"Ada,true\n":                    false,
		"Ada,$12.50\n":                  false,
		"1st,2nd\nx,y\n":                true,
		"person,dept\nAda,\"a, b\"\n":   true,
		"\"two\nlines\",b\n1,2\n":       true,
		"Title,Date of birth\nx,2001\n": true,
	} {
		if d, err := Sniff([]byte(file)); err != nil || d.Header != want {
			t.Errorf("%q: header %v (%v), want %v", file, d.Header, err, want)
		}
	}
}

func TestSniffDelimiter(t *testing.T) {
	for file, want := range map[string]byte{
		"a;b\n1,5;2,5\n3,5;4,5\n":             ';',
		"a,b\n\"x;y;z\",1\n\"x;y;z\",2\n":     ',',
		"a,b,c\n1,2\n3,4,5\n6,7,8\n":          ',',
		"text\nHello, world\nBye, now, all\n": ';', // which keeps the texts whole
		"a,b\n\"x\"y,1\n":                     ',', // and the quotes of the field are text
		"a\tb,c\n1\t2\n3\t4,5\n":              '\t',
	} {
		if d, err := Sniff([]byte(file)); err != nil || d.Delimiter != want {
			t.Errorf("%q: delimiter %q (%v), want %q", file, d.Delimiter, err, want)
		}
	}
}

func TestSniffEncoding(t *testing.T) {
	for file, want := range map[string]Encoding{
		"a,b\n":                         UTF8,
		"a,Zoë\n":                       UTF8,
		"a,Zo\xeb\n":                    Windows1252,
		"a,Zo\xeb,\x93quoted\x94\n":     Windows1252,
		"Zoë, 漢字, \xff is kept as is\n": UTF8,
		"a\x00,\x00b\x00\n\x00":         UTF16LE,
		"\x00a\x00,\x00b\x00\n":         UTF16BE,
	} {
		if d, err := Sniff([]byte(file)); err != nil || d.Encoding != want {
			t.Errorf("%q: %s (%v), want %s", file, d.Encoding, err, want)
		}
	}
}

// asField returns how the CSV reader should return a value.
func asField(v sqlite.Value) (text string, null bool) {
	b := batch(1, []sqlite.Value{v})
	switch v.Kind {
	case sqlite.Null:
		return "", true
	case sqlite.Integer:
		return strconv.FormatInt(v.Int, 10), false
	case sqlite.Real:
		return string(appendCSVReal(nil, v.Float)), false
	case sqlite.Blob:
		return string(appendBase64(nil, v.Bytes)), false
	}
	return string(b.Bytes(b.Row(0)[0])), false
}

// We read what encoding/csv reads, except for what it drops: the CR of a CRLF inside
// quotes, and empty lines.
func TestCSVReaderAgreesWithEncodingCSV(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "é", " ", ",", ",", "\n", "\n", "\r\n", "\r", `"`, `"`, `""`, ",\"x\",", "\n\"x\ny\"\n"})
	agreed := 0
	rapid.Check(t, func(t *rapid.T) {
		file := strings.Join(rapid.SliceOfN(piece, 1, 12).Draw(t, "pieces"), "")
		oracle := csv.NewReader(strings.NewReader(file))
		oracle.FieldsPerRecord = -1
		want, err := oracle.ReadAll()
		if err != nil {
			return
		}
		r, err := NewCSVReader(strings.NewReader(file), Dialect{Delimiter: ","}.Reading())
		if err != nil {
			t.Fatal(err)
		}
		var got [][]string
		rows, err := readFields(r)
		if err != nil {
			t.Fatalf("%v in %q", err, file)
		}
		for _, row := range rows {
			if len(row) == 1 && row[0].Kind == sqlite.Null {
				continue
			}
			record := make([]string, len(row))
			for i, v := range row {
				record[i] = strings.ReplaceAll(string(v.Bytes), "\r\n", "\n")
			}
			got = append(got, record)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Fatalf("%q: read %q, encoding/csv reads %q", file, got, want)
		}
		agreed++
	})
	if agreed == 0 {
		t.Error("encoding/csv read none of the files")
	}
}

func FuzzCSVReader(f *testing.F) {
	files, err := filepath.Glob("testdata/csv/*.csv")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewCSVReader(bytes.NewReader(data), ReadDialect{MaxField: 1 << 16, MaxColumns: 100})
		if err != nil {
			return
		}
		rows, err := readFields(r)
		if err != nil {
			var fault *CSVError
			if !errors.As(err, &fault) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		d := Dialect{Delimiter: string(r.Dialect().Delimiter)}
		for i, row := range rows {
			file := encode(NewCSV(make([]Column, len(row)), d), batch(len(row), row))
			again, err := NewCSVReader(bytes.NewReader(file), d.Reading())
			if err != nil {
				t.Fatal(err)
			}
			back, err := readFields(again)
			if err != nil || len(back) != 1 || fmt.Sprint(back[0]) != fmt.Sprint(row) {
				t.Fatalf("row %d: %v was written as %q and read as %v, %v", i, row, file, back, err)
			}
		}
	})
}

// readFields returns all records as NULLs and texts.
func readFields(r *CSVReader) ([][]sqlite.Value, error) {
	var rows [][]sqlite.Value
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		row := make([]sqlite.Value, len(fields))
		for i, f := range fields {
			if !f.Null {
				row[i] = sqlite.TextValue(string(f.Bytes))
			}
		}
		rows = append(rows, row)
	}
}
