package projectdb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Selection determines which rows and columns of a table are wanted, and in which
// order. The zero Selection is the whole table by primary key.
type Selection struct {
	Columns    []string       // nil means all, in their order
	Filters    jsontext.Value // see the contract; nil means all rows
	Search     Search
	Sort       string // columns, see sortKeys; "" means the primary key, or else the rowid
	Descending bool
	Limit      int64 // 0 means no limit
	Offset     int64
	// CellLimit is the number of bytes to which texts and blobs are cut; 0 means no limit.
	// Only pages and single records heed it.
	CellLimit int64
	// Expand names the foreign keys whose records are returned with the rows. Only pages
	// and single records heed it.
	Expand []string
	// Total makes the order depend on the values alone: rows of a table without a
	// primary key are ordered by all columns instead of the rowid.
	Total bool

	rowid bool // Columns may name the rowid of a table without a primary key
}

// rowidColumn is the rowid as a column.
var rowidColumn = Column{Name: "rowid", Type: "INTEGER", NotNull: true}

// query is a selection compiled to SQL for one table.
type query struct {
	table      *Table
	columns    []format.Column
	list       string   // the selected columns in SQL
	cellLimit  int      // see cells.go; 0 means none
	beside     []string // columns that are read, but not returned: see addBeside
	rowids     bool     // the last of them is the rowid
	where      where
	searched   string         // the search expression; "" for none
	filters    jsontext.Value // as sent, canonicalized
	sorts      []sortKey
	descending bool     // of the key, which is last in the order
	terms      []string // of ORDER BY: sorts, then the key
	order      string   // the joined terms
	limit      int64
	offset     int64
}

// plan compiles the selection for the table and notes every fault under the prefix.
func (s Selection) plan(t *Table, faults *problem.Faults, prefix string) query {
	q := query{table: t, descending: s.Descending, limit: s.Limit, offset: s.Offset, filters: s.Filters.Clone()}
	chosen := s.chosenColumns(t, faults, prefix+"columns")
	names := make([]string, len(chosen))
	for i, column := range chosen {
		names[i] = column.Name
		q.columns = append(q.columns, format.Column{Name: column.Name, Type: column.Type})
	}
	q.list = identList(names)
	if s.CellLimit > 0 {
		q.cellLimit = int(min(s.CellLimit, maxPageBytes))
		q.list = cutList(chosen, q.cellLimit)
	}
	q.where = t.parseFilters(faults, prefix+"filters", s.Filters)
	q.search(s.Search, faults, prefix)
	// Filters that do not parse have been noted as faults.
	_ = q.filters.Canonicalize()
	q.setOrder(s, faults, prefix)
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
		if column == nil && s.rowid && sqlite.SameName(name, rowidColumn.Name) && len(t.PrimaryKey) == 0 {
			column = &rowidColumn
		}
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

// setOrder sorts by the sort columns and then by the key, in the direction of the last
// sort column, so that rows with equal values have a defined order.
func (q *query) setOrder(s Selection, faults *problem.Faults, prefix string) {
	q.sorts = s.sortKeys(q.table, faults, prefix)
	if q.searched != "" && s.Sort == "" {
		q.sorts = []sortKey{{rankColumn, s.Descending, s.Descending}}
	}
	if faults.Any() {
		return
	}
	q.descending = s.Descending
	if n := len(q.sorts); n > 0 {
		q.descending = q.sorts[n-1].descending
	}
	rest := q.place()[len(q.sorts):]
	if s.Total && len(q.table.PrimaryKey) == 0 {
		rest = q.byAllColumns()
	}
	q.arrange(rest)
}

// arrange sets the terms of the order: the sort columns, then the rest.
func (q *query) arrange(rest []string) {
	q.terms = nil
	for _, key := range q.sorts {
		q.terms = append(q.terms, key.sql())
	}
	direction := ""
	if q.descending {
		direction = " DESC"
	}
	for _, term := range rest {
		q.terms = append(q.terms, term+direction)
	}
	q.order = q.orderFrom(0)
}

// reversed returns the same query in the opposite order.
func (q query) reversed() query {
	q.sorts = slices.Clone(q.sorts)
	for i := range q.sorts {
		key := &q.sorts[i]
		key.descending, key.nullsLast = !key.descending, !key.nullsLast
	}
	q.descending = !q.descending
	q.arrange(q.place()[len(q.sorts):])
	return q
}

// orderFrom returns the ORDER BY list without its first terms.
func (q query) orderFrom(first int) string { return strings.Join(q.terms[first:], ", ") }

// byAllColumns returns terms that order any two rows that differ in a value.
func (q *query) byAllColumns() (place []string) {
	for _, column := range q.table.Columns {
		name := quote(column.Name)
		place = append(place, name+" COLLATE BINARY")
		if column.Type == "ANY" {
			// SQLite treats 1 and 1.0, and both zeros, as equal, but files show them
			// differently.
			place = append(place, "typeof("+name+")", "CASE WHEN "+name+" = 0 THEN atan2("+name+", -1) END")
		}
	}
	return place
}

// keyColumn is one column of the key that identifies a row.
type keyColumn struct {
	name       string // in SQL
	columnType string
}

// key returns the primary key, or the rowid of a table without one.
func (t *Table) key() []keyColumn {
	if len(t.PrimaryKey) == 0 {
		if name := t.rowidName(); name != "" {
			return []keyColumn{{name, "INTEGER"}}
		}
		return nil
	}
	key := make([]keyColumn, len(t.PrimaryKey))
	for i, part := range t.PrimaryKey {
		// Without its own collation, parts that differ could compare as equal.
		key[i] = keyColumn{KeyPart{Column: part.Column, Collation: part.Collation}.sql(), t.Column(part.Column).Type}
	}
	return key
}

// sql returns the SELECT statement.
func (q query) sql() string {
	return q.selectSQL(q.list, q.where, q.order) + q.limits()
}

func (q query) selectSQL(list string, w where, order string) string {
	s := "SELECT " + list + " FROM " + q.from() + w.clause()
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

// countSQL returns the statement that counts the selected rows, respecting limit and
// offset.
func (q query) countSQL() string {
	from := " FROM " + q.from() + q.where.clause()
	if q.limits() == "" {
		return "SELECT count(*)" + from
	}
	return "SELECT count(*) FROM (SELECT 1" + from + q.limits() + ")"
}
