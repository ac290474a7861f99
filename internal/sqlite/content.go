package sqlite

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// Content is a checksum of rows, by which two sets of rows can be compared without
// keeping either: they have the same Content if they hold the same values of the same
// storage classes, in any order. It detects accidental differences; someone acting
// deliberately could construct rows with a given Content.
//
// The 128-bit XXH3 hashes of the rows are added modulo 2^128. The hash input of a row
// starts with 9 bytes for each value: its storage class (0 NULL, 1 INTEGER, 2 REAL, 3
// TEXT, 4 BLOB), followed as 64 little-endian bits by 0 for NULL, the integer, the
// IEEE 754 bits of the real, or the length in bytes of the text or blob. The bytes of
// all texts and blobs follow, in column order.
type Content struct {
	Rows      int64
	high, low uint64
	row       []byte // the hash input of a row, reused
}

// Add adds the rows of a batch.
func (c *Content) Add(b *Batch) {
	for i := range b.Rows {
		c.row = b.appendRow(c.row[:0], b.Row(i))
		sum := xxh3.Hash128(c.row)
		c.add(1, sum.Hi, sum.Lo)
	}
	const keep = 1 << 20
	if cap(c.row) > keep {
		c.row = nil
	}
}

// appendRow appends the hash input of a row.
func (b *Batch) appendRow(dst []byte, row []Cell) []byte {
	const size = 9
	dst = slices.Grow(dst, size*len(row))[:len(dst)+size*len(row)]
	fixed := dst[len(dst)-size*len(row):]
	var texts []byte // of the arena, where those of one row are contiguous
	for _, cell := range row {
		word := cell.bits
		if cell.Kind >= Text {
			word = uint64(cell.size)
			texts = b.arena[cell.bits-uint64(len(texts)) : cell.bits+word]
		}
		fixed[0] = byte(cell.Kind)
		binary.LittleEndian.PutUint64(fixed[1:size], word)
		fixed = fixed[size:]
	}
	return append(dst, texts...)
}

// Merge adds the rows summed up in other.
func (c *Content) Merge(other Content) { c.add(other.Rows, other.high, other.low) }

func (c *Content) add(rows int64, high, low uint64) {
	c.Rows += rows
	var carry uint64
	c.low, carry = bits.Add64(c.low, low, 0)
	c.high, _ = bits.Add64(c.high, high, carry)
}

// Hash returns the sum as 32 hexadecimal digits.
func (c *Content) Hash() string { return fmt.Sprintf("%016x%016x", c.high, c.low) }
