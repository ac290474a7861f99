package format

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func TestAppendValue(t *testing.T) {
	for _, c := range []struct {
		value sqlite.Value
		want  string
	}{
		{sqlite.Value{}, "null"},
		{sqlite.IntValue(math.MinInt64), "-9223372036854775808"},
		{sqlite.IntValue(1<<53 + 1), "9007199254740993"},
		{sqlite.FloatValue(1), "1.0"},
		{sqlite.FloatValue(1e300), "1e+300"},
		{sqlite.FloatValue(math.Inf(-1)), "null"},
		{sqlite.TextValue(""), `""`},
		{sqlite.TextValue("a \"b\" \\ /\b\f\n\r\t\x00\x1f\x7f"), `"a \"b\" \\ /\b\f\n\r\t\u0000\u001f` + "\x7f\""},
		{sqlite.TextValue("<script>&é😀\u2028"), "\"<script>&é😀\u2028\""},
		{sqlite.TextValue("a\xff\xfeb\xed\xa0\x80"), "\"a\ufffd\ufffdb\ufffd\ufffd\ufffd\""},
		{sqlite.TextValue("\ufffd"), "\"\ufffd\""},
		{sqlite.BlobValue(nil), `""`},
		{sqlite.BlobValue([]byte{0, 255}), `"AP8="`},
	} {
		b := batch(1, []sqlite.Value{c.value})
		if got := string(AppendValue(nil, b, b.Row(0)[0], JSONOptions{})); got != c.want {
			t.Errorf("%+v was written as %s, want %s", c.value, got, c.want)
		}
	}
}

func TestIntegersAsStrings(t *testing.T) {
	for i, want := range map[int64]string{
		0:             "0",
		1<<53 - 1:     "9007199254740991",
		1 << 53:       `"9007199254740992"`,
		-1<<53 + 1:    "-9007199254740991",
		-1 << 53:      `"-9007199254740992"`,
		math.MaxInt64: `"9223372036854775807"`,
	} {
		b := batch(1, []sqlite.Value{sqlite.IntValue(i)})
		if got := string(AppendValue(nil, b, b.Row(0)[0], JSONOptions{IntegersAsStrings: true})); got != want {
			t.Errorf("%d was written as %s, want %s", i, got, want)
		}
	}
}

func TestJSONTable(t *testing.T) {
	e := NewJSON(columns("id", `odd "name"`), JSONOptions{})
	if got, want := string(encode(e)), "[]\n"; got != want {
		t.Errorf("empty table: %q, want %q", got, want)
	}
	got := string(encode(e,
		batch(2, []sqlite.Value{sqlite.IntValue(1), {}}),
		batch(2, []sqlite.Value{sqlite.IntValue(2), sqlite.TextValue("\xff")}, []sqlite.Value{sqlite.FloatValue(math.Inf(1)), {}})))
	want := "[\n" + `{"id":1,"odd \"name\"":null},` + "\n" + `{"id":2,"odd \"name\"":"` + "\ufffd" + `"},` + "\n" + `{"id":null,"odd \"name\"":null}` + "\n]\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if e.Replaced() != 2 {
		t.Errorf("%d values replaced, want 2", e.Replaced())
	}
}

func TestJSONDatabase(t *testing.T) {
	var d JSONDatabase
	var dst []byte
	dst = d.Head(dst, "crm", time.Date(2026, 6, 2, 3, 4, 5, 6, time.FixedZone("", 3600)), []byte(`{"commit":7}`))
	for _, name := range []string{"contacts", "empty"} {
		dst = d.OpenTable(dst, name, []byte(`[{"id":1}]`))
		e := NewJSON(columns("id"), JSONOptions{})
		dst = e.Head(dst)
		if name == "contacts" {
			dst = e.Rows(dst, batch(1, []sqlite.Value{sqlite.IntValue(1)}), true)
		}
		dst = d.CloseTable(e.Tail(dst, name == "contacts"))
	}
	dst = d.Tail(dst)

	var compact bytes.Buffer
	if err := json.Compact(&compact, dst); err != nil {
		t.Fatalf("%v in %s", err, dst)
	}
	want := `{"project":"crm","exported_at":"2026-06-02T02:04:05Z","snapshot":{"commit":7},"tables":{` +
		`"contacts":{"columns":[{"id":1}],"rows":[{"id":1}]},"empty":{"columns":[{"id":1}],"rows":[]}}}`
	if compact.String() != want {
		t.Errorf("got %s, want %s", compact.String(), want)
	}
}

// The strict reader of jsontext checks validity, and encoding/json the values.
func TestJSONIsReadByOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 5).Draw(t, "width")
		names := rapid.SliceOfNDistinct(rapid.String(), width, width, rapid.ID[string]).Draw(t, "names")
		rows := rowsOf(t, width)
		file := encode(NewJSON(columns(names...), JSONOptions{}), batch(width, rows...))
		if v := jsontext.Value(file); !v.IsValid() {
			t.Fatalf("not strict JSON: %s", file)
		}
		decoder := json.NewDecoder(bytes.NewReader(file))
		decoder.UseNumber()
		var got []map[string]any
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("%v in %s", err, file)
		}
		if len(got) != len(rows) {
			t.Fatalf("%d rows, want %d", len(got), len(rows))
		}
		for i, row := range rows {
			for j, v := range row {
				if want := asJSON(v); !equalJSON(got[i][names[j]], want) {
					t.Fatalf("row %d, %q: %v, want %v", i, names[j], got[i][names[j]], want)
				}
			}
		}
	})
}

// asJSON returns what encoding/json should read for a value.
func asJSON(v sqlite.Value) any {
	switch v.Kind {
	case sqlite.Integer:
		return v.Int
	case sqlite.Real:
		if math.IsInf(v.Float, 0) {
			return nil
		}
		return v.Float
	case sqlite.Text:
		return string([]rune(string(v.Bytes)))
	case sqlite.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes)
	}
	return nil
}

func equalJSON(got, want any) bool {
	number, isNumber := got.(json.Number)
	switch want := want.(type) {
	case int64:
		return isNumber && string(number) == strconv.FormatInt(want, 10)
	case float64:
		back, err := strconv.ParseFloat(string(number), 64)
		return isNumber && err == nil && math.Float64bits(back) == math.Float64bits(want) && strings.ContainsAny(string(number), ".e")
	}
	return got == want
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\x00", "é漢😀", "\xff", "12345678\xc3", "\u2028</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if want := string([]rune(s)); back != want {
			t.Fatalf("%q was read as %q, want %q", s, back, want)
		}
		if !jsontext.Value(out).IsValid() {
			t.Fatalf("not strict JSON: %s", out)
		}
	})
}
