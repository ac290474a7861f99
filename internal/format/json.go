package format

import (
	"io"
	"math"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// JSONOptions says how values are written as JSON. The zero value writes every integer
// as a number.
type JSONOptions struct {
	IntegersAsStrings bool // integers beyond ±(2^53-1), which a float64 may not hold, become strings
}

const maxSafeInteger = 1<<53 - 1

// JSON encodes rows as an array of objects, in the form described in the package
// comment. It is an [Encoder].
type JSON struct {
	options  JSONOptions
	keys     [][]byte // per column: `{"id":`, then `,"name":`
	untyped  []bool   // per column: Column.holdsAny
	replaced atomic.Int64
}

// NewJSON returns an encoder for rows of the given columns, whose names must be
// distinct.
func NewJSON(columns []Column, o JSONOptions) *JSON {
	j := &JSON{options: o, keys: make([][]byte, len(columns)), untyped: make([]bool, len(columns))}
	for i, column := range columns {
		key := []byte{','}
		if i == 0 {
			key[0] = '{'
		}
		j.keys[i], j.untyped[i] = append(AppendString(key, column.Name), ':'), column.holdsAny()
	}
	return j
}

// Replaced returns the number of values so far that JSON could not hold: infinities,
// written as null; texts with invalid UTF-8, written with U+FFFD; and blobs in columns
// of any type, written as base64 text.
func (j *JSON) Replaced() int64 { return j.replaced.Load() }

// Head opens the array.
func (j *JSON) Head(dst []byte) []byte { return append(dst, '[') }

// Rows appends one object per row, each on its own line.
func (j *JSON) Rows(dst []byte, b *sqlite.Batch, first bool) []byte {
	for i := range b.Rows {
		if !first || i > 0 {
			dst = append(dst, ',')
		}
		dst = j.AppendRow(append(dst, '\n'), b, b.Row(i))
	}
	return dst
}

// Tail closes the array and ends the line.
func (j *JSON) Tail(dst []byte, some bool) []byte {
	if some {
		dst = append(dst, '\n')
	}
	return append(dst, "]\n"...)
}

// AppendRow appends one row as an object. Its cells come from b, in the order of the
// encoder's columns.
func (j *JSON) AppendRow(dst []byte, b *sqlite.Batch, row []sqlite.Cell) []byte {
	if len(row) == 0 {
		return append(dst, "{}"...)
	}
	replaced := 0
	for i, cell := range row {
		var r int
		dst, r = appendValue(append(dst, j.keys[i]...), b, cell, j.options)
		replaced += r
		if cell.Kind == sqlite.Blob && j.untyped[i] {
			replaced++
		}
	}
	if replaced > 0 {
		j.replaced.Add(int64(replaced))
	}
	return append(dst, '}')
}

// pieceBytes is the most that WriteRow encodes at once, before escaping.
const pieceBytes = 32 << 10

// WriteRow writes what AppendRow would append, in pieces, so that a large value is never
// held in its encoded form, which can be six times as long. It uses buf and returns it
// with the part not yet written.
func (j *JSON) WriteRow(w io.Writer, buf []byte, b *sqlite.Batch, row []sqlite.Cell) ([]byte, error) {
	if len(row) == 0 {
		return append(buf, "{}"...), nil
	}
	for i, cell := range row {
		buf = append(buf, j.keys[i]...)
		if cell.Kind == sqlite.Text || cell.Kind == sqlite.Blob {
			var err error
			if buf, err = writeLong(w, buf, cell.Kind, b.Bytes(cell)); err != nil {
				return buf, err
			}
			continue
		}
		buf, _ = appendValue(buf, b, cell, j.options)
	}
	return append(buf, '}'), nil
}

// writeLong writes a text or blob as a JSON string.
func writeLong(w io.Writer, buf []byte, kind sqlite.Kind, value []byte) ([]byte, error) {
	buf = append(buf, '"')
	for len(value) > 0 {
		n := len(value)
		if n > pieceBytes {
			n = pieceEnd(kind, value)
		}
		if kind == sqlite.Blob {
			buf = appendBase64(buf, value[:n])
		} else {
			buf, _ = appendText(buf, value[:n])
		}
		value = value[n:]
		if len(buf) >= pieceBytes {
			if _, err := w.Write(buf); err != nil {
				return buf[:0], err
			}
			buf = buf[:0]
		}
	}
	return append(buf, '"'), nil
}

// pieceEnd returns where a long value can be cut: before a character, or after a whole
// base64 group.
func pieceEnd(kind sqlite.Kind, value []byte) int {
	if kind == sqlite.Blob {
		return pieceBytes - pieceBytes%3
	}
	for n := pieceBytes; n > pieceBytes-utf8.UTFMax; n-- {
		if utf8.RuneStart(value[n]) {
			return n
		}
	}
	return pieceBytes // invalid UTF-8 can be cut anywhere
}

// AppendValue appends a cell of b as a JSON value. A blob becomes a base64 string; what
// JSON cannot hold is replaced as described at JSON.Replaced.
func AppendValue(dst []byte, b *sqlite.Batch, c sqlite.Cell, o JSONOptions) []byte {
	dst, _ = appendValue(dst, b, c, o)
	return dst
}

// appendValue also returns 1 if the value had to be replaced.
func appendValue(dst []byte, b *sqlite.Batch, c sqlite.Cell, o JSONOptions) ([]byte, int) {
	switch c.Kind {
	case sqlite.Integer:
		i := c.Int()
		if o.IntegersAsStrings && (i > maxSafeInteger || i < -maxSafeInteger) {
			dst = appendInt(append(dst, '"'), i)
			return append(dst, '"'), 0
		}
		return appendInt(dst, i), 0
	case sqlite.Real:
		f := c.Float()
		if math.IsInf(f, 0) {
			return append(dst, "null"...), 1
		}
		return appendReal(dst, f), 0
	case sqlite.Text:
		return appendString(dst, b.Bytes(c))
	case sqlite.Blob:
		dst = appendBase64(append(dst, '"'), b.Bytes(c))
		return append(dst, '"'), 0
	}
	return append(dst, "null"...), 0
}

// AppendString appends s as a JSON string. Each byte that is not part of valid UTF-8
// becomes U+FFFD. It escapes only what JSON requires.
func AppendString[S string | []byte](dst []byte, s S) []byte {
	dst, _ = appendString(dst, []byte(s))
	return dst
}

func appendString(dst, s []byte) ([]byte, int) {
	dst, replaced := appendText(append(dst, '"'), s)
	return append(dst, '"'), replaced
}

// appendText appends what goes between the quotes of a JSON string. It returns 1 if
// bytes had to be replaced.
func appendText(dst, s []byte) ([]byte, int) {
	n := plainPrefix(s)
	dst = append(dst, s[:n]...)
	if s = s[n:]; len(s) == 0 {
		return dst, 0
	}
	if utf8.Valid(s) {
		return appendEscaped(dst, s), 0
	}
	return appendRepaired(dst, s), 1
}

// plainPrefix returns how many bytes at the start of s are ASCII that needs no escaping
// in JSON, checking eight at a time.
func plainPrefix(s []byte) int {
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		x := word(s[n:])
		if x&highs|(x-every(' '))&^x&highs|zeros(x^every('"'))|zeros(x^every('\\')) != 0 {
			break
		}
	}
	for n < len(s) && s[n] < utf8.RuneSelf && !mustEscape(s[n]) {
		n++
	}
	return n
}

func mustEscape(c byte) bool { return c < ' ' || c == '"' || c == '\\' }

// appendEscaped appends s, which is valid UTF-8, with escapes.
func appendEscaped(dst, s []byte) []byte {
	start := 0
	for i, c := range s {
		if mustEscape(c) {
			dst = appendEscape(append(dst, s[start:i]...), c)
			start = i + 1
		}
	}
	return append(dst, s[start:]...)
}

// appendRepaired appends s with U+FFFD for each byte that is not valid UTF-8.
func appendRepaired(dst, s []byte) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, "\ufffd"...)
		} else {
			dst = appendEscaped(dst, s[:size])
		}
		s = s[size:]
	}
	return dst
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// JSONDatabase writes the frame around the tables of a database in one JSON file:
//
//	{"project":…,"exported_at":…,"snapshot":…,"tables":{
//	"contacts":{"columns":[…],"rows":[
//	{…}
//	]
//	}
//	}}
//
// Call Head, then for each table OpenTable, the Head, Rows and Tail of a JSON
// encoder and CloseTable, and finally Tail. Each method appends to dst and returns
// it.
type JSONDatabase struct {
	tables int
}

// Head opens the file. The time is written in UTC, in seconds, and the zero time as
// null; snapshot is a JSON value.
func (d *JSONDatabase) Head(dst []byte, project string, exportedAt time.Time, snapshot []byte) []byte {
	dst = AppendString(append(dst, `{"project":`...), project)
	dst = append(dst, `,"exported_at":`...)
	if exportedAt.IsZero() {
		dst = append(dst, "null"...)
	} else {
		dst = AppendString(dst, exportedAt.UTC().Format(time.RFC3339))
	}
	dst = append(append(dst, `,"snapshot":`...), snapshot...)
	return append(dst, `,"tables":{`...)
}

// OpenTable opens a table up to the value of its rows; columns is a JSON array.
func (d *JSONDatabase) OpenTable(dst []byte, name string, columns []byte) []byte {
	if d.tables > 0 {
		dst = append(dst, ',')
	}
	d.tables++
	dst = AppendString(append(dst, '\n'), name)
	dst = append(append(dst, `:{"columns":`...), columns...)
	return append(dst, `,"rows":`...)
}

// CloseTable closes what OpenTable opened.
func (d *JSONDatabase) CloseTable(dst []byte) []byte { return append(dst, '}') }

// Tail closes the file.
func (d *JSONDatabase) Tail(dst []byte) []byte { return append(dst, "\n}}\n"...) }
