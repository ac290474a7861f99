package projectdb

import (
	"context"
	"errors"
	"strings"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Reverting takes the changes of a run or a request back, the last one first. A change
// is only taken back if the record is still as the change left it; otherwise that is a
// conflict, and nothing is changed at all. Foreign key actions do not run meanwhile, so
// that records of others never go along; keys that would be violated are conflicts.

// RevertConflict says why one change cannot be taken back.
type RevertConflict struct {
	Place  string  `json:"place" doc:"Of the change."`
	Table  *string `json:"table" doc:"Null if the table is gone."`
	Record *string `json:"id" doc:"The id of the record; null if the change was not of one."`
	Reason string  `json:"reason"`
}

// Reverted says what reverting has changed, or would change.
type Reverted struct {
	Inserted       int64            `json:"inserted_rows" doc:"Records that had been deleted."`
	Updated        int64            `json:"updated_rows"`
	Deleted        int64            `json:"deleted_rows" doc:"Records that had been inserted."`
	Conflicts      []RevertConflict `json:"conflicts" doc:"The first 100 changes that cannot be taken back."`
	ConflictsTotal int64            `json:"conflicts_total"`
}

// maxConflicts is how many conflicts are listed.
const maxConflicts = 100

// errNotMade rolls back a dry run, or a revert with conflicts.
var errNotMade = errors.New("nothing was reverted")

// Revert takes the changes selected by RequestID or RunID back, all or none. With
// conflicts, or in a dry run, it changes nothing.
func (db *DB) Revert(ctx context.Context, f ChangeFilter, dryRun bool) (done Reverted, err error) {
	err = db.transact(ctx, RebuildTransaction|rowwise, func(tx *Tx) error {
		done = Reverted{Conflicts: []RevertConflict{}}
		if err := tx.revert(f, &done); err != nil {
			return err
		}
		if done.ConflictsTotal > 0 || dryRun {
			return errNotMade
		}
		return nil
	})
	if errors.Is(err, errNotMade) {
		err = nil
	}
	return done, explain(err)
}

func (tx *Tx) revert(f ChangeFilter, done *Reverted) error {
	if _, err := tx.catalog(); err != nil {
		return err
	}
	if err := tx.resolveRun(&f); err != nil {
		return err
	}
	query, args := f.query()
	places, err := tx.places(query, args)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return problem.New(problem.CodeNotFound, "No changes of this call or run are kept.")
	}
	r := &reverter{tx: tx, done: done}
	for i := len(places) - 1; i >= 0; i-- {
		if err := r.takeBack(places[i]); err != nil {
			return err
		}
	}
	return r.checkKeys()
}

// places returns the places of the changes, which are read one by one: a change of rows
// while a statement reads them would not be safe.
func (tx *Tx) places(query string, args []any) (places []ChangePlace, err error) {
	err = tx.c.Query(query+" ORDER BY c.place", args, func(s *sqlite.Stmt) error {
		places = append(places, ChangePlace(s.Int(0)))
		return nil
	})
	return places, err
}

// reverter takes changes back.
type reverter struct {
	tx   *Tx
	done *Reverted
}

// recordedChange is a change of a record to be taken back.
type recordedChange struct {
	place       ChangePlace
	table       *Table
	tableID     ids.Table
	kind        int
	record      string
	was         *string
	before, now map[int64]sqlite.Value
}

func (r *reverter) read(place ChangePlace) (c recordedChange, err error) {
	c.place = place
	var before, after []byte
	const query = "SELECT table_id, kind, record, was, before, after FROM _changes WHERE place = ?"
	err = r.tx.c.Query(query, []any{place}, func(s *sqlite.Stmt) error {
		c.tableID, c.kind, c.record, c.was = ids.Table(s.Int(0)), int(s.Int(1)), s.Text(2), s.TextOrNil(3)
		before, after = s.Value(4).Bytes, s.Value(5).Bytes
		return nil
	})
	if err != nil || c.kind == schemaChange || c.kind == loadChange {
		return c, err
	}
	if c.before, err = storedValues(before); err == nil {
		c.now, err = storedValues(after)
	}
	return c, err
}

// takeBack takes one change back, or notes why that is not possible.
func (r *reverter) takeBack(place ChangePlace) error {
	c, err := r.read(place)
	if err != nil {
		return err
	}
	if t, err := r.tx.cat.withID(c.tableID); err == nil {
		c.table = t
	}
	switch {
	case c.kind == schemaChange:
		r.conflict(c, "The change was one of tables and columns, which cannot be taken back.")
		return nil
	case c.kind == loadChange:
		r.conflict(c, "A file was imported into the table, which cannot be taken back.")
		return nil
	case c.table == nil:
		r.conflict(c, "The table is gone.")
		return nil
	}
	r.tx.news.touch(c.tableID)
	if name := c.lostColumn(); name != "" {
		r.conflict(c, name)
		return nil
	}
	why := ""
	// A constraint that fails is a conflict of this change; the others are tried anyway.
	err = r.tx.c.Savepoint(func() error {
		if why, err = r.undo(c); err == nil && why != "" {
			err = errNotMade
		}
		return err
	})
	switch {
	case err == nil || err == errNotMade:
	case isConstraint(err):
		why = reasonOf(err)
	default:
		return err
	}
	if why != "" {
		r.conflict(c, why)
	}
	return nil
}

func isConstraint(err error) bool {
	switch sqlite.FaultOf(err) {
	case sqlite.Unique, sqlite.NotNull, sqlite.ForeignKey, sqlite.Check, sqlite.Raised, sqlite.Constraint, sqlite.DataType, sqlite.Expression:
		return true
	}
	return false
}

func reasonOf(err error) string {
	var p *problem.Error
	if errors.As(explain(err), &p) {
		return p.Message
	}
	return "A constraint forbids it."
}

func (r *reverter) conflict(c recordedChange, reason string) {
	if r.done.ConflictsTotal++; r.done.ConflictsTotal > maxConflicts {
		return
	}
	conflict := RevertConflict{Place: c.place.String(), Reason: reason}
	if c.table != nil {
		conflict.Table = &c.table.Name
	}
	if c.record != "" {
		conflict.Record = &c.record
	}
	r.done.Conflicts = append(r.done.Conflicts, conflict)
}

// lostColumn says which column of the change is gone, or returns "".
func (c *recordedChange) lostColumn() string {
	for _, values := range []map[int64]sqlite.Value{c.before, c.now} {
		for id := range values {
			if c.table.columnWithID(id) == nil {
				return "A column that the change was about is gone."
			}
		}
	}
	return ""
}

// undo makes the inverse change, or says why the record is not as the change left it.
func (r *reverter) undo(c recordedChange) (conflict string, err error) {
	switch sqlite.ChangeKind(c.kind) {
	case sqlite.Inserted:
		return r.undoInsert(c)
	case sqlite.Updated:
		return r.undoUpdate(c)
	}
	return r.undoDelete(c)
}

const (
	recordChanged = "The record has been changed since."
	recordGone    = "The record is no longer there."
	recordBack    = "There is a record with this id again."
)

func (r *reverter) undoInsert(c recordedChange) (conflict string, err error) {
	at, conflict, err := r.find(c.table, c.record, c.now)
	if conflict != "" || err != nil {
		return conflict, err
	}
	err = r.tx.c.Exec("DELETE FROM "+quote(c.table.Name)+" WHERE "+at.sql, at.args...)
	r.done.Deleted += r.tx.c.Changes()
	return "", err
}

func (r *reverter) undoUpdate(c recordedChange) (conflict string, err error) {
	at, conflict, err := r.find(c.table, c.record, c.now)
	if conflict != "" || err != nil {
		return conflict, err
	}
	var set []string
	var args []any
	assign := func(name string, v any) {
		set, args = append(set, name+" = ?"), append(args, v)
	}
	for i := range c.table.Columns {
		column := &c.table.Columns[i]
		if _, changed := c.now[column.ID]; changed {
			assign(quote(column.Name), c.before[column.ID])
		}
	}
	if c.was != nil && len(c.table.PrimaryKey) == 0 {
		old, err := c.table.at(*c.was)
		if err != nil {
			return "", err
		}
		assign(c.table.rowidName(), old.args[0])
	}
	err = r.tx.c.Exec("UPDATE "+quote(c.table.Name)+" SET "+strings.Join(set, ", ")+" WHERE "+at.sql, append(args, at.args...)...)
	r.done.Updated += r.tx.c.Changes()
	return "", err
}

func (r *reverter) undoDelete(c recordedChange) (conflict string, err error) {
	at, err := c.table.at(c.record)
	if err != nil {
		return "", err
	}
	there, err := r.tx.c.Int("SELECT count(*) FROM "+quote(c.table.Name)+" WHERE "+at.sql, at.args...)
	if err != nil || there > 0 {
		return recordBack, err
	}
	var names []string
	var args []any
	if len(c.table.PrimaryKey) == 0 {
		names, args = append(names, c.table.rowidName()), append(args, at.args[0])
	}
	for i := range c.table.Columns {
		if v, ok := c.before[c.table.Columns[i].ID]; ok {
			names, args = append(names, quote(c.table.Columns[i].Name)), append(args, v)
		}
	}
	err = r.tx.c.Exec("INSERT INTO "+quote(c.table.Name)+" ("+strings.Join(names, ", ")+") VALUES ("+marks(len(names))+")", args...)
	r.done.Inserted += r.tx.c.Changes()
	return "", err
}

// find returns the condition for a record, if it has the given values, or why it does
// not.
func (r *reverter) find(t *Table, record string, values map[int64]sqlite.Value) (at where, conflict string, err error) {
	if at, err = t.at(record); err != nil {
		return at, "", err
	}
	var columns []*Column
	var names []string
	for i := range t.Columns {
		if _, ok := values[t.Columns[i].ID]; ok {
			columns, names = append(columns, &t.Columns[i]), append(names, quote(t.Columns[i].Name))
		}
	}
	conflict = recordGone
	err = r.tx.c.Query("SELECT "+strings.Join(append(names, "1"), ", ")+" FROM "+quote(t.Name)+" WHERE "+at.sql, at.args, func(s *sqlite.Stmt) error {
		conflict = ""
		for i, column := range columns {
			if !s.Value(i).Same(values[column.ID]) {
				conflict = recordChanged
			}
		}
		return nil
	})
	return at, conflict, err
}

// checkKeys notes a conflict if a foreign key would be violated.
func (r *reverter) checkKeys() error {
	var broken *sqlite.BrokenReference
	err := r.tx.c.CheckForeignKeys()
	if !errors.As(err, &broken) {
		return err
	}
	r.done.ConflictsTotal++
	r.done.Conflicts = append(r.done.Conflicts, RevertConflict{
		Table: &broken.Table, Reason: "A record of the table would refer to a record of " + broken.Parent + " that is no longer there.",
	})
	return nil
}
