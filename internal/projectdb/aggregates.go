package projectdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Aggregation asks for values computed from groups of records.
type Aggregation struct {
	GroupBy    []string       // columns; without any, all records are one group
	Aggregates jsontext.Value // an object of aliases, such as {"n":{"count":"*"}}
	Filters    jsontext.Value // of the records
	Having     jsontext.Value // filters of the groups, by aliases and group columns
	Sort       string         // as for records, by aliases and group columns; "" means the group columns
	Limit      int64
}

// The bounds of an aggregation. SQLite sorts with bounded memory, and keeps one set of
// values for each count_distinct.
const (
	maxGroupColumns = 16
	maxAggregates   = 50
)

// AggregateFunction is what can be computed from the values of a group.
type AggregateFunction struct {
	Name string
	Doc  string

	sql     string // {column} stands for the column
	result  string // the type of the result; "" means that of the column
	numbers bool   // the column must hold numbers
}

var aggregateFunctions = []AggregateFunction{
	{Name: "count", Doc: "how many values are not null; `*` counts the records", sql: "count({column})", result: "INTEGER"},
	{Name: "count_distinct", Doc: "how many different values there are, except null", sql: "count(DISTINCT {column})", result: "INTEGER"},
	{Name: "sum", Doc: "the sum of the numbers; null if there are none", sql: "sum({column})", numbers: true},
	{Name: "avg", Doc: "the average of the numbers, a REAL; null if there are none", sql: "avg({column})", result: "REAL", numbers: true},
	{Name: "min", Doc: "the least value; null if there are none", sql: "min({column})"},
	{Name: "max", Doc: "the greatest value; null if there are none", sql: "max({column})"},
}

// AggregateFunctions lists the functions of aggregations.
func AggregateFunctions() []AggregateFunction { return aggregateFunctions }

func aggregateNames() []string {
	names := make([]string, len(aggregateFunctions))
	for i, f := range aggregateFunctions {
		names[i] = f.Name
	}
	return names
}

// Groups are the groups of an aggregation, as rows of group columns and aliases.
type Groups struct {
	Rows
	HasMore bool
}

// Aggregate computes values from the groups of a table's records.
func (db *DB) Aggregate(ctx context.Context, faults *problem.Faults, ref string, a Aggregation) (groups Groups, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		groups, err = tx.Aggregate(faults, ref, a)
		return err
	})
	return groups, err
}

// Aggregate is [DB.Aggregate] inside the transaction.
func (tx *Tx) Aggregate(faults *problem.Faults, ref string, a Aggregation) (groups Groups, err error) {
	t, err := tx.readable(ref)
	if err != nil {
		return groups, err
	}
	p := aggregationParser{table: t, faults: faults, result: Table{Name: "groups"}}
	p.groupBy(a.GroupBy)
	p.aggregates(a.Aggregates)
	sql, args := p.sql(a)
	if err := faults.Err(); err != nil {
		return groups, err
	}
	groups.Rows = newRows(t, p.result.formatColumns())
	s, err := tx.c.Prepare(sql)
	if err != nil {
		return groups, err
	}
	defer s.Close()
	s.Bind(args...)
	groups.Batch.Limit = maxPageBytes
	more, err := s.Fill(groups.Batch, int(a.Limit), maxPageBytes)
	if err == nil && more {
		groups.HasMore, err = s.Step()
	}
	if groups.HasMore && groups.Len() < int(a.Limit) {
		err = sqlite.ErrTooLarge
	}
	return groups, p.explain(err)
}

// aggregationParser turns an aggregation into a statement and notes faults.
type aggregationParser struct {
	table  *Table
	faults *problem.Faults
	// result is the result as a table: the group columns, then the aliases.
	result Table
	groups int      // how many columns of result are group columns
	terms  []string // the SQL of each column of result
	sums   []string // the fields that ask for sums of integers
}

func (p *aggregationParser) groupBy(names []string) {
	if len(names) > maxGroupColumns {
		p.faults.Add("group_by", "At most %d columns can be grouped by.", maxGroupColumns)
		return
	}
	for i, name := range names {
		field := "group_by[" + itoa(i) + "]"
		column := p.table.Column(name)
		switch {
		case column == nil:
			p.table.unknownColumn(p.faults, field, name)
		case p.result.Column(name) != nil:
			p.faults.Add(field, "The column %q is listed twice.", name)
		default:
			p.add(column.Name, column.Type, column.Collation, quote(column.Name))
		}
	}
	p.groups = len(p.terms)
}

func (p *aggregationParser) add(name, columnType, collation, sql string) {
	p.result.Columns = append(p.result.Columns, Column{Name: name, Type: columnType, Collation: collation})
	p.terms = append(p.terms, sql)
}

func (p *aggregationParser) aggregates(raw jsontext.Value) {
	n := 0
	err := eachMember(raw, func(alias string, value jsontext.Value) {
		if n++; n > maxAggregates || p.faults.Full() {
			return
		}
		p.aggregate("aggregates."+alias, alias, value)
	})
	switch {
	case raw == nil || raw.Kind() == 'n':
	case err != nil:
		p.faults.WrongType("aggregates", "an object of aliases")
	case n > maxAggregates:
		p.faults.Add("aggregates", "At most %d values can be computed.", maxAggregates)
	}
	if len(p.terms) == 0 && !p.faults.Any() {
		p.faults.Add("aggregates", "Ask for at least one value, or group_by at least one column.")
	}
}

// aggregate parses one value to be computed, such as {"sum":"age"}.
func (p *aggregationParser) aggregate(field, alias string, raw jsontext.Value) {
	CheckName(p.faults, field, alias)
	if p.result.Column(alias) != nil {
		p.faults.Add(field, "Another column of the groups has this name.")
		return
	}
	var functions []*AggregateFunction
	var columns []string
	err := eachMember(raw, func(name string, value jsontext.Value) {
		i := slices.IndexFunc(aggregateFunctions, func(f AggregateFunction) bool { return f.Name == name })
		column, isText := stringOf(value)
		switch {
		case i < 0:
			p.faults.Unknown(field+"."+name, "function", name, "", aggregateNames())
		case !isText:
			p.faults.WrongType(field+"."+name, "the name of a column")
		default:
			functions, columns = append(functions, &aggregateFunctions[i]), append(columns, column)
		}
	})
	switch {
	case err != nil:
		p.faults.WrongType(field, `an object such as {"count":"*"}`)
	case len(functions) > 1 || len(functions) == 0 && !p.faults.Any():
		p.faults.Add(field, "Exactly one function is computed under one name: %s.", strings.Join(aggregateNames(), ", "))
	case len(functions) == 1:
		p.call(field+"."+functions[0].Name, alias, functions[0], columns[0])
	}
}

// call adds a function of a column to the result.
func (p *aggregationParser) call(field, alias string, f *AggregateFunction, name string) {
	if f.Name == "count" && name == "*" {
		p.add(alias, f.result, "", "count(*)")
		return
	}
	column := p.table.Column(name)
	switch {
	case column == nil:
		p.table.unknownColumn(p.faults, field, name)
		return
	case f.numbers && (column.Type == "TEXT" || column.Type == "BLOB"):
		p.faults.Add(field, "The column %q is %s, which has no %s: use a column of numbers.", name, column.Type, f.Name)
		return
	}
	if f.Name == "sum" && column.Type != "REAL" {
		p.sums = append(p.sums, field)
	}
	columnType := f.result
	if columnType == "" {
		columnType = column.Type
	}
	p.add(alias, columnType, "", strings.Replace(f.sql, "{column}", quote(column.Name), 1))
}

// sql returns the statement and its arguments.
func (p *aggregationParser) sql(a Aggregation) (sql string, args []any) {
	filters := p.table.parseFilters(p.faults, "filters", a.Filters)
	having := p.result.parseFilters(p.faults, "having", a.Having)
	order := p.order(a.Sort)
	selected, keys := make([]string, len(p.terms)), make([]string, p.groups)
	for i, term := range p.terms {
		selected[i] = term + " AS " + quote(p.result.Columns[i].Name)
		if i < p.groups {
			keys[i] = term
		}
	}
	sql = "SELECT " + strings.Join(selected, ", ") + " FROM " + quote(p.table.Name) + filters.clause()
	if p.groups > 0 {
		sql += " GROUP BY " + strings.Join(keys, ", ")
	}
	sql = "SELECT * FROM (" + sql + ")" + having.clause()
	if len(order) > 0 {
		sql += " ORDER BY " + strings.Join(order, ", ")
	}
	return sql + fmt.Sprintf(" LIMIT %d", a.Limit+1), append(filters.args[:len(filters.args):len(filters.args)], having.args...)
}

// order returns the order of the groups, in which no two groups are equal.
func (p *aggregationParser) order(sort string) (order []string) {
	sorted := map[string]bool{}
	for _, key := range (Selection{Sort: sort}).sortKeys(&p.result, p.faults, "") {
		if key.column != nil {
			order, sorted[key.column.Name] = append(order, key.sql()), true
		}
	}
	for _, column := range p.result.Columns[:p.groups] {
		if !sorted[column.Name] {
			order = append(order, quote(column.Name))
		}
	}
	return order
}

// explain turns a failure of the statement into a problem.
func (p *aggregationParser) explain(err error) error {
	switch {
	case errors.Is(err, sqlite.ErrTooLarge):
		return problem.New(problem.CodeResultTooLarge, "The groups would have more than %d MiB of texts and blobs. Ask for fewer groups, or for fewer columns.", maxPageBytes>>20)
	case sqlite.FaultOf(err) == sqlite.Expression && strings.Contains(sqlite.Message(err), "integer overflow"):
		var faults problem.Faults
		for _, field := range p.sums {
			faults.Add(field, "A sum does not fit 64 bits.")
		}
		return faults.Err()
	}
	return err
}
