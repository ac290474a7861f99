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

// Operator is one comparison that a filter can make. Everything that lists the
// operators is derived from [Operators] or compared with it: the parser and its
// messages, the OpenAPI document, the reference and the tests.
type Operator struct {
	Name string
	// Doc says in the reference when the operator matches.
	Doc string
	// Arity is how many values the operator takes. Two or more stand in an array.
	Arity int
	// Text says that the value is a text, whatever the column's type is.
	Text bool

	// sql is the condition. {column} stands for the column, and each ? for a
	// value, or for all of them where their number varies.
	sql string
	// round says, value by value, where the number is that can stand for one that
	// the column cannot hold exactly.
	round []rounding
	// index returns a weaker condition that an index of the table can answer.
	// It is nil where the condition itself can use one.
	index func(t *Table, column *Column, value []byte) where
}

// AnyNumber is the arity of operators that take an array of any length.
const AnyNumber = -1

var operators = []Operator{
	{Name: "=", Arity: 1, sql: "{column} = ?", Doc: "is equal"},
	{Name: "!=", Arity: 1, sql: "{column} <> ?", Doc: "is another value"},
	{Name: ">", Arity: 1, sql: "{column} > ?", round: []rounding{down}, Doc: "is greater"},
	{Name: ">=", Arity: 1, sql: "{column} >= ?", round: []rounding{up}, Doc: "is greater or equal"},
	{Name: "<", Arity: 1, sql: "{column} < ?", round: []rounding{up}, Doc: "is less"},
	{Name: "<=", Arity: 1, sql: "{column} <= ?", round: []rounding{down}, Doc: "is less or equal"},
	{Name: "like", Arity: 1, Text: true, sql: sqlite.LikeFunction + "({column}, ?)", index: caselessRange,
		Doc: "matches the pattern: `%` stands for any text, `_` for one character, and the case of A to Z makes no difference"},
	{Name: "starts_with", Arity: 1, Text: true, sql: sqlite.StartsWithFunction + "({column}, ?)", index: exactRange, Doc: "begins with the text"},
	{Name: "ends_with", Arity: 1, Text: true, sql: sqlite.EndsWithFunction + "({column}, ?)", Doc: "ends with the text"},
	{Name: "contains", Arity: 1, Text: true, sql: sqlite.ContainsFunction + "({column}, ?)", Doc: "contains the text"},
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

// findOperator returns the operator with the given name in any letter case, or nil.
func findOperator(name string) *Operator {
	for i := range operators {
		if strings.EqualFold(operators[i].Name, name) {
			return &operators[i]
		}
	}
	return nil
}

// where returns the condition on a column with its values, for each of which mark
// stands in the SQL.
func (op *Operator) where(column *Column, values []sqlite.Value, mark string) where {
	sql := op.sql
	if op.Arity == AnyNumber {
		sql = strings.Replace(sql, "?", marks(len(values)), 1)
	}
	sql = strings.ReplaceAll(sql, "?", mark)
	sql = strings.Replace(sql, "{column}", quote(column.Name), 1)
	return where{sql: sql, args: arguments(values), equals: op.Name == "="}
}

func arguments(values []sqlite.Value) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// rounding is where the nearest number that a column can hold is looked for.
type rounding int

const (
	nowhere rounding = iota
	up
	down
)

// comparand returns the value that a column of the given type is compared with for
// the one at the given place of those that the operator takes.
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

// integerBeside returns the value that every integer compares with as it does with
// a number that is no integer of 64 bits.
func integerBeside(d format.Decimal, to rounding) sqlite.Value {
	n, ok := d.Floor()
	if to == up {
		n, ok = d.Ceil()
	}
	switch {
	case to == nowhere:
		return sqlite.FloatValue(0.5) // no integer is equal to it
	case ok:
		return sqlite.IntValue(n)
	case d.Negative():
		return sqlite.FloatValue(-1 << 64)
	}
	return sqlite.FloatValue(1 << 64)
}

// realBeside returns the value that every REAL compares with as it does with an
// integer. SQLite compares them exactly, but not where it uses an index.
func realBeside(n int64, to rounding) sqlite.Value {
	f := float64(n)
	isGreater := f >= 1<<63 || int64(f) > n
	switch {
	case !isGreater && int64(f) == n:
		return sqlite.FloatValue(f)
	case to == nowhere:
		return sqlite.TextValue("") // no REAL is equal to a text
	case to == up && !isGreater:
		f = math.Nextafter(f, math.Inf(1))
	case to == down && isGreater:
		f = math.Nextafter(f, math.Inf(-1))
	}
	return sqlite.FloatValue(f)
}

// caselessRange returns a condition that every text fulfils that a pattern
// matches, and that an index without letter case answers: that the text begins
// as the pattern does. SQLite does the same for its own LIKE.
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

// exactRange returns the condition that a text begins with a prefix in a form that
// an index answers.
func exactRange(_ *Table, column *Column, prefix []byte) where {
	if column.Type != "TEXT" {
		return where{}
	}
	return prefixRange(quote(column.Name)+" COLLATE BINARY", prefix)
}

// prefixRange returns the condition that a text begins with a prefix, unless it
// is empty.
func prefixRange(column string, prefix []byte) where {
	if len(prefix) == 0 {
		return where{}
	}
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return where{sql: column + " >= ? AND " + column + " < ?", args: []any{textValue(prefix), textValue(end)}}
}

func textValue(b []byte) sqlite.Value { return sqlite.Value{Kind: sqlite.Text, Bytes: b} }

// indexesWithoutCase reports whether an index has the column in an order that
// ignores letter case.
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
