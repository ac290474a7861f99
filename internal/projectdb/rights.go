package projectdb

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Rights say what somebody may do with the records of single tables.
type Rights interface {
	MayRead(tableID int64) bool
	MayWrite(tableID int64) bool
	// MayWriteAll reports whether there is no table that may not be written.
	MayWriteAll() bool
}

// As returns the database in the hands of somebody with the given rights: what
// changes records through it changes no table that may not be written, also not
// by the actions of foreign keys, and answers with no value that may not be read.
// What only reads is the caller's to refuse.
func (db *DB) As(rights Rights) *DB {
	held := *db
	held.rights = rights
	return &held
}

func (db *DB) mayRead(t *Table) bool { return db.rights == nil || db.rights.MayRead(t.ID) }

// writable returns the table with the given id or name, if its records may be
// written.
func (db *DB) writable(cat *catalogue, ref string) (*Table, error) {
	t, err := cat.table(ref)
	if err == nil && db.rights != nil && !db.rights.MayWrite(t.ID) {
		return nil, problem.New(problem.CodePermissionDenied, "This token may not change the records of the table %s.", t.Name)
	}
	if err == nil {
		err = t.changeable()
	}
	return t, err
}

// mayMatch refuses conditions on records that may not be read: how many of them
// match would tell what they hold.
func (db *DB) mayMatch(t *Table, which Which) error {
	if db.mayRead(t) || isEmpty(which.Filters) {
		return nil
	}
	return problem.New(problem.CodePermissionDenied, "This token may not read the records of the table %s, so it cannot select them by their values: where needs the scope records:read for the table.", t.Name)
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

// confine makes a change of records and refuses it when it has reached a table
// that may not be written. Nobody can say beforehand which rows the actions of
// foreign keys will reach, so SQLite is asked which ones they have reached; the
// error takes them back.
func (db *DB) confine(c *sqlite.Conn, cat *catalogue, change func() error) error {
	if db.rights == nil || db.rights.MayWriteAll() {
		return change()
	}
	touched, err := c.Touched(change)
	if err != nil {
		return err
	}
	for _, name := range touched {
		// The name stays unsaid: the table may be one that the caller cannot see.
		t := cat.named(name)
		if t == nil || !db.rights.MayWrite(t.ID) {
			return problem.New(problem.CodePermissionDenied, "A foreign key would cascade the change to records of another table, which this token may not change.")
		}
	}
	return nil
}

// named returns the table with the given name, or nil.
func (cat *catalogue) named(name string) *Table {
	i := slices.IndexFunc(cat.tables, func(t Table) bool { return sqlite.SameName(t.Name, name) })
	if i < 0 {
		return nil
	}
	return &cat.tables[i]
}

// shown returns the columns of a changed row that somebody is answered with who
// may not read the table: the primary key, and what was sent.
func (t *Table) shown(sent row) (columns []*Column) {
	for i := range t.Columns {
		if column := &t.Columns[i]; sent.has(column) || t.IsPrimary(column.Name) {
			columns = append(columns, column)
		}
	}
	return columns
}

// returningShown returns the clause that gives a changed row with these columns.
// What was sent is answered as it was sent: what is stored may differ, where an
// upsert has found its row by another spelling of the same value.
func (t *Table) returningShown(sent row, columns []*Column) string {
	list := make([]string, len(columns))
	for i, column := range columns {
		list[i] = quote(column.Name)
		if at := slices.Index(sent.columns, column); at >= 0 {
			list[i] = "?" + itoa(at+1)
		}
	}
	if len(list) == 0 {
		list = []string{"NULL"} // of no column; SQLite wants one
	}
	return " RETURNING " + strings.Join(list, ", ")
}
