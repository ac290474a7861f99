package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// tableLoad is the way of tables of a file into a project.
type tableLoad struct {
	options   Options
	tell      func(Progress) // nil: nobody asks
	size      int64          // of the file
	assigned  []assignment
	notes     source.Notes // about what is left out
	unchanged func() error // fails when the file is not what it was

	surveys []*survey
	rejects rejects
	trial   bool  // everything is taken back
	tried   int64 // rows of a trial that SQLite was given
}

// load takes the tables into the project, in one transaction. Of those of which
// new ones are made, the first rows are read before, for the types.
func (t *tableLoad) load(ctx context.Context, in transaction, report *Report) error {
	if err := t.survey(ctx, false); err != nil {
		return err
	}
	err := in(func(l *projectdb.Loader) error { return t.run(ctx, l, report) })
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
		if every || a.target.Dates || a.onto != "" || joined[a.Name] {
			most = math.MaxInt64
		}
		var err error
		if t.surveys[i], err = a.look(ctx, most, t.progress(a.Name, 0)); err != nil {
			return err
		}
	}
	return nil
}

// progress returns what tells how far a reading has come, of those that take
// the table in.
func (t *tableLoad) progress(table string, before int64) func(rows, bytes int64) {
	if t.tell == nil {
		return func(int64, int64) {}
	}
	return func(rows, bytes int64) {
		t.tell(Progress{Table: table, Rows: rows, Bytes: min(before+bytes, t.size), Size: t.size})
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
	if t.options.OnError != Skip {
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
	rows, err := a.Open(ctx)
	if err != nil {
		return nil, source.ExplainFault(ctx, err)
	}
	columns := rows.Columns()
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
	at := slices.IndexFunc(placed, func(p *placement) bool { return p != nil && p.Name == a.onto && p.target.Mode == Create })
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
			return problem.Invalid(p.field+"table", "Two tables of the file cannot become one new table.")
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
	r := TableReport{Source: p.Name, Name: p.table.Name, Mode: p.target.Mode}
	var err error
	switch p.target.Mode {
	case Create:
		p.table.SetPrimaryKey(p.key) // again: the rows may have asked for other types
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
	told := t.progress(p.Name, t.before(p))
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
		if told(w.inserted+w.updated, part.bytes); t.options.OnError != Skip && t.rejects.full() {
			break
		}
	}
	switch {
	case wrong:
		return r, errWrongGuess
	case p.seen != nil:
		p.settle()
	}
	w.noteKeptKeys()
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
