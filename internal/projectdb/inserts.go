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
	done, err := tx.insert(faults, ref, o, func(yield func(string, jsontext.Value) bool) { yield("", object) })
	if t, _ := tx.table(ref); err == nil && done.Len() == 1 && tx.mayRead(t) {
		done.ETag = t.etag(done.Rows)
	}
	return done, err
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
	ins.key = t.conflictKey(faults, o.OnConflict)
	err = tx.confine(t, o.OnConflict == nil, func() error {
		for prefix, object := range rows {
			if err := ins.take(faults, prefix, object); err != nil {
				return err
			}
			if faults.Full() {
				break
			}
		}
		return faults.Err()
	})
	if err != nil {
		return Inserted{}, err
	}
	if o.ReturnNone {
		ins.done.Rows = newStored(t, t.formatColumns())
	}
	return ins.done, tx.reserve(ins.done.Rows)
}

// conflictKey returns the unique key that an upsert names.
func (t *Table) conflictKey(faults *problem.Faults, o *OnConflict) []KeyPart {
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
	key := t.findKey(names, true)
	if len(names) == len(o.Columns) && key == nil {
		faults.Add("on_conflict.columns", "These columns are not the primary key or a unique key of the table.")
	}
	return key
}

// parseNewRow is parseRow for a row that is inserted unconditionally.
func (t *Table) parseNewRow(faults *problem.Faults, prefix string, object jsontext.Value) row {
	r := t.parseRow(faults, prefix, object, nullKeyIsNext)
	for _, column := range t.required(r) {
		faults.Required(prefix + column.Name)
	}
	return r
}

// required returns the columns that a new row needs and r lacks.
func (t *Table) required(r row) (columns []*Column) {
	for i := range t.Columns {
		column := &t.Columns[i]
		if t.refusesNull(column) && column.Default == "" && column.Generated == "" && !r.has(column) {
			columns = append(columns, column)
		}
	}
	return columns
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
	c       *sqlite.Conn
	table   *Table
	options InsertOptions
	key     []KeyPart // of an upsert
	explain func(r row, err error) error
	narrow  bool // the caller may not read the table: see Table.shown
	done    Inserted
	stored  *Rows // the part of done that the next row goes to
	last    int64 // the rowid of the previous row
	skipped bool  // a row that might have been inserted was not, because of faults
}

func newInserter(c *sqlite.Conn, t *Table, o InsertOptions) *inserter {
	ins := &inserter{c: c, table: t, options: o, done: Inserted{Rows: newStored(t, t.formatColumns())}}
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
		part := newStored(ins.table, columns)
		if ins.stored.Len() == 0 {
			*ins.stored = part
		} else {
			ins.stored.Next = &part
			ins.stored = &part
		}
	}
	return ins.stored.Batch, ins.table.returningShown(r, shown)
}

// take reads one row and inserts it, or updates or skips it if its key is taken. While
// there are faults, it only looks for more.
func (ins *inserter) take(faults *problem.Faults, prefix string, object jsontext.Value) error {
	if ins.options.OnConflict == nil {
		if r := ins.table.parseNewRow(faults, prefix, object); !faults.Any() {
			return ins.insert(prefix, r)
		}
		return nil
	}
	// NULL for a part of the primary key counts as not sent: clients that send whole
	// objects mean that the row keeps its key, or gets one.
	r := ins.table.parseRow(faults, prefix, object, nullKeyIsAbsent)
	switch {
	case len(ins.table.required(r)) > 0:
		return ins.amend(faults, prefix, r)
	case faults.Any():
		ins.skipped = true
		return nil
	}
	return ins.upsert(prefix, r)
}

// amend is upsert for a row that lacks required columns: the row that it changes must
// exist. After a skipped row that cannot be told, as that row might have been the one.
func (ins *inserter) amend(faults *problem.Faults, prefix string, r row) error {
	exists, err := ins.exists(r)
	switch {
	case err != nil || ins.skipped:
		return err
	case exists && ins.options.OnConflict.Update && !faults.Any():
		existing, _ := ins.existing(r)
		return ins.run(prefix, r, "UPDATE "+quote(ins.table.Name)+" SET "+ins.updates(r, sentValue)+" WHERE "+existing)
	case exists || slices.ContainsFunc(ins.key, func(part KeyPart) bool { return faults.Has(prefix + part.Column) }):
		return nil
	}
	for _, column := range ins.table.required(r) {
		faults.Add(prefix+column.Name, "A value is required: no record has this key yet, so this is a new one.")
	}
	return nil
}

// exists reports whether there is a row with the key of r.
func (ins *inserter) exists(r row) (bool, error) {
	existing, last := ins.existing(r)
	query := "SELECT EXISTS (SELECT 1 FROM " + quote(ins.table.Name) + " WHERE " + existing + ")"
	n, err := ins.c.Int(query, r.args()[:last]...)
	return n == 1, err
}

// existing returns the condition that finds the row with the key of r, whose values are
// the parameters in their order, and the number of its last parameter.
func (ins *inserter) existing(r row) (condition string, last int) {
	if len(ins.key) == 0 {
		return "false", 0
	}
	terms := make([]string, len(ins.key))
	for i, part := range ins.key {
		at := r.index(part.Column)
		if at < 0 {
			return "false", 0
		}
		last = max(last, at+1)
		terms[i] = KeyPart{Column: part.Column, Collation: part.Collation}.sql() + " = " + sentValue(at, "")
	}
	return strings.Join(terms, " AND "), last
}

// sentValue returns the parameter that is the i-th value of a row.
func sentValue(i int, _ string) string { return "?" + itoa(i+1) }

// insert inserts one row.
func (ins *inserter) insert(prefix string, r row) error {
	ins.done.Count++
	return ins.run(prefix, r, ins.sql(r))
}

// upsert inserts one row, or updates or skips it if its key is taken.
func (ins *inserter) upsert(prefix string, r row) error {
	stored, _ := ins.place(r)
	rows := stored.Rows
	if ins.options.ReturnNone {
		rows = 0
	}
	conflict := " ON CONFLICT (" + identList(columnNames(ins.key)) + ") DO "
	if err := ins.run(prefix, r, ins.sql(r)+conflict+"NOTHING"); err != nil {
		return err
	}
	switch {
	case stored.Rows > rows:
		ins.done.Count++
	case ins.options.OnConflict.Update:
		return ins.run(prefix, r, ins.sql(r)+conflict+"UPDATE SET "+ins.updates(r, excludedValue))
	}
	return nil
}

// run runs a statement whose parameters are the values of r, and stores the row that it
// returns.
func (ins *inserter) run(prefix string, r row, statement string) error {
	stored, returning := ins.place(r)
	if ins.options.ReturnNone {
		stored.Reset(stored.Columns)
	}
	err := fillAll(ins.c, stored, statement+returning, r.args())
	if sqlite.FaultOf(err) == sqlite.Full && ins.spent() {
		err = noIDsLeft(ins.table).Because(err)
	}
	ins.last = ins.c.LastInsertRowID()
	return within(prefix, ins.explain(r, err))
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
// there is no other, the key is set to itself, so that the row is returned. value
// returns the expression for the i-th column that was sent.
func (ins *inserter) updates(r row, value func(i int, name string) string) string {
	var set []string
	key := columnNames(ins.key)
	for i, name := range r.names() {
		if !sqlite.ContainsName(key, name) {
			set = append(set, quote(name)+" = "+value(i, name))
		}
	}
	if len(set) == 0 {
		set = append(set, quote(key[0])+" = "+value(r.index(key[0]), key[0]))
	}
	return strings.Join(set, ", ")
}

// excludedValue returns the value of a column that an INSERT could not insert.
func excludedValue(_ int, name string) string { return "excluded." + quote(name) }

// marks returns n parameters, separated by commas.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// returning returns the RETURNING clause with all columns, and with the rowid of a table
// without a primary key.
func (t *Table) returning() string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	if rowid := t.rowidBeside(len(names)); rowid != "" {
		names = append(names, rowid)
	}
	return " RETURNING " + identList(names)
}
