package ingest

import (
	"context"
	"errors"
	"slices"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// databaseLoad loads a database into a project. Tables created just as they are in the
// file keep their keys, indexes and rowids; all others are loaded row by row, like
// tables of any file.
type databaseLoad struct {
	source *source.Database
	plan   *plan
	tables *tableLoad
	size   int64
}

// database plans the load of a database. Unless exact is set, declarations alone decide
// the types of columns.
func (s *Source) database(ctx context.Context, o Options, exact bool) (*databaseLoad, error) {
	d := &databaseLoad{source: s.Database(), plan: &plan{exact: exact}, size: s.Size()}
	d.tables = &tableLoad{options: o, unchanged: func() error { return nil }}
	mappings, err := d.plan.mapTables(d.source, o)
	if err != nil {
		return nil, err
	}
	joined := map[string]bool{}
	for _, a := range mappings {
		joined[a.onto] = true
	}
	var whole []tableMapping
	for _, a := range mappings {
		if a.target.Mode == Create && len(a.target.Skip)+len(a.target.Types)+len(a.target.Key) == 0 && !joined[a.Name] {
			whole = append(whole, a)
		} else {
			d.tables.mappings = append(d.tables.mappings, a)
		}
	}
	if err := d.plan.take(ctx, d.source.DB, whole); err != nil {
		return nil, damagedOnly(err)
	}
	return d, damagedOnly(d.plan.takeDisplayNames(d.source))
}

// mapTables maps the tables of a database to those of the project.
func (p *plan) mapTables(from *source.Database, o Options) ([]tableMapping, error) {
	names, err := p.listTables(from.DB)
	if err == nil {
		err = p.noteFile(from.DB, names)
	}
	if err != nil {
		return nil, damagedOnly(err)
	}
	sources := make([]source.Table, len(names))
	for i, name := range names {
		sources[i] = databaseTable(from, name)
	}
	if len(names) == 0 && len(o.Include) == 0 {
		return nil, nil
	}
	mappings, _, err := mapTables(sources, o)
	return mappings, err
}

// loadDatabase loads the database with the types that its declarations ask for. If a
// value does not fit them, it starts over and lets the values decide.
func (s *Source) loadDatabase(ctx context.Context, in transaction, o Options, report *Report) error {
	defer s.Database().Interrupt(ctx)()
	err := s.loadAs(ctx, in, o, false, report)
	if errors.Is(err, errMisfit) {
		err = s.loadAs(ctx, in, o, true, report)
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (s *Source) loadAs(ctx context.Context, in transaction, o Options, exact bool, report *Report) error {
	d, err := s.database(ctx, o, exact)
	if err == nil {
		err = d.tables.profile(ctx, false)
	}
	if err != nil {
		return err
	}
	d.plan.told = d.told(s.progress)
	err = in(func(l *projectdb.Loader) error { return d.load(ctx, l, report) })
	if errors.Is(err, errMisfit) {
		return err
	}
	d.plan.report(report)
	report.Rejects, report.RejectedRows = d.tables.rejects.list, d.tables.rejects.rows
	return err
}

func (d *databaseLoad) load(ctx context.Context, l *projectdb.Loader, report *Report) error {
	had, err := l.HasTables()
	if err != nil {
		return err
	}
	if err := d.plan.nameIndexes(l); err != nil {
		return err
	}
	if err := d.plan.load(ctx, l, d.source.DB); err != nil {
		return err
	}
	if err := d.tables.run(ctx, l, report); err != nil {
		return err
	}
	if had || d.source.Described == nil {
		return nil
	}
	restored, err := l.RestoreIdentities(d.source.Described)
	if err == nil && !restored {
		d.plan.notes.Add("file", "The ids of its tables and columns could not be kept; they are new.")
	}
	return err
}

// told returns a callback that reports progress as the fraction of rows copied so
// far.
func (d *databaseLoad) told(progress func(Progress)) func(t *tablePlan) {
	if progress == nil {
		return func(*tablePlan) {}
	}
	var all int64
	for _, t := range d.plan.tables {
		all += t.counted
	}
	return func(now *tablePlan) {
		var done int64
		for _, t := range d.plan.tables {
			done += t.rows
		}
		progress(Progress{
			Table: now.source.Name, Rows: now.rows,
			Bytes: int64(float64(d.size) * float64(min(done, all)) / float64(max(all, 1))), Size: d.size,
		})
	}
}

// previewDatabase reports what loadDatabase would do.
func (s *Source) previewDatabase(ctx context.Context, db *projectdb.DB, o Options, preview *Preview) error {
	defer s.Database().Interrupt(ctx)()
	d, err := s.database(ctx, o, true)
	if err == nil {
		err = d.preview(ctx, db, preview)
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (d *databaseLoad) preview(ctx context.Context, db *projectdb.DB, preview *Preview) error {
	taken := map[string]bool{}
	if db != nil {
		tables, err := db.Tables(ctx)
		if err != nil {
			return err
		}
		for _, t := range tables {
			taken[sqlite.Fold(t.Name)] = true
		}
	}
	if err := d.plan.refuseTaken(taken); err != nil {
		return err
	}
	for _, t := range d.plan.tables {
		sample, err := t.sample(d.source.DB)
		if err != nil {
			return damagedOnly(err)
		}
		preview.Tables = append(preview.Tables, TablePreview{
			Source: t.source.Name, Name: t.shape.Name, Mode: Create, Rows: t.counted, Columns: t.columnReports(), Sample: sample,
		})
	}
	preview.Notes = append(preview.Notes, d.plan.allNotes()...)
	return d.tables.preview(ctx, db, preview)
}

// sample returns the first rows in the form in which the API writes them.
func (p *tablePlan) sample(c sqlite.Source) ([][]any, error) {
	names := make([]string, len(p.source.Columns))
	for i, column := range p.source.Columns {
		names[i] = column.Name
	}
	list := [][]any{}
	err := c.Rows(selectSQL(p.source.Name, "", names)+" LIMIT ?", []any{sampleRows}, func(s sqlite.Row) error {
		row := make([]any, len(names))
		for i := range row {
			row[i] = jsonValue(s.Value(i))
		}
		list = append(list, row)
		return nil
	})
	return list, err
}

// databaseTable returns a table of a database whose rows are read one by one.
func databaseTable(f *source.Database, name string) source.Table {
	return source.Table{Name: name, Open: func(ctx context.Context) (source.Rows, error) {
		shape, err := projectdb.ReadTable(f.DB, name)
		if err != nil {
			return nil, damagedOnly(err)
		}
		var header []format.Column
		var names []string
		for _, column := range shape.Columns {
			declared := column.Type
			if !slices.Contains(columnTypes, declared) {
				declared = ""
			}
			names = append(names, column.Name)
			header = append(header, format.Column{Name: column.Name, Type: declared})
		}
		scan, err := f.Scan(selectSQL(name, "", names))
		if err != nil {
			return nil, damagedOnly(err)
		}
		return newDatabaseRows(ctx, header, scan), nil
	}}
}

// databaseRows reads the rows of a table in a database.
type databaseRows struct{ *format.BatchRows }

func newDatabaseRows(ctx context.Context, header []format.Column, scan sqlite.Scan) databaseRows {
	more := true
	fill := func(b *sqlite.Batch) (some bool, err error) {
		if err := ctx.Err(); err != nil || !more {
			return false, err
		}
		if more, err = scan.Fill(b, format.RowsPerBatch, source.BatchBytes); err != nil {
			return false, errors.Join(ctx.Err(), damagedOnly(err))
		}
		return b.Rows > 0, nil
	}
	return databaseRows{format.NewBatchRows(header, fill, func() error {
		scan.Close()
		return nil
	})}
}

func (databaseRows) Bytes() int64                             { return 0 }
func (databaseRows) Remarks() (*source.Dialect, source.Notes) { return nil, nil }
