package format

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// QuoteIdent returns a name as an SQL identifier in double quotes. Every name that goes
// into a statement passes through it. A name with a NUL byte results in a statement that
// does not parse.
func QuoteIdent(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteText returns a text as an SQL literal.
func QuoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// AppendLiteral appends a cell of b as an SQL expression that SQLite, in a UTF-8
// database, evaluates to the same value of the same storage class.
func AppendLiteral(dst []byte, b *sqlite.Batch, c sqlite.Cell) []byte {
	switch c.Kind {
	case sqlite.Integer:
		return appendInt(dst, c.Int())
	case sqlite.Real:
		return appendSQLReal(dst, c.Float())
	case sqlite.Text:
		return appendSQLText(dst, b.Bytes(c))
	case sqlite.Blob:
		return appendSQLBlob(dst, b.Bytes(c))
	}
	return append(dst, "NULL"...)
}

// appendSQLReal writes infinities as numbers too large for a float64.
func appendSQLReal(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "9e999"...)
	case math.IsInf(f, -1):
		return append(dst, "-9e999"...)
	}
	return appendReal(dst, f)
}

// appendSQLText writes text as hex bytes if it cannot appear in a statement, which ends
// at a NUL byte and is UTF-8.
func appendSQLText(dst, s []byte) []byte {
	if bytes.IndexByte(s, 0) >= 0 || !utf8.Valid(s) {
		return appendTextBytes(dst, s)
	}
	dst = append(dst, '\'')
	for {
		i := bytes.IndexByte(s, '\'')
		if i < 0 {
			return append(append(dst, s...), '\'')
		}
		dst = append(append(dst, s[:i+1]...), '\'')
		s = s[i+1:]
	}
}

func appendTextBytes(dst, s []byte) []byte {
	return append(appendSQLBlob(append(dst, "CAST("...), s), " AS TEXT)"...)
}

func appendSQLBlob(dst, b []byte) []byte {
	return append(hex.AppendEncode(append(dst, "X'"...), b), '\'')
}
