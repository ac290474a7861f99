package ingest

import (
	"bytes"
	"strconv"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// inference finds the type of a CSV column from all its values. INTEGER and
// REAL are chosen only when an export writes each value as it was read, so
// 007, +1, 1.50 and 20-digit numbers stay TEXT; and so does a column that has
// both 1 and 1.5, as the 1 would come back as 1.0. Quotes around a number make
// no difference: an export writes it without them, whatever the type.
type inference struct {
	integers, reals, infinities, texts int64
	deciding                           string // the first value that is neither integer nor real
}

// see takes in one field. It reports false for a field with a NUL character.
func (n *inference) see(f format.Field, judge *realJudge) bool {
	switch {
	case f.Null:
		return true
	case bytes.IndexByte(f.Bytes, 0) >= 0:
		return false
	case n.texts > 0:
		n.texts++ // nothing can change the type any more
	case isCanonicalInteger(f.Bytes):
		n.integers++
	case isInfinity(f.Bytes):
		n.infinities++
	case judge.isCanonical(f.Bytes):
		n.reals++
	default:
		n.texts++
		n.deciding = string(f.Bytes[:min(len(f.Bytes), 40)])
	}
	return true
}

// columnType returns the type and why it is that one.
func (n *inference) columnType() (chosen, reason string) {
	switch {
	case n.texts > 0:
		return "TEXT", "a value is not a number in the form that exports write: " + strconv.Quote(n.deciding)
	case n.integers > 0 && n.reals+n.infinities > 0:
		return "TEXT", "some numbers are whole, others are not"
	case n.integers > 0:
		return "INTEGER", "all values are whole numbers"
	case n.reals > 0:
		return "REAL", "all values are numbers with a decimal point or exponent"
	case n.infinities > 0:
		return "TEXT", "only the word Infinity occurs"
	}
	return "TEXT", "there are no values"
}

// isCanonicalInteger reports whether b is a 64-bit integer as it is printed.
func isCanonicalInteger(b []byte) bool {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	if len(digits) < 19 {
		return true
	}
	_, err := strconv.ParseInt(string(b), 10, 64)
	return err == nil
}

// realJudge tells by the CSV encoder itself how it would write a real.
type realJudge struct {
	encoder *format.CSV
	batch   sqlite.Batch
	written []byte
}

func newRealJudge() *realJudge {
	column := []format.Column{{Name: "real", Type: "REAL"}}
	return &realJudge{encoder: format.NewCSV(column, format.DefaultDialect())}
}

// isCanonical reports whether b is a finite real that exports write so. A
// negative zero is not: a REAL column forgets the sign.
func (j *realJudge) isCanonical(b []byte) bool {
	if len(b) > 32 || !mayBeReal(b) {
		return false
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f == 0 && b[0] == '-' {
		return false
	}
	j.batch.Reset(1)
	j.batch.Append(sqlite.FloatValue(f))
	j.written = j.encoder.Rows(j.written[:0], &j.batch, false)
	return bytes.Equal(bytes.TrimSuffix(j.written, []byte("\n")), b)
}

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

// isInfinity reports whether b is how exports write an infinite real. Alone it
// does not make a column REAL: it may be a word.
func isInfinity(b []byte) bool {
	return string(bytes.TrimPrefix(b, []byte("-"))) == "Infinity"
}

// fieldValue returns the value of a field in a column of the given type, for
// which it has been found to be fit.
func fieldValue(f format.Field, columnType string) (sqlite.Value, error) {
	if f.Null {
		return sqlite.Value{}, nil
	}
	switch columnType {
	case "INTEGER":
		n, err := strconv.ParseInt(string(f.Bytes), 10, 64)
		return sqlite.IntValue(n), err
	case "REAL":
		x, err := strconv.ParseFloat(string(f.Bytes), 64)
		return sqlite.FloatValue(x), err
	}
	return sqlite.Value{Kind: sqlite.Text, Bytes: f.Bytes}, nil
}
