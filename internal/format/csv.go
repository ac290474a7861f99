package format

import (
	"bytes"
	"math"
	"slices"
	"sync/atomic"

	"github.com/zangtable/zangtable/internal/sqlite"
)

const bom = "\ufeff"

// CSV encodes rows as CSV, in the form described in the package comment. It is an
// [Encoder].
type CSV struct {
	columns   []Column
	dialect   Dialect
	delimiter byte
	crlf      bool
	plain     bool      // cells are written as in the default dialect
	special   [256]bool // bytes that force quotes around a field
	untyped   []bool    // per column: Column.holdsAny
	replaced  atomic.Int64
}

// NewCSV returns an encoder for rows of the given columns, in a valid dialect.
func NewCSV(columns []Column, d Dialect) *CSV {
	c := &CSV{columns: columns, dialect: d, delimiter: d.Delimiter[0], crlf: d.LineEnding == CRLF}
	for _, column := range columns {
		c.untyped = append(c.untyped, column.holdsAny())
	}
	c.plain = d.NullText == "" && d.Quote != QuoteAll && !d.FormulaGuard
	for _, b := range []byte{c.delimiter, '"', '\r', '\n'} {
		c.special[b] = true
	}
	return c
}

// Head appends the BOM and the header row, if the dialect has them.
func (c *CSV) Head(dst []byte) []byte {
	if c.dialect.BOM {
		dst = append(dst, bom...)
	}
	if !c.dialect.Header {
		return dst
	}
	for i, column := range c.columns {
		if i > 0 {
			dst = append(dst, c.delimiter)
		}
		dst = c.appendField(dst, []byte(column.Name), i == 0)
	}
	return c.endRow(dst)
}

// Replaced returns the number of values so far, in columns of any type, that a reader
// cannot tell from others: blobs, which are written as base64, texts that look like
// numbers, and reals that do not, such as infinities.
func (c *CSV) Replaced() int64 { return c.replaced.Load() }

func (c *CSV) endRow(dst []byte) []byte {
	if c.crlf {
		dst = append(dst, '\r')
	}
	return append(dst, '\n')
}

// Rows appends one line per row. The first row is not special.
func (c *CSV) Rows(dst []byte, b *sqlite.Batch, _ bool) []byte {
	delimiter := c.delimiter
	for i := range b.Rows {
		for j, cell := range b.Row(i) {
			if j > 0 {
				dst = append(dst, delimiter)
			}
			if c.untyped[j] && BecomesAnother(b, cell) {
				c.replaced.Add(1)
			}
			if !c.plain {
				dst = c.appendCell(dst, b, cell, j == 0)
				continue
			}
			switch cell.Kind {
			case sqlite.Integer:
				dst = appendInt(dst, cell.Int())
			case sqlite.Real:
				dst = appendCSVReal(dst, cell.Float())
			case sqlite.Text:
				dst = c.appendText(dst, b.Bytes(cell), j == 0)
			case sqlite.Blob:
				dst = appendCSVBlob(dst, b.Bytes(cell))
			}
		}
		dst = c.endRow(dst)
	}
	return dst
}

// Tail appends nothing.
func (c *CSV) Tail(dst []byte, _ bool) []byte { return dst }

// appendText appends a text as the default dialect writes it.
func (c *CSV) appendText(dst, s []byte, first bool) []byte {
	if !c.mustQuote(s) && !(first && c.misleads(s)) {
		return append(dst, s...)
	}
	return append(appendDoubled(append(dst, '"'), s), '"')
}

// appendDoubled appends s with each quote doubled.
func appendDoubled(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '"')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i+1]...), '"')
		s = s[i+1:]
	}
}

// appendCell appends a cell as the dialect writes it.
func (c *CSV) appendCell(dst []byte, b *sqlite.Batch, cell sqlite.Cell, first bool) []byte {
	start, quote := len(dst), c.dialect.Quote == QuoteAll
	switch cell.Kind {
	case sqlite.Integer:
		dst = appendInt(dst, cell.Int())
	case sqlite.Real:
		dst = appendCSVReal(dst, cell.Float())
	case sqlite.Text:
		return c.appendField(dst, b.Bytes(cell), first)
	case sqlite.Blob:
		dst = appendBase64(dst, b.Bytes(cell))
		encoded := dst[start:]
		quote = quote || len(encoded) == 0 || string(encoded) == c.dialect.NullText
		if c.dialect.FormulaGuard && isFormula(encoded) {
			dst = slices.Insert(dst, start, '\'')
		}
	default:
		return append(dst, c.dialect.NullText...)
	}
	if quote {
		return append(slices.Insert(dst, start, '"'), '"')
	}
	return dst
}

// appendField appends a text as the dialect writes it.
func (c *CSV) appendField(dst, s []byte, first bool) []byte {
	if c.plain {
		return c.appendText(dst, s, first)
	}
	quote := c.dialect.Quote == QuoteAll || string(s) == c.dialect.NullText || c.mustQuote(s) || first && c.misleads(s)
	if quote {
		dst = append(dst, '"')
	}
	if c.dialect.FormulaGuard && isFormula(s) {
		dst = append(dst, '\'')
	}
	if !quote {
		return append(dst, s...)
	}
	return append(appendDoubled(dst, s), '"')
}

// mustQuote reports whether a field needs quotes wherever it appears.
func (c *CSV) mustQuote(s []byte) bool {
	n := len(s)
	if n == 0 || s[0] == ' ' || s[n-1] == ' ' {
		return true
	}
	if n >= 8 {
		delimiter := every(c.delimiter)
		for ; len(s) >= 8; s = s[8:] {
			x := word(s)
			if zeros(x^every('"'))|zeros(x^every('\n'))|zeros(x^every('\r'))|zeros(x^delimiter) != 0 {
				return true
			}
		}
	}
	for _, b := range s {
		if c.special[b] {
			return true
		}
	}
	return false
}

// misleads reports whether a reader could mistake s, at the start of a line, for
// something other than a field.
func (c *CSV) misleads(s []byte) bool {
	return bytes.HasPrefix(s, []byte(bom)) || len(c.columns) == 1 && string(s) == `\.`
}

func appendCSVReal(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	return appendReal(dst, f)
}

func appendCSVBlob(dst, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, `""`...)
	}
	return appendBase64(dst, b)
}
