package projectdb

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
)

// DeleteRecord deletes the record with the given id, if it meets the conditions, and
// returns the name of its table.
func (db *DB) DeleteRecord(ctx context.Context, ref, id string, when ...Condition) (table string, err error) {
	return changing(ctx, db, new(problem.Faults), freeing+SharedTransaction, func(tx *Tx) (string, error) { return tx.DeleteRecord(ref, id, when...) })
}

// DeleteRecord is [DB.DeleteRecord] inside the transaction.
func (tx *Tx) DeleteRecord(ref, id string, when ...Condition) (table string, err error) {
	t, err := tx.writable(ref)
	if err != nil {
		return "", err
	}
	at, err := t.at(id)
	if err != nil {
		return "", err
	}
	if err := tx.check(t, id, when); err != nil {
		return "", err
	}
	deleted, err := tx.affect(t, "DELETE FROM "+quote(t.Name)+at.clause(), at.args)
	if err == nil && deleted.Rows == 0 {
		err = noRecord(id)
	}
	return t.Name, tx.brokenKey(t, row{}, &at, err)
}

// DeleteRecords deletes every record that matches.
func (db *DB) DeleteRecords(ctx context.Context, faults *problem.Faults, ref string, match Match) (Affected, error) {
	return changing(ctx, db, faults, freeing+OwnTransaction, func(tx *Tx) (Affected, error) { return tx.DeleteRecords(faults, ref, match) })
}

// DeleteRecords is [DB.DeleteRecords] inside the transaction.
func (tx *Tx) DeleteRecords(faults *problem.Faults, ref string, match Match) (Affected, error) {
	t, err := tx.matchable(ref, match)
	if err != nil {
		return Affected{}, err
	}
	w := match.where(t, faults)
	if err := faults.Err(); err != nil {
		return Affected{}, err
	}
	return tx.deleteWhere(t, w)
}

// deleteWhere deletes the records that match w.
func (tx *Tx) deleteWhere(t *Table, w where) (Affected, error) {
	if w.sql == "" {
		w.sql = "true" // without a condition SQLite would not count the deleted rows
	}
	done, err := tx.affect(t, "DELETE FROM "+quote(t.Name)+w.clause(), w.args)
	return done, tx.brokenKey(t, row{}, &w, err)
}
