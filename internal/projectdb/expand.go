package projectdb

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

const (
	maxExpand      = 10   // names in one request
	maxExpandDepth = 3    // foreign keys followed one after the other
	maxExpanded    = 5000 // records that the rows of an answer refer to, each time they do
	expandChunk    = 512  // keys looked up by one statement
)

// Expansion holds the records that rows refer to by one foreign key.
type Expansion struct {
	Name string // the columns of the foreign key, joined by +
	Rows Rows   // each record once
	Of   []int  // by row that refers: the index of its record in Rows; -1 if there is none
}

// expandedKey is a foreign key to be followed.
type expandedKey struct {
	name    string
	columns []*Column // that refer
	parent  *Table
	keys    []*Column // of parent
	next    []*expandedKey
}

// errTooMuch says that the expanded records of a page do not fit beside its rows.
var errTooMuch = errors.New("the expanded records are too large")

// expandedKeys finds the foreign keys that are to be followed from a table. Each name
// is a path of foreign keys joined by dots.
func (tx *Tx) expandedKeys(t *Table, paths []string, faults *problem.Faults) (keys []*expandedKey, err error) {
	if len(paths) > maxExpand {
		faults.Add("expand", "At most %d names can be expanded.", maxExpand)
		return nil, nil
	}
	for i, path := range paths {
		field := "expand[" + itoa(i) + "]"
		names := strings.Split(path, ".")
		if len(names) > maxExpandDepth {
			faults.Add(field, "At most %d foreign keys can be followed one after the other.", maxExpandDepth)
			continue
		}
		from, list := t, &keys
		for _, name := range names {
			key := tx.cat.expandedKey(from, name, field, faults)
			if key == nil {
				break
			}
			if !tx.mayRead(key.parent) {
				return nil, problem.MissingScope("records:read for every table that is expanded")
			}
			if err := key.parent.usable(); err != nil {
				return nil, err
			}
			key = addExpandedKey(list, key)
			from, list = key.parent, &key.next
		}
	}
	return keys, nil
}

// addExpandedKey adds a key to a list unless it is there, and returns the one in the
// list.
func addExpandedKey(list *[]*expandedKey, key *expandedKey) *expandedKey {
	for _, known := range *list {
		if known.name == key.name {
			return known
		}
	}
	*list = append(*list, key)
	return key
}

// expandedKey returns the foreign key that a name means: its columns joined by +, each
// with or without _id at its end.
func (cat *catalog) expandedKey(t *Table, name, field string, faults *problem.Faults) *expandedKey {
	var columns []string
	// In a query string, + is a space.
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '+' || r == ' ' }) {
		column := t.Column(part)
		if column == nil {
			column = t.Column(part + "_id")
		}
		if column == nil {
			t.unknownColumn(faults, field, part)
			return nil
		}
		columns = append(columns, column.Name)
	}
	for _, key := range t.ForeignKeys {
		if sameColumns(key.Columns, columns) {
			expanded := cat.followable(t, key)
			if expanded == nil {
				faults.Add(field, "The foreign key of %q does not refer to a key of a table, so it cannot be expanded.", name)
			}
			return expanded
		}
	}
	faults.Add(field, "The table %s has no foreign key of %q that could be expanded.", t.Name, name)
	return nil
}

// sameColumns reports whether two lists hold the same names, in any order.
func sameColumns(a, b []string) bool {
	for _, name := range a {
		if !sqlite.ContainsName(b, name) {
			return false
		}
	}
	return len(a) == len(b)
}

// followable returns the foreign key as one to be followed, or nil if it is an imported
// one that does not lead to at most one record.
func (cat *catalog) followable(t *Table, key ForeignKey) *expandedKey {
	parent := cat.named(key.Parent)
	if parent == nil {
		return nil
	}
	names := key.parentNames(parent)
	if len(names) != len(key.Columns) || !parent.HasKey(names) {
		return nil
	}
	expanded := &expandedKey{name: strings.Join(key.Columns, "+"), parent: parent}
	for i := range names {
		expanded.columns = append(expanded.columns, t.Column(key.Columns[i]))
		expanded.keys = append(expanded.keys, parent.Column(names[i]))
	}
	return expanded
}

// addBeside adds to a query the columns that are needed to expand its rows: those that
// it does not select, or selects cut. The rowid of a table without a primary key comes
// last.
func (q *query) addBeside(keys []*expandedKey, faults *problem.Faults) {
	isRead := func(name string) bool {
		return q.cellLimit == 0 && slices.ContainsFunc(q.columns, func(c format.Column) bool { return c.Name == name }) || slices.Contains(q.beside, name)
	}
	for _, key := range keys {
		for _, column := range key.columns {
			if !isRead(column.Name) {
				q.beside = append(q.beside, column.Name)
			}
		}
	}
	if len(q.columns)+len(q.beside) > MaxColumns {
		faults.Add("expand", "The table has too many columns to be expanded whole: ask for fewer with columns.")
	}
	if rowid := q.table.rowidBeside(len(q.columns) + len(q.beside)); rowid != "" {
		q.beside, q.rowids = append(q.beside, rowid), true
	}
}

// places returns where in a row of the query's batch the columns that refer stand;
// those beside the columns come last.
func (q query) places(columns int) map[string]int {
	places := map[string]int{}
	for i, column := range q.columns {
		places[column.Name] = i
	}
	for i, name := range q.beside {
		places[name] = columns - len(q.beside) + i
	}
	return places
}

// expand reads the records that rows refer to, whose texts and blobs may have so many
// bytes.
func (tx *Tx) expand(q query, rows *Rows, keys []*expandedKey, budget int64) error {
	if len(keys) == 0 || rows.Len() == 0 {
		return nil
	}
	x := expander{tx.c, budget}
	if err := x.follow(rows, q.places(rows.Batch.Columns), keys); err != nil {
		return err
	}
	weight, count := rows.expanded()
	if count > maxExpanded {
		return problem.Invalid("expand", "The rows refer to %d records, and at most %d can be expanded: ask for fewer rows with limit, or expand less.", count, maxExpanded)
	}
	if weight > budget {
		return errTooMuch
	}
	rows.expandedBytes = weight
	return nil
}

// expander follows foreign keys within a number of bytes of memory.
type expander struct {
	c    *sqlite.Conn
	left int64
}

func (x *expander) follow(rows *Rows, places map[string]int, keys []*expandedKey) error {
	for _, key := range keys {
		found, err := x.records(rows, places, key)
		if err != nil {
			return err
		}
		if found.Rows.Len() > 0 {
			if err := x.follow(&found.Rows, key.parent.columnPlaces(), key.next); err != nil {
				return err
			}
		}
		rows.Expanded = append(rows.Expanded, found)
	}
	return nil
}

// columnPlaces returns the index of each column by its name.
func (t *Table) columnPlaces() map[string]int {
	places := map[string]int{}
	for i := range t.Columns {
		places[t.Columns[i].Name] = i
	}
	return places
}

// records reads the records that rows refer to by one key.
func (x *expander) records(rows *Rows, places map[string]int, key *expandedKey) (found Expansion, err error) {
	found = Expansion{Name: key.name, Rows: newRows(key.parent, key.parent.formatColumns()), Of: make([]int, rows.Len())}
	wanted := map[string]int{} // the index in found.Rows by the encoded values
	var values []sqlite.Value  // of the next statement
	n := 0                     // how many records that asks for
	for i := range found.Of {
		one, id := rows.referring(i, places, key)
		if one == nil {
			found.Of[i] = -1
			continue
		}
		at, known := wanted[id]
		if !known {
			at = found.Rows.Len() + n
			wanted[id] = at
			values, n = append(values, one...), n+1
		}
		found.Of[i] = at
		if n == key.chunk() {
			if err := x.look(&found.Rows, key, values); err != nil {
				return found, err
			}
			values, n = values[:0], 0
		}
	}
	if n > 0 {
		if err := x.look(&found.Rows, key, values); err != nil {
			return found, err
		}
	}
	if x.left -= found.Rows.Batch.Memory(); x.left < 0 {
		return found, errTooMuch
	}
	found.leaveOut(places, key)
	return found, nil
}

// referring returns the values by which row i refers to a record, and a text that
// identifies them; nil if one of them is NULL.
func (r *Rows) referring(i int, places map[string]int, key *expandedKey) (values []sqlite.Value, id string) {
	row := r.Batch.Row(i)
	for _, column := range key.columns {
		v := r.Batch.Value(row[places[column.Name]])
		if v.Kind == sqlite.Null {
			return nil, ""
		}
		values = append(values, v)
		id += encodeValue(v) + ","
	}
	return values, id
}

// chunk returns how many records one statement looks up.
func (key *expandedKey) chunk() int {
	const maxParameters = 32_000
	return min(expandChunk, maxParameters/len(key.keys))
}

// look appends to rows one row for each list of values, all NULL where there is no such
// record. SQLite compares the values as it does to enforce the foreign key.
func (x *expander) look(rows *Rows, key *expandedKey, values []sqlite.Value) error {
	n, width := len(values)/len(key.keys), len(key.keys)
	padded := min(1<<bits.Len(uint(n-1)), key.chunk()) // so that there are few different statements
	tuples := strings.Repeat(", ("+marks(width)+")", padded)[2:]
	list, terms := make([]string, len(rows.Columns)), make([]string, width)
	for i, column := range rows.Columns {
		list[i] = "p." + quote(column.Name)
	}
	for i, column := range key.keys {
		terms[i] = fmt.Sprintf("p.%s = v.column%d", quote(column.Name), i+1)
	}
	stmt, err := x.c.Prepare("SELECT " + strings.Join(list, ", ") + " FROM (VALUES " + tuples + ") AS v LEFT JOIN " +
		quote(key.parent.Name) + " AS p ON " + strings.Join(terms, " AND "))
	if err != nil {
		return err
	}
	defer stmt.Close()
	args := append(arguments(values), make([]any, (padded-n)*width)...)
	stmt.Bind(args...)
	before := rows.Len()
	rows.Batch.Limit = int(x.left)
	if _, err = stmt.Fill(rows.Batch, before+n, int(x.left)); errors.Is(err, sqlite.ErrTooLarge) {
		return errTooMuch
	}
	if err == nil && rows.Len() < before+n {
		return errTooMuch
	}
	return err
}

// leaveOut turns references to the rows that stand for missing records into none.
func (e *Expansion) leaveOut(places map[string]int, key *expandedKey) {
	at := key.parent.columnPlaces()[key.keys[0].Name]
	for i, of := range e.Of {
		if of >= 0 && e.Rows.Batch.Row(of)[at].Kind == sqlite.Null {
			e.Of[i] = -1
		}
	}
}

// expanded returns how many bytes and records are shown with the rows: a record counts
// each time that it is referred to.
func (r *Rows) expanded() (bytes, records int64) {
	weights, counts := r.weigh()
	for i := range weights {
		bytes, records = bytes+weights[i], records+counts[i]
	}
	return bytes, records
}

// weigh returns, by row, how many bytes and records are shown with it.
func (r *Rows) weigh() (weights, counts []int64) {
	weights, counts = make([]int64, r.Len()), make([]int64, r.Len())
	for e := range r.Expanded {
		found := &r.Expanded[e]
		nested, more := found.Rows.weigh()
		for i := range nested {
			nested[i] += found.Rows.size(i)
		}
		for i, of := range found.Of {
			if of >= 0 {
				weights[i], counts[i] = weights[i]+nested[of], counts[i]+more[of]+1
			}
		}
	}
	return weights, counts
}

// size returns about how many bytes a row takes.
func (r *Rows) size(i int) (bytes int64) {
	const perCell = 16
	for _, cell := range r.Batch.Row(i) {
		bytes += perCell
		if cell.Kind == sqlite.Text || cell.Kind == sqlite.Blob {
			bytes += int64(len(r.Batch.Bytes(cell)))
		}
	}
	return bytes
}
