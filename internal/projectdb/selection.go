package projectdb

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
)

// Selection says which rows and columns of a table are wanted, and in which
// order. The zero Selection is the whole table by primary key.
type Selection struct {
	Columns    []string       // nil: all, in their order
	Filters    jsontext.Value // see the contract; nil: all rows
	Sort       string         // a column; "": the primary key, else the rowid
	Descending bool
	Limit      int64 // 0: no limit
	Offset     int64
}

// query is a selection made into SQL for one table.
type query struct {
	table   *Table
	columns []format.Column
	list    string // the columns in SQL
	where   where
	order   string
	limit   int64
	offset  int64
}

// plan checks the selection against the table and notes every fault under the
// prefix.
func (s Selection) plan(t *Table, faults *problem.Faults, prefix string) query {
	q := query{table: t, limit: s.Limit, offset: s.Offset}
	chosen := s.chosenColumns(t, faults, prefix+"columns")
	names := make([]string, len(chosen))
	for i, column := range chosen {
		names[i] = column.Name
		q.columns = append(q.columns, format.Column{Name: column.Name, Type: column.Type})
	}
	q.list = identList(names)
	q.where = t.parseFilters(faults, prefix+"filters", s.Filters)
	q.order = s.orderBy(t, faults, prefix+"sort")
	return q
}

func (s Selection) chosenColumns(t *Table, faults *problem.Faults, field string) []*Column {
	var chosen []*Column
	if s.Columns == nil {
		for i := range t.Columns {
			chosen = append(chosen, &t.Columns[i])
		}
		return chosen
	}
	if len(s.Columns) == 0 {
		faults.Add(field, "At least one column must be chosen.")
	}
	seen := map[*Column]bool{}
	for i, name := range s.Columns {
		column := t.Column(name)
		switch {
		case column == nil:
			faults.Add(field+"["+itoa(i)+"]", "The table %s has no column %q.", t.Name, name)
		case seen[column]:
			faults.Add(field+"["+itoa(i)+"]", "The column %q is chosen twice.", name)
		default:
			seen[column] = true
			chosen = append(chosen, column)
		}
	}
	return chosen
}

// orderBy returns the sort column followed by the key, so that equal values
// have an order too.
func (s Selection) orderBy(t *Table, faults *problem.Faults, field string) string {
	direction := ""
	if s.Descending {
		direction = " DESC"
	}
	var parts []string
	if s.Sort != "" {
		column := t.Column(s.Sort)
		if column == nil {
			faults.Add(field, "The table %s has no column %q.", t.Name, s.Sort)
			return ""
		}
		parts = append(parts, quote(column.Name)+direction)
	}
	for _, key := range t.key() {
		parts = append(parts, key.name+direction)
	}
	return strings.Join(parts, ", ")
}

// keyColumn is one column of what tells a row from the others, quoted.
type keyColumn struct {
	name       string
	columnType string
}

// key returns the primary key, or the rowid for a table without one.
func (t *Table) key() []keyColumn {
	if len(t.PrimaryKey) == 0 {
		if name := t.rowidName(); name != "" {
			return []keyColumn{{name, "INTEGER"}}
		}
		return nil
	}
	key := make([]keyColumn, len(t.PrimaryKey))
	for i, part := range t.PrimaryKey {
		key[i] = keyColumn{quote(part.Column), t.Column(part.Column).Type}
	}
	return key
}

// sql returns the SELECT statement.
func (q query) sql() string {
	s := "SELECT " + q.list + " FROM " + quote(q.table.Name) + q.where.clause()
	if q.order != "" {
		s += " ORDER BY " + q.order
	}
	return s + q.limits()
}

func (q query) limits() string {
	if q.limit == 0 && q.offset == 0 {
		return ""
	}
	limit := int64(-1)
	if q.limit > 0 {
		limit = q.limit
	}
	s := " LIMIT " + itoa(int(limit))
	if q.offset > 0 {
		s += " OFFSET " + itoa(int(q.offset))
	}
	return s
}

// countSQL returns the statement that counts the selected rows, within limit
// and offset.
func (q query) countSQL() string {
	if q.limits() == "" {
		return "SELECT count(*) FROM " + quote(q.table.Name) + q.where.clause()
	}
	return "SELECT count(*) FROM (SELECT 1 FROM " + quote(q.table.Name) + q.where.clause() + q.limits() + ")"
}
