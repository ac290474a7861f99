package format

import (
	"bytes"
	"strconv"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// IsInteger reports whether b is a 64-bit integer as it is printed.
func IsInteger(b []byte) bool {
	const sure = 18 // digits that are never too many
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

// IsReal reports whether b is a finite real as CSV has it. A negative zero is
// none: a REAL column forgets the sign.
func IsReal(b []byte) bool {
	const longest = 32
	digits := bytes.TrimPrefix(b, []byte("-"))
	if len(b) > longest || len(digits) == 0 || digits[0] < '0' || digits[0] > '9' {
		return false
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f == 0 && b[0] == '-' {
		return false
	}
	var written [longest + 8]byte
	return bytes.Equal(appendCSVReal(written[:0], f), b)
}

// becomesAnother reports whether a value comes back as one of another class from
// a file whose values are all texts, unless the type of the column is known.
func becomesAnother(b *sqlite.Batch, c sqlite.Cell) bool {
	switch c.Kind {
	case sqlite.Text:
		return IsInteger(b.Bytes(c)) || IsReal(b.Bytes(c))
	case sqlite.Real:
		return !IsReal(appendCSVReal(nil, c.Float()))
	}
	return c.Kind == sqlite.Blob
}
