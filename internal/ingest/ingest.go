// Package ingest loads the tables of a file into a project without changing a value, and
// reports in sentences what it had to adjust or leave out.
//
// [Open] opens a file through package source, which detects its contents. From there two
// pipelines lead into the project, each in one transaction ([Source.Load]):
//
//   - A database brings whole tables, with keys, constraints and indexes: a plan says what
//     each table becomes, rows are copied, and constraints that the rows violate are
//     relaxed.
//   - A file of rows brings tables without a schema: each is mapped to a table of the
//     project (tableMapping), its columns to that table's columns (columnMapping), and the
//     types of new tables are inferred from a profile of the values.
//
// [Source.Preview] runs the same steps and changes nothing. [Options] holds everything that
// can be set for an import; [Report] says what it did.
//
// A load either succeeds as a whole or changes nothing. No value is changed without a note.
// The package does not know how a file arrived, nor of any project but the one it fills.
package ingest

import (
	"context"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
)

// Source is an open file that can be loaded into a project.
type Source struct {
	*source.File
	progress func(Progress)
}

// Open opens a file: see [source.Open]. The caller closes the source.
func Open(ctx context.Context, o source.Opening) (*Source, error) {
	file, err := source.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Source{File: file}, nil
}

// OnProgress sets the callback that is told about progress every so many rows.
func (s *Source) OnProgress(tell func(Progress)) { s.progress = tell }

// Load creates tables from the file in the project, in one transaction: on an error
// nothing changes. Faults of the file are *problem.Error on the field "file" and say
// where they are; a name that the project already has is a conflict.
func (s *Source) Load(ctx context.Context, db *projectdb.DB, o Options) (Report, error) {
	return s.load(ctx, func(fill func(*projectdb.Loader) error) error { return db.Load(ctx, fill) }, o)
}

// transaction runs fill in a transaction that can load tables.
type transaction func(fill func(*projectdb.Loader) error) error

func (s *Source) load(ctx context.Context, in transaction, o Options) (Report, error) {
	report := Report{Source: s.Name(), SHA256: s.SHA256(), Kind: s.Format(), Tables: []TableReport{}, Notes: append([]source.Note{}, s.Notes()...)}
	if s.Database() != nil {
		err := s.loadDatabase(ctx, in, o, &report)
		return report, err
	}
	t, err := s.tables(ctx, o)
	if err == nil {
		err = t.load(ctx, in, &report)
	}
	return report, err
}

// LoadOnce is Load under a receipt, which is stored in the same transaction as the rows
// with the report as its answer: a second call with the same receipt returns that
// report.
func (s *Source) LoadOnce(ctx context.Context, db *projectdb.DB, o Options, receipt projectdb.Receipt) (report Report, err error) {
	answer, replayed, err := db.Once(ctx, receipt, func(tx *projectdb.Tx) ([]byte, error) {
		var err error
		if report, err = s.load(ctx, tx.Load, o); err != nil {
			return nil, err
		}
		return json.Marshal(report, jsontext.AllowInvalidUTF8(true)) // it may quote texts from the file
	})
	if err == nil && replayed {
		report = Report{}
		err = json.Unmarshal(answer, &report)
	}
	return report, err
}

// tables maps the tables of a file of rows to those of the project.
func (s *Source) tables(ctx context.Context, o Options) (*tableLoad, error) {
	tables, err := s.Tables(ctx, source.Reading{Dialect: o.dialect, Sheet: o.Sheet, Wanted: o.wants, JSONPath: o.JSONPath, NullTexts: o.NullTexts})
	if err != nil {
		return nil, err
	}
	if s.IsBlank() {
		own, _ := o.table(tables[0].Name)
		if len(own.Types)+len(o.Target.Types) == 0 {
			return nil, source.Blank() // replacing all rows with none takes an explicit request
		}
	}
	mappings, said, err := mapTables(tables, o)
	return &tableLoad{options: o, tell: s.progress, size: s.Size(), mappings: mappings, notes: said, unchanged: s.Unchanged}, err
}

// Reach returns the tables of the project that Load writes to, and whether it creates
// others. It does not read any rows.
func (s *Source) Reach(ctx context.Context, db *projectdb.DB, o Options) (into []projectdb.Table, others bool, err error) {
	var mappings []tableMapping
	if s.Database() != nil {
		defer s.Database().Interrupt(ctx)()
		mappings, err = new(plan).mapTables(s.Database(), o)
	} else if t, tablesErr := s.tables(ctx, o); tablesErr != nil {
		err = tablesErr
	} else {
		mappings = t.mappings
	}
	if err != nil {
		return nil, false, err
	}
	tables, err := db.Tables(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, a := range mappings {
		if a.makes() {
			others = true
			continue
		}
		table, err := a.existing(tables)
		if err != nil {
			return nil, false, err
		}
		into = append(into, *table)
	}
	return into, others, nil
}

// Preview reports what Load would do. If db is nil, it assumes an empty project.
func (s *Source) Preview(ctx context.Context, db *projectdb.DB, o Options) (Preview, error) {
	preview := Preview{Source: s.Name(), SHA256: s.SHA256(), Kind: s.Format(), Tables: []TablePreview{}, Notes: append([]source.Note{}, s.Notes()...)}
	if s.Database() != nil {
		err := s.previewDatabase(ctx, db, o, &preview)
		return preview, err
	}
	t, err := s.tables(ctx, o)
	if err == nil {
		err = t.preview(ctx, db, &preview)
	}
	return preview, err
}
