package format

import "github.com/zangtable/zangtable/internal/sqlite"

// NDJSON encodes rows as objects of JSON, one on each line and nothing around
// them. The values are those of JSON, and counted like them. It is an Encoder.
type NDJSON struct {
	rows *JSON
}

// NewNDJSON returns an encoder for rows of the given columns, whose names must
// differ from one another.
func NewNDJSON(columns []Column, o JSONOptions) *NDJSON {
	return &NDJSON{rows: NewJSON(columns, o)}
}

// Replaced returns how many values JSON could not hold so far, as
// JSON.Replaced describes.
func (n *NDJSON) Replaced() int64 { return n.rows.Replaced() }

// Head appends nothing.
func (n *NDJSON) Head(dst []byte) []byte { return dst }

// Rows appends one line per row. The first is like every other.
func (n *NDJSON) Rows(dst []byte, b *sqlite.Batch, _ bool) []byte {
	for i := range b.Rows {
		dst = append(n.rows.AppendRow(dst, b, b.Row(i)), '\n')
	}
	return dst
}

// Tail appends nothing.
func (n *NDJSON) Tail(dst []byte, _ bool) []byte { return dst }
