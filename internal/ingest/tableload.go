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

// tableLoad loads the tables of one file of rows into a project.
type tableLoad struct {
	options   Options
	tell      func(Progress) // nil without a listener
	size      int64          // of the file
	mappings  []tableMapping
	notes     source.Notes // on what is left out
	unchanged func() error // fails if the file has changed since it was opened

	profiles []*profile
	rejects  rejects
	trial    bool  // everything is rolled back
	tried    int64 // rows that a trial passed to SQLite
}

// load loads the tables in one transaction. For new tables it first profiles a
// sample of the rows, to infer the types of their columns.
func (t *tableLoad) load(ctx context.Context, in transaction, report *Report) error {
	if err := t.profile(ctx, false); err != nil {
		return err
	}
	err := in(func(l *projectdb.Loader) error { return t.run(ctx, l, report) })
	report.Rejects, report.RejectedRows = t.rejects.list, t.rejects.rows
	return err
}

// guessRows is how many rows are profiled to guess the types of a new table.
const guessRows = 20_000

// profile profiles the rows of new tables or, with every, of all tables. A sample is
// enough where only types depend on it, since all other rows are checked as they are
// inserted; dates and joined tables need all rows.
func (t *tableLoad) profile(ctx context.Context, every bool) error {
	joined := map[string]bool{}
	for _, a := range t.mappings {
		joined[a.onto] = true
	}
	t.profiles = make([]*profile, len(t.mappings))
	for i, a := range t.mappings {
		if !a.makes() && !a.target.Dates && !every {
			continue
		}
		most := int64(guessRows)
		if every || a.target.Dates || a.onto != "" || joined[a.Name] {
			most = math.MaxInt64
		}
		var err error
		if t.profiles[i], err = a.look(ctx, most, t.progress(a.Name, 0)); err != nil {
			return err
		}
	}
	return nil
}

// progress returns a callback that reports how much of the file has been read for table,
// starting from before bytes.
func (t *tableLoad) progress(table string, before int64) func(rows, bytes int64) {
	if t.tell == nil {
		return func(int64, int64) {}
	}
	return func(rows, bytes int64) {
		t.tell(Progress{Table: table, Rows: rows, Bytes: min(before+bytes, t.size), Size: t.size})
	}
}

func (t *tableLoad) run(ctx context.Context, l *projectdb.Loader, report *Report) error {
	mapped, err := t.place(ctx, l.Tables())
	if err != nil {
		return err
	}
	taken, err := l.Names()
	if err != nil {
		return err
	}
	if err := nameTables(mapped, taken); err != nil {
		return err
	}
	report.Notes = append(report.Notes, t.notes...)
	for _, p := range mapped {
		filled, err := t.fillGuessed(ctx, l, p, mapped)
		if err != nil {
			return err
		}
		p.noteNumbers()
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

// place maps the columns of every table.
func (t *tableLoad) place(ctx context.Context, tables []projectdb.Table) (mapped []*columnMapping, err error) {
	var faults problem.Faults
	for i, a := range t.mappings {
		p, err := t.mapOne(ctx, a, t.profiles[i], tables, mapped)
		if !faults.Merge("", err) {
			return nil, err
		}
		mapped = append(mapped, p)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	for _, p := range mapped {
		if p.inferred != nil {
			p.noteDates()
		}
	}
	return mapped, nil
}

func (t *tableLoad) mapOne(ctx context.Context, a tableMapping, sv *profile, tables []projectdb.Table, mapped []*columnMapping) (*columnMapping, error) {
	switch {
	case a.target.Mode == Create:
		return a.design(sv)
	case a.onto != "":
		return a.joinTo(sv, mapped)
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

// joinTo maps a table that is appended to a new table of the same file.
func (a tableMapping) joinTo(sv *profile, mapped []*columnMapping) (*columnMapping, error) {
	at := slices.IndexFunc(mapped, func(p *columnMapping) bool { return p != nil && p.Name == a.onto && p.target.Mode == Create })
	if at < 0 {
		return nil, nil // that table has a fault, which is reported
	}
	p, err := a.mapOnto(mapped[at].table, sv.columns)
	if err == nil {
		err = p.fillsKey(mapped[at].key)
	}
	if err == nil {
		p.inferred = sv.found
		mapped[at].join(p)
	}
	return p, err
}

// nameTables makes sure that the names of new tables are free and unique. Names derived
// from the file are adjusted; a requested name is a fault instead.
func nameTables(mapped []*columnMapping, taken map[string]bool) error {
	given := map[string]bool{}
	var conflicts []string
	for _, p := range mapped {
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

// fillGuessed creates and fills a table with the types guessed from a sample. If a later
// row contradicts the guess, it rolls the table back and starts over with the types that
// fit all rows, since by then all have been seen.
func (t *tableLoad) fillGuessed(ctx context.Context, l *projectdb.Loader, p *columnMapping, mapped []*columnMapping) (r TableReport, err error) {
	if p.guess == nil {
		return t.fill(ctx, l, p, mapped)
	}
	refused, shape, said := t.rejects, *p.table, p.notes
	refused.list = slices.Clip(refused.list)
	err = l.Try(func() error {
		r, err = t.fill(ctx, l, p, mapped)
		return err
	})
	if !errors.Is(err, errWrongGuess) {
		return r, err
	}
	t.rejects, *p.table, p.notes = refused, shape, said
	p.settle()
	return t.fill(ctx, l, p, mapped)
}

// fill creates, empties or reuses a table, depending on the mode, and inserts the rows,
// which a separate goroutine converts in portions. Once a portion contradicts the
// guessed types, nothing more is inserted, but the rest is still read: the second try
// needs the types that fit all rows.
func (t *tableLoad) fill(ctx context.Context, l *projectdb.Loader, p *columnMapping, mapped []*columnMapping) (TableReport, error) {
	r := TableReport{Source: p.Name, Name: p.table.Name, Mode: p.target.Mode}
	var err error
	switch p.target.Mode {
	case Create:
		p.table.SetPrimaryKey(p.key) // again: the rows may have changed the types
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
	w, err := newRowWriter(l, p, mapped)
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

// refuse records the rejected rows of a portion. A trial records only what SQLite
// rejected: conversion faults are already known from the preview.
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

// before returns how many bytes count as read when a table starts to be filled. If all
// its rows were profiled first, that was half the work.
func (t *tableLoad) before(p *columnMapping) int64 {
	if p.inferred != nil && p.guess == nil {
		return t.size / 2
	}
	return 0
}
