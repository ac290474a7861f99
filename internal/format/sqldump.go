package format

import (
	"bytes"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// A dump consists of DumpHead, CREATE TABLE statements, the rows from INSERT encoders,
// CREATE INDEX statements, and DumpTail.
const (
	DumpHead = "PRAGMA foreign_keys=OFF;\nBEGIN;\n"
	DumpTail = "COMMIT;\n"
)

// INSERT encodes the rows of a table as multi-row statements of a dump, in an SQL
// dialect that every sqlite3 shell since 3.8.8 loads without changing any value. A
// statement has at most 500 rows and, if more than one, at most 64 KiB. INSERT is an
// [Encoder].
//
// It writes values as AppendLiteral does, except where shells differ from the current
// library:
//
//   - Older ones misread some reals: all with 17 digits, and a few with fewer. These
//     are written as an integer multiplied or divided by powers of two, which is
//     exact: 6004799503160661.0/18014398509481984 for a third.
//   - A shell turns CRLF into LF before it parses the statement, so text with CR is
//     written as hex bytes.
type INSERT struct {
	open []byte // the statement up to VALUES
}

// NewINSERT returns an encoder for rows of the given columns of a table.
func NewINSERT(table string, columns []Column) *INSERT {
	open := "INSERT INTO " + QuoteIdent(table) + "("
	for i, column := range columns {
		if i > 0 {
			open += ","
		}
		open += QuoteIdent(column.Name)
	}
	return &INSERT{open: []byte(open + ") VALUES\n")}
}

// Head appends nothing.
func (e *INSERT) Head(dst []byte) []byte { return dst }

// Rows appends statements with exactly the rows of b.
func (e *INSERT) Rows(dst []byte, b *sqlite.Batch, _ bool) []byte {
	const mostRows, mostBytes = 500, 64 << 10
	if b.Rows == 0 {
		return dst
	}
	start, rows := len(dst), 0
	dst = append(dst, e.open...)
	for i := range b.Rows {
		place := len(dst)
		dst = append(appendTuple(dst, b, b.Row(i)), ",\n"...)
		if rows++; rows > mostRows || rows > 1 && len(dst)-start > mostBytes {
			endStatement(dst[:place])
			dst = slices.Insert(dst, place, e.open...)
			start, rows = place, 1
		}
	}
	endStatement(dst)
	return dst
}

// endStatement turns the comma after the last row into a semicolon.
func endStatement(dst []byte) { dst[len(dst)-2] = ';' }

// Tail appends nothing.
func (e *INSERT) Tail(dst []byte, _ bool) []byte { return dst }

func appendTuple(dst []byte, b *sqlite.Batch, row []sqlite.Cell) []byte {
	dst = append(dst, '(')
	for i, cell := range row {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch {
		case cell.Kind == sqlite.Real:
			dst = appendPortableReal(dst, cell.Float())
		case cell.Kind == sqlite.Text && bytes.IndexByte(b.Bytes(cell), '\r') >= 0:
			dst = appendTextBytes(dst, b.Bytes(cell))
		default:
			dst = AppendLiteral(dst, b, cell)
		}
	}
	return append(dst, ')')
}

// appendPortableReal appends a real as an expression that every SQLite version evaluates
// to the same bits.
func appendPortableReal(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || f == 0 {
		return appendSQLReal(dst, f)
	}
	start := len(dst)
	dst = appendReal(dst, f)
	if readsAlike(dst[start:]) {
		return dst
	}
	return appendDyadic(dst[:start], f)
}

// appendDyadic appends a finite nonzero real as a product or quotient of an integer
// below 2^53 and powers of two. Each step of its evaluation is exact.
func appendDyadic(dst []byte, f float64) []byte {
	const step = 62 // exponent of the largest power of two in an SQL integer
	fraction, exponent := math.Frexp(f)
	mantissa := int64(math.Ldexp(fraction, 53))
	exponent -= 53
	zeros := bits.TrailingZeros64(uint64(mantissa))
	mantissa, exponent = mantissa>>zeros, exponent+zeros
	dst = append(strconv.AppendInt(dst, mantissa, 10), ".0"...)
	operator, n := byte('*'), exponent
	if n < 0 {
		operator, n = '/', -n
	}
	for ; n > 0; n -= step {
		dst = strconv.AppendInt(append(dst, operator), 1<<min(n, step), 10)
	}
	return dst
}

// readsAlike reports whether every SQLite version reads a decimal, as written by
// appendReal, as the nearest float64. Versions before 3.43 divide the digits by a power
// of ten with a mantissa of 53 or 64 bits, depending on the machine, then round to 53
// bits; later ones use more bits.
func readsAlike(decimal []byte) bool {
	const exact = 1e15 // integers below it, and powers of ten up to 22, are exact float64
	var digits uint64
	places, point := 0, false
	for i, c := range decimal {
		switch {
		case c == '.':
			point = true
		case c == 'e':
			exponent, err := strconv.Atoi(string(decimal[i+1:]))
			return err == nil && dividesAlike(digits, places-exponent)
		case c != '-':
			digits = digits*10 + uint64(c-'0')
			if digits >= exact {
				return false
			}
			if point {
				places++
			}
		}
	}
	return dividesAlike(digits, places)
}

// dividesAlike reports whether digits/10^places, for 0 < digits < 10^15, is the same
// whether or not it is first rounded to 64 bits.
func dividesAlike(digits uint64, places int) bool {
	if places < 0 || places > 22 {
		return false
	}
	// The quotient differs from each midpoint between two float64 values by more than
	// 2^-54/5^places of itself. For up to four places, 64 bits show the difference.
	if places <= 4 {
		return true
	}
	divisor := uint64(1)
	for range places {
		divisor *= 5 // 5^22 < 2^52
	}
	divisor <<= bits.LeadingZeros64(divisor)
	digits <<= bits.LeadingZeros64(digits)
	if digits >= divisor {
		digits >>= 1
	}
	quotient, _ := bits.Div64(digits, 0, divisor)
	const below, middle = 1<<10 - 1, 1 << 10 // in the 11 bits that are rounded away
	rest := quotient & (1<<11 - 1)
	return rest != below && rest != middle
}
