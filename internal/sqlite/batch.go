package sqlite

import (
	"bytes"
	"math"
	"slices"
	"unicode/utf8"
	"unsafe"
)

// Kind is the storage class of one value.
type Kind uint8

// SQLite's five storage classes.
const (
	Null Kind = iota
	Integer
	Real
	Text
	Blob
)

// Batch holds rows as read from SQLite, without boxing: one Cell per value and one
// arena for the bytes of all texts and blobs. A batch is filled by Stmt.Fill, passed
// to an encoder, and reused.
type Batch struct {
	Columns int // cells per row; 0 only for a batch that was never filled
	Rows    int // rows held
	Limit   int // bytes of texts and blobs up to which Fill may fill it; 0 means no limit
	// CellLimit is the number of bytes to which Fill cuts a text or blob; 0 means no limit.
	CellLimit int
	Cuts      []Cut  // what has been cut
	cells     []Cell // Rows × Columns
	arena     []byte
}

// Cut is about a text or blob of which a batch holds only the beginning.
type Cut struct {
	Row, Column int
	Bytes       int64 // size of the whole value
}

// Cell is one value of a batch. Its bytes live in the batch's arena.
type Cell struct {
	Kind Kind
	size uint32 // bytes of a text or blob
	bits uint64 // integer, bits of a real, or offset in the arena
}

// Int returns the value of an Integer cell.
func (c Cell) Int() int64 { return int64(c.bits) }

// Float returns the value of a Real cell.
func (c Cell) Float() float64 { return math.Float64frombits(c.bits) }

// Row returns the cells of row i, 0 ≤ i < b.Rows.
func (b *Batch) Row(i int) []Cell {
	return b.cells[i*b.Columns : (i+1)*b.Columns : (i+1)*b.Columns]
}

// Bytes returns the bytes of a Text or Blob cell of this batch. They are valid
// until the batch is reset.
func (b *Batch) Bytes(c Cell) []byte {
	return b.arena[c.bits : c.bits+uint64(c.size) : c.bits+uint64(c.size)]
}

// Size returns the number of bytes in texts and blobs, which tells when a batch is
// full.
func (b *Batch) Size() int { return len(b.arena) }

// Memory returns how many bytes the batch uses, including spare capacity.
func (b *Batch) Memory() int64 {
	return int64(cap(b.arena)) + int64(cap(b.cells))*int64(unsafe.Sizeof(Cell{}))
}

// Reset empties the batch for rows with the given number of columns. It keeps the
// memory, unless an oversized value has made it unreasonably large.
func (b *Batch) Reset(columns int) {
	const keep = 4 << 20
	if cap(b.arena) > keep {
		b.arena = nil
	}
	b.Columns, b.Rows, b.cells, b.arena, b.Cuts = columns, 0, b.cells[:0], b.arena[:0], b.Cuts[:0]
}

// Cut truncates the batch to the given number of rows and of bytes in texts and blobs.
func (b *Batch) Cut(rows, size int) {
	b.Rows, b.cells, b.arena = rows, b.cells[:rows*b.Columns], b.arena[:size]
	b.Cuts = slices.DeleteFunc(b.Cuts, func(c Cut) bool { return c.Row >= rows })
}

// kept returns how many bytes of a text or blob are kept at most.
func (b *Batch) kept(size int) int {
	if b.CellLimit > 0 {
		return min(size, b.CellLimit)
	}
	return size
}

// shorten cuts a text or blob, which ends at the end of the arena, to the limit for cells.
func (b *Batch) shorten(c Cell, column, size int) Cell {
	c.size = uint32(beginning(c.Kind, b.arena[c.bits:], b.CellLimit))
	b.arena = b.arena[:c.bits+uint64(c.size)]
	b.Cuts = append(b.Cuts, Cut{b.Rows, column, int64(size)})
	return c
}

// beginning returns how many of the first bytes of a value to keep: at most limit, and
// no part of a character. Of a blob, it is a multiple of 3, so that the base64 of the
// beginning is the beginning of the base64.
func beginning(kind Kind, value []byte, limit int) int {
	n := min(limit, len(value))
	if kind == Blob {
		return n - n%3
	}
	for back := 0; n < len(value) && back < utf8.UTFMax && n-back > 0; back++ {
		if utf8.RuneStart(value[n-back]) {
			return n - back
		}
	}
	return n
}

// Excerpt replaces a blob by a part of it, the beginning of a value of the given kind
// and size. At most limit bytes of the part are kept, and no part of a character.
func (b *Batch) Excerpt(row, column int, kind Kind, from, limit int, size int64) {
	c := &b.cells[row*b.Columns+column]
	n := beginning(kind, b.arena[c.bits+uint64(from):c.bits+uint64(c.size)], limit)
	*c = Cell{kind, uint32(n), c.bits + uint64(from)}
	b.Cuts = append(b.Cuts, Cut{row, column, size})
}

// Reverse puts the rows in the opposite order.
func (b *Batch) Reverse() {
	for i, j := 0, b.Rows-1; i < j; i, j = i+1, j-1 {
		first, last := b.Row(i), b.Row(j)
		for k := range first {
			first[k], last[k] = last[k], first[k]
		}
	}
	slices.Reverse(b.Cuts)
	for i := range b.Cuts {
		b.Cuts[i].Row = b.Rows - 1 - b.Cuts[i].Row
	}
}

func realCell(f float64) Cell { return Cell{Kind: Real, bits: math.Float64bits(f)} }

// Append adds one row with as many values as the batch has columns. Tests and readers
// of other formats use it; rows of SQLite are added by Stmt.Fill.
func (b *Batch) Append(row ...Value) {
	for _, v := range row {
		b.cells = append(b.cells, b.cell(v))
	}
	b.Rows++
}

// cell returns a cell that holds v, whose bytes are copied into the arena.
func (b *Batch) cell(v Value) Cell {
	c := Cell{Kind: v.Kind}
	switch v.Kind {
	case Integer:
		c.bits = uint64(v.Int)
	case Real:
		c = realCell(v.Float)
	case Text, Blob:
		c.bits, c.size = uint64(len(b.arena)), uint32(len(v.Bytes))
		b.arena = append(b.arena, v.Bytes...)
	}
	return c
}

// Value returns a cell as a Value. Its bytes are not a copy: they belong to the arena.
func (b *Batch) Value(c Cell) Value {
	switch c.Kind {
	case Integer:
		return Value{Kind: Integer, Int: c.Int()}
	case Real:
		return Value{Kind: Real, Float: c.Float()}
	case Text, Blob:
		return Value{Kind: c.Kind, Bytes: b.Bytes(c)}
	}
	return Value{}
}

// AppendValues appends the values of row i, 0 ≤ i < b.Rows. Their bytes belong to the
// arena.
func (b *Batch) AppendValues(dst []Value, i int) []Value {
	for _, c := range b.Row(i) {
		dst = append(dst, b.Value(c))
	}
	return dst
}

// Value is one SQLite value. The zero Value is NULL.
type Value struct {
	Kind  Kind
	Int   int64
	Float float64
	Bytes []byte // of a text or blob
}

// Same reports whether two values are stored alike, to the bit.
func (v Value) Same(other Value) bool {
	return v.Kind == other.Kind && v.Int == other.Int && math.Float64bits(v.Float) == math.Float64bits(other.Float) && bytes.Equal(v.Bytes, other.Bytes)
}

// IntValue returns an INTEGER value.
func IntValue(i int64) Value { return Value{Kind: Integer, Int: i} }

// FloatValue returns a REAL value.
func FloatValue(f float64) Value { return Value{Kind: Real, Float: f} }

// TextValue returns a TEXT value.
func TextValue(s string) Value { return Value{Kind: Text, Bytes: []byte(s)} }

// BlobValue returns a BLOB value; b is kept, not copied.
func BlobValue(b []byte) Value { return Value{Kind: Blob, Bytes: b} }
