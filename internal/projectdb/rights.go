package projectdb

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Rights say what the holder of a [DB] may do with the records of single tables.
type Rights interface {
	MayRead(tableID ids.Table) bool
	MayWrite(tableID ids.Table) bool
	// MayWriteAll reports whether the records of every table may be written.
	MayWriteAll() bool
}

// As returns the database limited to the given rights. Changes of records through it
// never reach a table that may not be written, not even by foreign key actions, and
// never return a value that may not be read. ListRecords and GetRecord check the right
// to read; for other reads, such as snapshots and queries, the caller must check it.
func (db *DB) As(rights Rights) *DB {
	held := *db
	held.rights = rights
	return &held
}

func (tx *Tx) mayRead(t *Table) bool { return tx.db.rights == nil || tx.db.rights.MayRead(t.ID) }

func (tx *Tx) mayWrite(t *Table) bool { return tx.db.rights == nil || tx.db.rights.MayWrite(t.ID) }

// readable returns the table with the given id or name if its records may be read.
func (tx *Tx) readable(ref string) (*Table, error) {
	t, err := tx.permitted(ref, "records:read", tx.mayRead)
	if err == nil {
		err = t.usable()
	}
	return t, err
}

// writable returns the table with the given id or name if its records may be written.
func (tx *Tx) writable(ref string) (*Table, error) {
	t, err := tx.permitted(ref, "records:write", tx.mayWrite)
	if err == nil {
		err = tx.cat.changeable(t)
	}
	return t, err
}

func (tx *Tx) permitted(ref, scope string, may func(*Table) bool) (*Table, error) {
	t, err := tx.table(ref)
	if err != nil {
		return nil, err
	}
	tx.meter.NoteTable(int64(t.ID))
	if !may(t) {
		err = problem.MissingScope(scope + " for the table")
	}
	return t, err
}

// matchable is writable for records that are selected by conditions. Without the right
// to read, conditions are refused: the number of matches would reveal values.
func (tx *Tx) matchable(ref string, match Match) (*Table, error) {
	t, err := tx.writable(ref)
	if err == nil && !tx.mayRead(t) && !isEmpty(match.Filters) {
		err = problem.New(problem.CodePermissionDenied, "This token may not read the records of the table %s, so it cannot select them by their values: where needs the scope records:read for the table.", t.Name)
	}
	return t, err
}

// isEmpty reports whether filters have no conditions.
func isEmpty(filters jsontext.Value) bool {
	switch filters.Kind() {
	case '{', '[':
		inside := bytes.TrimSpace(filters)
		return len(bytes.TrimSpace(inside[1:len(inside)-1])) == 0
	}
	return true
}

// confine makes a change of records of t, notes the tables that it reached, and refuses
// it if one of them may not be written. Which rows foreign key actions will reach cannot
// be known beforehand, so SQLite is asked afterwards, if it matters; the error rolls the
// change back. An insertion carries nothing on.
func (tx *Tx) confine(t *Table, inserts bool, change func() error) error {
	tx.news.touch(t.ID)
	everywhere := tx.db.rights == nil || tx.db.rights.MayWriteAll()
	if everywhere && (inserts || !tx.cat.carriesOn(t.ID)) {
		return change()
	}
	touched, err := tx.c.Touched(change)
	if err != nil {
		return err
	}
	for _, name := range touched {
		t := tx.cat.named(name)
		if t != nil {
			tx.news.touch(t.ID)
		}
		// The table is not named: the caller may not be allowed to see it.
		if !everywhere && (t == nil || !tx.mayWrite(t)) {
			return problem.New(problem.CodePermissionDenied, "A foreign key would cascade the change to records of another table, which this token may not change.")
		}
	}
	return nil
}

// named returns the table with the given name, or nil.
func (cat *catalog) named(name string) *Table {
	i := slices.IndexFunc(cat.tables, func(t Table) bool { return sqlite.SameName(t.Name, name) })
	if i < 0 {
		return nil
	}
	return &cat.tables[i]
}

// shown returns the columns of a changed row that are returned to a client who may not
// read the table: the primary key and whatever was sent, except for numbers added to
// values that the client does not know.
func (t *Table) shown(sent row) (columns []*Column) {
	sent.columns = sent.columns[:len(sent.columns)-sent.added]
	for i := range t.Columns {
		if column := &t.Columns[i]; sent.has(column) || t.IsPrimary(column.Name) {
			columns = append(columns, column)
		}
	}
	return columns
}

// returningShown returns the RETURNING clause with these columns. Sent values are
// returned as sent: the stored ones may differ if an upsert found its row by another
// spelling of the same value.
func (t *Table) returningShown(sent row, columns []*Column) string {
	list := make([]string, len(columns))
	for i, column := range columns {
		list[i] = quote(column.Name)
		if at := slices.Index(sent.columns, column); at >= 0 {
			list[i] = "?" + itoa(at+1)
		}
	}
	if len(list) == 0 {
		list = []string{"NULL"} // no columns; SQLite wants at least one
	}
	if rowid := t.rowidBeside(len(columns)); rowid != "" {
		list = append(list, rowid)
	}
	return " RETURNING " + strings.Join(list, ", ")
}
