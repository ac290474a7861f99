package sqlite

import (
	"encoding/binary"
	"errors"
	"math"
)

// A batch goes to another process as its cells, one after the other, and the
// bytes of its texts and blobs, in the same order. A cell is its kind and, as a
// varint, its integer or the number of its bytes, or the eight bytes of a real.

// AppendCells appends the cells of the batch. Their texts and blobs are those of
// Arena.
func (b *Batch) AppendCells(dst []byte) []byte {
	for _, c := range b.cells {
		dst = append(dst, byte(c.Kind))
		switch c.Kind {
		case Integer:
			dst = binary.AppendVarint(dst, c.Int())
		case Real:
			dst = binary.LittleEndian.AppendUint64(dst, c.bits)
		case Text, Blob:
			dst = binary.AppendUvarint(dst, uint64(c.size))
		}
	}
	return dst
}

// Arena returns the bytes of all texts and blobs, in the order of the cells. It
// is the batch's own memory.
func (b *Batch) Arena() []byte { return b.arena }

// errWire is the fault of bytes that are no batch.
var errWire = errors.New("the bytes are not those of a batch")

// Decode makes the batch of what AppendCells and Arena have given. Nothing in it
// is trusted: cells that are not the ones announced are an error. The arena is
// kept, not copied.
func (b *Batch) Decode(rows, columns int, cells, arena []byte) error {
	b.Reset(columns)
	// Each cell takes a byte at least, so that what is announced costs no more
	// memory than what has come.
	if rows < 0 || columns < 0 || columns > 0 && rows > len(cells)/columns {
		return errWire
	}
	at := uint64(0)
	for range rows * columns {
		c, size := decodeCell(cells)
		if size <= 0 {
			return errWire
		}
		cells = cells[size:]
		if c.Kind == Text || c.Kind == Blob {
			c.bits = at
			if at += uint64(c.size); at > uint64(len(arena)) {
				return errWire
			}
		}
		b.cells = append(b.cells, c)
	}
	if len(cells) > 0 || at != uint64(len(arena)) {
		return errWire
	}
	b.Rows, b.arena = rows, arena
	return nil
}

// decodeCell reads a cell without its place in the arena, and how many bytes it
// takes: none when it is none.
func decodeCell(from []byte) (c Cell, size int) {
	if len(from) == 0 {
		return c, 0
	}
	switch kind := Kind(from[0]); kind {
	case Null:
		return c, 1
	case Integer:
		i, n := binary.Varint(from[1:])
		if n <= 0 {
			return c, 0
		}
		return Cell{Kind: Integer, bits: uint64(i)}, 1 + n
	case Real:
		if len(from) < 9 {
			return c, 0
		}
		return wireReal(binary.LittleEndian.Uint64(from[1:])), 9
	case Text, Blob:
		bytes, n := binary.Uvarint(from[1:])
		if n <= 0 || bytes > math.MaxInt32 {
			return c, 0
		}
		return Cell{Kind: kind, size: uint32(bytes)}, 1 + n
	}
	return c, 0
}

// wireReal keeps what no value of SQLite is out of a batch.
func wireReal(bits uint64) Cell {
	if math.IsNaN(math.Float64frombits(bits)) {
		return Cell{}
	}
	return Cell{Kind: Real, bits: bits}
}

// Failure is a failure of SQLite in another process.
type Failure struct {
	Fault   Fault  `json:"fault"`
	Message string `json:"message"`
}

// FailureOf returns what is to be told of err elsewhere.
func FailureOf(err error) Failure { return Failure{FaultOf(err), Message(err)} }

// Error returns SQLite's words.
func (f *Failure) Error() string { return f.Message }
