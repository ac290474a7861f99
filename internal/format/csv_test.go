package format

import (
	"math"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func TestCSVWritesEachValue(t *testing.T) {
	for _, c := range []struct {
		value sqlite.Value
		want  string
	}{
		{sqlite.Value{}, ""},
		{sqlite.TextValue(""), `""`},
		{sqlite.TextValue("plain"), "plain"},
		{sqlite.TextValue("it's fine; really | so\tyes"), "it's fine; really | so\tyes"},
		{sqlite.TextValue("a,b"), `"a,b"`},
		{sqlite.TextValue(`say "hi"`), `"say ""hi"""`},
		{sqlite.TextValue(`"`), `""""`},
		{sqlite.TextValue("two\nlines"), "\"two\nlines\""},
		{sqlite.TextValue("two\r\nlines"), "\"two\r\nlines\""},
		{sqlite.TextValue("long enough for a word\rand more"), "\"long enough for a word\rand more\""},
		{sqlite.TextValue(" padded"), `" padded"`},
		{sqlite.TextValue("padded "), `"padded "`},
		{sqlite.TextValue("\ufeffa"), "\"\ufeffa\""},
		{sqlite.TextValue("NULL"), "NULL"},
		{sqlite.TextValue("\xff\x00é"), "\xff\x00é"},
		{sqlite.TextValue(`\.`), `\.`},
		{sqlite.IntValue(math.MinInt64), "-9223372036854775808"},
		{sqlite.IntValue(math.MaxInt64), "9223372036854775807"},
		{sqlite.FloatValue(1), "1.0"},
		{sqlite.FloatValue(math.Copysign(0, -1)), "-0.0"},
		{sqlite.FloatValue(math.Inf(1)), "Infinity"},
		{sqlite.FloatValue(math.Inf(-1)), "-Infinity"},
		{sqlite.BlobValue([]byte{0, 255}), "AP8="},
		{sqlite.BlobValue(nil), `""`},
	} {
		got := string(encode(NewCSV(columns("a", "b"), DefaultDialect()), batch(2, []sqlite.Value{c.value, sqlite.IntValue(1)})))
		if want := "a,b\n" + c.want + ",1\n"; got != want {
			t.Errorf("%+v was written as %q, want %q", c.value, got, want)
		}
	}
}

func TestCSVQuotesWhatMisleads(t *testing.T) {
	e := NewCSV(columns("\ufeffodd, name"), Dialect{Delimiter: ",", Header: true})
	got := string(encode(e, batch(1, []sqlite.Value{sqlite.TextValue(`\.`)}, []sqlite.Value{{}}, []sqlite.Value{sqlite.TextValue("")})))
	if want := "\"\ufeffodd, name\"\n\"\\.\"\n\n\"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCSVDialect(t *testing.T) {
	e := NewCSV(columns("a", "b"), Dialect{Delimiter: ";"})
	got := string(encode(e, batch(2, []sqlite.Value{sqlite.TextValue("x;y, and more text"), sqlite.TextValue("x,y")})))
	if want := "\"x;y, and more text\";x,y\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEncodersJoinPiecesInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(t, "width")
		rows := rowsOf(t, width)
		cut := rapid.IntRange(0, len(rows)).Draw(t, "cut")
		for name, e := range map[string]Encoder{
			"csv":    NewCSV(make([]Column, width), DefaultDialect()),
			"json":   NewJSON(make([]Column, width), JSONOptions{}),
			"ndjson": NewNDJSON(make([]Column, width), JSONOptions{}),
		} {
			whole := encode(e, batch(width, rows...))
			pieces := encode(e, batch(width, rows[:cut]...), batch(width), batch(width, rows[cut:]...))
			if string(whole) != string(pieces) {
				t.Fatalf("%s: %q in one piece, %q in several", name, whole, pieces)
			}
		}
	})
}
