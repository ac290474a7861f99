package projectdb

import (
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Stored returns what v becomes in a column of the given type, converted as the API
// converts values: numbers from text, text from numbers and blobs from base64, never
// with a loss. The error is a sentence for the client.
func Stored(columnType string, v sqlite.Value) (sqlite.Value, error) {
	switch v.Kind {
	case sqlite.Integer, sqlite.Real:
		return numberAs(columnType, v)
	case sqlite.Text:
		return textAs(columnType, v.Bytes)
	case sqlite.Blob:
		if columnType != "BLOB" && columnType != "ANY" {
			return v, valueFault("The column holds " + columnType + ", but the value is a BLOB.")
		}
	}
	return v, nil
}

// Tables returns every table as it was before the transaction.
func (l *Loader) Tables() []Table { return l.before.tables }

// Empty deletes every row of a table and returns how many there were. Foreign key
// actions do not run; keys that are violated at the end fail the load.
func (l *Loader) Empty(t *Table) (deleted int64, err error) { return l.empty(t, "") }

// EmptySlowly is Empty row by row, so that canceling the context stops it: SQLite
// clears a whole table in one uninterruptible step.
func (l *Loader) EmptySlowly(t *Table) (deleted int64, err error) { return l.empty(t, " WHERE true") }

func (l *Loader) empty(t *Table, where string) (deleted int64, err error) {
	if deleted, err = l.c.Int("SELECT count(*) FROM " + quote(t.Name)); err != nil {
		return 0, err
	}
	l.touch(t)
	l.tx.noteRestructured(0, t.ID)
	return deleted, l.c.Exec("DELETE FROM " + quote(t.Name) + where)
}

// Updater changes rows that are identified by the values of a key.
type Updater struct {
	c    *sqlite.Conn
	stmt *sqlite.Stmt
}

// Update prepares the update of rows: values come in the order of columns, which
// includes the key's. NULL for a part of the primary key leaves it unchanged.
func (l *Loader) Update(t *Table, columns, key []string) (*Updater, error) {
	var set, where []string
	for i, name := range columns {
		assignment := quote(name) + " = ?" + itoa(i+1)
		if sqlite.ContainsName(key, name) {
			where = append(where, assignment)
			continue
		}
		if t.IsPrimary(name) {
			assignment = quote(name) + " = coalesce(?" + itoa(i+1) + ", " + quote(name) + ")"
		}
		set = append(set, assignment)
	}
	if len(set) == 0 { // only to find out whether there is such a row
		set = where[:1]
	}
	stmt, err := l.c.Prepare("UPDATE " + quote(t.Name) + " SET " + strings.Join(set, ", ") + " WHERE " + strings.Join(where, " AND "))
	if err != nil {
		return nil, err
	}
	l.touch(t)
	l.tx.noteRestructured(0, t.ID)
	return &Updater{l.c, stmt}, nil
}

// Row updates the row with the key in values, and reports whether there is one.
func (u *Updater) Row(values []sqlite.Value) (found bool, err error) {
	if err := execute(u.stmt, values); err != nil {
		return false, err
	}
	return u.c.Changes() > 0, nil
}

// Close ends the updates.
func (u *Updater) Close() { u.stmt.Close() }

// execute runs a statement that returns no rows. After a failure it can run again.
func execute(stmt *sqlite.Stmt, values []sqlite.Value) error {
	for i, v := range values {
		stmt.BindValue(i+1, v)
	}
	if _, err := stmt.Step(); err != nil {
		// Reset returns the same error again.
		_ = stmt.Reset()
		return err
	}
	return stmt.Reset()
}

// Reference checks whether the rows that a foreign key refers to exist.
type Reference struct {
	Parent  string // the name of the parent table
	Columns []int  // indexes of the key columns in the values of a row
	stmt    *sqlite.Stmt
	key     []sqlite.Value
}

// References prepares the foreign keys of a table whose columns are all in columns,
// except for keys to the tables in later, whose rows may not be there yet.
func (l *Loader) References(t *Table, columns, later []string) (list []*Reference, err error) {
	for _, key := range t.ForeignKeys {
		r := &Reference{Parent: key.Parent}
		for _, name := range key.Columns {
			for i, column := range columns {
				if sqlite.SameName(column, name) {
					r.Columns = append(r.Columns, i)
				}
			}
		}
		if len(r.Columns) < len(key.Columns) || sqlite.ContainsName(later, key.Parent) {
			continue
		}
		if r.stmt, err = l.c.Prepare("SELECT 1 FROM " + quote(key.Parent) + " WHERE " + l.parentKey(key)); err != nil {
			return list, err
		}
		list = append(list, r)
	}
	return list, nil
}

// parentKey returns the condition that finds the row that a key refers to.
func (l *Loader) parentKey(key ForeignKey) string {
	names := key.ParentColumns
	if parent, err := ReadTable(l.c, key.Parent); err == nil && len(names) == 0 {
		names = columnNames(parent.PrimaryKey)
	}
	terms := make([]string, len(names))
	for i, name := range names {
		terms[i] = quote(name) + " = ?" + itoa(i+1)
	}
	return strings.Join(terms, " AND ")
}

// Holds reports whether a row with these values refers to an existing row, or to none.
func (r *Reference) Holds(values []sqlite.Value) (bool, error) {
	r.key = r.key[:0]
	for _, place := range r.Columns {
		if values[place].Kind == sqlite.Null {
			return true, nil
		}
		r.key = append(r.key, values[place])
	}
	for i, v := range r.key {
		r.stmt.BindValue(i+1, v)
	}
	found, err := r.stmt.Step()
	if err != nil {
		return false, err
	}
	return found, r.stmt.Reset()
}

// Close ends the checks.
func (r *Reference) Close() { r.stmt.Close() }
