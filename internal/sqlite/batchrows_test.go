package sqlite

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func drawValue(t *rapid.T) Value {
	return rapid.OneOf(
		rapid.Just(Value{}),
		rapid.Map(rapid.Int64(), IntValue),
		rapid.Map(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }), FloatValue),
		rapid.Map(rapid.String(), TextValue),
		rapid.Map(rapid.SliceOf(rapid.Byte()), BlobValue),
	).Draw(t, "value")
}

func TestRowsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b, back Batch
		columns := rapid.IntRange(1, 5).Draw(t, "columns")
		b.Reset(columns)
		back.Reset(columns)
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			row := make([]Value, columns)
			for i := range row {
				row[i] = drawValue(t)
			}
			b.Append(row...)
		}
		cut := rapid.IntRange(0, b.Rows).Draw(t, "cut")
		first, second := b.AppendRows(nil, 0, cut), b.AppendRows(nil, cut, b.Rows)
		most := 0
		for i := range b.Rows {
			most += b.RowBytes(i)
		}
		if len(first)+len(second) > most {
			t.Fatalf("%d bytes, %d at most were told", len(first)+len(second), most)
		}
		for _, p := range [][]byte{first, second} {
			if err := back.TakeRows(p); err != nil {
				t.Fatal(err)
			}
		}
		if back.Rows != b.Rows {
			t.Fatalf("%d rows, want %d", back.Rows, b.Rows)
		}
		for i := range b.Rows {
			for j, cell := range b.Row(i) {
				got, want := back.Value(back.Row(i)[j]), b.Value(cell)
				if got.Kind != want.Kind || got.Int != want.Int || got.Float != want.Float || !bytes.Equal(got.Bytes, want.Bytes) {
					t.Fatalf("row %d, column %d: %v, want %v", i, j, got, want)
				}
			}
		}
	})
}

func FuzzTakeRows(f *testing.F) {
	var b Batch
	b.Reset(2)
	b.Append(IntValue(-5), TextValue("text"))
	b.Append(FloatValue(1.5), Value{})
	f.Add(b.AppendRows(nil, 0, 2), 2)
	f.Add([]byte{3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Fuzz(func(t *testing.T, p []byte, columns int) {
		var b Batch
		b.Reset(max(0, min(columns, 10)))
		if b.TakeRows(p) != nil {
			return
		}
		for i := range b.Rows {
			b.AppendValues(nil, i)
		}
		if got := b.AppendRows(nil, 0, b.Rows); len(got) > len(p) {
			t.Fatalf("%d bytes have become %d", len(p), len(got))
		}
	})
}
