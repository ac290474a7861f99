package sqlite

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

func contentOf(columns int, rows ...[]Value) Content {
	var b Batch
	b.Reset(columns)
	for _, row := range rows {
		b.Append(row...)
	}
	var c Content
	c.Add(&b)
	return c
}

// hashOf computes the hash of the rows as documented, with big integers.
func hashOf(rows ...[]Value) string {
	sum := new(big.Int)
	for _, row := range rows {
		var fixed, bytes []byte
		for _, v := range row {
			fixed = append(fixed, byte(v.Kind))
			word := uint64(len(v.Bytes))
			switch v.Kind {
			case Integer:
				word = uint64(v.Int)
			case Real:
				word = math.Float64bits(v.Float)
			}
			fixed = binary.LittleEndian.AppendUint64(fixed, word)
			bytes = append(bytes, v.Bytes...)
		}
		digest := xxh3.Hash128(append(fixed, bytes...)).Bytes()
		sum.Add(sum, new(big.Int).SetBytes(digest[:]))
	}
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 128))
	text := sum.Text(16)
	for len(text) < 32 {
		text = "0" + text
	}
	return text
}

func TestContentIsTheSameInAnyOrder(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) Value {
		return rapid.SampledFrom([]Value{{}, IntValue(rapid.Int64().Draw(t, "int")), FloatValue(rapid.Float64().Draw(t, "real")),
			TextValue(rapid.String().Draw(t, "text")), BlobValue(rapid.SliceOf(rapid.Byte()).Draw(t, "blob"))}).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 4).Draw(t, "columns")
		rows := rapid.SliceOf(rapid.SliceOfN(value, columns, columns)).Draw(t, "rows")
		want := contentOf(columns, rows...)
		if want.Rows != int64(len(rows)) || want.Hash() != hashOf(rows...) {
			t.Fatalf("%d rows with %s, want %d with %s", want.Rows, want.Hash(), len(rows), hashOf(rows...))
		}
		at := rapid.IntRange(0, len(rows)).Draw(t, "at")
		got := contentOf(columns, rows[at:]...)
		got.Merge(contentOf(columns, rows[:at]...))
		if got.Rows != want.Rows || got.Hash() != want.Hash() {
			t.Fatalf("%d rows with %s in another order, want %d with %s", got.Rows, got.Hash(), want.Rows, want.Hash())
		}
	})
}

func TestContentTellsApart(t *testing.T) {
	seen := map[string][][]Value{}
	for _, rows := range [][][]Value{
		{},
		{{{}, {}}},
		{{{}, {}}, {{}, {}}},
		{{{}, TextValue("")}},
		{{TextValue(""), {}}},
		{{{}, BlobValue(nil)}},
		{{{}, IntValue(0)}},
		{{{}, FloatValue(0)}},
		{{{}, FloatValue(math.Copysign(0, -1))}},
		{{IntValue(1), FloatValue(1)}},
		{{FloatValue(1), IntValue(1)}},
		{{TextValue("a"), TextValue("bc")}},
		{{TextValue("ab"), TextValue("c")}},
		{{TextValue("ab"), BlobValue([]byte("c"))}},
		{{TextValue("a"), IntValue(1)}, {TextValue("b"), IntValue(2)}},
		{{TextValue("a"), IntValue(2)}, {TextValue("b"), IntValue(1)}},
	} {
		c := contentOf(2, rows...)
		if other, ok := seen[c.Hash()]; ok {
			t.Errorf("%v and %v have the same hash", rows, other)
		}
		seen[c.Hash()] = slices.Clone(rows)
	}
}

func BenchmarkContent(b *testing.B) {
	var batch Batch
	batch.Reset(12)
	for range 1000 {
		batch.Append(IntValue(1), TextValue("a name of some length"), TextValue("Lima"), FloatValue(12.25), IntValue(1<<40), Value{},
			TextValue("2024-01-01T12:00:00Z"), TextValue("a comment, quite long, \"quoted\""), IntValue(0), BlobValue(make([]byte, 16)), FloatValue(0.5), TextValue("x"))
	}
	var c Content
	for b.Loop() {
		c.Add(&batch)
	}
}
