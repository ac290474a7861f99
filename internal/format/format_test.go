package format

import (
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

// batch returns a batch with the given rows.
func batch(columns int, rows ...[]sqlite.Value) *sqlite.Batch {
	var b sqlite.Batch
	b.Reset(columns)
	for _, row := range rows {
		b.Append(row...)
	}
	return &b
}

func columns(names ...string) []Column {
	list := make([]Column, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// encode encodes batches one after another as one file.
func encode(e Encoder, batches ...*sqlite.Batch) []byte {
	dst, some := e.Head(nil), false
	for _, b := range batches {
		dst = e.Rows(dst, b, !some)
		some = some || b.Rows > 0
	}
	return e.Tail(dst, some)
}

// text draws bytes with many characters that the formats treat specially.
func text() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"", " ", ",", ";", "\t", "|", `"`, `""`, "\n", "\r", "\r\n", `\`, `\.`, "'", "\x00", "\x01", "\x1f", "\x7f",
			"\ufeff", "\u2028", "é", "漢", "😀", "\xff", "\xc3", "\xed\xa0\x80", "<&>", "NULL", "plain text that is longer than a word", "1", "-0.0"}),
		rapid.String(),
	)
	return rapid.Custom(func(t *rapid.T) string {
		var s string
		for _, p := range rapid.SliceOfN(piece, 0, 5).Draw(t, "pieces") {
			s += p
		}
		return s
	})
}

func value() *rapid.Generator[sqlite.Value] {
	return rapid.OneOf(
		rapid.Just(sqlite.Value{}), valueOf(sqlite.Integer), valueOf(sqlite.Real), valueOf(sqlite.Text), valueOf(sqlite.Blob),
	)
}

// valueOf draws values of one storage class.
func valueOf(kind sqlite.Kind) *rapid.Generator[sqlite.Value] {
	switch kind {
	case sqlite.Integer:
		return rapid.Map(rapid.Int64(), sqlite.IntValue)
	case sqlite.Real:
		return rapid.OneOf(
			rapid.Map(rapid.Float64(), sqlite.FloatValue),
			rapid.Map(rapid.Int32(), func(i int32) sqlite.Value { return sqlite.FloatValue(float64(i) / 100) }),
			rapid.Map(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1)}), sqlite.FloatValue),
		)
	case sqlite.Text:
		return rapid.Map(text(), sqlite.TextValue)
	}
	return rapid.Map(rapid.SliceOf(rapid.Byte()), sqlite.BlobValue)
}

func rowsOf(t *rapid.T, width int) [][]sqlite.Value {
	return rapid.SliceOfN(rapid.SliceOfN(value(), width, width), 0, 20).Draw(t, "rows")
}

func TestAppendReal(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0.0"}, {math.Copysign(0, -1), "-0.0"}, {1, "1.0"}, {-1, "-1.0"}, {100, "100.0"},
		{0.1, "0.1"}, {0.01, "0.01"}, {-0.05, "-0.05"}, {12.34, "12.34"}, {-1234.5, "-1234.5"}, {0.125, "0.125"},
		{1.0 / 3, "0.3333333333333333"}, {math.Nextafter(0.3, 1), "0.30000000000000004"}, {1e15, "1000000000000000.0"},
		{1 << 53, "9007199254740992.0"}, {1e20, "100000000000000000000.0"}, {1e21, "1e+21"}, {1e-6, "0.000001"}, {1e-7, "1e-07"},
		{math.MaxFloat64, "1.7976931348623157e+308"}, {math.SmallestNonzeroFloat64, "5e-324"},
	} {
		if got := string(appendReal(nil, c.f)); got != c.want {
			t.Errorf("appendReal(%v) = %s, want %s", c.f, got, c.want)
		}
	}
}

func TestAppendRealIsShortestAndExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Int64(), func(i int64) float64 { return float64(i) / 100 })).Draw(t, "f")
		if math.IsInf(f, 0) || math.IsNaN(f) {
			t.Skip("not finite")
		}
		got := string(appendReal(nil, f))
		back, err := strconv.ParseFloat(got, 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(f) {
			t.Fatalf("%v was written as %s and read as %v (%v)", f, got, back, err)
		}
		if shortest := strconv.FormatFloat(f, 'g', -1, 64); digits(got) != digits(shortest) {
			t.Fatalf("%v was written as %s, shortest is %s", f, got, shortest)
		}
	})
}

// digits returns the significant digits of a decimal.
func digits(s string) string {
	var d []byte
	for _, c := range []byte(s) {
		if c == 'e' {
			break
		}
		if c >= '0' && c <= '9' && (c != '0' || len(d) > 0) {
			d = append(d, c)
		}
	}
	for len(d) > 0 && d[len(d)-1] == '0' {
		d = d[:len(d)-1]
	}
	return string(d)
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
