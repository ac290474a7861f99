package projectdb

import (
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// rebuild gives a table a new shape that ALTER TABLE cannot: a new table is filled
// with the rows and replaces the old one. Rows, rowids, indexes, foreign keys and the
// counter of AUTOINCREMENT are kept. It must run in a transaction of
// sqlite.DB.Restructure, where foreign keys are off: otherwise dropping the old table
// would delete the rows that refer to it. The steps follow
// https://sqlite.org/lang_altertable.html#otheralter.
//
// Columns of after that before lacks get their default.
func rebuild(c *sqlite.Conn, before *Table, after Table) error {
	if err := after.CheckExpressions(); err != nil {
		return refused(&after, err.Error())
	}
	counter, err := readCounter(c, before)
	if err != nil {
		return err
	}
	building := after
	building.Name = "_rebuild"
	if err := c.Exec(building.CreateSQL()); err != nil {
		return inTheWay(err)
	}
	if err := c.Exec(copySQL(before, &building)); err != nil {
		return inTheWay(err)
	}
	if err := c.Exec("DROP TABLE " + quote(before.Name)); err != nil {
		return err
	}
	if err := c.Exec("ALTER TABLE _rebuild RENAME TO " + quote(after.Name)); err != nil {
		return inTheWay(err)
	}
	for _, x := range after.Indexes {
		if !x.Managed() {
			continue
		}
		if err := c.Exec(x.CreateSQL()); err != nil {
			return inTheWay(err)
		}
	}
	return writeCounter(c, &after, counter)
}

// inTheWay returns a conflict if an expression of a constraint, a generated column or
// an index does not compile in the new shape, or fails for a row.
func inTheWay(err error) error {
	if !sqlite.FaultOf(err).InSQL() {
		return err
	}
	return problem.New(problem.CodeConflict, "A check, a generated column or an index of the table forbids this: %s.", sqlite.Message(err)).Because(err)
}

// copySQL returns the statement that copies the rows, including rowids that no column
// holds.
func copySQL(before, after *Table) string {
	var names []string
	for _, column := range after.Columns {
		if old := before.Column(column.Name); old != nil && column.Generated == "" {
			names = append(names, quote(column.Name))
		}
	}
	into, from := strings.Join(names, ", "), strings.Join(names, ", ")
	if old, now := before.rowidName(), after.rowidName(); !before.RowidKey && !after.RowidKey && old != "" && now != "" {
		into, from = now+", "+into, old+", "+from
	}
	return "INSERT INTO " + quote(after.Name) + " (" + into + ") SELECT " + from + " FROM " + quote(before.Name)
}

// readCounter returns the largest id that AUTOINCREMENT has assigned, possibly to a
// row deleted since; -1 if there is no counter.
func readCounter(c *sqlite.Conn, t *Table) (int64, error) {
	if !t.Autoincrement {
		return -1, nil
	}
	return c.Int("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), -1)", t.Name)
}

func writeCounter(c *sqlite.Conn, t *Table, counter int64) error {
	if counter < 0 || !t.Autoincrement {
		return nil
	}
	if err := c.Exec("DELETE FROM sqlite_sequence WHERE name = ?", t.Name); err != nil {
		return err
	}
	return c.Exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", t.Name, counter)
}

// clone returns a copy of the table whose lists can be modified.
func (t *Table) clone() Table {
	after := *t
	after.Columns = slices.Clone(t.Columns)
	after.Uniques = slices.Clone(t.Uniques)
	after.ForeignKeys = slices.Clone(t.ForeignKeys)
	after.Indexes = slices.Clone(t.Indexes)
	return after
}

// deleteWhere returns a new list of the elements for which drop is false.
func deleteWhere[T any](list []T, drop func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), drop)
}
