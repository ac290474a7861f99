package sqlite

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// Content sums up rows, so that two sets of rows can be compared without
// keeping either: they have the same Content when they hold the same values of
// the same storage classes, in any order. It tells apart what goes wrong by
// accident; a person with intent could make rows with a given Content.
//
// The sum of the rows' 128-bit XXH3 hashes is taken modulo 2^128. The input of a
// row's hash is first 9 bytes for each value: its storage class (0 NULL,
// 1 INTEGER, 2 REAL, 3 TEXT, 4 BLOB), then as 64 bits, least byte first, 0 for
// NULL, the integer, the IEEE 754 bits of the real, or how many bytes the text or
// blob has; then the bytes of all texts and blobs, in the order of the columns.
type Content struct {
	Rows      int64
	high, low uint64
	row       []byte // that is hashed, to be used again
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

// appendRow appends what is hashed of a row.
func (b *Batch) appendRow(dst []byte, row []Cell) []byte {
	const size = 9
	dst = slices.Grow(dst, size*len(row))[:len(dst)+size*len(row)]
	fixed := dst[len(dst)-size*len(row):]
	var texts []byte // of the arena, where those of one row follow one another
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

// Merge adds the rows that other has summed up.
func (c *Content) Merge(other Content) { c.add(other.Rows, other.high, other.low) }

func (c *Content) add(rows int64, high, low uint64) {
	c.Rows += rows
	var carry uint64
	c.low, carry = bits.Add64(c.low, low, 0)
	c.high, _ = bits.Add64(c.high, high, carry)
}

// Hash returns the sum in 32 hexadecimal digits.
func (c *Content) Hash() string { return fmt.Sprintf("%016x%016x", c.high, c.low) }
