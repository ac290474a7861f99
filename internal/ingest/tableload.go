package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// tableLoad is the way of tables of a file into a project.
type tableLoad struct {
	options   Options
	size      int64 // of the file
	assigned  []assignment
	notes     notes        // about what is left out
	unchanged func() error // fails when the file is not what it was

	surveys []*survey
	rejects rejects
	trial   bool  // everything is taken back
	tried   int64 // rows of a trial that SQLite was given
}

// load takes the tables into the project, in one transaction. Of those of which
// new ones are made, the first rows are read before, for the types.
func (t *tableLoad) load(ctx context.Context, db *projectdb.DB, report *Report) error {
	if err := t.survey(ctx, false); err != nil {
		return err
	}
	err := db.Load(ctx, func(l *projectdb.Loader) error { return t.run(ctx, l, report) })
	report.Rejects, report.RejectedRows = t.rejects.list, t.rejects.rows
	return err
}

// guessRows is how many rows are looked at to guess the types of a new table.
const guessRows = 20_000

// survey reads the tables of which new ones are made, or every one. Where nothing
// but types depends on it, the first rows are enough: the others are looked at on
// their way into the table.
func (t *tableLoad) survey(ctx context.Context, every bool) error {
	joined := map[string]bool{}
	for _, a := range t.assigned {
		joined[a.onto] = true
	}
	t.surveys = make([]*survey, len(t.assigned))
	for i, a := range t.assigned {
		if !a.makes() && !a.target.Dates && !every {
			continue
		}
		most := int64(guessRows)
		if every || a.target.Dates || a.onto != "" || joined[a.name] {
			most = math.MaxInt64
		}
		var err error
		if t.surveys[i], err = a.look(ctx, most, t.progress(a.name, 0)); err != nil {
			return err
		}
	}
	return nil
}

// progress returns what tells how far a reading has come, of those that take
// the table in.
func (t *tableLoad) progress(table string, before int64) func(rows, bytes int64) {
	if t.options.Progress == nil {
		return func(int64, int64) {}
	}
	return func(rows, bytes int64) {
		t.options.Progress(Progress{Table: table, Rows: rows, Bytes: min(before+bytes, t.size), Size: t.size})
	}
}

func (t *tableLoad) run(ctx context.Context, l *projectdb.Loader, report *Report) error {
	placed, err := t.place(ctx, l.Tables())
	if err != nil {
		return err
	}
	taken, err := l.Names()
	if err != nil {
		return err
	}
	if err := nameTables(placed, taken); err != nil {
		return err
	}
	report.Notes = append(report.Notes, t.notes...)
	for _, p := range placed {
		filled, err := t.fillGuessed(ctx, l, p, placed)
		if err != nil {
			return err
		}
		report.Tables, report.Notes = append(report.Tables, filled), append(report.Notes, p.notes...)
		report.Dialect = p.dialect
	}
	if t.options.OnError == Abort {
		if err := t.rejects.err(); err != nil {
			return err
		}
	}
	return t.unchanged()
}

// place decides where every table goes.
func (t *tableLoad) place(ctx context.Context, tables []projectdb.Table) (placed []*placement, err error) {
	var faults problem.Faults
	for i, a := range t.assigned {
		p, err := t.placeOne(ctx, a, t.surveys[i], tables, placed)
		if !faults.Merge("", err) {
			return nil, err
		}
		placed = append(placed, p)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	for _, p := range placed {
		if p.inferred != nil {
			p.noteDates()
		}
	}
	return placed, nil
}

func (t *tableLoad) placeOne(ctx context.Context, a assignment, sv *survey, tables []projectdb.Table, placed []*placement) (*placement, error) {
	switch {
	case a.target.Mode == Create:
		return a.design(sv)
	case a.onto != "":
		return a.joinTo(sv, placed)
	}
	rows, err := a.open(ctx)
	if err != nil {
		return nil, explainFault(ctx, err)
	}
	columns := rows.columns()
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("close the file: %w", err)
	}
	p, err := a.place(columns, tables)
	if err == nil && sv != nil {
		p.inferred = sv.found
	}
	return p, err
}

// joinTo places a table that is appended to a new one of the same file.
func (a assignment) joinTo(sv *survey, placed []*placement) (*placement, error) {
	at := slices.IndexFunc(placed, func(p *placement) bool { return p != nil && p.name == a.onto && p.target.Mode == Create })
	if at < 0 {
		return nil, nil // that table has a fault, which is told
	}
	p, err := a.placeIn(placed[at].table, sv.columns)
	if err == nil {
		err = p.fillsKey(placed[at].key)
	}
	if err == nil {
		p.inferred = sv.found
		placed[at].join(p)
	}
	return p, err
}

// nameTables makes sure that new tables have names that are free, and differ.
// Names that nobody has chosen give way to each other.
func nameTables(placed []*placement, taken map[string]bool) error {
	given := map[string]bool{}
	var conflicts []string
	for _, p := range placed {
		if p.target.Mode != Create {
			continue
		}
		if p.target.Table == "" {
			p.table.Name = projectdb.AdjustName(p.table.Name, "table", given)
		} else if given[sqlite.Fold(p.table.Name)] {
			return problem.Invalid(p.field+"table", "Two tables of the file cannot become the same new one.")
		}
		given[sqlite.Fold(p.table.Name)] = true
		if taken[sqlite.Fold(p.table.Name)] {
			conflicts = append(conflicts, p.table.Name)
		}
	}
	return nameConflict(conflicts)
}

var errWrongGuess = errors.New("the rows do not fit the types that their first ones asked for")

// fillGuessed makes a table with the types that its first rows ask for. When the
// others ask for different ones, it takes that back and begins again: then it
// knows all rows.
func (t *tableLoad) fillGuessed(ctx context.Context, l *projectdb.Loader, p *placement, placed []*placement) (r TableReport, err error) {
	if p.guess == nil {
		return t.fill(ctx, l, p, placed)
	}
	refused, shape, said := t.rejects, *p.table, p.notes
	refused.list = slices.Clip(refused.list)
	err = l.Try(func() error {
		r, err = t.fill(ctx, l, p, placed)
		return err
	})
	if !errors.Is(err, errWrongGuess) {
		return r, err
	}
	t.rejects, *p.table, p.notes = refused, shape, said
	p.settle()
	return t.fill(ctx, l, p, placed)
}

// fill makes a table, or takes the one that is there, and puts the rows in.
func (t *tableLoad) fill(ctx context.Context, l *projectdb.Loader, p *placement, placed []*placement) (TableReport, error) {
	r := TableReport{Source: p.name, Name: p.table.Name, Mode: p.target.Mode}
	var err error
	switch p.target.Mode {
	case Create:
		if *p.table, err = l.CreateTable(*p.table); err != nil {
			return r, err
		}
	case Replace:
		empty := l.Empty
		if t.trial {
			empty = l.EmptySlowly
		}
		if r.Deleted, err = empty(p.table); err != nil {
			return r, err
		}
	}
	if len(p.from) == 0 {
		r.Columns = p.columns()
		return r, nil
	}
	w, err := newRowWriter(l, p, placed)
	if err != nil {
		return r, err
	}
	defer w.close()
	before := t.rejects.rows
	told := t.progress(p.name, t.before(p))
	wrong := false
	for part, err := range p.convert(ctx) {
		if err != nil {
			return r, err
		}
		if p.hear(part); part.wrong {
			wrong = true
			continue
		}
		refused, err := w.rows(part)
		if err != nil {
			return r, err
		}
		t.refuse(part, refused)
		if told(w.inserted+w.updated, part.bytes); t.options.OnError == Abort && t.rejects.full() {
			break
		}
	}
	switch {
	case wrong:
		return r, errWrongGuess
	case p.seen != nil:
		p.settle()
	}
	r.Columns = p.columns()
	r.Inserted, r.Updated, r.Rows = w.inserted, w.updated, w.inserted+w.updated
	r.Rejected = t.rejects.rows - before
	return r, nil
}

// refuse notes the rows of a portion that cannot come in. What a trial tells is
// only what SQLite has refused.
func (t *tableLoad) refuse(part *portion, refused rejects) {
	if t.trial {
		t.tried += int64(part.batch.Rows)
		t.rejects.merge(refused)
		return
	}
	part.rejects.merge(refused)
	slices.SortStableFunc(part.rejects.list, func(a, b Reject) int { return cmp.Compare(a.Line, b.Line) })
	t.rejects.merge(part.rejects)
}

// before returns how much of the file counts as read when the rows of a table
// begin: its first reading is half of the work.
func (t *tableLoad) before(p *placement) int64 {
	if p.inferred != nil && p.guess == nil {
		return t.size / 2
	}
	return 0
}

// rowWriter puts rows into a table.
type rowWriter struct {
	placement  *placement
	insert     *projectdb.Inserter // nil: only rows that are there
	update     *projectdb.Updater  // nil: only new rows
	references []*projectdb.Reference
	values     []sqlite.Value

	inserted, updated int64
}

func newRowWriter(l *projectdb.Loader, p *placement, placed []*placement) (w *rowWriter, err error) {
	names := p.names()
	w = &rowWriter{placement: p}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if p.target.Mode == Upsert || p.target.Mode == Update {
		if w.update, err = l.Update(p.table, names, p.key); err != nil {
			return nil, err
		}
	}
	if p.target.Mode != Update {
		if w.insert, _, err = l.Insert(p.table, names, false); err != nil {
			return nil, err
		}
	}
	filled := make([]string, len(placed))
	for i, other := range placed {
		filled[i] = other.table.Name
	}
	w.references, err = l.References(p.table, names, filled)
	return w, err
}

func (w *rowWriter) close() {
	if w.insert != nil {
		w.insert.Close()
	}
	if w.update != nil {
		w.update.Close()
	}
	for _, reference := range w.references {
		reference.Close()
	}
}

// rows puts the rows of a portion in and returns those that SQLite refuses.
func (w *rowWriter) rows(part *portion) (refused rejects, err error) {
	for i := 0; i < part.batch.Rows; i++ {
		if i, err = w.some(&part.batch, i); err == nil {
			continue
		}
		w.values = part.batch.AppendValues(w.values[:0], i)
		reject, known := w.reject(err)
		if !known {
			return refused, err
		}
		reject.Line = part.lines[i]
		refused.add(reject)
	}
	return refused, nil
}

// some puts rows of b in from row i on, and returns the last one; when it fails,
// that is the one that was refused.
func (w *rowWriter) some(b *sqlite.Batch, i int) (last int, err error) {
	if w.update == nil && len(w.references) == 0 {
		at, err := w.insert.From(b, i)
		w.inserted += int64(at - i)
		if err == nil {
			at--
		}
		return at, err
	}
	w.values = b.AppendValues(w.values[:0], i)
	return i, w.row()
}

//lint:ignore ST1005 a client reads it as it is
var errNoRow = errors.New("The table has no row with this key.")

// lostReference says that the row that a foreign key refers to does not exist.
type lostReference struct{ *projectdb.Reference }

// Error is the sentence about it.
func (l lostReference) Error() string {
	return fmt.Sprintf("The table %s has no row that it refers to.", l.Parent)
}

func (w *rowWriter) row() error {
	for _, reference := range w.references {
		holds, err := reference.Holds(w.values)
		if err != nil {
			return err
		}
		if !holds {
			return lostReference{reference}
		}
	}
	if w.update != nil {
		found, err := w.update.Row(w.values)
		if err != nil {
			return err
		}
		if found {
			w.updated++
			return nil
		}
	}
	if w.insert == nil {
		return errNoRow
	}
	if err := w.insert.Row(w.values); err != nil {
		return err
	}
	w.inserted++
	return nil
}

// reject says why a row was refused, if it is the row's fault.
func (w *rowWriter) reject(err error) (r Reject, known bool) {
	r.Table = w.placement.name
	columns := sqlite.ConstraintColumns(err)
	var lost lostReference
	switch fault := sqlite.FaultOf(err); {
	case err == errNoRow:
		r.Reason, columns = err.Error(), w.placement.key
	case errors.As(err, &lost):
		r.Reason, columns = err.Error(), w.named(lost.Columns)
	case fault == sqlite.Unique:
		r.Reason = "Another row has this value already."
		if len(columns) > 1 {
			r.Reason = "Another row has the same values in " + strings.Join(columns, ", ") + " already."
		}
	case fault == sqlite.NotNull:
		r.Reason = "A value is required."
	case fault == sqlite.DataType:
		r.Reason = "The value does not fit the type of the column."
	case fault == sqlite.Check:
		r.Reason = fmt.Sprintf("The row does not satisfy the table: %s.", oneLine(sqlite.Message(err)))
	case fault == sqlite.TooBig:
		r.Reason = "A value is larger than SQLite can hold."
	default:
		return r, false
	}
	if len(columns) > 0 {
		r.Column, r.Value = w.inFile(columns[0])
	}
	return r, true
}

func (w *rowWriter) named(places []int) []string {
	names := make([]string, len(places))
	for i, k := range places {
		names[i] = w.placement.table.Columns[w.placement.into[k]].Name
	}
	return names
}

// inFile returns the name in the file of a column of the table, and the value
// that the row has for it. One that the file does not have goes by its own name.
func (w *rowWriter) inFile(column string) (name, value string) {
	p := w.placement
	for k, to := range p.into {
		if sqlite.Fold(p.table.Columns[to].Name) == sqlite.Fold(column) {
			return label(p.source, p.from[k]), shorten(w.values[k])
		}
	}
	return column, ""
}
