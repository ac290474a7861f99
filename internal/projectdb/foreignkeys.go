package projectdb

import (
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// brokenKey explains a foreign key violation, which SQLite reports without details:
// which key it is, and in which direction. The statement has set these columns (none
// when deleting) in the rows of t that match w, or in a new row if w is nil. Other
// errors, and violations that cannot be found again, are returned unchanged.
func (tx *Tx) brokenKey(t *Table, set row, w *where, err error) error {
	if sqlite.FaultOf(err) != sqlite.ForeignKey {
		return err
	}
	cat, catErr := tx.catalog()
	if catErr != nil {
		return err
	}
	for _, key := range t.ForeignKeys {
		if parent := cat.named(key.Parent); parent != nil && tx.lacksParent(t, key, parent, set, w) {
			return tx.noParent(key, parent, set).Because(err)
		}
	}
	for i := range cat.tables {
		child := &cat.tables[i]
		for _, key := range child.ForeignKeys {
			if w != nil && sqlite.SameName(key.Parent, t.Name) && tx.hasChild(child, key, t, set, *w) {
				return tx.stillReferenced(key, child, t).Because(err)
			}
		}
	}
	return err
}

// parentNames returns the columns that a key refers to.
func (key ForeignKey) parentNames(parent *Table) []string {
	if len(key.ParentColumns) == 0 {
		return columnNames(parent.PrimaryKey)
	}
	return key.ParentColumns
}

// lacksParent reports whether a changed row refers to a nonexistent row.
func (tx *Tx) lacksParent(t *Table, key ForeignKey, parent *Table, set row, w *where) bool {
	names := key.parentNames(parent)
	if len(names) != len(key.Columns) {
		return false
	}
	var terms, present []string
	var args []any
	own := false // a part of the key was not sent
	for i, name := range key.Columns {
		v, sent := set.value(name)
		switch {
		case sent && v.Kind == sqlite.Null, !sent && w == nil:
			return false // a NULL refers to nothing
		case sent:
			terms, args = append(terms, "p."+quote(names[i])+" = ?"), append(args, v)
		default:
			column := quote(t.Name) + "." + quote(name)
			own, present = true, append(present, column+" IS NOT NULL")
			terms = append(terms, "p."+quote(names[i])+" = "+column)
		}
	}
	if len(args) == 0 {
		return false // the key has not changed
	}
	missing := where{sql: "NOT EXISTS (SELECT 1 FROM " + quote(parent.Name) + " AS p WHERE " + strings.Join(terms, " AND ") + ")", args: args}
	if !own {
		n, err := tx.c.Int("SELECT "+missing.sql, missing.args...)
		return err == nil && n == 1
	}
	all := w.and(where{sql: strings.Join(present, " AND ")}).and(missing)
	n, err := tx.c.Int("SELECT EXISTS (SELECT 1 FROM "+quote(t.Name)+all.clause()+")", all.args...)
	return err == nil && n == 1
}

// hasChild reports whether a row of another table refers to a deleted row, or to a
// changed value in a row, and a key forbids that.
func (tx *Tx) hasChild(child *Table, key ForeignKey, parent *Table, set row, w where) bool {
	names, action := key.parentNames(parent), key.OnDelete
	if len(set.columns) > 0 {
		action = key.OnUpdate
	}
	changed := len(set.columns) == 0
	terms := make([]string, len(key.Columns))
	for i, name := range key.Columns {
		if len(names) != len(key.Columns) {
			return false
		}
		_, sent := set.value(names[i])
		changed = changed || sent
		terms[i] = "c." + quote(name) + " = p." + quote(names[i])
	}
	if !changed || action != "NO ACTION" && action != "RESTRICT" {
		return false
	}
	rows := "SELECT " + identList(names) + " FROM " + quote(parent.Name) + w.clause()
	n, err := tx.c.Int("SELECT EXISTS (SELECT 1 FROM ("+rows+") AS p JOIN "+quote(child.Name)+" AS c ON "+strings.Join(terms, " AND ")+")", w.args...)
	return err == nil && n == 1
}

// value returns the row's value in the named column, if it was sent.
func (r row) value(name string) (v sqlite.Value, sent bool) {
	if i := r.index(name); i >= 0 {
		return r.values[i], true
	}
	return v, false
}

// index returns the place of the named column among those sent, or -1.
func (r row) index(name string) int {
	return slices.IndexFunc(r.columns, func(column *Column) bool { return sqlite.SameName(column.Name, name) })
}

// shownTable names a table to callers who may read it.
func (tx *Tx) shownTable(t *Table) string {
	if !tx.mayRead(t) {
		return "another table"
	}
	return "the table " + t.Name
}

func (tx *Tx) noParent(key ForeignKey, parent *Table, set row) *problem.Error {
	e := problem.New(problem.CodeConflict, "The record refers to a record of %s that does not exist.", tx.shownTable(parent))
	names := key.parentNames(parent)
	for i, name := range key.Columns {
		v, sent := set.value(name)
		const longest = 40 // bytes of a value worth repeating
		switch text := literal(v); {
		case sent && len(text) <= longest && tx.mayRead(parent):
			e.With(name, "No record of %s has %s in %s.", tx.shownTable(parent), text, names[i])
		default:
			e.With(name, "No record of %s has this value.", tx.shownTable(parent))
		}
	}
	return e
}

func (tx *Tx) stillReferenced(key ForeignKey, child, parent *Table) *problem.Error {
	e := problem.New(problem.CodeConflict, "A record of %s refers to this one: change or delete that one first.", tx.shownTable(child))
	for i, name := range key.parentNames(parent) {
		if tx.mayRead(child) {
			e.With(name, "A record of the table %s refers to it by %s.", child.Name, key.Columns[i])
		} else {
			e.With(name, "A record of another table refers to it.")
		}
	}
	return e
}
