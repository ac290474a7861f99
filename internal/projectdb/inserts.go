package projectdb

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// MaxBulkRows is the maximum number of rows that one call can insert.
const MaxBulkRows = 10_000

// InsertOptions configure how rows are inserted.
type InsertOptions struct {
	OnConflict *OnConflict
	ReturnNone bool // do not return the stored rows
}

// OnConflict makes an insert an upsert: it says what happens to a row whose values in
// the columns of a unique key are already taken.
type OnConflict struct {
	Columns []string
	Update  bool // update the existing row; otherwise skip the new one
}

// Inserted is the result of an insert.
type Inserted struct {
	Rows        // as stored; skipped rows are absent
	Count int64 // rows actually inserted, not counting updates
}

// InsertRecord inserts one row, a JSON object, and returns it as stored. As in every
// method that takes a table, ref is its id or its name.
func (db *DB) InsertRecord(ctx context.Context, faults *problem.Faults, ref string, object jsontext.Value, o InsertOptions) (Inserted, error) {
	return changing(ctx, db, faults, SharedTransaction, func(tx *Tx) (Inserted, error) { return tx.InsertRecord(faults, ref, object, o) })
}

// InsertRecord is [DB.InsertRecord] inside the transaction.
func (tx *Tx) InsertRecord(faults *problem.Faults, ref string, object jsontext.Value, o InsertOptions) (Inserted, error) {
	return tx.insert(faults, ref, o, func(yield func(string, jsontext.Value) bool) { yield("", object) })
}

// InsertRecords inserts the rows of a JSON array, all or nothing.
func (db *DB) InsertRecords(ctx context.Context, faults *problem.Faults, ref string, array jsontext.Value, o InsertOptions) (Inserted, error) {
	return changing(ctx, db, faults, OwnTransaction, func(tx *Tx) (Inserted, error) { return tx.InsertRecords(faults, ref, array, o) })
}

// InsertRecords is [DB.InsertRecords] inside the transaction.
func (tx *Tx) InsertRecords(faults *problem.Faults, ref string, array jsontext.Value, o InsertOptions) (Inserted, error) {
	return tx.insert(faults, ref, o, func(yield func(string, jsontext.Value) bool) {
		err := eachElement(array, func(i int, object jsontext.Value) error {
			if i == MaxBulkRows {
				faults.Add("data", "At most %d rows can be inserted at once.", MaxBulkRows)
				return errStop
			}
			if !yield("data["+itoa(i)+"].", object) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop {
			faults.WrongType("data", "an array of rows")
		}
	})
}

var errStop = errors.New("no further rows")

// insert inserts rows; each comes with the prefix of its fields in faults. After a
// fault it only continues in order to find more.
func (tx *Tx) insert(faults *problem.Faults, ref string, o InsertOptions, rows iter.Seq2[string, jsontext.Value]) (Inserted, error) {
	t, err := tx.writable(ref)
	if err != nil {
		return Inserted{}, err
	}
	ins := newInserter(tx.c, t, o)
	ins.explain = func(r row, err error) error { return explain(tx.brokenKey(t, r, nil, err)) }
	ins.narrow = !tx.mayRead(t)
	ins.conflict = t.conflictKey(faults, o.OnConflict)
	err = tx.confine(func() error {
		for prefix, object := range rows {
			r := t.parseNewRow(faults, prefix, object, o.OnConflict != nil)
			if faults.Full() {
				break
			}
			if faults.Any() {
				continue
			}
			if err := ins.insert(prefix, r); err != nil {
				return err
			}
		}
		return faults.Err()
	})
	if err != nil {
		return Inserted{}, err
	}
	if o.ReturnNone {
		ins.done.Rows = newRows(t, t.formatColumns())
	}
	return ins.done, tx.reserve(ins.done.Rows)
}

// conflictKey returns the columns of the unique key that an upsert names.
func (t *Table) conflictKey(faults *problem.Faults, o *OnConflict) []string {
	if o == nil {
		return nil
	}
	var names []string
	for i, name := range o.Columns {
		column := t.Column(name)
		if column == nil {
			t.unknownColumn(faults, "on_conflict.columns["+itoa(i)+"]", name)
			continue
		}
		names = append(names, column.Name)
	}
	if len(names) == len(o.Columns) && !t.hasKey(names, true) {
		faults.Add("on_conflict.columns", "These columns are not the primary key or a unique key of the table.")
	}
	return names
}

// parseNewRow is parseRow for a row to be inserted. In an upsert, NULL for a part of
// the primary key counts as not sent: clients that send whole objects mean that the
// row keeps its key, or gets one.
func (t *Table) parseNewRow(faults *problem.Faults, prefix string, object jsontext.Value, upsert bool) row {
	null := nullKeyIsNext
	if upsert {
		null = nullKeyIsAbsent
	}
	r := t.parseRow(faults, prefix, object, null)
	t.requireColumns(faults, prefix, r)
	return r
}

// requireColumns notes the required columns that a row lacks.
func (t *Table) requireColumns(faults *problem.Faults, prefix string, r row) {
	for i := range t.Columns {
		column := &t.Columns[i]
		if t.refusesNull(column) && column.Default == "" && column.Generated == "" && !r.has(column) {
			faults.Required(prefix + column.Name)
		}
	}
}

func (t *Table) formatColumns() []format.Column {
	all := make([]*Column, len(t.Columns))
	for i := range t.Columns {
		all[i] = &t.Columns[i]
	}
	return formatColumns(all)
}

func formatColumns(list []*Column) []format.Column {
	columns := make([]format.Column, len(list))
	for i, column := range list {
		columns[i] = format.Column{Name: column.Name, Type: column.Type}
	}
	return columns
}

// inserter inserts the rows of one call.
type inserter struct {
	c        *sqlite.Conn
	table    *Table
	options  InsertOptions
	conflict []string // the key columns of an upsert
	explain  func(r row, err error) error
	narrow   bool // the caller may not read the table: see Table.shown
	done     Inserted
	stored   *Rows // the part of done that the next row goes to
	last     int64 // the rowid of the previous row
}

func newInserter(c *sqlite.Conn, t *Table, o InsertOptions) *inserter {
	ins := &inserter{c: c, table: t, options: o, done: Inserted{Rows: newRows(t, t.formatColumns())}}
	ins.explain = func(_ row, err error) error { return explain(err) }
	ins.stored = &ins.done.Rows
	return ins
}

// place returns the batch that a stored row goes to, and the RETURNING clause that
// yields it.
func (ins *inserter) place(r row) (stored *sqlite.Batch, returning string) {
	if !ins.narrow {
		return ins.done.Batch, ins.table.returning()
	}
	shown := ins.table.shown(r)
	if columns := formatColumns(shown); !slices.Equal(columns, ins.stored.Columns) {
		part := newRows(ins.table, columns)
		if ins.stored.Len() == 0 {
			*ins.stored = part
		} else {
			ins.stored.Next = &part
			ins.stored = &part
		}
	}
	return ins.stored.Batch, ins.table.returningShown(r, shown)
}

// insert inserts one row, or updates or skips it if its key is taken.
func (ins *inserter) insert(prefix string, r row) error {
	stored, returning := ins.place(r)
	if ins.options.ReturnNone {
		stored.Reset(stored.Columns)
	}
	rows := stored.Rows
	run := func(clause string) error {
		err := fillAll(ins.c, stored, ins.sql(r)+clause+returning, r.args())
		if sqlite.FaultOf(err) == sqlite.Full && ins.spent() {
			err = noIDsLeft(ins.table).Because(err)
		}
		ins.last = ins.c.LastInsertRowID()
		return within(prefix, ins.explain(r, err))
	}
	if ins.options.OnConflict == nil {
		ins.done.Count++
		return run("")
	}
	conflict := " ON CONFLICT (" + identList(ins.conflict) + ") DO "
	if err := run(conflict + "NOTHING"); err != nil {
		return err
	}
	switch {
	case stored.Rows > rows:
		ins.done.Count++
	case ins.options.OnConflict.Update:
		return run(conflict + "UPDATE SET " + ins.updates(r))
	}
	return nil
}

// spent reports whether the table has run out of ids, which SQLite reports as a full
// disk. That error may have rolled back what this call inserted, so its last row is
// checked too.
func (ins *inserter) spent() bool {
	counter, err := ins.c.Int("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0)", ins.table.Name)
	return ins.table.Autoincrement && (ins.last == math.MaxInt64 || err == nil && counter == math.MaxInt64)
}

func noIDsLeft(t *Table) *problem.Error {
	key := t.PrimaryKey[0].Column
	return problem.New(problem.CodeConflict, "The table %s has run out of ids: the largest possible one is in use, or was.", t.Name).With(key, "Send the row with an id.")
}

// within prefixes the fields that a problem names.
func within(prefix string, err error) error {
	e := problem.From(err)
	if prefix == "" || e.Code == problem.CodeInternal {
		return err
	}
	for i := range e.Details {
		e.Details[i].Field = prefix + e.Details[i].Field
	}
	if len(e.Details) == 0 {
		e.With(strings.TrimSuffix(prefix, "."), "%s", e.Message)
	}
	return e
}

func (r row) args() []any { return arguments(r.values) }

func (r row) names() []string {
	names := make([]string, len(r.columns))
	for i, column := range r.columns {
		names[i] = column.Name
	}
	return names
}

// sql returns the INSERT statement for a row with the given columns. An empty row is
// inserted by its rowid, since DEFAULT VALUES allows no conflict clause.
func (ins *inserter) sql(r row) string {
	s := "INSERT INTO " + quote(ins.table.Name)
	rowid := ins.table.rowidName()
	switch {
	case len(r.columns) > 0:
		return s + " (" + identList(r.names()) + ") VALUES (" + marks(len(r.columns)) + ")"
	case rowid != "":
		return s + " (" + rowid + ") VALUES (NULL)"
	}
	return s + " DEFAULT VALUES"
}

// updates returns the SET list of an upsert: every column sent except the key. If
// there is no other, the key is set to itself, so that the row is returned.
func (ins *inserter) updates(r row) string {
	var set []string
	for _, name := range r.names() {
		if !sqlite.ContainsName(ins.conflict, name) {
			set = append(set, quote(name)+" = excluded."+quote(name))
		}
	}
	if len(set) == 0 {
		key := quote(ins.conflict[0])
		set = append(set, key+" = excluded."+key)
	}
	return strings.Join(set, ", ")
}

// marks returns n parameters, separated by commas.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// returning returns the RETURNING clause with all columns.
func (t *Table) returning() string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return " RETURNING " + identList(names)
}
