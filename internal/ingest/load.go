package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/foreign"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// damagedOnly turns a SQLite error about the source into a fault of the file.
func damagedOnly(err error) error {
	if sqlite.FaultOf(err) == sqlite.Other {
		return err
	}
	return foreign.Damaged(err)
}

func (p *plan) takeDisplayNames(f *source.Database) error {
	names, _, err := projectdb.DisplayNames(f.DB)
	for _, t := range f.Described {
		if t.DisplayName != nil {
			if names == nil {
				names = map[string]string{}
			}
			names[sqlite.Fold(t.TableName)] = *t.DisplayName
		}
	}
	for _, t := range p.tables {
		if name, ok := names[sqlite.Fold(t.source.Name)]; ok {
			t.shape.DisplayName = &name
		}
	}
	return err
}

// nameIndexes gives each index a name that no other table or index has. Table names that
// the project already has are a conflict.
func (p *plan) nameIndexes(l *projectdb.Loader) error {
	taken, err := l.Names()
	if err != nil {
		return err
	}
	if err := p.refuseTaken(taken); err != nil {
		return err
	}
	for _, t := range p.tables {
		for i := range t.shape.Indexes {
			x := &t.shape.Indexes[i]
			name := projectdb.AdjustName(x.Name, "index", taken)
			if name != x.Name {
				t.notes.Add("index "+x.Name, "The name is not allowed here, or taken; the index is now named %s.", name)
			}
			x.Name = name
		}
	}
	return nil
}

func (p *plan) refuseTaken(taken map[string]bool) error {
	var names []string
	for _, t := range p.tables {
		if taken[sqlite.Fold(t.shape.Name)] {
			names = append(names, t.shape.Name)
		}
	}
	for _, t := range p.tables {
		taken[sqlite.Fold(t.shape.Name)] = true
	}
	return nameConflict(names)
}

func nameConflict(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return problem.New(problem.CodeConflict, "The project already has these names: %s. Nothing was imported.", strings.Join(names, ", ")).
		With("file", "Tables or indexes with these names exist: %s.", strings.Join(names, ", "))
}

// errAgain ends an attempt that changed the plan.
var errAgain = errors.New("load again by the changed plan")

// load creates all tables. When rows turn out to violate foreign keys, everything is
// rolled back and created again without these keys, because a table that others refer to
// cannot be changed afterwards.
func (p *plan) load(ctx context.Context, l *projectdb.Loader, from sqlite.Source) error {
	for {
		err := l.Try(func() error {
			for _, t := range p.tables {
				if err := t.load(ctx, l, from, p.told); err != nil {
					return err
				}
			}
			return p.checkKeys(l)
		})
		if !errors.Is(err, errAgain) {
			return err
		}
	}
}

func (p *plan) checkKeys(l *projectdb.Loader) error {
	again := false
	for _, t := range p.tables {
		dropped, err := t.checkKeys(l)
		if err != nil {
			return err
		}
		again = again || dropped
	}
	if again {
		return errAgain
	}
	return nil
}

// checkKeys drops foreign keys that rows violate from the plan.
func (p *tablePlan) checkKeys(l *projectdb.Loader) (dropped bool, err error) {
	if len(p.shape.ForeignKeys) == 0 {
		return false, nil
	}
	broken, err := l.BrokenKeys(&p.shape)
	if sqlite.FaultOf(err).InSQL() {
		p.notes.Add(p.subject(), "Foreign keys were not imported. SQLite says: %s.", source.OneLine(sqlite.Message(err)))
		p.shape.ForeignKeys = nil
		return true, nil
	}
	if err != nil || len(broken) == 0 {
		return false, err
	}
	var kept []projectdb.ForeignKey
	for i, key := range p.shape.ForeignKeys {
		if rows := broken[i]; rows > 0 {
			p.notes.Add(p.subject(), "The foreign key on %s to %s was not imported: %s no parent.", strings.Join(key.Columns, ", "), key.Parent, source.RowsHave(rows))
			continue
		}
		kept = append(kept, key)
	}
	p.shape.ForeignKeys = kept
	return true, nil
}

// load creates one table with its rows and indexes. It drops and notes whatever the rows
// do not satisfy.
func (p *tablePlan) load(ctx context.Context, l *projectdb.Loader, from sqlite.Source, told func(*tablePlan)) error {
	for {
		err := l.Try(func() error { return p.create(ctx, l, from, told) })
		if err == nil {
			return p.createIndexes(l)
		}
		if known := (*problem.Error)(nil); errors.As(err, &known) || ctx.Err() != nil {
			return err
		}
		relaxed, relaxErr := p.relax(l, from, err)
		if relaxErr != nil {
			return relaxErr
		}
		if !relaxed {
			return fmt.Errorf("import table %s: %w", p.source.Name, err)
		}
	}
}

func (p *tablePlan) create(ctx context.Context, l *projectdb.Loader, from sqlite.Source, told func(*tablePlan)) error {
	if _, err := l.CreateTable(p.shape); err != nil {
		return err
	}
	if err := p.copyRows(ctx, l, from, told); err != nil {
		return err
	}
	if err := p.compareGenerated(ctx, l, from); err != nil {
		return err
	}
	if p.seq < 0 {
		return nil
	}
	return l.SetCounter(&p.shape, p.seq)
}

// stored returns the columns to copy, by their old and new names.
func (p *tablePlan) stored() (from, into []string) {
	for i, column := range p.shape.Columns {
		if column.Generated == "" {
			from = append(from, p.source.Columns[i].Name)
			into = append(into, column.Name)
		}
	}
	return from, into
}

// rowid returns the name of the source's rowid if it has to be copied along with the
// columns, else "".
func (p *tablePlan) rowid() string {
	const mostColumns = 2000 // SQLite's limit for a query result
	if p.source.RowidKey || p.shape.RowidName() == "" || len(p.shape.Columns) >= mostColumns {
		return ""
	}
	return p.source.RowidName()
}

func (p *tablePlan) copyRows(ctx context.Context, l *projectdb.Loader, db sqlite.Source, told func(*tablePlan)) error {
	from, into := p.stored()
	rowid := p.rowid()
	rows, err := db.Scan(selectSQL(p.source.Name, rowid, from))
	if err != nil {
		return damagedOnly(err)
	}
	defer rows.Close()
	inserter, _, err := l.Insert(&p.shape, into, rowid != "")
	if err != nil {
		return err
	}
	defer inserter.Close()
	places := p.places(rowid != "")
	return eachBatch(ctx, rows, func(b *sqlite.Batch) error {
		if !fit(b, places) {
			return errMisfit
		}
		if i := p.tooLong(b, rowid != ""); i >= 0 {
			return &longError{i}
		}
		err := inserter.Batch(b)
		p.rows = inserter.Rows()
		told(p)
		return err
	})
}

// longError reports a column with a value that is too long for the expressions that use
// it.
type longError struct{ column int }

func (e *longError) Error() string {
	return fmt.Sprintf("column %d has a value that is too long to compute with", e.column)
}

// tooLong returns a column for which b has such a value, or -1.
func (p *tablePlan) tooLong(b *sqlite.Batch, rowid bool) int {
	place := -1
	if rowid {
		place = 0
	}
	for i := range p.shape.Columns {
		column := &p.shape.Columns[i]
		if column.Generated != "" {
			continue
		}
		if place++; column.MaxBytes == 0 || b.Size() <= column.MaxBytes {
			continue
		}
		for row := range b.Rows {
			if column.TooLong(b.Value(b.Row(row)[place])) {
				return i
			}
		}
	}
	return -1
}

var errMisfit = errors.New("a value does not match the declared type of its column")

// places returns what each copied value may be.
func (p *tablePlan) places(rowid bool) (places []place) {
	anything := place{any: true, null: true}
	if rowid {
		places = append(places, anything)
	}
	for i, column := range p.shape.Columns {
		switch {
		case column.Generated != "":
		case p.counts[i].fits:
			places = append(places, placeOf(&p.source, &p.source.Columns[i]))
		default:
			places = append(places, anything)
		}
	}
	return places
}

// fit reports whether every value is allowed in its place.
func fit(b *sqlite.Batch, places []place) bool {
	for i := range b.Rows {
		for k, cell := range b.Row(i) {
			if !places[k].takes(cell.Kind) {
				return false
			}
		}
	}
	return true
}

// selectSQL returns a query that reads the table itself rather than an index, which may
// lack rows in a damaged file.
func selectSQL(table, rowid string, columns []string) string {
	list := make([]string, 0, len(columns)+1)
	if rowid != "" {
		list = append(list, rowid)
	}
	for _, name := range columns {
		list = append(list, format.QuoteIdent(name))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + format.QuoteIdent(table) + " NOT INDEXED"
}

// eachBatch passes all rows of the source to use. The source reads ahead by itself.
func eachBatch(ctx context.Context, rows sqlite.Scan, use func(*sqlite.Batch) error) error {
	var b sqlite.Batch
	for more := true; more; {
		err := ctx.Err()
		if err != nil {
			return err
		}
		if more, err = rows.Fill(&b, source.BatchRows, source.BatchBytes); err != nil {
			return damagedOnly(err)
		}
		if err := use(&b); err != nil {
			return err
		}
	}
	return nil
}

// differsError reports a generated column whose values differ from the source.
type differsError struct{ column int }

func (e *differsError) Error() string {
	return fmt.Sprintf("generated column %d has other values", e.column)
}

// compareGenerated checks that generated columns have the same values as in the source:
// other types can change the result of an expression.
func (p *tablePlan) compareGenerated(ctx context.Context, l *projectdb.Loader, db sqlite.Source) error {
	var from, into []string
	var places []int
	for i, column := range p.shape.Columns {
		if column.Generated != "" {
			from = append(from, p.source.Columns[i].Name)
			into = append(into, column.Name)
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return nil
	}
	theirs, err := db.Scan(selectSQL(p.source.Name, "", from))
	if err != nil {
		return damagedOnly(err)
	}
	defer theirs.Close()
	ours, err := l.Rows(&p.shape, into)
	if err != nil {
		return err
	}
	defer ours.Close()
	var mine sqlite.Batch
	return eachBatch(ctx, theirs, func(b *sqlite.Batch) error {
		mine.Reset(b.Columns)
		if _, err := ours.Fill(&mine, b.Rows, math.MaxInt); err != nil {
			return err
		}
		if different := firstDifference(b, &mine); different >= 0 {
			return &differsError{places[different]}
		}
		return nil
	})
}

// firstDifference returns the first column in which two batches differ, or -1.
func firstDifference(a, b *sqlite.Batch) int {
	for i := range min(a.Rows, b.Rows) {
		for j, x := range a.Row(i) {
			v, w := a.Value(x), b.Value(b.Row(i)[j])
			same := v.Kind == w.Kind && v.Int == w.Int && math.Float64bits(v.Float) == math.Float64bits(w.Float) && bytes.Equal(v.Bytes, w.Bytes)
			if !same {
				return j
			}
		}
	}
	return -1
}

// createIndexes creates the indexes; doing so after the rows is faster.
func (p *tablePlan) createIndexes(l *projectdb.Loader) error {
	var failure error
	p.shape.Indexes = slices.DeleteFunc(p.shape.Indexes, func(x projectdb.Index) bool {
		if failure != nil {
			return false
		}
		err := l.Try(func() error { return l.CreateIndex(x) })
		if err != nil && !source.IsRefusal(err) {
			failure = err
			return false
		}
		if err != nil {
			p.notes.Add("index "+x.Name, "It was not imported. SQLite says: %s.", source.OneLine(sqlite.Message(err)))
		}
		return err != nil
	})
	return failure
}

// report adds what was planned and done to r.
func (p *plan) report(r *Report) {
	r.Notes = append(r.Notes, p.allNotes()...)
	for _, t := range p.tables {
		r.Tables = append(r.Tables, TableReport{Source: t.source.Name, Name: t.shape.Name, Mode: Create, Rows: t.rows, Inserted: t.rows, Columns: t.columnReports()})
	}
}

func (p *plan) allNotes() source.Notes {
	all := slices.Clone(p.notes)
	for _, t := range p.tables {
		all = append(all, t.notes...)
	}
	return all
}

func (p *tablePlan) columnReports() (list []ColumnReport) {
	for i, column := range p.shape.Columns {
		from := p.source.Columns[i]
		list = append(list, ColumnReport{Source: from.Name, Name: column.Name, DeclaredType: from.Type, Type: column.Type, Reason: p.typed[i]})
	}
	return list
}
