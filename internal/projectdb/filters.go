package projectdb

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// where is an SQL condition with its parameters.
type where struct {
	sql  string // "" holds for every row
	args []any

	column *Column // the single column that the condition compares, or nil
	equals bool    // column = ?
}

// clause returns the condition with the word WHERE, or "".
func (w where) clause() string {
	if w.sql == "" {
		return ""
	}
	return " WHERE " + w.sql
}

// and combines two conditions.
func (w where) and(other where) where {
	switch {
	case w.sql == "":
		return other
	case other.sql == "":
		return w
	}
	return where{sql: w.sql + " AND " + other.sql, args: append(w.args[:len(w.args):len(w.args)], other.args...)}
}

// maxFilterDepth bounds how deeply groups can be nested.
const maxFilterDepth = 16

// maxFilterSize bounds the number of conditions in one request's filters plus the
// values in their lists, well below SQLite's 32,766 parameters.
const maxFilterSize = 10_000

// maxPattern bounds the length of search texts in bytes, as SQLite bounds the patterns
// of its own LIKE.
const maxPattern = 50_000

// parseFilters turns filters into a condition on the table. They are either an object,
// {"status":"active"}, an array of {"column","op","value"} and groups that must all
// hold, or one group such as {"or":[…]}. field names them in faults.
func (t *Table) parseFilters(faults *problem.Faults, field string, raw jsontext.Value) where {
	p := &filterParser{table: t, faults: faults, field: field}
	switch kind := raw.Kind(); {
	case len(bytes.TrimSpace(raw)) == 0:
	case countSeparators(raw) > maxSeparators:
		p.tooMany()
	case !raw.IsValid():
		faults.Add(field, "The filters are not valid JSON.")
	case kind == 'n':
	case kind == '{' || kind == '[':
		return p.whole(raw)
	default:
		faults.WrongType(field, "an object of column values, or an array of conditions")
	}
	return where{}
}

// whole parses filters of any form.
func (p *filterParser) whole(raw jsontext.Value) where {
	name, group := wholeGroup(raw)
	switch {
	case raw.Kind() == '[':
		return p.all(p.field, raw)
	case group == nil:
		return p.object(p.field, raw)
	case name == "and":
		return p.all(p.field+"."+name, group)
	}
	var all conjunction
	all.add(p, func() where { return p.group(p.field+"."+name, name, group, 1) })
	return all.where()
}

type filterParser struct {
	table  *Table
	faults *problem.Faults
	field  string // that the filters came in
	size   int    // conditions, groups and values seen

	terms   int // comparisons in the condition so far
	planned int // those of them that SQLite's planner looks at

	loaded *Column // the large column of the previous condition
	loads  int     // how often a row's values are loaded by the conditions so far
}

// errEnough stops the parsing of filters when continuing is pointless: a fault says
// why.
var errEnough = errors.New("enough of the filters is read")

// count counts a condition, group or value before it is built. It fails if there are
// too many of them, or too many faults.
func (p *filterParser) count() error {
	if p.size++; p.size > maxFilterSize {
		p.tooMany()
		return errEnough
	}
	if p.faults.Full() {
		return errEnough
	}
	return nil
}

func (p *filterParser) tooMany() {
	p.faults.Add(p.field, "The filters have more than %d conditions and values.", maxFilterSize)
}

// maxSeparators is the maximum number of commas in filters of the maximum size: three
// within each condition and one before it.
const maxSeparators = 4 * maxFilterSize

// countSeparators counts the commas of a JSON text outside its strings. As a first
// check it is many times faster than parsing: tens of megabytes that must be too much
// are not parsed at all.
func countSeparators(text []byte) (n int) {
	inString := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			inString = !inString
		case '\\':
			i++ // only strings have escapes
		case ',':
			if !inString {
				n++
			}
		}
	}
	return n
}

// object parses the short form. null means that the column is NULL.
func (p *filterParser) object(field string, raw jsontext.Value) where {
	var all conjunction
	err := eachMember(raw, func(name string, value jsontext.Value) {
		if p.count() != nil {
			return
		}
		op := "="
		if value.Kind() == 'n' {
			op = "is_null"
		}
		all.add(p, func() where { return p.condition(field+"."+name, field+"."+name, name, op, false, value) })
	})
	if err != nil {
		p.faults.Add(field, "The filters are not valid JSON.")
	}
	return all.where()
}

// all parses an array of conditions and groups that must all hold.
func (p *filterParser) all(field string, raw jsontext.Value) where {
	var all conjunction
	p.eachItem(field, raw, func(field string, item jsontext.Value) {
		all.add(p, func() where { return p.item(field, item, 0) })
	})
	return all.where()
}

// groups are the member names that make an element a group.
var groups = []string{"and", "or", "not"}

// group parses the array of a group. As in SQL, NULL is neither true nor false in it:
// rows for which a condition is NULL are not selected by its negation either.
func (p *filterParser) group(field, name string, raw jsontext.Value, depth int) where {
	if depth > maxFilterDepth {
		p.faults.Add(field, "The filters are nested too deeply.")
		return where{}
	}
	var parts []where
	p.eachItem(field, raw, func(field string, item jsontext.Value) {
		parts = append(parts, p.item(field, item, depth))
	})
	if name == "or" {
		merged := mergeEquals(parts)
		p.terms -= len(parts) - len(merged)
		parts = merged
	}
	for i, w := range parts {
		parts[i] = p.watched(w, true)
	}
	if name != "not" {
		return combined(name, parts)
	}
	switch w := combined("and", parts); w.sql {
	case always:
		return where{sql: never}
	case never:
		return where{sql: always}
	default:
		return where{sql: "NOT (" + w.sql + ")", args: w.args}
	}
}

// always and never are the conditions that every record satisfies, and that no record does.
const always, never = "1", "0"

// combined joins the parts of a group with AND or OR.
func combined(name string, parts []where) where {
	neutral, absorbing := always, never
	if name == "or" {
		neutral, absorbing = never, always
	}
	parts = slices.DeleteFunc(parts, func(w where) bool { return w.sql == neutral })
	switch {
	case slices.ContainsFunc(parts, func(w where) bool { return w.sql == absorbing }):
		return where{sql: absorbing}
	case len(parts) == 0:
		return where{sql: neutral}
	}
	return joined(parts, " "+strings.ToUpper(name)+" ")
}

// wholeGroup returns the group if the filters as a whole are one: a column never has
// an array as its value.
func wholeGroup(raw jsontext.Value) (name string, group jsontext.Value) {
	n := 0
	err := eachMember(raw, func(member string, value jsontext.Value) {
		if n++; slices.Contains(groups, member) && value.Kind() == '[' {
			name, group = member, value
		}
	})
	if n != 1 || err != nil {
		return "", nil
	}
	return name, group
}

func (p *filterParser) eachItem(field string, raw jsontext.Value, use func(field string, item jsontext.Value)) {
	err := eachElement(raw, func(i int, item jsontext.Value) error {
		if err := p.count(); err != nil {
			return err
		}
		use(field+"["+itoa(i)+"]", item)
		return nil
	})
	if err == errNotArray {
		p.faults.WrongType(field, "an array of conditions")
	}
}

// mergeEquals merges alternatives "a = 1 OR a = 2" into one "a IN (1, 2)", which is
// cheaper for SQLite to plan.
func mergeEquals(parts []where) []where {
	var merged []where
	at := map[*Column]int{}
	for _, part := range parts {
		i, seen := at[part.column]
		switch {
		case !part.equals:
			merged = append(merged, part)
		case seen:
			merged[i].args = append(merged[i].args, part.args...)
		default:
			at[part.column] = len(merged)
			merged = append(merged, part)
		}
	}
	for _, i := range at {
		if w := &merged[i]; len(w.args) > 1 {
			w.sql = quote(w.column.Name) + " IN (" + marks(len(w.args)) + ")"
		}
	}
	return merged
}

// maxPlanned is how many comparisons SQLite's planner may look at. Planning time grows
// with the square of their number and with the number of indexes, and cannot be
// interrupted: 10,000 comparisons took more than 10 s.
const maxPlanned = 32

// unsharedMark is a placeholder like ?. SQLite compares each plain constant operand
// with all earlier ones, to compute equal ones only once; this form avoids that.
const unsharedMark = "ifnull(?, 0)"

// conjunction collects conditions that must all hold.
type conjunction struct {
	planned []where // the planner may choose an index for these
	rest    []where // these are only evaluated
}

// add adds the condition that parse returns, to the planned ones while there is room.
func (c *conjunction) add(p *filterParser, parse func() where) {
	before := p.terms
	w := p.watched(parse(), false)
	if w.sql == always {
		return
	}
	if n := p.terms - before; p.planned+n <= maxPlanned {
		p.planned += n
		c.planned = append(c.planned, w)
	} else {
		c.rest = append(c.rest, w)
	}
}

// where joins the conditions. The planner does not look inside a CASE.
func (c *conjunction) where() where {
	w := joined(c.planned, " AND ")
	if rest := joined(c.rest, " AND "); rest.sql != "" {
		w = w.and(where{sql: "CASE WHEN " + rest.sql + " THEN 1 END", args: rest.args})
	}
	return w
}

// joined joins conditions with AND or OR as a balanced tree: SQLite bounds the depth
// of expressions, and a chain would be as deep as it is long.
func joined(parts []where, with string) where {
	switch len(parts) {
	case 0:
		return where{}
	case 1:
		return parts[0]
	}
	a, b := joined(parts[:len(parts)/2], with), joined(parts[len(parts)/2:], with)
	return where{sql: "(" + a.sql + with + b.sql + ")", args: slices.Concat(a.args, b.args)}
}

// conditionFields are the members of a condition and of a group.
var conditionFields = append([]string{"column", "op", "value", "fold"}, groups...)

// item parses one condition or one group.
func (p *filterParser) item(field string, raw jsontext.Value, depth int) where {
	members := map[string]jsontext.Value{}
	err := eachMember(raw, func(name string, value jsontext.Value) {
		if !slices.Contains(conditionFields, name) {
			p.faults.Unknown(field+"."+name, "field", name, "", conditionFields)
			return
		}
		members[name] = value
	})
	if err != nil {
		p.faults.WrongType(field, "an object with column, op and value, or a group: and, or, not")
		return where{sql: never}
	}
	for _, name := range groups {
		if group, ok := members[name]; ok {
			if len(members) > 1 {
				p.faults.Add(field, "A group has no other member beside %s.", name)
			}
			return p.group(field+"."+name, name, group, depth+1)
		}
	}
	column, ok := stringOf(members["column"])
	if !ok {
		p.faults.Required(field + ".column")
	}
	op, isText := stringOf(members["op"])
	switch {
	case members["op"] == nil:
		op = "="
	case !isText:
		p.faults.WrongChoice(field+".op", operatorNames())
	}
	fold, isFlag := flagOf(members["fold"])
	if !isFlag {
		p.faults.WrongType(field+".fold", "true or false")
	}
	if !ok || !isFlag || (members["op"] != nil && !isText) {
		return where{sql: never}
	}
	return p.condition(field+".column", field, column, op, fold, members["value"])
}

// maxLoads is how many values of a row may be loaded without checking for an
// interrupt. Loading one of 15 MB takes some milliseconds.
const maxLoads = 16

// watched makes a comparison check for an interrupt if it is one of many that may load
// a large value. SQLite caches the value of the column it loaded last. An alternative
// stays visible to the planner, so that it can use an index.
func (p *filterParser) watched(w where, alternative bool) where {
	column := w.column
	if column == nil {
		return w
	}
	computed := column.Generated != "" && !column.Stored
	if !computed && (column.Type == "INTEGER" || column.Type == "REAL") {
		return w
	}
	if computed || column != p.loaded {
		p.loads++
		p.loaded = column
	}
	switch {
	case p.loads <= maxLoads:
		return w
	case alternative:
		return where{sql: "(" + sqlite.GoesOnFunction + "() AND " + w.sql + ")", args: w.args}
	}
	return where{sql: "CASE WHEN " + sqlite.GoesOnFunction + "() THEN " + w.sql + " END", args: w.args}
}

// condition builds one comparison. columnField names the column in faults, field the
// condition as a whole.
func (p *filterParser) condition(columnField, field, name, op string, fold bool, value jsontext.Value) where {
	column := p.table.Column(name)
	if column == nil {
		p.table.unknownColumn(p.faults, columnField, name)
		return where{sql: never}
	}
	p.terms++
	operator := p.operator(field, op, fold)
	if operator == nil {
		return where{sql: never, column: column}
	}
	w := p.comparison(columnField, field, column, operator, value)
	w.column = column
	return w
}

// operator finds the operator of a condition, in the form without case and accents if
// fold is set. It returns nil after noting a fault.
func (p *filterParser) operator(field, name string, fold bool) *Operator {
	op := findOperator(name)
	if op == nil {
		p.faults.WrongChoice(field+".op", operatorNames())
		return nil
	}
	if !fold {
		return op
	}
	if op = op.folding(); op == nil {
		p.faults.Add(field+".fold", "The operator %s always minds case and accents; these can ignore them: %s.", name, strings.Join(FoldingOperators(), ", "))
	}
	return op
}

func (p *filterParser) comparison(columnField, field string, column *Column, op *Operator, value jsontext.Value) where {
	if columnField != field {
		field += ".value"
	}
	values, ok := p.operands(field, column, op, value)
	if !ok {
		return where{sql: never}
	}
	if p.terms > maxPlanned {
		return op.where(column, values, unsharedMark)
	}
	w := op.where(column, values, "?")
	if op.index != nil {
		w = op.index(p.table, column, values[0].Bytes).and(w)
	}
	return w
}

// operands parses the values that an operator takes.
func (p *filterParser) operands(field string, column *Column, op *Operator, value jsontext.Value) (values []sqlite.Value, ok bool) {
	switch op.Arity {
	case 0:
		if value.Kind() != 0 && value.Kind() != 'n' {
			p.faults.Add(field, "The operator %s takes no value.", op.Name)
			return nil, false
		}
		return nil, true
	case 1:
		v, ok := p.value(field, column, op, 0, value)
		return []sqlite.Value{v}, ok
	}
	expected := "an array of values"
	if op.Arity > 0 {
		expected = fmt.Sprintf("an array of %d values", op.Arity)
	}
	ok = true
	err := eachElement(value, func(i int, item jsontext.Value) error {
		if err := p.count(); err != nil {
			return err
		}
		v, valid := p.value(field+"["+itoa(i)+"]", column, op, i, item)
		values, ok = append(values, v), ok && valid
		return nil
	})
	switch {
	case err == errNotArray, err == nil && op.Arity > 0 && len(values) != op.Arity:
		p.faults.WrongType(field, expected)
		ok = false
	}
	return values, ok && err == nil
}

// value parses the value at the given place of an operator's values. A value that the
// column could not store is refused: a comparison with it would match nothing, or
// everything.
func (p *filterParser) value(field string, column *Column, op *Operator, place int, raw jsontext.Value) (v sqlite.Value, ok bool) {
	switch {
	case raw.Kind() == 0:
		p.faults.Required(field)
		return v, false
	case raw.Kind() == 'n':
		p.faults.Add(field, "Nothing compares with null: use is_null or not_null.")
		return v, false
	case op.Text && raw.Kind() != '"':
		p.faults.WrongType(field, "a string")
		return v, false
	}
	v, err := op.comparand(column.Type, place, raw)
	switch {
	case err != nil:
		p.faults.Add(field, "%s", err)
	case op.Text && len(v.Bytes) > maxPattern:
		p.faults.Add(field, "The pattern has %d bytes; at most %d are allowed.", len(v.Bytes), maxPattern)
	default:
		return v, true
	}
	return v, false
}

// flagOf returns the value of a JSON boolean; false if it is absent or null.
func flagOf(raw jsontext.Value) (set, ok bool) {
	kind := raw.Kind()
	return kind == 't', kind == 't' || kind == 'f' || kind == 'n' || raw == nil
}

// stringOf returns the text of a JSON string.
func stringOf(raw jsontext.Value) (string, bool) {
	if raw.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return string(text), err == nil
}
