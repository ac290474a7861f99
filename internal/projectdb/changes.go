package projectdb

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// MaxBulkRows is the most rows that one call can insert.
const MaxBulkRows = 10_000

// maxFaults bounds how many faults of a bulk body are told at once.
const maxFaults = 100

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
func (db *DB) InsertRecord(ctx context.Context, ref string, object jsontext.Value, o InsertOptions) (done Inserted, err error) {
	err = db.write(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		done, err = db.insertAll(c, cat, ref, o, func(insert func(prefix string, object jsontext.Value) error) error {
			return insert("", object)
		})
		return err
	})
	return done, err
}

// InsertRecords inserts the rows of a JSON array, all or nothing.
func (db *DB) InsertRecords(ctx context.Context, ref string, array jsontext.Value, o InsertOptions) (done Inserted, err error) {
	err = explain(db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		cat, err := db.catalogue(c)
		if err != nil {
			return err
		}
		done, err = db.insertAll(c, cat, ref, o, func(insert func(prefix string, object jsontext.Value) error) error {
			return eachElement(array, func(i int, object jsontext.Value) error {
				if i == MaxBulkRows {
					return problem.Invalid("data", "At most %d rows can be inserted at once.", MaxBulkRows)
				}
				return insert("data["+itoa(i)+"].", object)
			})
		})
		return err
	}))
	return done, err
}

// insertAll inserts the rows that each gives. After a fault it goes on only to
// find further ones.
func (db *DB) insertAll(c *sqlite.Conn, cat *catalogue, ref string, o InsertOptions, each func(func(prefix string, object jsontext.Value) error) error) (Inserted, error) {
	t, err := cat.table(ref)
	if err != nil {
		return Inserted{}, err
	}
	var faults problem.Faults
	ins := inserter{c: c, table: t, options: o, conflict: t.conflictKey(&faults, o.OnConflict)}
	ins.done.Rows = newRows(t, t.formatColumns())
	err = each(func(prefix string, object jsontext.Value) error {
		r := t.parseRow(&faults, prefix, object)
		t.requireColumns(&faults, prefix, r)
		switch {
		case faults.Len() >= maxFaults:
			return faults.Err()
		case faults.Len() > 0:
			return nil
		}
		return ins.insert(prefix, r)
	})
	if err == nil {
		err = faults.Err()
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
			faults.Add("on_conflict.columns["+itoa(i)+"]", "The table %s has no column %q.", t.Name, name)
			continue
		}
		names = append(names, column.Name)
	}
	if len(names) == len(o.Columns) && !t.isUniqueKey(names) {
		faults.Add("on_conflict.columns", "These columns are not the primary key or a unique key of the table.")
	}
	return names
}

// isUniqueKey reports whether the columns, in any order, are the primary key or
// a unique key.
func (t *Table) isUniqueKey(names []string) bool {
	if sameNames(columnNames(t.PrimaryKey), names) {
		return true
	}
	for _, u := range t.Uniques {
		if sameNames(columnNames(u.Columns), names) {
			return true
		}
	}
	for _, x := range t.Indexes {
		if x.Unique && !x.Partial() && sameNames(x.Columns(), names) {
			return true
		}
	}
	return false
}

// sameNames compares two sets of names.
func sameNames(a, b []string) bool {
	in := map[string]bool{}
	for _, name := range a {
		in[fold(name)] = true
	}
	for _, name := range b {
		if !in[fold(name)] {
			return false
		}
		delete(in, fold(name))
	}
	return len(in) == 0
}

func containsName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return sameName(n, name) })
}

// requireColumns notes the columns that a row must have and lacks.
func (t *Table) requireColumns(faults *problem.Faults, prefix string, r row) {
	for i := range t.Columns {
		column := &t.Columns[i]
		if t.refusesNull(column) && column.Default == "" && column.Generated == "" && !r.has(column) {
			faults.Add(prefix+column.Name, "A value is required.")
		}
	}
}

func (t *Table) formatColumns() []format.Column {
	columns := make([]format.Column, len(t.Columns))
	for i, column := range t.Columns {
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
	done     Inserted
}

func (ins *inserter) insert(prefix string, r row) error {
	exists, err := ins.exists(r)
	if err != nil {
		return err
	}
	if exists && !ins.options.OnConflict.Update {
		return nil
	}
	stored := ins.done.Batch
	if ins.options.ReturnNone {
		stored = &sqlite.Batch{}
		stored.Reset(len(ins.table.Columns))
	}
	if err := fillAll(ins.c, stored, ins.sql(r), r.args()); err != nil {
		return within(prefix, explain(err))
	}
	if !exists {
		ins.done.Count++
	}
	return nil
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

// exists reports whether a row with the same key is there, for an upsert.
func (ins *inserter) exists(r row) (bool, error) {
	if ins.options.OnConflict == nil {
		return false, nil
	}
	var w where
	for _, name := range ins.conflict {
		i := r.index(name)
		if i < 0 || r.values[i].Kind == sqlite.Null {
			return false, nil // NULLs are all different
		}
		w = w.and(where{quote(name) + " = ?", []any{r.values[i]}})
	}
	n, err := ins.c.Int("SELECT count(*) FROM "+quote(ins.table.Name)+w.clause(), w.args...)
	return n > 0, err
}

func (r row) index(name string) int {
	for i, c := range r.columns {
		if sameName(c.Name, name) {
			return i
		}
	}
	return -1
}

func (r row) args() []any {
	args := make([]any, len(r.values))
	for i, v := range r.values {
		args[i] = v
	}
	return args
}

func (r row) names() []string {
	names := make([]string, len(r.columns))
	for i, column := range r.columns {
		names[i] = column.Name
	}
	return names
}

// sql returns the INSERT statement for a row with the given columns.
func (ins *inserter) sql(r row) string {
	s := "INSERT INTO " + quote(ins.table.Name)
	if len(r.columns) == 0 {
		s += " DEFAULT VALUES"
	} else {
		s += " (" + identList(r.names()) + ") VALUES (" + marks(len(r.columns)) + ")"
	}
	if ins.options.OnConflict != nil && len(r.columns) > 0 {
		s += " ON CONFLICT (" + identList(ins.conflict) + ") DO UPDATE SET " + ins.updates(r)
	}
	return s + ins.table.returning()
}

// updates returns what an upsert sets in a row that is there: everything given
// besides the key. With nothing else, the key is set to itself, so that the row
// is returned.
func (ins *inserter) updates(r row) string {
	var set []string
	for _, name := range r.names() {
		if !containsName(ins.conflict, name) {
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
func (db *DB) UpdateRecord(ctx context.Context, ref, id string, patch jsontext.Value) (rows Rows, err error) {
	err = db.write(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		t, set, err := cat.patch(ref, patch)
		if err != nil {
			return err
		}
		at, err := t.at(id)
		if err != nil {
			return err
		}
		rows = newRows(t, t.formatColumns())
		update := set.in(t, at)
		if err := fillAll(c, rows.Batch, update.sql+t.returning(), update.args); err != nil {
			return err
		}
		if rows.Len() == 0 {
			return noRecord(id)
		}
		return nil
	})
	return rows, err
}

// assignment is the SET part of an UPDATE, or the whole of one, with its values.
type assignment struct {
	sql  string
	args []any
}

// in returns the whole UPDATE statement for the rows of a table that match.
func (a assignment) in(t *Table, w where) assignment {
	return assignment{
		"UPDATE " + quote(t.Name) + " SET " + a.sql + w.clause(),
		append(a.args[:len(a.args):len(a.args)], w.args...),
	}
}

// patch reads a patch of one or many rows.
func (cat *catalogue) patch(ref string, patch jsontext.Value) (*Table, assignment, error) {
	t, err := cat.table(ref)
	if err != nil {
		return nil, assignment{}, err
	}
	var faults problem.Faults
	r := t.parseRow(&faults, "", patch)
	if len(r.columns) == 0 && faults.Len() == 0 {
		faults.Add("data", "There is nothing to change.")
	}
	var set []string
	for _, name := range r.names() {
		set = append(set, quote(name)+" = ?")
	}
	return t, assignment{strings.Join(set, ", "), r.args()}, faults.Err()
}

// Which says which rows a bulk change is about.
type Which struct {
	Filters jsontext.Value
	All     bool // allows filters that are empty
}

// UpdateRecords changes every record that matches and returns how many.
func (db *DB) UpdateRecords(ctx context.Context, ref string, patch jsontext.Value, which Which) (table string, affected int64, err error) {
	err = explain(db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		cat, err := db.catalogue(c)
		if err != nil {
			return err
		}
		t, set, patchErr := cat.patch(ref, patch)
		if t == nil {
			return patchErr
		}
		var faults problem.Faults
		if !faults.Merge("data", patchErr) {
			return patchErr
		}
		w := which.where(t, &faults)
		if err := faults.Err(); err != nil {
			return err
		}
		table = t.Name
		update := set.in(t, w)
		if err := c.Exec(update.sql, update.args...); err != nil {
			return err
		}
		affected = c.Changes()
		return nil
	}))
	return table, affected, err
}

func (which Which) where(t *Table, faults *problem.Faults) where {
	w := t.parseFilters(faults, "where", which.Filters)
	if w.sql == "" && faults.Len() == 0 && !which.All {
		faults.Add("where", "Without conditions every row is meant: say so with allow_all.")
	}
	return w
}

// DeleteRecord deletes the record with the given id.
func (db *DB) DeleteRecord(ctx context.Context, ref, id string) (table string, err error) {
	err = db.write(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := cat.table(ref)
		if err != nil {
			return err
		}
		at, err := t.at(id)
		if err != nil {
			return err
		}
		table = t.Name
		if err := c.Exec("DELETE FROM "+quote(t.Name)+at.clause(), at.args...); err != nil {
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
func (db *DB) DeleteRecords(ctx context.Context, ref string, which Which) (table string, affected int64, err error) {
	err = explain(db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		cat, err := db.catalogue(c)
		if err != nil {
			return err
		}
		t, err := cat.table(ref)
		if err != nil {
			return err
		}
		var faults problem.Faults
		w := which.where(t, &faults)
		if err := faults.Err(); err != nil {
			return err
		}
		table = t.Name
		if w.sql == "" {
			w.sql = "true" // without a condition SQLite would not count the rows
		}
		if err := c.Exec("DELETE FROM "+quote(t.Name)+w.clause(), w.args...); err != nil {
			return err
		}
		affected = c.Changes()
		return nil
	}))
	return table, affected, err
}
