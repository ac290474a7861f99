package format

import "github.com/zangtable/zangtable/internal/sqlite"

// NDJSON encodes rows as one JSON object per line, with nothing around them. Values are
// written, and replacements counted, as for [JSON]. It is an [Encoder].
type NDJSON struct {
	rows *JSON
}

// NewNDJSON returns an encoder for rows of the given columns, whose names must be
// distinct.
func NewNDJSON(columns []Column, o JSONOptions) *NDJSON {
	return &NDJSON{rows: NewJSON(columns, o)}
}

// Replaced returns the number of values so far that JSON could not hold, as described at
// JSON.Replaced.
func (n *NDJSON) Replaced() int64 { return n.rows.Replaced() }

// Head appends nothing.
func (n *NDJSON) Head(dst []byte) []byte { return dst }

// Rows appends one line per row. The first row is not special.
func (n *NDJSON) Rows(dst []byte, b *sqlite.Batch, _ bool) []byte {
	for i := range b.Rows {
		dst = append(n.rows.AppendRow(dst, b, b.Row(i)), '\n')
	}
	return dst
}

// Tail appends nothing.
func (n *NDJSON) Tail(dst []byte, _ bool) []byte { return dst }
