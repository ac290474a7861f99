package projectdb

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// UpdateRecord changes the record with the given id, if it meets the conditions, and
// returns it as stored.
func (db *DB) UpdateRecord(ctx context.Context, faults *problem.Faults, ref, id string, patch jsontext.Value, when ...Condition) (Rows, error) {
	return changing(ctx, db, faults, SharedTransaction, func(tx *Tx) (Rows, error) { return tx.UpdateRecord(faults, ref, id, patch, when...) })
}

// UpdateRecord is [DB.UpdateRecord] inside the transaction.
func (tx *Tx) UpdateRecord(faults *problem.Faults, ref, id string, patch jsontext.Value, when ...Condition) (rows Rows, err error) {
	t, err := tx.writable(ref)
	if err != nil {
		return rows, err
	}
	set := t.parsePatch(faults, "", patch)
	if err := faults.Err(); err != nil {
		return rows, err
	}
	return tx.updateRow(t, id, set, when...)
}

// updateRow changes the record with the given id, if it meets the conditions.
func (tx *Tx) updateRow(t *Table, id string, set row, when ...Condition) (rows Rows, err error) {
	at, err := t.at(id)
	if err != nil {
		return rows, err
	}
	if err := tx.check(t, id, when); err != nil {
		return rows, err
	}
	columns, returning := t.formatColumns(), t.returning()
	if !tx.mayRead(t) {
		shown := t.shown(set)
		columns, returning = formatColumns(shown), t.returningShown(set, shown)
	}
	rows = newStored(t, columns)
	update, args := t.updateSQL(set, at)
	if err := tx.confine(t, false, func() error { return fillAll(tx.c, rows.Batch, update+returning, args) }); err != nil {
		return rows, tx.brokenKey(t, set, &at, err)
	}
	if rows.Len() == 0 {
		return rows, noRecord(id)
	}
	if tx.mayRead(t) {
		rows.ETag = t.etag(rows)
	}
	return rows, tx.reserve(rows)
}

// parsePatch parses the changes to one or many rows.
func (t *Table) parsePatch(faults *problem.Faults, prefix string, patch jsontext.Value) row {
	r := t.parseRow(faults, prefix, patch, nullKeyIsFault)
	if len(r.columns) == 0 && !faults.Any() {
		faults.Add("data", "There is nothing to change.")
	}
	return r
}

// updateSQL returns the UPDATE statement that sets the values of a row in the
// rows that match, and its parameters.
func (t *Table) updateSQL(set row, w where) (query string, args []any) {
	names := set.names()
	plain := len(names) - set.added
	for i, name := range names {
		names[i] = quote(name) + " = ?"
		if i >= plain {
			names[i] = quote(name) + " = " + quote(name) + " + ?"
		}
	}
	return "UPDATE " + quote(t.Name) + " SET " + strings.Join(names, ", ") + w.clause(), append(set.args(), w.args...)
}

// Match selects the rows that a bulk change applies to.
type Match struct {
	Filters jsontext.Value
	All     bool // allows empty filters
}

// where returns the condition on the rows of t that match.
func (m Match) where(t *Table, faults *problem.Faults) where {
	w := t.parseFilters(faults, "where", m.Filters)
	if w.sql == "" && !m.All {
		faults.Add("where", "Without conditions this affects every row: set allow_all to confirm it.")
	}
	return w
}

// Affected is the number of rows of a table that a bulk change has reached.
type Affected struct {
	Table string
	Rows  int64
}

// UpdateRecords changes every record that matches.
func (db *DB) UpdateRecords(ctx context.Context, faults *problem.Faults, ref string, patch jsontext.Value, match Match) (Affected, error) {
	return changing(ctx, db, faults, OwnTransaction, func(tx *Tx) (Affected, error) { return tx.UpdateRecords(faults, ref, patch, match) })
}

// UpdateRecords is [DB.UpdateRecords] inside the transaction.
func (tx *Tx) UpdateRecords(faults *problem.Faults, ref string, patch jsontext.Value, match Match) (Affected, error) {
	t, err := tx.matchable(ref, match)
	if err != nil {
		return Affected{}, err
	}
	set := t.parsePatch(faults, "data.", patch)
	w := match.where(t, faults)
	if err := faults.Err(); err != nil {
		return Affected{}, err
	}
	update, args := t.updateSQL(set, w)
	done, err := tx.affect(t, update, args)
	return done, tx.brokenKey(t, set, &w, err)
}

// affect runs a statement that changes rows of t.
func (tx *Tx) affect(t *Table, statement string, args []any) (Affected, error) {
	err := tx.confine(t, false, func() error { return tx.c.Exec(statement, args...) })
	return Affected{t.Name, tx.c.Changes()}, err
}
