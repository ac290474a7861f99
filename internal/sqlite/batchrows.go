package sqlite

import (
	"encoding/binary"
	"errors"
	"math"
)

// Rows of a batch as bytes, for the way between two processes. Each value is a
// byte for its Kind, followed by a signed varint for an integer, 8 bytes, least
// first, for a real, or the length as a varint and the bytes for a text or blob.

// AppendRows appends rows from up to, but not including, to.
func (b *Batch) AppendRows(dst []byte, from, to int) []byte {
	for _, c := range b.cells[from*b.Columns : to*b.Columns] {
		dst = append(dst, byte(c.Kind))
		switch c.Kind {
		case Integer:
			dst = binary.AppendVarint(dst, c.Int())
		case Real:
			dst = binary.LittleEndian.AppendUint64(dst, c.bits)
		case Text, Blob:
			dst = binary.AppendUvarint(dst, uint64(c.size))
			dst = append(dst, b.Bytes(c)...)
		}
	}
	return dst
}

// RowBytes returns how many bytes AppendRows appends for row i at most.
func (b *Batch) RowBytes(i int) int {
	n := 0
	for _, c := range b.Row(i) {
		n += 1 + binary.MaxVarintLen64
		if c.Kind == Text || c.Kind == Blob {
			n += int(c.size)
		}
	}
	return n
}

// ErrNoRows is returned by TakeRows for bytes that are not whole rows.
var ErrNoRows = errors.New("the bytes are not rows of the batch")

// TakeRows appends the rows that AppendRows has made p of. It trusts nothing in
// p; after a failure the batch is of no use.
func (b *Batch) TakeRows(p []byte) error {
	if b.Columns == 0 {
		return ErrNoRows
	}
	for len(p) > 0 {
		for range b.Columns {
			var c Cell
			if c, p = b.takeCell(p); p == nil {
				return ErrNoRows
			}
			b.cells = append(b.cells, c)
		}
		b.Rows++
	}
	return nil
}

// takeCell reads the cell that p begins with, and returns the rest of p: nil when
// there is none.
func (b *Batch) takeCell(p []byte) (c Cell, rest []byte) {
	if len(p) == 0 {
		return c, nil
	}
	c.Kind, p = Kind(p[0]), p[1:]
	switch c.Kind {
	case Null:
		return c, p
	case Integer:
		n, size := binary.Varint(p)
		if size <= 0 {
			return c, nil
		}
		c.bits = uint64(n)
		return c, p[size:]
	case Real:
		if len(p) < 8 {
			return c, nil
		}
		c.bits = binary.LittleEndian.Uint64(p)
		if math.IsNaN(c.Float()) {
			return c, nil // SQLite has none
		}
		return c, p[8:]
	case Text, Blob:
		n, size := binary.Uvarint(p)
		if size <= 0 || n > uint64(len(p)-size) || n > math.MaxInt32 {
			return c, nil
		}
		p = p[size:]
		c.bits, c.size = uint64(len(b.arena)), uint32(n)
		b.arena = append(b.arena, p[:n]...)
		return c, p[n:]
	}
	return c, nil
}
