package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

// readTable returns all rows, each value as kind:text.
func readTable(r TableReader, maxRows int) (string, error) {
	var b sqlite.Batch
	var out strings.Builder
	for {
		some, err := r.Read(&b, maxRows)
		if err != nil || !some {
			return out.String(), err
		}
		out.WriteString(show(&b))
	}
}

func show(b *sqlite.Batch) string {
	var out strings.Builder
	for i := range b.Rows {
		for _, c := range b.Row(i) {
			text, _ := asField(b.Value(c))
			fmt.Fprintf(&out, "%c:%s|", "nirtb"[c.Kind], text)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func columnNames(list []Column) string {
	var names []string
	for _, column := range list {
		names = append(names, strings.TrimSpace(column.Name+" "+column.Type))
	}
	return strings.Join(names, ",")
}

func TestJSONReaderValues(t *testing.T) {
	rows := []string{
		`{"a":1,"b":"x"}`, `{"b":null,"a":-9223372036854775808,"c":true}`, `{}`, `{"c":9223372036854775808,"a":1.0,"b":1e2}`,
		`{"a":"\u0041\n\ud83d\ude00","\u0062":{"k" : [1.50, null]},"c":false}`, `{"a":1e400,"b":-0,"c":""}`,
	}
	file := "[" + strings.Join(rows, ",\n") + "]"
	tables, err := ScanJSON(iotest.OneByteReader(strings.NewReader("\ufeff" + file)))
	if err != nil || len(tables) != 1 || tables[0].Name != "" || tables[0].Rows != 6 || columnNames(tables[0].Columns) != "a,b,c" {
		t.Fatalf("scanned %+v, %v", tables, err)
	}
	want := "i:1|t:x|n:|\n" + "i:-9223372036854775808|n:|i:1|\n" + "n:|n:|n:|\n" + "r:1.0|r:100.0|t:9223372036854775808|\n" +
		"t:A\n😀|t:{\"k\":[1.50,null]}|i:0|\n" + "t:1e400|i:0|t:|\n"
	for _, maxRows := range []int{1, 4, 100} {
		r, err := NewJSONReader(iotest.HalfReader(strings.NewReader(file)), tables[0])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readTable(r, maxRows); err != nil || got != want {
			t.Errorf("read %s, %v, want %s", got, err, want)
		}
	}
	lines := strings.Join(rows, "\r\n") + "\n\n"
	table, err := ScanNDJSON(strings.NewReader(lines))
	if err != nil || table.Rows != 6 || columnNames(table.Columns) != "a,b,c" {
		t.Fatalf("scanned %+v, %v", table, err)
	}
	if got, err := readTable(NewNDJSONReader(strings.NewReader(lines), table.Columns), 100); err != nil || got != want {
		t.Errorf("read %s, %v, want %s", got, err, want)
	}
	if got, err := readTable(NewNDJSONReader(strings.NewReader(lines), columns("c", "none")), 100); err != nil || !strings.HasPrefix(got, "n:|n:|\ni:1|n:|\n") {
		t.Errorf("chosen columns: read %s, %v", got, err)
	}
}

// What our writers write reads back unchanged, except for what JSON cannot hold.
func TestJSONReadersReadWhatWeWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(t, "width")
		names := columns(rapid.SliceOfNDistinct(rapid.String(), width, width, rapid.ID[string]).Draw(t, "names")...)
		rows := rowsOf(t, width)
		b := batch(width, rows...)
		var want strings.Builder
		for _, row := range rows {
			for _, v := range row {
				switch {
				case v.Kind == sqlite.Blob:
					text, _ := asField(v)
					v = sqlite.TextValue(text)
				case v.Kind == sqlite.Text:
					v = sqlite.TextValue(string([]rune(string(v.Bytes))))
				case v.Kind == sqlite.Real && math.IsInf(v.Float, 0):
					v = sqlite.Value{}
				}
				text, _ := asField(v)
				fmt.Fprintf(&want, "%c:%s|", "nirtb"[v.Kind], text)
			}
			want.WriteByte('\n')
		}
		var d JSONDatabase
		e := NewJSON(names, JSONOptions{})
		database := d.OpenTable(d.Head(nil, "p", time.Time{}, []byte("null")), "other", []byte(`[{"column_name":"id","column_type":"INTEGER"}]`))
		database = d.CloseTable(append(database, "[]"...))
		database = append(d.OpenTable(database, "t", []byte("[]")), encode(e, b)...)
		database = d.Tail(d.CloseTable(database))
		for _, file := range [][]byte{encode(e, b), database} {
			tables, err := ScanJSON(bytes.NewReader(file))
			if err != nil {
				t.Fatalf("%v in %s", err, file)
			}
			table := tables[len(tables)-1]
			if table.Rows != int64(len(rows)) || table.Rows > 0 && columnNames(table.Columns) != columnNames(names) {
				t.Fatalf("scanned %+v", table)
			}
			if len(tables) == 2 && columnNames(tables[0].Columns) != "id INTEGER" {
				t.Fatalf("scanned %+v", tables[0])
			}
			table.Columns = names
			r, err := NewJSONReader(bytes.NewReader(file), table)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := readTable(r, 7); err != nil || got != want.String() {
				t.Fatalf("read %q, %v from %s, want %q", got, err, file, want.String())
			}
		}
		file := encode(NewNDJSON(names, JSONOptions{}), b)
		if got, err := readTable(NewNDJSONReader(bytes.NewReader(file), names), 7); err != nil || got != want.String() {
			t.Fatalf("read %q, %v from %s, want %q", got, err, file, want.String())
		}
	})
}

func TestJSONReaderFaults(t *testing.T) {
	scan := func(file string) error { _, err := ScanJSON(strings.NewReader(file)); return err }
	lines := func(file string) error { _, err := ScanNDJSON(strings.NewReader(file)); return err }
	for _, c := range []struct {
		scan       func(string) error
		file, want string
	}{
		{scan, "", "The file is empty."},
		{scan, "[\n{\"a\":1},\n{\"a\":x}]", "line 3, column 6: invalid character 'x' at start of value"},
		{scan, "[{\"a\":1,\n\"a\":2}]", "line 2, column 1: the object has the key \"a\" twice"},
		{scan, "[{\"a\":\"\xff\"}]", "line 1, column 8: invalid UTF-8"},
		{scan, "[\n{\"a\":", "line 2, column 6: the file ends in the middle of a value"},
		{scan, "[1]", "line 1, column 2: an object is expected here"},
		{scan, "[]\n[]", "line 2, column 1: nothing may follow the end of the JSON value"},
		{scan, "3", "line 1, column 1: an object is expected here"},
		{scan, "{\"a\":1}", "The file is an object without tables; rows must be an array of objects."},
		{scan, "{\"tables\":{\"t\":{}}}", "line 1, column 18: the table \"t\" has no rows"},
		{scan, "{\"tables\":{\"t\":{\"rows\":3}}}", "line 1, column 24: an array of rows is expected here"},
		{scan, "{\"tables\":{\"t\":{\"columns\":[3]}}}", "line 1, column 27: the columns are not described as expected: an array of objects with column_name and column_type"},
		{lines, "{\"a\":1}\n\n[2]\n", "line 3, column 1: an object is expected here"},
		{lines, "{\"a\":1}\n]\n", "line 2, column 1: an object is expected here"},
	} {
		err := c.scan(c.file)
		var fault *FileError
		if !errors.As(err, &fault) || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.file, err, c.want)
		}
	}
	if _, err := NewJSONReader(strings.NewReader("[]"), JSONTable{Name: "t"}); err == nil || err.Error() != `The file has no table "t".` {
		t.Errorf("got %v", err)
	}
	broken := errors.New("disk on fire")
	if _, err := ScanJSON(io.MultiReader(strings.NewReader(`[{"a":`), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the source", err)
	}
	f := newJSONFile(strings.NewReader(`[{"a":1},{"a":"`+strings.Repeat("x", 1<<20)), false)
	f.lines.longest = 1 << 10
	_, err := f.decoder.ReadToken()
	for i := 0; err == nil && i < 2; i++ {
		err = f.members(func(jsontext.Value) error { return f.decoder.SkipValue() })
	}
	if err = f.explain(err); err == nil || err.Error() != "line 1, column 9: the value is longer than 1024 bytes" {
		t.Errorf("got %v", err)
	}
}

func FuzzScanJSON(f *testing.F) {
	for _, s := range []string{`[{"a":1}]`, `{"tables":{"t":{"columns":[{"column_name":"a"}],"rows":[{"a":[1,{}]}]}}}`, "{\"a\":1}\n{\"b\":null}", `[{"a":1e999}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		tables, err := ScanJSON(strings.NewReader(file))
		var fault *FileError
		if err != nil {
			if !errors.As(err, &fault) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, table := range tables {
			r, err := NewJSONReader(strings.NewReader(file), table)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readTable(r, 3)
			if rows := int64(strings.Count(got, "\n")); err != nil || rows < table.Rows {
				t.Fatalf("%d rows, %v; %d were counted", rows, err, table.Rows)
			}
		}
	})
}
