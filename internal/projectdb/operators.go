package projectdb

import (
	"bytes"
	"cmp"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Operator is a comparison that a filter can make. Everything that lists the operators
// is derived from [Operators] or checked against it: the parser and its messages, the
// OpenAPI document, the reference and the tests.
type Operator struct {
	Name string
	// Doc says when the operator matches; it appears in the reference.
	Doc string
	// Arity is how many values the operator takes. Two or more are sent as an array.
	Arity int
	// Text means that the value is text, whatever the type of the column.
	Text bool

	// sql is the condition. {column} stands for the column, and each ? for a value, or
	// for all values if their number varies.
	sql string
	// folded is sql without regard to case and accents; "" if there is no such form.
	folded string
	// merges means that alternatives on one column can be merged to an IN.
	merges bool
	// round says for each value in which direction to round a number that the column
	// cannot hold exactly.
	round []rounding
	// index returns a weaker condition that can use an index of the table. It is nil
	// if the condition itself can use one.
	index func(t *Table, column *Column, value []byte) where
}

// AnyNumber is the arity of operators that take an array of any length.
const AnyNumber = -1

var operators = []Operator{
	{Name: "=", Arity: 1, sql: "{column} = ?", merges: true, folded: sqlite.FoldedEqualsFunction + "({column}, ?)", Doc: "is equal"},
	{Name: "!=", Arity: 1, sql: "{column} <> ?", folded: "NOT " + sqlite.FoldedEqualsFunction + "({column}, ?)", Doc: "is another value"},
	{Name: ">", Arity: 1, sql: "{column} > ?", round: []rounding{down}, Doc: "is greater"},
	{Name: ">=", Arity: 1, sql: "{column} >= ?", round: []rounding{up}, Doc: "is greater or equal"},
	{Name: "<", Arity: 1, sql: "{column} < ?", round: []rounding{up}, Doc: "is less"},
	{Name: "<=", Arity: 1, sql: "{column} <= ?", round: []rounding{down}, Doc: "is less or equal"},
	{Name: "like", Arity: 1, Text: true, sql: sqlite.LikeFunction + "({column}, ?)", index: caselessRange,
		Doc: "matches the pattern: `%` stands for any text, `_` for one character, and the case of A to Z makes no difference"},
	{Name: "not_like", Arity: 1, Text: true, sql: "NOT " + sqlite.LikeFunction + "({column}, ?)", Doc: "does not match the pattern, and is not null"},
	{Name: "starts_with", Arity: 1, Text: true, sql: sqlite.StartsWithFunction + "({column}, ?)", folded: sqlite.FoldedStartsWithFunction + "({column}, ?)", index: exactRange, Doc: "begins with the text"},
	{Name: "ends_with", Arity: 1, Text: true, sql: sqlite.EndsWithFunction + "({column}, ?)", folded: sqlite.FoldedEndsWithFunction + "({column}, ?)", Doc: "ends with the text"},
	{Name: "contains", Arity: 1, Text: true, sql: sqlite.ContainsFunction + "({column}, ?)", folded: sqlite.FoldedContainsFunction + "({column}, ?)", Doc: "contains the text"},
	{Name: "between", Arity: 2, sql: "{column} BETWEEN ? AND ?", round: []rounding{up, down}, Doc: "lies between the two values, or is one of them"},
	{Name: "in", Arity: AnyNumber, sql: "{column} IN (?)", Doc: "is one of the values; with an empty array no record matches"},
	{Name: "not_in", Arity: AnyNumber, sql: "{column} NOT IN (?)", Doc: "is none of the values, and not null; with an empty array every record matches"},
	{Name: "is_empty", sql: "{column} = ''", Doc: "is the empty text"},
	{Name: "is_null", sql: "{column} IS NULL", Doc: "is null"},
	{Name: "not_null", sql: "{column} IS NOT NULL", Doc: "is not null"},
}

// Operators lists the operators of filters.
func Operators() []Operator { return operators }

func operatorNames() []string {
	names := make([]string, len(operators))
	for i, op := range operators {
		names[i] = op.Name
	}
	return names
}

// FoldingOperators lists the names of the operators that can compare without regard to
// case and accents.
func FoldingOperators() (names []string) {
	for _, op := range operators {
		if op.folded != "" {
			names = append(names, op.Name)
		}
	}
	return names
}

// folding returns the operator's form without case and accents, which compares text
// and cannot use an index. It returns nil if there is none.
func (op *Operator) folding() *Operator {
	if op.folded == "" {
		return nil
	}
	return &Operator{Name: op.Name, Arity: op.Arity, Text: true, sql: op.folded}
}

// findOperator returns the operator with the given name in any letter case, or nil.
func findOperator(name string) *Operator {
	for i := range operators {
		if strings.EqualFold(operators[i].Name, name) {
			return &operators[i]
		}
	}
	return nil
}

// where returns the condition on a column with its values; mark is the SQL placeholder
// of each.
func (op *Operator) where(column *Column, values []sqlite.Value, mark string) where {
	sql := op.sql
	if op.Arity == AnyNumber {
		sql = strings.Replace(sql, "?", marks(len(values)), 1)
	}
	sql = strings.ReplaceAll(sql, "?", mark)
	sql = strings.Replace(sql, "{column}", quote(column.Name), 1)
	return where{sql: sql, args: arguments(values), equals: op.merges}
}

func arguments(values []sqlite.Value) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// rounding is the direction in which to look for the nearest number that a column can
// hold.
type rounding int

const (
	nowhere rounding = iota
	up
	down
)

// comparand returns the value that a column of the given type is compared with, for
// the operator's value at the given place.
func (op *Operator) comparand(columnType string, place int, raw jsontext.Value) (sqlite.Value, error) {
	if op.Text {
		return storedAs("TEXT", raw)
	}
	number, isNumber := string(raw), raw.Kind() == '0'
	if text, ok := stringOf(raw); ok {
		number, isNumber = numericText(text)
	}
	to := nowhere
	if place < len(op.round) {
		to = op.round[place]
	}
	d, _ := format.ParseDecimal(number)
	n, isInt := d.Int()
	switch {
	case isNumber && columnType == "INTEGER" && isInt:
		return sqlite.IntValue(n), nil
	case isNumber && columnType == "INTEGER":
		return integerBeside(d, to), nil
	case isNumber && columnType == "REAL" && isInt:
		return realBeside(n, to), nil
	}
	return storedAs(columnType, raw)
}

// integerBeside returns a value that compares with every integer as the given number
// does, which is not a 64-bit integer.
func integerBeside(d format.Decimal, to rounding) sqlite.Value {
	n, ok := d.Floor()
	if to == up {
		n, ok = d.Ceil()
	}
	switch {
	case to == nowhere:
		return sqlite.FloatValue(0.5) // equal to no integer
	case ok:
		return sqlite.IntValue(n)
	case d.Negative():
		return sqlite.FloatValue(-1 << 64)
	}
	return sqlite.FloatValue(1 << 64)
}

// realBeside returns a value that compares with every REAL as the given integer does.
// SQLite compares them exactly, except when it uses an index.
func realBeside(n int64, to rounding) sqlite.Value {
	f := float64(n)
	isGreater := f >= 1<<63 || int64(f) > n
	switch {
	case !isGreater && int64(f) == n:
		return sqlite.FloatValue(f)
	case to == nowhere:
		return sqlite.TextValue("") // no REAL equals a text
	case to == up && !isGreater:
		f = math.Nextafter(f, math.Inf(1))
	case to == down && isGreater:
		f = math.Nextafter(f, math.Inf(-1))
	}
	return sqlite.FloatValue(f)
}

// caselessRange returns a condition that holds for every text matched by a pattern and
// that a case-insensitive index can answer: that the text starts as the pattern does.
// SQLite does the same for its own LIKE.
func caselessRange(t *Table, column *Column, pattern []byte) where {
	if column.Type != "TEXT" || !t.indexesWithoutCase(column) {
		return where{}
	}
	end := bytes.IndexFunc(pattern, func(r rune) bool { return r == '%' || r == '_' || r == 0 || r >= utf8.RuneSelf })
	if end < 0 {
		end = len(pattern)
	}
	return prefixRange(quote(column.Name)+" COLLATE NOCASE", bytes.ToLower(pattern[:end]))
}

// exactRange returns the condition that a text starts with a prefix, in a form that an
// index can answer.
func exactRange(_ *Table, column *Column, prefix []byte) where {
	if column.Type != "TEXT" {
		return where{}
	}
	return prefixRange(quote(column.Name)+" COLLATE BINARY", prefix)
}

// prefixRange returns the condition that a text starts with a prefix, unless the
// prefix is empty.
func prefixRange(column string, prefix []byte) where {
	if len(prefix) == 0 {
		return where{}
	}
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return where{sql: column + " >= ? AND " + column + " < ?", args: []any{textValue(prefix), textValue(end)}}
}

func textValue(b []byte) sqlite.Value { return sqlite.Value{Kind: sqlite.Text, Bytes: b} }

// indexesWithoutCase reports whether an index has the column in a case-insensitive
// order.
func (t *Table) indexesWithoutCase(column *Column) bool {
	for _, x := range t.Indexes {
		for _, part := range x.Parts {
			if sqlite.SameName(part.Column, column.Name) && strings.EqualFold(cmp.Or(part.Collation, column.Collation), "NOCASE") {
				return true
			}
		}
	}
	return false
}
