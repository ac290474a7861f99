package sqlite

import (
	"encoding/binary"
	"errors"
	"math"
)

// Values are encoded as bytes to be sent between processes or stored. Each is a byte for
// its Kind, followed by a signed varint for an integer, 8 little-endian bytes for a
// real, or a varint length and the bytes for a text or blob. Rows of a batch, whose
// values are cells, have functions of their own, which copy nothing twice.

// AppendValue appends the encoded value.
func AppendValue(dst []byte, v Value) []byte {
	dst = append(dst, byte(v.Kind))
	switch v.Kind {
	case Integer:
		return binary.AppendVarint(dst, v.Int)
	case Real:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float))
	case Text, Blob:
		return append(binary.AppendUvarint(dst, uint64(len(v.Bytes))), v.Bytes...)
	}
	return dst
}

// ErrNoValue is returned by TakeValue for bytes that do not begin with a value.
var ErrNoValue = errors.New("the bytes are not a value")

// TakeValue returns the value that p begins with, and the bytes after it. The bytes of a
// text or blob belong to p.
func TakeValue(p []byte) (v Value, rest []byte, err error) {
	if len(p) == 0 {
		return v, nil, ErrNoValue
	}
	v.Kind, p = Kind(p[0]), p[1:]
	size := 0
	switch v.Kind {
	case Null:
		return v, p, nil
	case Integer:
		v.Int, size = binary.Varint(p)
	case Real:
		if len(p) >= 8 {
			v.Float, size = math.Float64frombits(binary.LittleEndian.Uint64(p)), 8
		}
	case Text, Blob:
		n, head := binary.Uvarint(p)
		if head > 0 && n <= uint64(len(p)-head) {
			size = head + int(n)
			v.Bytes = p[head:size]
		}
	}
	if size <= 0 {
		return v, nil, ErrNoValue
	}
	return v, p[size:], nil
}

// AppendRows appends the encoded rows from up to, but not including, to.
func (b *Batch) AppendRows(dst []byte, from, to int) []byte {
	for _, c := range b.cells[from*b.Columns : to*b.Columns] {
		switch c.Kind {
		case Integer:
			dst = binary.AppendVarint(append(dst, byte(c.Kind)), c.Int())
		case Real:
			dst = binary.LittleEndian.AppendUint64(append(dst, byte(c.Kind)), c.bits)
		case Text, Blob:
			if c.size < 0x80 { // the usual length
				dst = append(dst, byte(c.Kind), byte(c.size))
			} else {
				dst = binary.AppendUvarint(append(dst, byte(c.Kind)), uint64(c.size))
			}
			dst = append(dst, b.arena[c.bits:c.bits+uint64(c.size)]...)
		default:
			dst = append(dst, byte(c.Kind))
		}
	}
	return dst
}

// RowBytes returns the maximum number of bytes that AppendRows appends for row i.
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

// ErrNoRows is returned by TakeRows for bytes that do not encode complete rows.
var ErrNoRows = errors.New("the bytes are not rows of the batch")

// TakeRows appends the rows that AppendRows encoded in p. It does not trust p; after a
// failure the batch must not be used.
func (b *Batch) TakeRows(p []byte) error {
	if b.Columns == 0 {
		return ErrNoRows
	}
	cells, before := b.cells, len(b.cells)
	for len(p) > 0 {
		c := Cell{Kind: Kind(p[0])}
		p = p[1:]
		switch c.Kind {
		case Null:
		case Integer:
			n, size := binary.Varint(p)
			if size <= 0 {
				return ErrNoRows
			}
			c.bits, p = uint64(n), p[size:]
		case Real:
			if len(p) < 8 {
				return ErrNoRows
			}
			c.bits, p = binary.LittleEndian.Uint64(p), p[8:]
			if math.IsNaN(c.Float()) {
				return ErrNoRows // SQLite has no such value
			}
		case Text, Blob:
			n, size := cutLength(p)
			if size <= 0 || n > uint64(len(p)-size) || n > math.MaxInt32 {
				return ErrNoRows
			}
			c.bits, c.size = uint64(len(b.arena)), uint32(n)
			end := size + int(n)
			b.arena, p = append(b.arena, p[size:end]...), p[end:]
		default:
			return ErrNoRows
		}
		cells = append(cells, c)
	}
	taken := len(cells) - before
	if taken%b.Columns != 0 {
		return ErrNoRows
	}
	b.cells, b.Rows = cells, b.Rows+taken/b.Columns
	return nil
}

// cutLength is binary.Uvarint with a fast path for the usual length.
func cutLength(p []byte) (n uint64, size int) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), 1
	}
	return binary.Uvarint(p)
}
