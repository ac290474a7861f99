package format

import (
	"bytes"
	"math"
	"strconv"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// IsInteger reports whether b is a 64-bit integer in its canonical form.
func IsInteger(b []byte) bool {
	const sure = 18 // digits that always fit
	digits := bytes.TrimPrefix(b, []byte("-"))
	if len(digits) == 0 || len(digits) > sure+1 || digits[0] == '0' && len(b) > 1 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	if len(digits) <= sure {
		return true
	}
	_, err := strconv.ParseInt(string(b), 10, 64)
	return err == nil
}

// IsReal reports whether b is a finite real as the CSV form writes it. A negative zero
// is not, since a REAL column loses its sign.
func IsReal(b []byte) bool {
	const longest = 32
	digits := bytes.TrimPrefix(b, []byte("-"))
	if len(b) > longest || len(digits) == 0 || digits[0] < '0' || digits[0] > '9' || !hasNumberBytes(digits) {
		return false
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f == 0 && b[0] == '-' {
		return false
	}
	var written [longest + 8]byte
	return bytes.Equal(appendCSVReal(written[:0], f), b)
}

// hasNumberBytes tells most texts from reals before they are parsed.
func hasNumberBytes(b []byte) bool {
	for i, c := range b {
		if c != '.' && c != 'e' && (c < '0' || c > '9') && (c != '+' && c != '-' || b[i-1] != 'e') {
			return false
		}
	}
	return true
}

// BecomesAnother reports whether a value changes its class when read back from a
// text-only file, unless the column's type is known.
func BecomesAnother(b *sqlite.Batch, c sqlite.Cell) bool {
	switch c.Kind {
	case sqlite.Text:
		s := b.Bytes(c)
		return len(s) > 0 && s[0] <= '9' && (IsInteger(s) || IsReal(s))
	case sqlite.Real:
		return math.IsInf(c.Float(), 0) || c.Float() == 0 && math.Signbit(c.Float()) // matches IsReal
	}
	return c.Kind == sqlite.Blob
}
