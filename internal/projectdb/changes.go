package projectdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// changesMigration creates the record of changes. The place of a change is the number
// of its commit, shifted, plus its number within the commit, so that places are in the
// order in which everything happened. The changes of one call in one transaction have
// places in a row; their call is the one with the largest first place before them.
const changesMigration = `
CREATE TABLE _changes (
	place    INTEGER PRIMARY KEY,
	table_id INTEGER NOT NULL, -- 0: of no table
	kind     INTEGER NOT NULL, -- as in sqlite.ChangeKind, or schema or load
	record   TEXT NOT NULL,    -- the id of the record, afterwards
	was      TEXT,             -- its id before, if that is another one
	before   BLOB,
	after    BLOB              -- of an update, only what has changed
) STRICT;
CREATE INDEX _changes_by_record ON _changes (table_id, record);
CREATE INDEX _changes_by_old_record ON _changes (table_id, was) WHERE was IS NOT NULL;
CREATE TABLE _change_calls (
	first         INTEGER PRIMARY KEY, -- place
	last          INTEGER NOT NULL,
	at            INTEGER NOT NULL,    -- milliseconds since 1970
	request_id    TEXT NOT NULL,
	run_id        TEXT NOT NULL,
	operation_key TEXT NOT NULL,
	token_id      INTEGER NOT NULL,    -- as in ids.Token
	author_name   TEXT NOT NULL
) STRICT;
CREATE INDEX _change_calls_by_request ON _change_calls (request_id);
CREATE INDEX _change_calls_by_run ON _change_calls (run_id) WHERE run_id <> '';
CREATE TABLE _changes_kept (
	swept INTEGER NOT NULL, -- the place up to which changes are no longer kept
	bytes INTEGER NOT NULL  -- of the values in _changes, about
) STRICT;
INSERT INTO _changes_kept VALUES (0, 0);
`

// ChangePlace is where a change stands in the history of a project.
type ChangePlace int64

const placeBits = 28 // changes in one commit

// changePlaceOf returns the place of a change.
func changePlaceOf(commit, n int64) ChangePlace { return ChangePlace(commit<<placeBits | n) }

// String writes the place as clients see it.
func (p ChangePlace) String() string {
	return fmt.Sprintf("%d.%d", p>>placeBits, p&(1<<placeBits-1))
}

// ParseChangePlace reads what [ChangePlace.String] writes, and 0 as the place before all others.
func ParseChangePlace(text string) (ChangePlace, bool) {
	var commit, n int64
	if text == "0" {
		return 0, true
	}
	if _, err := fmt.Sscanf(text, "%d.%d", &commit, &n); err != nil || commit < 0 || commit > math.MaxInt64>>placeBits || n < 0 || n >= 1<<placeBits {
		return 0, false
	}
	p := changePlaceOf(commit, n)
	return p, p.String() == text
}

// Origin says which call makes a change.
type Origin struct {
	RequestID, RunID, Key string
	TokenID               ids.Token
	Name                  string // of the token or the person
}

type originKey struct{}

// WithOrigin returns a context whose changes are recorded as made by a call.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func originOf(ctx context.Context) (o Origin) {
	o, _ = ctx.Value(originKey{}).(Origin)
	return o
}

// The kinds of changes that are not of a row.
const (
	schemaChange = 10 // of a table and its columns
	loadChange   = 11 // a file was imported into the table
)

// Tracked returns the database with its changes recorded, or not.
func (db *DB) Tracked(on bool) *DB {
	held := *db
	held.tracked = on
	return &held
}

// rowwise, added to a kind, marks a transaction whose changes are recorded row by row
// though it could do more.
const rowwise TransactionKind = 1 << 9

// recorded runs fn, and stores the changes that it made if they are to be recorded.
// Rebuilds and imports go through every row of a table: they leave one entry per table.
func (tx *Tx) recorded(ctx context.Context, byRow bool, fn func(*Tx) error) (err error) {
	if !tx.db.tracked {
		return fn(tx)
	}
	var recording *sqlite.Recording
	if byRow || tx.kind < SchemaTransaction {
		recording, err = tx.c.Record(func() error { return fn(tx) })
	} else {
		err = fn(tx)
	}
	if err != nil {
		return err
	}
	err = tx.storeChanges(originOf(ctx), recording)
	return errors.Join(err, recording.Close())
}

// storeChanges stores what a call has changed, with the call.
func (tx *Tx) storeChanges(o Origin, recording *sqlite.Recording) error {
	if recording.Len() == 0 && len(tx.restructured) == 0 {
		return nil
	}
	s, err := tx.changeStore()
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(tx.restructured)) {
		change := stored{table: id, kind: schemaChange}
		if tx.kind == LoadTransaction {
			change.kind, change.after = loadChange, binary.AppendVarint(nil, tx.restructured[id])
		}
		if err := s.add(change); err != nil {
			return err
		}
	}
	err = recording.Each(func(c sqlite.RowChange) error { return s.row(tx.cat, c) })
	if err != nil || s.next == s.first {
		return err
	}
	tx.db.changes.none = false
	return s.call(o, tx.db.now())
}

// noteRestructured notes that tables were changed as a whole, and how many rows were
// loaded into each.
func (tx *Tx) noteRestructured(rows int64, tables ...ids.Table) {
	if !tx.db.tracked {
		return
	}
	if tx.restructured == nil {
		tx.restructured = map[ids.Table]int64{}
	}
	for _, id := range tables {
		tx.restructured[id] += rows
	}
}

// changeStore writes the changes of one call.
type changeStore struct {
	c           *sqlite.Conn
	first, next ChangePlace
	bytes       int64 // of the changes so far
	text        []byte
}

func (tx *Tx) changeStore() (*changeStore, error) {
	if _, err := tx.catalog(); err != nil {
		return nil, err
	}
	commit, err := tx.NextCommit()
	if err != nil {
		return nil, err
	}
	// Others may have changed something in the same commit.
	last, err := tx.c.Int("SELECT coalesce(max(place), 0) FROM _changes")
	first := max(changePlaceOf(commit, 1), ChangePlace(last)+1)
	return &changeStore{c: tx.c, first: first, next: first}, err
}

// stored is a change as it is stored.
type stored struct {
	table         ids.Table
	kind          int
	record        string
	was           any
	before, after []byte // nil for none
}

func (s *changeStore) add(change stored) error {
	if s.next&(1<<placeBits-1) == 0 {
		return fmt.Errorf("more than %d changes in one commit cannot be recorded", 1<<placeBits-1)
	}
	err := s.c.Exec("INSERT INTO _changes (place, table_id, kind, record, was, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
		s.next, change.table, change.kind, change.record, change.was, orNull(change.before), orNull(change.after))
	s.next++
	s.bytes += int64(changeRowBytes + 2*len(change.record) + len(change.before) + len(change.after))
	return err
}

// changeRowBytes is about how much of the file a change takes without its values.
const changeRowBytes = 40

// call stores which call made the changes since first.
func (s *changeStore) call(o Origin, now time.Time) error {
	if err := s.c.Exec("UPDATE _changes_kept SET bytes = bytes + ?", s.bytes); err != nil {
		return err
	}
	return s.c.Exec("INSERT INTO _change_calls (first, last, at, request_id, run_id, operation_key, token_id, author_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		s.first, s.next-1, now.UnixMilli(), o.RequestID, o.RunID, o.Key, o.TokenID, o.Name)
}

// orNull returns nil for no bytes at all, which is stored as NULL.
func orNull(text []byte) any {
	if text == nil {
		return nil
	}
	return text
}

// row stores the change of a row.
func (s *changeStore) row(cat *catalog, c sqlite.RowChange) error {
	t := cat.named(c.Table)
	if t == nil {
		return fmt.Errorf("a row of the unknown table %s was changed", c.Table)
	}
	change := stored{table: t.ID, kind: int(c.Kind)}
	// Both halves share the memory, which SQLite has copied when Exec returns.
	s.text = s.text[:0]
	if c.Old != nil {
		s.text = t.appendRecorded(s.text, c.Old, false)
		change.record = t.recordedID(c.Old, c.Before)
	}
	size := len(s.text)
	if c.New != nil {
		was := change.record
		s.text = t.appendRecorded(s.text, c.New, c.Kind == sqlite.Updated)
		if change.record = t.recordedID(c.New, c.After); c.Old != nil && was != change.record {
			change.was = was
		}
	}
	if c.Kind == sqlite.Updated && len(s.text) == size && change.was == nil {
		return nil // an update that changed nothing
	}
	if c.Old != nil {
		change.before = s.text[:size:size]
	}
	if c.New != nil {
		change.after = s.text[size:]
	}
	return s.add(change)
}

// recordedID returns the id of a recorded row as it is written in a path.
func (t *Table) recordedID(values []sqlite.RecordedValue, rowid int64) string {
	if len(t.PrimaryKey) == 0 || t.RowidKey {
		return recordID([]sqlite.Value{sqlite.IntValue(rowid)})
	}
	var key []sqlite.Value
	for _, part := range t.PrimaryKey {
		for i := range t.Columns {
			if sqlite.SameName(t.Columns[i].Name, part.Column) && i < len(values) {
				key = append(key, t.Columns[i].recorded(values[i].Value))
			}
		}
	}
	return recordID(key)
}

// recorded returns a value as the column holds it: SQLite may store a real number
// without a fraction as an integer.
func (column *Column) recorded(v sqlite.Value) sqlite.Value {
	if column.Type == "REAL" && v.Kind == sqlite.Integer {
		return sqlite.FloatValue(float64(v.Int))
	}
	return v
}

// appendRecorded appends the ids and values of columns, but not those of generated
// ones; onlyChanged leaves out what an update left as it was.
func (t *Table) appendRecorded(dst []byte, values []sqlite.RecordedValue, onlyChanged bool) []byte {
	for i, v := range values {
		column := &t.Columns[i]
		if column.Generated != "" || v.Omitted || onlyChanged && v.Same {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(column.ID))
		dst = sqlite.AppendValue(dst, column.recorded(v.Value))
	}
	return dst
}

// storedValues reads what appendRecorded has written: values by the ids of columns.
func storedValues(text []byte) (map[int64]sqlite.Value, error) {
	values := map[int64]sqlite.Value{}
	for len(text) > 0 {
		id, n := binary.Uvarint(text)
		if n <= 0 {
			return nil, sqlite.ErrNoValue
		}
		v, rest, err := sqlite.TakeValue(text[n:])
		if err != nil {
			return nil, fmt.Errorf("read a stored change: %w", err)
		}
		values[int64(id)], text = v, rest
	}
	return values, nil
}

const (
	// changesLife is how long changes are kept.
	changesLife = 30 * 24 * time.Hour
	// maxChangeBytes is how large the values of all changes may become, in bytes.
	maxChangeBytes = 1 << 30
	// sweptChanges is how many changes are swept in one transaction at most.
	sweptChanges = 1000
)

// changesKept knows whether a project may have changes to sweep, so that the commits of
// one without any do not look. Only the writer uses it.
type changesKept struct{ none bool }

// sweep removes changes that are too old, or too many, a few with every commit.
func (k *changesKept) sweep(c *sqlite.Conn, now time.Time) error {
	if k.none {
		return nil
	}
	some, err := c.Int("SELECT EXISTS (SELECT 1 FROM _change_calls)")
	if k.none = err == nil && some == 0; err != nil || k.none {
		return err
	}
	return sweepChangesTo(c, now.Add(-changesLife), maxChangeBytes)
}

func sweepChangesTo(c *sqlite.Conn, before time.Time, most int64) error {
	const oldest = "SELECT first, last, at, (SELECT bytes FROM _changes_kept) FROM _change_calls ORDER BY first LIMIT 1"
	first, last, surplus := ChangePlace(0), ChangePlace(0), false
	err := c.Query(oldest, nil, func(s *sqlite.Stmt) error {
		first, last, surplus = ChangePlace(s.Int(0)), ChangePlace(s.Int(1)), s.Int(2) < before.UnixMilli() || s.Int(3) > most
		return nil
	})
	if err != nil || !surplus {
		return err
	}
	return dropChanges(c, first, last)
}

// changesSize is about how many bytes of the file changes take.
var changesSize = "coalesce(sum(" + itoa(changeRowBytes) + " + 2 * length(record) + coalesce(length(before), 0) + coalesce(length(after), 0)), 0)"

// dropChanges removes the changes of the oldest call, or the first of them if they are
// many.
func dropChanges(c *sqlite.Conn, first, last ChangePlace) error {
	if last-first >= sweptChanges {
		last = first + sweptChanges - 1
	}
	bytes, err := c.Int("SELECT "+changesSize+" FROM _changes WHERE place <= ?", last)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"DELETE FROM _changes WHERE place <= ?1",
		"DELETE FROM _change_calls WHERE last <= ?1",
		"UPDATE _change_calls SET first = ?1 + 1 WHERE first <= ?1",
	} {
		if err := c.Exec(statement, last); err != nil {
			return err
		}
	}
	return c.Exec("UPDATE _changes_kept SET swept = max(swept, ?), bytes = max(0, bytes - ?)", last, bytes)
}
