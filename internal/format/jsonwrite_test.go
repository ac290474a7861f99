package format

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// most records the largest piece that was written.
type most struct {
	bytes.Buffer
	largest int
}

func (m *most) Write(p []byte) (int, error) {
	m.largest = max(m.largest, len(p))
	return m.Buffer.Write(p)
}

// TestRowsInPieces writes values of about the length of a piece, valid and invalid, and
// compares them with values written at once.
func TestRowsInPieces(t *testing.T) {
	columns := []Column{{Name: "a", Type: "TEXT"}, {Name: "b", Type: "ANY"}}
	rapid.Check(t, func(t *rapid.T) {
		atom := rapid.SampledFrom([]string{"x", "ü", "€", "😀", "\x01", `"`, "\xff", "\x80\x80\x80\x80\x80", "\xf0\x9f\x98"}).Draw(t, "atom")
		lead := rapid.IntRange(0, 5).Draw(t, "lead")
		length := rapid.SampledFrom([]int{0, 1, pieceBytes - 3, pieceBytes, pieceBytes + 1, 3*pieceBytes + 7}).Draw(t, "length")
		value := []byte(strings.Repeat("-", lead) + strings.Repeat(atom, length/len(atom)+1))
		kind := rapid.SampledFrom([]sqlite.Kind{sqlite.Text, sqlite.Blob}).Draw(t, "kind")
		var b sqlite.Batch
		b.Reset(2)
		b.Append(sqlite.Value{Kind: kind, Bytes: value}, sqlite.Value{Kind: sqlite.Integer, Int: 7})
		j := NewJSON(columns, JSONOptions{})
		var w most
		rest, err := j.WriteRow(&w, nil, &b, b.Row(0))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := w.String()+string(rest), string(j.AppendRow(nil, &b, b.Row(0))); got != want {
			t.Fatalf("%d bytes written, %d at once: they differ", len(got), len(want))
		}
		if w.largest > 8*pieceBytes || len(rest) > 8*pieceBytes {
			t.Fatalf("a piece of %d bytes", max(w.largest, len(rest)))
		}
	})
}
