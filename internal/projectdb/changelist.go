package projectdb

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Change is a recorded change as clients see it.
type Change struct {
	Place  string     `json:"place" doc:"Where the change stands in the history: the number of its commit and its own in it."`
	At     string     `json:"at" format:"date-time"`
	Hidden bool       `json:"hidden,omitzero" doc:"It is about records that the token may not read, or a table that is gone; nothing else is shown of it."`
	Table  *string    `json:"table,omitzero" doc:"The present name of the table."`
	ID     *ids.Table `json:"table_id,omitzero"`
	Op     string     `json:"op,omitzero" enum:"insert,update,delete,schema,import" doc:"schema: the table or its columns were changed; import: a file was imported into it."`
	Record *string    `json:"id,omitzero" doc:"The id of the record, afterwards."`
	Was    *string    `json:"was_id,omitzero" doc:"The id of the record before, if the change gave it another one."`

	Before jsontext.Value `json:"before,omitzero" doc:"The record before the change; null for an insert. Values of more than 256 bytes that an update left as they were are left out of both."`
	After  jsontext.Value `json:"after,omitzero" doc:"The record after the change; null for a delete."`
	Rows   *int64         `json:"rows,omitzero" doc:"How many rows an import inserted."`

	RequestID string    `json:"request_id,omitzero"`
	RunID     string    `json:"run_id,omitzero"`
	Key       string    `json:"operation_key,omitzero"`
	TokenID   ids.Token `json:"-"`
	By        string    `json:"by,omitzero" doc:"The name of the token or of the person who made the change."`
}

// ChangeFilter selects changes; zero fields select all.
type ChangeFilter struct {
	Table      string // name or id
	Record     string // id of a record of the table, before or after a change
	RequestID  string
	RunID      string
	TokenID    ids.Token   // of the run
	After      ChangePlace // changes after this place or, newest first, before it
	Newest     bool        // newest first
	Limit      int
	Everything bool // also tables that are gone, and schemas
	JSON       format.JSONOptions
}

// ChangePage is a page of changes.
type ChangePage struct {
	Changes []Change
	Next    ChangePlace // for After of the next page; 0 at the end
	Oldest  ChangePlace // the oldest place that is still kept
}

// errPageFull ends the reading of a page.
var errPageFull = errors.New("the page is full")

// changeOps are the names of the kinds.
var changeOps = map[int]string{int(sqlite.Inserted): "insert", int(sqlite.Updated): "update", int(sqlite.Deleted): "delete", schemaChange: "schema", loadChange: "import"}

// Changes returns a page of the selected changes. A place from which changes have been
// swept is changes_expired.
func (db *DB) Changes(ctx context.Context, f ChangeFilter) (page ChangePage, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		page, err = tx.changes(f)
		return err
	})
	return page, err
}

func (tx *Tx) changes(f ChangeFilter) (page ChangePage, err error) {
	cat, err := tx.catalog()
	if err != nil {
		return page, err
	}
	swept, err := tx.c.Int("SELECT swept FROM _changes_kept")
	if err != nil {
		return page, err
	}
	page.Oldest = ChangePlace(swept) + 1
	if f.After > 0 && !f.Newest && f.After < ChangePlace(swept) {
		return page, problem.New(problem.CodeChangesExpired, "The changes after %s are no longer kept. The oldest that are have places from %s on: begin again with after=0.", f.After, page.Oldest)
	}
	if err := tx.resolveRun(&f); err != nil {
		return page, err
	}
	var t *Table
	if f.Table != "" {
		if t, err = tx.readable(f.Table); err != nil {
			return page, err
		}
	}
	if f.Record != "" {
		at, err := t.at(f.Record)
		if err != nil {
			return page, err
		}
		f.Record = at.recordID()
	}
	query, args := f.query()
	if t != nil {
		query, args = query+" AND c.table_id = ?", append(args, t.ID)
	}
	l := changeLister{tx: tx, cat: cat, filter: f, page: &page}
	order := " ORDER BY c.place LIMIT ?"
	if f.Newest {
		order = " ORDER BY c.place DESC LIMIT ?"
	}
	err = tx.c.Query(query+order, append(args, f.Limit+1), l.add)
	if err == errPageFull {
		err = nil
	}
	return page, err
}

// resolveRun finds the token of a run that is named by its id alone.
func (tx *Tx) resolveRun(f *ChangeFilter) error {
	if f.RunID == "" || f.TokenID != 0 {
		return nil
	}
	tokens := 0
	err := tx.c.Query("SELECT DISTINCT token_id FROM _change_calls WHERE run_id = ? LIMIT 2", []any{f.RunID}, func(s *sqlite.Stmt) error {
		f.TokenID = ids.Token(s.Int(0))
		tokens++
		return nil
	})
	if err == nil && tokens > 1 {
		err = problem.Invalid("token", "Several tokens have made changes in runs with this id: say whose run is meant.")
	}
	return err
}

// recordID returns the id of the record that the condition finds, in the form in which
// changes are stored.
func (w where) recordID() string {
	key := make([]sqlite.Value, len(w.args))
	for i, arg := range w.args {
		key[i] = arg.(sqlite.Value)
	}
	return recordID(key)
}

// EraseChanges removes the changes of a table, or all of them if ref is empty.
func (db *DB) EraseChanges(ctx context.Context, ref string) (erased int64, err error) {
	err = db.transact(ctx, OwnTransaction|freeing, func(tx *Tx) error {
		condition, args := "true", []any{}
		if ref != "" {
			t, err := tx.table(ref)
			if err != nil {
				return err
			}
			condition, args = "table_id = ?", []any{t.ID}
		}
		bytes, err := tx.c.Int("SELECT "+changesSize+" FROM _changes WHERE "+condition, args...)
		if err != nil {
			return err
		}
		if err := tx.c.Exec("DELETE FROM _changes WHERE "+condition, args...); err != nil {
			return err
		}
		erased = tx.c.Changes()
		if ref == "" { // whoever follows the changes has missed some
			if err := tx.c.Exec("UPDATE _changes_kept SET swept = coalesce((SELECT max(last) FROM _change_calls), swept)"); err != nil {
				return err
			}
		}
		return tx.c.Exec("UPDATE _changes_kept SET bytes = max(0, bytes - ?)", bytes)
	})
	return erased, explain(err)
}

// query returns the start of the statement that selects changes.
func (f ChangeFilter) query() (query string, args []any) {
	query = "SELECT c.place, c.table_id, c.kind, c.record, c.was, c.before, c.after FROM _changes c WHERE true"
	if f.RequestID != "" || f.RunID != "" {
		query = "SELECT c.place, c.table_id, c.kind, c.record, c.was, c.before, c.after FROM _change_calls k JOIN _changes c ON c.place BETWEEN k.first AND k.last WHERE true"
	}
	add := func(condition string, values ...any) { query, args = query+" AND "+condition, append(args, values...) }
	if f.RequestID != "" {
		add("k.request_id = ?", f.RequestID)
	}
	if f.RunID != "" {
		add("k.run_id = ? AND k.token_id = ?", f.RunID, f.TokenID)
	}
	if f.Record != "" {
		add("(c.record = ? OR c.was = ?)", f.Record, f.Record)
	}
	switch {
	case f.After > 0 && f.Newest:
		add("c.place < ?", f.After)
	case f.After > 0:
		add("c.place > ?", f.After)
	}
	return query, args
}

// changeLister makes a page of stored changes.
type changeLister struct {
	tx     *Tx
	cat    *catalog
	filter ChangeFilter
	page   *ChangePage
	bytes  int

	first, last ChangePlace // of the call that was read last
	call        Change      // what is shown of it
}

// add adds the change in the row of s to the page.
func (l *changeLister) add(s *sqlite.Stmt) error {
	place := ChangePlace(s.Int(0))
	if n := len(l.page.Changes); n == l.filter.Limit || l.bytes > maxPageBytes {
		last, _ := ParseChangePlace(l.page.Changes[n-1].Place)
		l.page.Next = last
		return errPageFull
	}
	if err := l.readCall(place); err != nil {
		return err
	}
	change := l.call
	change.Place = place.String()
	before, after := s.Value(5).Bytes, s.Value(6).Bytes
	l.bytes += len(before) + len(after)
	kind := int(s.Int(2))
	t, known := l.shown(ids.Table(s.Int(1)), kind)
	if !known {
		l.page.Changes = append(l.page.Changes, Change{Place: change.Place, At: change.At, Hidden: true})
		return nil
	}
	change.Op = changeOps[kind]
	if id := ids.Table(s.Int(1)); id != 0 {
		change.ID = &id
	}
	if t != nil {
		change.Table = &t.Name
	}
	switch kind {
	case schemaChange:
	case loadChange:
		rows, _ := binary.Varint(after)
		change.Rows = &rows
	default:
		record := s.Text(3)
		change.Record, change.Was = &record, s.TextOrNil(4)
		if err := change.setValues(t, kind, before, after, l.filter.JSON); err != nil {
			return err
		}
	}
	l.page.Changes = append(l.page.Changes, change)
	return nil
}

// shown returns the table of a change, nil if it is gone, and whether the caller may
// see the change.
func (l *changeLister) shown(id ids.Table, kind int) (t *Table, ok bool) {
	t, err := l.cat.withID(id)
	if err != nil {
		return nil, l.filter.Everything
	}
	if kind == schemaChange {
		return t, l.filter.Everything
	}
	return t, l.tx.mayRead(t)
}

// readCall reads which call made the change at a place.
func (l *changeLister) readCall(place ChangePlace) error {
	if l.first <= place && place <= l.last {
		return nil
	}
	const query = "SELECT first, last, at, request_id, run_id, operation_key, token_id, author_name FROM _change_calls WHERE first <= ? ORDER BY first DESC LIMIT 1"
	return l.tx.c.Query(query, []any{place}, func(s *sqlite.Stmt) error {
		l.first, l.last = ChangePlace(s.Int(0)), ChangePlace(s.Int(1))
		l.call = Change{
			At: Timestamp(time.UnixMilli(s.Int(2))), RequestID: s.Text(3), RunID: s.Text(4), Key: s.Text(5),
			TokenID: ids.Token(s.Int(6)), By: s.Text(7),
		}
		return nil
	})
}

// setValues sets the record before and after the change.
func (c *Change) setValues(t *Table, kind int, before, after []byte, o format.JSONOptions) error {
	old, err := storedValues(before)
	if err != nil {
		return err
	}
	now, err := storedValues(after)
	if err != nil {
		return err
	}
	c.Before, c.After = jsontext.Value("null"), jsontext.Value("null")
	if kind != int(sqlite.Inserted) {
		c.Before = t.storedJSON(old, o)
	}
	if kind == int(sqlite.Updated) {
		for id, v := range old {
			if _, changed := now[id]; !changed {
				now[id] = v
			}
		}
	}
	if kind != int(sqlite.Deleted) {
		c.After = t.storedJSON(now, o)
	}
	return nil
}

// storedJSON returns recorded values as an object. Columns that are gone are left out,
// and so is everything if the table is.
func (t *Table) storedJSON(values map[int64]sqlite.Value, o format.JSONOptions) jsontext.Value {
	if t == nil {
		return jsontext.Value("{}")
	}
	var columns []*Column
	var row []sqlite.Value
	for i := range t.Columns {
		if v, ok := values[t.Columns[i].ID]; ok {
			columns, row = append(columns, &t.Columns[i]), append(row, v)
		}
	}
	if len(row) == 0 {
		return jsontext.Value("{}")
	}
	batch := &sqlite.Batch{}
	batch.Reset(len(row))
	batch.Append(row...)
	return format.NewJSON(formatColumns(columns), o).AppendRow(nil, batch, batch.Row(0))
}
