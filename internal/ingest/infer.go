package ingest

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// inference infers the type of a column from all its values. If the file tells texts and
// numbers apart, the storage classes of the values decide. If it holds only text,
// INTEGER and REAL are chosen only when an export would write each value as it was read,
// so 007, +1, 1.50 and 20-digit numbers stay TEXT; so does a column with both 1 and 1.5,
// as the 1 would come back as 1.0. Quotes around a number make no difference: an export
// writes it without them, whatever the type.
type inference struct {
	text                                      bool // the file holds only text
	integers, reals, infinities, texts, blobs int64
	wide                                      bool   // a REAL cannot hold one of the integers exactly
	deciding                                  string // the first value that decided, shortened
	line                                      int64  // line of that value
	dates                                     dates
}

// see counts the value of one row.
func (n *inference) see(v sqlite.Value, line int64) {
	n.dates.see(v)
	switch {
	case v.Kind == sqlite.Null:
	case n.text && n.texts > 0:
		n.texts++ // nothing can change the type anymore
	case n.text:
		n.seeText(v, line)
	case v.Kind == sqlite.Integer:
		n.wide = n.wide || !exactReal(v.Int)
		n.count(&n.integers, v, line)
	case v.Kind == sqlite.Real:
		n.count(&n.reals, v, line)
	case v.Kind == sqlite.Text:
		n.count(&n.texts, v, line)
	case v.Kind == sqlite.Blob:
		n.count(&n.blobs, v, line)
	}
}

func (n *inference) seeText(v sqlite.Value, line int64) {
	switch {
	case format.IsInteger(v.Bytes):
		n.count(&n.integers, v, line)
	case isInfinity(v.Bytes):
		n.infinities++
	case format.IsReal(v.Bytes):
		n.count(&n.reals, v, line)
	default:
		n.count(&n.texts, v, line)
	}
}

// count counts a value of a class. The first of its class may be the deciding one.
func (n *inference) count(class *int64, v sqlite.Value, line int64) {
	if *class == 0 {
		n.deciding, n.line = shorten(v), line
	}
	*class++
}

// with merges the inferences of two tables for one column; declared is the type that the
// file declares, or "".
func (n inference) with(other *inference, declared string) inference {
	both := n
	both.integers, both.reals, both.infinities = n.integers+other.integers, n.reals+other.reals, n.infinities+other.infinities
	both.texts, both.blobs = n.texts+other.texts, n.blobs+other.blobs
	both.text = n.text && other.text
	// Text in one file and numbers in the other never make a REAL.
	both.wide = n.wide || other.wide || n.text != other.text
	both.dates = n.dates.with(other.dates)
	was, _ := n.columnType(declared)
	if now, _ := both.columnType(declared); now != was {
		both.deciding, both.line = other.deciding, other.line
	}
	return both
}

// columnType returns the type and why it was chosen. declared is the type that the file
// declares, or "".
func (n *inference) columnType(declared string) (chosen, reason string) {
	values := n.integers + n.reals + n.infinities + n.texts + n.blobs
	switch {
	case declared != "" && (values == 0 || n.fits(declared)):
		return declared, ""
	case values == 0:
		return "TEXT", "there are no values"
	case n.text:
		return n.textType()
	case n.integers == values:
		return "INTEGER", "all values are whole numbers"
	case n.reals == values:
		return "REAL", "all values are numbers with a decimal point or exponent"
	case n.integers+n.reals == values && !n.wide:
		return "REAL", "all values are numbers, some of them with a decimal point or exponent"
	case n.texts == values:
		return "TEXT", "all values are texts"
	case n.blobs == values:
		return "BLOB", "all values are blobs"
	}
	c := classes{integer: n.integers, real: n.reals, text: n.texts, blob: n.blobs}
	return "ANY", fmt.Sprintf("the values are of several classes: %s", c)
}

func (n *inference) fits(declared string) bool {
	c := classes{integer: n.integers, real: n.reals + n.infinities, text: n.texts, blob: n.blobs}
	return !n.text && (declared == "ANY" || c.single() == declared)
}

func (n *inference) textType() (chosen, reason string) {
	switch {
	case n.texts > 0:
		return "TEXT", "a value is not a number in the form that exports write: " + strconv.Quote(n.deciding)
	case n.integers > 0 && n.reals+n.infinities > 0:
		return "TEXT", "some numbers are whole, others are not"
	case n.integers > 0:
		return "INTEGER", "all values are whole numbers"
	case n.reals > 0:
		return "REAL", "all values are numbers with a decimal point or exponent"
	}
	return "TEXT", "only the word Infinity occurs"
}

// shorten returns a value as text, cut to a readable length.
func shorten(v sqlite.Value) string {
	const most = 40
	switch v.Kind {
	case sqlite.Null:
		return ""
	case sqlite.Text:
		if len(v.Bytes) > most {
			return string(bytes.ToValidUTF8(v.Bytes[:most], nil)) + "…"
		}
		return string(v.Bytes)
	case sqlite.Blob:
		return plural(int64(len(v.Bytes)), "byte")
	}
	return source.SQLLiteral(v)
}

// exactReal reports whether a REAL can hold i exactly.
func exactReal(i int64) bool {
	f := float64(i)
	return f < 1<<63 && int64(f) == i
}

// mayBeReal reports whether b starts like a number.
func mayBeReal(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	first := b[0]
	if first == '-' && len(b) > 1 {
		first = b[1]
	}
	return '0' <= first && first <= '9'
}

// isDecimal reports whether b consists only of characters of a non-integer number.
func isDecimal(b []byte) bool {
	decimal := false
	for _, c := range b {
		switch {
		case c == '.', c == 'e', c == 'E':
			decimal = true
		case c != '-' && c != '+' && (c < '0' || c > '9'):
			return false
		}
	}
	return decimal && mayBeReal(b)
}

// isInfinity reports whether b is the way exports write an infinite real. Alone it does
// not make a column REAL, since it may be a word.
func isInfinity(b []byte) bool {
	return string(bytes.TrimPrefix(b, []byte("-"))) == "Infinity"
}

// infinity returns the real for a text that isInfinity accepts.
func infinity(b []byte) sqlite.Value {
	if b[0] == '-' {
		return sqlite.FloatValue(math.Inf(-1))
	}
	return sqlite.FloatValue(math.Inf(1))
}
