package projectdb

import (
	"strconv"
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
	// Total makes the order depend on the values alone: rows of a table without
	// primary key are ordered by all its columns instead of the rowid.
	Total bool
}

// query is a selection made into SQL for one table.
type query struct {
	table      *Table
	columns    []format.Column
	list       string // the columns in SQL
	where      where
	filters    jsontext.Value // as sent, canonical
	sort       string         // the name of the sort column, if any
	descending bool
	order      string
	limit      int64
	offset     int64
}

// plan checks the selection against the table and notes every fault under the
// prefix.
func (s Selection) plan(t *Table, faults *problem.Faults, prefix string) query {
	q := query{table: t, descending: s.Descending, limit: s.Limit, offset: s.Offset, filters: s.Filters.Clone()}
	chosen := s.chosenColumns(t, faults, prefix+"columns")
	names := make([]string, len(chosen))
	for i, column := range chosen {
		names[i] = column.Name
		q.columns = append(q.columns, format.Column{Name: column.Name, Type: column.Type})
	}
	q.list = identList(names)
	q.where = t.parseFilters(faults, prefix+"filters", s.Filters)
	// Filters that do not parse have been noted as faults.
	_ = q.filters.Canonicalize()
	q.setOrder(s, faults, prefix+"sort")
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
		faults.Add(field, "Choose at least one column.")
	}
	seen := map[*Column]bool{}
	for i, name := range s.Columns {
		if faults.Full() {
			break
		}
		column := t.Column(name)
		switch {
		case column == nil:
			t.unknownColumn(faults, field+"["+itoa(i)+"]", name)
		case seen[column]:
			faults.Add(field+"["+itoa(i)+"]", "The column %q is listed twice.", name)
		default:
			seen[column] = true
			chosen = append(chosen, column)
		}
	}
	return chosen
}

// setOrder sorts by the sort column and then by the key, so that equal values
// have an order too.
func (q *query) setOrder(s Selection, faults *problem.Faults, field string) {
	if s.Sort != "" {
		column := q.table.Column(s.Sort)
		if column == nil {
			q.table.unknownColumn(faults, field, s.Sort)
			return
		}
		q.sort = column.Name
	}
	direction := ""
	if s.Descending {
		direction = " DESC"
	}
	place := q.place()
	if s.Total && len(q.table.PrimaryKey) == 0 {
		place = q.byAllColumns()
	}
	for i := range place {
		place[i] += direction
	}
	q.order = strings.Join(place, ", ")
}

// byAllColumns returns what orders any two rows that differ in a value.
func (q *query) byAllColumns() []string {
	var place []string
	if q.sort != "" {
		place = append(place, quote(q.sort))
	}
	for _, column := range q.table.Columns {
		name := quote(column.Name)
		place = append(place, name+" COLLATE BINARY")
		if column.Type == "ANY" {
			// 1, 1.0 and both zeros are equal to SQLite, and files show them apart.
			place = append(place, "typeof("+name+")", "CASE WHEN "+name+" = 0 THEN atan2("+name+", -1) END")
		}
	}
	return place
}

// keyColumn is one column of what tells a row from the others.
type keyColumn struct {
	name       string // in SQL
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
		// Without its own collation, parts that differ could count as equal.
		key[i] = keyColumn{KeyPart{Column: part.Column, Collation: part.Collation}.sql(), t.Column(part.Column).Type}
	}
	return key
}

// sql returns the SELECT statement.
func (q query) sql() string {
	return q.selectSQL(q.list, q.where, q.order) + q.limits()
}

func (q query) selectSQL(list string, w where, order string) string {
	s := "SELECT " + list + " FROM " + quote(q.table.Name) + w.clause()
	if order != "" {
		s += " ORDER BY " + order
	}
	return s
}

func (q query) limits() string {
	if q.limit == 0 && q.offset == 0 {
		return ""
	}
	limit := int64(-1)
	if q.limit > 0 {
		limit = q.limit
	}
	s := " LIMIT " + strconv.FormatInt(limit, 10)
	if q.offset > 0 {
		s += " OFFSET " + strconv.FormatInt(q.offset, 10)
	}
	return s
}

// countSQL returns the statement that counts the selected rows, within limit
// and offset.
func (q query) countSQL() string {
	from := " FROM " + quote(q.table.Name) + q.where.clause()
	if q.limits() == "" {
		return "SELECT count(*)" + from
	}
	return "SELECT count(*) FROM (SELECT 1" + from + q.limits() + ")"
}
