package projectdb

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// MaxBulkRows is the most rows that one call can insert.
const MaxBulkRows = 10_000

// InsertOptions say how rows are inserted.
type InsertOptions struct {
	OnConflict *OnConflict
	ReturnNone bool // the stored rows are not wanted
}

// OnConflict makes an insert an upsert: what happens to a row whose values in
// the columns of a unique key are taken.
type OnConflict struct {
	Columns []string
	Update  bool // the row there is updated; else the new one is skipped
}

// Inserted is what an insert has done.
type Inserted struct {
	Rows        // as stored; those skipped are absent
	Count int64 // rows really inserted, those updated not among them
}

// InsertRecord inserts one row, a JSON object, and returns it as stored.
func (db *DB) InsertRecord(ctx context.Context, faults *problem.Faults, ref string, object jsontext.Value, o InsertOptions) (done Inserted, err error) {
	err = db.write(ctx, faults, func(c *sqlite.Conn, cat *catalogue) error {
		done, err = db.insertAll(c, cat, faults, ref, o, func(insert func(prefix string, object jsontext.Value) error) error {
			return insert("", object)
		})
		if err == nil {
			err = askForRoom(ctx, done.Rows)
		}
		return err
	})
	return done, err
}

// InsertRecords inserts the rows of a JSON array, all or nothing.
func (db *DB) InsertRecords(ctx context.Context, faults *problem.Faults, ref string, array jsontext.Value, o InsertOptions) (done Inserted, err error) {
	if array.Kind() != '[' {
		faults.WrongType("data", "an array of rows")
		return done, faults.Err()
	}
	err = db.exclusive(ctx, faults, func(c *sqlite.Conn, cat *catalogue) error {
		done, err = db.insertAll(c, cat, faults, ref, o, func(insert func(prefix string, object jsontext.Value) error) error {
			return eachElement(array, func(i int, object jsontext.Value) error {
				if i == MaxBulkRows {
					faults.Add("data", "At most %d rows can be inserted at once.", MaxBulkRows)
					return faults.Err()
				}
				return insert("data["+itoa(i)+"].", object)
			})
		})
		if err == nil {
			err = askForRoom(ctx, done.Rows)
		}
		return err
	})
	return done, err
}

// insertAll inserts the rows that each gives. After a fault it goes on only to
// find further ones.
func (db *DB) insertAll(c *sqlite.Conn, cat *catalogue, faults *problem.Faults, ref string, o InsertOptions, each func(func(prefix string, object jsontext.Value) error) error) (Inserted, error) {
	t, err := db.writable(cat, ref)
	if err != nil {
		return Inserted{}, err
	}
	ins := newInserter(c, t, o)
	ins.narrow = !db.mayRead(t)
	ins.conflict = t.conflictKey(faults, o.OnConflict)
	err = db.confine(c, cat, func() error {
		return each(func(prefix string, object jsontext.Value) error {
			r := t.parseNewRow(faults, prefix, object, o.OnConflict != nil)
			switch {
			case faults.Full():
				return faults.Err()
			case faults.Any():
				return nil
			}
			return ins.insert(prefix, r)
		})
	})
	if err == nil {
		err = faults.Err()
	}
	if o.ReturnNone {
		ins.done.Rows = newRows(t, t.formatColumns())
	}
	return ins.done, err
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

// parseNewRow is parseRow for a row that is to be inserted. In an upsert NULL for
// a part of the primary key counts as not sent: clients that send whole objects
// mean that the row keeps its key, or gets one.
func (t *Table) parseNewRow(faults *problem.Faults, prefix string, object jsontext.Value, upsert bool) row {
	null := nullKeyIsNext
	if upsert {
		null = nullKeyIsAbsent
	}
	r := t.parseRow(faults, prefix, object, null)
	t.requireColumns(faults, prefix, r)
	return r
}

// requireColumns notes the columns that a row must have and lacks.
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
	conflict []string // the columns of the key of an upsert
	narrow   bool     // the caller may not read the table: see Table.shown
	done     Inserted
	stored   *Rows // where the next row goes, in done
	last     int64 // the rowid of the row before
}

func newInserter(c *sqlite.Conn, t *Table, o InsertOptions) *inserter {
	ins := &inserter{c: c, table: t, options: o, done: Inserted{Rows: newRows(t, t.formatColumns())}}
	ins.stored = &ins.done.Rows
	return ins
}

// place returns where a row goes in what is answered, and the clause that
// returns it.
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

// insert inserts one row, and updates or skips it when its key is taken.
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
		return within(prefix, explain(err))
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

// spent reports whether the ids of the table have run out, which SQLite calls a
// full disk. That error may have taken back what this call has inserted, so its
// last row is looked at too.
func (ins *inserter) spent() bool {
	counter, err := ins.c.Int("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0)", ins.table.Name)
	return ins.table.Autoincrement && (ins.last == math.MaxInt64 || err == nil && counter == math.MaxInt64)
}

func noIDsLeft(t *Table) *problem.Error {
	key := t.PrimaryKey[0].Column
	return problem.New(problem.CodeConflict, "The table %s has run out of ids: the largest possible one is in use, or was.", t.Name).With(key, "Send the row with an id.")
}

// within puts a prefix before the fields that a problem names.
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

// sql returns the INSERT statement for a row with the given columns. An empty
// row is given by its rowid, as DEFAULT VALUES takes no conflict clause.
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

// updates returns what an upsert sets in a row that is there: everything given
// besides the key. With nothing else, the key is set to itself, so that the row
// is returned.
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

// returning returns the clause that gives a changed row with all its columns.
func (t *Table) returning() string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return " RETURNING " + identList(names)
}

// UpdateRecord changes the record with the given id and returns it as stored.
func (db *DB) UpdateRecord(ctx context.Context, faults *problem.Faults, ref, id string, patch jsontext.Value) (rows Rows, err error) {
	err = db.write(ctx, faults, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := db.writable(cat, ref)
		if err != nil {
			return err
		}
		set := t.parsePatch(faults, "", patch)
		if err := faults.Err(); err != nil {
			return err
		}
		at, err := t.at(id)
		if err != nil {
			return err
		}
		columns, returning := t.formatColumns(), t.returning()
		if !db.mayRead(t) {
			shown := t.shown(set)
			columns, returning = formatColumns(shown), t.returningShown(set, shown)
		}
		rows = newRows(t, columns)
		update, args := t.updateSQL(set, at)
		if err := db.confine(c, cat, func() error { return fillAll(c, rows.Batch, update+returning, args) }); err != nil {
			return err
		}
		if rows.Len() == 0 {
			return noRecord(id)
		}
		return askForRoom(ctx, rows)
	})
	return rows, err
}

// parsePatch reads what is to change in one or many rows.
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
	for i, name := range names {
		names[i] = quote(name) + " = ?"
	}
	return "UPDATE " + quote(t.Name) + " SET " + strings.Join(names, ", ") + w.clause(), append(set.args(), w.args...)
}

// Which says which rows a bulk change is about.
type Which struct {
	Filters jsontext.Value
	All     bool // allows filters that are empty
}

// UpdateRecords changes every record that matches and returns how many.
func (db *DB) UpdateRecords(ctx context.Context, faults *problem.Faults, ref string, patch jsontext.Value, which Which) (table string, affected int64, err error) {
	err = db.exclusive(ctx, faults, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := db.writable(cat, ref)
		if err == nil {
			err = db.mayMatch(t, which)
		}
		if err != nil {
			return err
		}
		set := t.parsePatch(faults, "data.", patch)
		w := which.where(t, faults)
		if err := faults.Err(); err != nil {
			return err
		}
		table = t.Name
		update, args := t.updateSQL(set, w)
		if err := db.confine(c, cat, func() error { return c.Exec(update, args...) }); err != nil {
			return err
		}
		affected = c.Changes()
		return nil
	})
	return table, affected, err
}

func (which Which) where(t *Table, faults *problem.Faults) where {
	w := t.parseFilters(faults, "where", which.Filters)
	if w.sql == "" && !which.All {
		faults.Add("where", "Without conditions this affects every row: set allow_all to confirm it.")
	}
	return w
}

// DeleteRecord deletes the record with the given id.
func (db *DB) DeleteRecord(ctx context.Context, ref, id string) (table string, err error) {
	err = db.change(ctx, new(problem.Faults), freeing+SharedTransaction, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := db.writable(cat, ref)
		if err != nil {
			return err
		}
		at, err := t.at(id)
		if err != nil {
			return err
		}
		table = t.Name
		if err := db.confine(c, cat, func() error { return c.Exec("DELETE FROM "+quote(t.Name)+at.clause(), at.args...) }); err != nil {
			return err
		}
		if c.Changes() == 0 {
			return noRecord(id)
		}
		return nil
	})
	return table, err
}

// DeleteRecords deletes every record that matches and returns how many.
func (db *DB) DeleteRecords(ctx context.Context, faults *problem.Faults, ref string, which Which) (table string, affected int64, err error) {
	err = db.change(ctx, faults, freeing+OwnTransaction, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := db.writable(cat, ref)
		if err == nil {
			err = db.mayMatch(t, which)
		}
		if err != nil {
			return err
		}
		w := which.where(t, faults)
		if err := faults.Err(); err != nil {
			return err
		}
		table = t.Name
		if w.sql == "" {
			w.sql = "true" // without a condition SQLite would not count the rows
		}
		if err := db.confine(c, cat, func() error { return c.Exec("DELETE FROM "+quote(t.Name)+w.clause(), w.args...) }); err != nil {
			return err
		}
		affected = c.Changes()
		return nil
	})
	return table, affected, err
}
