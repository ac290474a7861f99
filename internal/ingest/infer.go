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
// so 007, +1 and 20-digit numbers stay TEXT. In a file whose dialect was not given in
// full, as for exports of ours, 1.50 and a 1 among other numbers also make a REAL if it
// holds each of them exactly, and an empty text among numbers is NULL. Quotes around a number make no difference: an export
// writes it without them, whatever the type.
type inference struct {
	text                                      bool // the file holds only text
	told                                      bool // its dialect was given in full
	integers, reals, infinities, texts, blobs int64
	other, empty                              int64  // numbers that an export writes in another way, and empty texts
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
		n.wide = n.wide || !exactText(v.Bytes)
		n.count(&n.integers, v, line)
	case isInfinity(v.Bytes):
		n.infinities++
	case format.IsReal(v.Bytes):
		n.count(&n.reals, v, line)
	case !n.told && len(v.Bytes) == 0:
		n.empty++
	case !n.told && isExactDecimal(v.Bytes):
		n.count(&n.other, v, line)
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
	both.text, both.told = n.text && other.text, n.told || other.told
	both.other, both.empty = n.other+other.other, n.empty+other.empty
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
	values := n.integers + n.reals + n.infinities + n.texts + n.blobs + n.other
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
	case n.integers > 0 && n.reals+n.infinities+n.other > 0 && (n.told || n.wide):
		return "TEXT", "some numbers are whole, others are not"
	case n.integers > 0 && n.reals+n.infinities+n.other > 0:
		return "REAL", "all values are numbers, some of them with a decimal point or exponent"
	case n.integers > 0:
		return "INTEGER", "all values are whole numbers"
	case n.reals+n.other > 0:
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

// rewrites reports whether an export writes some of the numbers in another way than the
// file, in a column of this type.
func (n *inference) rewrites(columnType string) bool {
	return n.text && columnType == "REAL" && n.texts == 0 && (n.other > 0 || n.integers > 0)
}

// exactText reports whether a REAL can hold a whole number exactly.
func exactText(b []byte) bool {
	i, err := strconv.ParseInt(string(b), 10, 64)
	return err == nil && exactReal(i)
}

// isExactDecimal reports whether b is a decimal number that a REAL holds to the digit,
// in another form than exports write, such as 1.50.
func isExactDecimal(b []byte) bool {
	const digits = 15 // that every REAL holds
	whole, fraction, point := bytes.Cut(bytes.TrimPrefix(b, []byte("-")), []byte("."))
	if !point || len(whole) == 0 || len(fraction) == 0 || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	significant := append(bytes.Clone(whole), bytes.TrimRight(fraction, "0")...)
	for _, c := range append(bytes.Clone(whole), fraction...) {
		if c < '0' || c > '9' {
			return false
		}
	}
	significant = bytes.TrimLeft(significant, "0")
	return len(significant) <= digits && (len(significant) > 0 || b[0] != '-')
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
