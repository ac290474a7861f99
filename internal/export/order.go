package export

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// Order asks for an export. Tables are named by id or name.
type Order struct {
	Project  ProjectRef
	Root     int64 // the project whose turn the order takes; 0: that of its own
	Kind     Kind
	Table    string // of a table export
	Format   string // "" is the default of the kind
	FileName string // offered for the download as far as that is safe; "" is a name made of table or project
	// Selection is what a table export holds of its table.
	Selection projectdb.Selection
	// Include and Exclude say which tables a database export holds; with an
	// empty Include, all that are there when it begins.
	Include, Exclude []string
	// TableOptions is what a database export holds of single tables, and how.
	TableOptions map[string]TableOptions
	// SQL is the SELECT of a query export, Params its parameters: an array, or an
	// object of named values.
	SQL    string
	Params jsontext.Value
	// Readable are the ids of the tables that the statement may read; nil: all.
	Readable []int64
	// CSV is how CSV files are written, when the format has any.
	CSV CSVOptions
	// Compression of a file that is not compressed by its format: "", "none",
	// "gzip" or "zstd".
	Compression string
	// Canonical makes files of equal rows equal byte for byte.
	Canonical bool
	// Split lets a workbook go on in a further sheet where one is full.
	Split bool
	// ExpiresIn is how long the artifact is kept after its completion, in
	// seconds; nil is the default.
	ExpiresIn      *int64
	TokenID        int64 // of the token that asks; 0 for none
	OperationRunID *string
	// Receipt is kept with the order, for Recall; nil for none. One that is kept
	// already is a conflict.
	Receipt *projectdb.Receipt
}

// TableOptions is what a database export holds of a table, and how its CSV file
// is written where that differs from the others.
type TableOptions struct {
	projectdb.Selection
	CSV CSVOptions
}

// ProjectRef is all that exports know of a project.
type ProjectRef struct {
	ID   int64
	Slug string
}

// work is what a job has to do, with tables by id, so that neither a renamed
// table nor a later one of the same name changes it.
type work struct {
	Tables     []int64 // nil: all but Excluded
	Excluded   []int64
	Selections map[int64]projectdb.Selection
	SQL        string
	Params     jsontext.Value
	Readable   []int64
	Dialect    *format.Dialect           // of CSV files; nil: the default
	Dialects   map[int64]*format.Dialect // of CSV files of single tables
	Compress   string                    // "", "gzip" or "zstd"
	Canonical  bool
	Split      bool // of a workbook into sheets
}

// dialect returns how the CSV file of a table is written; 0 is the result of a
// query.
func (w *work) dialect(tableID int64) format.Dialect {
	d := cmp.Or(w.Dialects[tableID], w.Dialect)
	if d == nil {
		return format.DefaultDialect()
	}
	return *d
}

// Create checks the order and stores it as a pending job. Every fault of the
// order is told at once, under the names of the request body, beside those that
// the caller has found. The unknown table of a table export is not_found.
func (e *Exports) Create(ctx context.Context, faults *problem.Faults, o Order) (Manifest, error) {
	r, err := e.check(ctx, faults, o)
	if err != nil {
		return Manifest{}, err
	}
	if err := e.config.Disk.Need(0); err != nil {
		return Manifest{}, err
	}
	if err := e.book.add(ctx, r, e.now(), jobs.Bounds{Pending: e.config.MaxPending, Bytes: e.config.HistoryBytes}); err != nil {
		return Manifest{}, notTwice(err)
	}
	m := r.manifest
	if places, err := e.book.Places(ctx, r.projectID, m.ID); err == nil { // the order is entered, with or without its place
		m.Progress.QueuePosition = places[m.ID]
	}
	e.runner.Wake()
	return m, nil
}

// check makes the order into the record of a pending export.
func (e *Exports) check(ctx context.Context, faults *problem.Faults, o Order) (*record, error) {
	db, release, err := e.projects.Lease(ctx, o.Project.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	tables, err := db.Tables(ctx)
	if err != nil {
		return nil, err
	}
	return e.accept(faults, o, tables, func(r *record) error { return db.CheckQuery(ctx, e.query(r)) })
}

func (e *Exports) accept(faults *problem.Faults, o Order, tables []projectdb.Table, checkQuery func(*record) error) (*record, error) {
	f := findFormat(faults, o.Kind, o.Format)
	r := &record{projectID: o.Project.ID, root: cmp.Or(o.Root, o.Project.ID), life: e.life(faults, o.ExpiresIn)}
	r.orderOptions(faults, o, f)
	if len(o.FileName) > maxFileName {
		faults.Add("file_name", "The name must have at most %d bytes, and it has %d.", maxFileName, len(o.FileName))
	}
	r.manifest.Options.FileName = o.FileName
	f = f.compressed(r.work.Compress)
	base := o.Project.Slug + "_schema_export"
	var err error
	switch o.Kind {
	case TableExport:
		base, err = r.orderTable(faults, o, tables)
	case DatabaseExport:
		base = o.Project.Slug + "_database_export"
		r.orderDatabase(faults, o, f, tables)
	case QueryExport:
		base = o.Project.Slug + "_query_export"
		err = r.orderQuery(faults, o, checkQuery)
	}
	if err == nil {
		err = faults.Err()
	}
	if err != nil {
		return nil, err
	}
	now := e.now()
	m := &r.manifest
	if m.ID, err = newID(now, e.random); err != nil {
		return nil, err
	}
	m.Kind, m.Scope, m.Project, m.Format, m.Status = o.Kind, "project", o.Project.Slug, f.name, Pending
	m.StorageBackend, m.ContentType, m.Tables = e.backend(), f.contentType, []TableResult{}
	m.DownloadName = f.downloadName(o.FileName, base)
	m.DownloadURL = "/projects/" + o.Project.Slug + "/export/download/" + m.ID
	m.CreatedAt, m.OperationRunID, m.FormatVersion = timestamp(now), o.OperationRunID, formatVersion
	r.receipt = jobs.ReceiptOf(o.Receipt)
	if o.TokenID != 0 {
		m.CreatedByTokenID = &o.TokenID
	}
	r.ext = f.ext
	return r, nil
}

// newID returns an id that sorts by time and cannot be guessed, such as
// exp_20260601_182345_a1b2c3d4e5.
func newID(now time.Time, random io.Reader) (string, error) {
	var b [5]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw the id of an export: %w", err)
	}
	return now.UTC().Format("exp_20060102_150405_") + hex.EncodeToString(b[:]), nil
}

// life returns how long an artifact is kept.
func (e *Exports) life(faults *problem.Faults, seconds *int64) time.Duration {
	if seconds == nil {
		return e.config.DefaultLife
	}
	if most := int64(e.config.MaxLife / time.Second); *seconds < 1 || *seconds > most {
		faults.Add("expires_in", "Must be from 1 to %d.", most)
		return 0
	}
	return time.Duration(*seconds) * time.Second
}

func (r *record) orderTable(faults *problem.Faults, o Order, tables []projectdb.Table) (name string, err error) {
	t, err := projectdb.FindTable(tables, o.Table)
	if err != nil {
		return "", err
	}
	r.choose(faults, t, o.Selection, "")
	r.work.Tables = []int64{t.ID}
	r.manifest.Table, r.manifest.TableIDs = &t.Name, r.work.Tables
	r.manifest.Options.setSelection(o.Selection)
	return t.Name, nil
}

// choose notes what is wanted of a table.
func (r *record) choose(faults *problem.Faults, t *projectdb.Table, s projectdb.Selection, prefix string) {
	s.Check(faults, t, prefix)
	if s.Limit < 0 {
		faults.Add(prefix+"limit", "Must be at least 0.")
	}
	if s.Offset < 0 {
		faults.Add(prefix+"offset", "Must be at least 0.")
	}
	r.work.setSelection(t.ID, s)
}

func (r *record) orderDatabase(faults *problem.Faults, o Order, f fileFormat, tables []projectdb.Table) {
	options := &r.manifest.Options
	r.work.Tables, options.IncludeTables = lookUp(faults, "include_tables", o.Include, tables)
	r.work.Excluded, options.ExcludeTables = lookUp(faults, "exclude_tables", o.Exclude, tables)
	for i, name := range options.ExcludeTables {
		if slices.Contains(r.work.Tables, r.work.Excluded[i]) {
			faults.Add("exclude_tables", "The table %s is in include_tables too.", name)
		}
	}
	for i := range tables {
		if r.work.wants(tables[i].ID) {
			r.manifest.TableIDs = append(r.manifest.TableIDs, tables[i].ID)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(o.TableOptions)) {
		if faults.Full() {
			return
		}
		field := "table_options." + ref
		t, err := projectdb.FindTable(tables, ref)
		switch {
		case err != nil:
			unknownTable(faults, field, ref, tables)
		case !r.work.wants(t.ID):
			faults.Add(field, "The table is not part of the export.")
		case r.work.chose(t.ID):
			faults.Add(field, "The table has its options already, under its id or name.")
		default:
			r.orderPart(faults, t, o.TableOptions[ref], f, field+".")
		}
	}
}

// orderPart notes what is wanted of one table of a database, and how.
func (r *record) orderPart(faults *problem.Faults, t *projectdb.Table, o TableOptions, f fileFormat, prefix string) {
	r.choose(faults, t, o.Selection, prefix)
	var options Options
	options.setSelection(o.Selection)
	if d := orderDialect(faults, o.CSV, f, prefix, r.work.dialect(t.ID)); d != nil {
		r.work.setDialect(t.ID, d)
		options.Profile, options.Dialect = o.CSV.Profile, d
	}
	all := &r.manifest.Options.TableOptions
	if *all == nil {
		*all = map[string]Options{}
	}
	(*all)[t.Name] = options
}

// lookUp returns the ids and names of the tables that refs mean, once each.
func lookUp(faults *problem.Faults, field string, refs []string, tables []projectdb.Table) (ids []int64, names []string) {
	for i, ref := range refs {
		if faults.Full() {
			break
		}
		t, err := projectdb.FindTable(tables, ref)
		if err != nil {
			unknownTable(faults, field+"["+strconv.Itoa(i)+"]", ref, tables)
		} else if !slices.Contains(ids, t.ID) {
			ids, names = append(ids, t.ID), append(names, t.Name)
		}
	}
	return ids, names
}

func unknownTable(faults *problem.Faults, field, ref string, tables []projectdb.Table) {
	if faults.Full() || faults.Has(field) {
		return // the names need not be listed
	}
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].Name
	}
	faults.Unknown(field, "table", ref, "", names)
}

// wants reports whether the table belongs to the work.
func (w *work) wants(tableID int64) bool {
	if w.Tables != nil {
		return slices.Contains(w.Tables, tableID)
	}
	return !slices.Contains(w.Excluded, tableID)
}

func (w *work) setSelection(tableID int64, s projectdb.Selection) {
	if w.Selections == nil {
		w.Selections = map[int64]projectdb.Selection{}
	}
	w.Selections[tableID] = s
}

func (w *work) setDialect(tableID int64, d *format.Dialect) {
	if w.Dialects == nil {
		w.Dialects = map[int64]*format.Dialect{}
	}
	w.Dialects[tableID] = d
}

func (w *work) chose(tableID int64) bool {
	_, ok := w.Selections[tableID]
	return ok
}

// isPart reports whether only part of the table's columns or rows is wanted.
func (w *work) isPart(tableID int64) bool {
	s := w.Selections[tableID]
	return s.Columns != nil || s.Filters != nil || s.Limit != 0 || s.Offset != 0
}

// setTotal makes the order of all rows depend on their values alone.
func (w *work) setTotal(tables []*projectdb.Table) {
	for _, t := range tables {
		s := w.Selections[t.ID]
		s.Total = true
		w.setSelection(t.ID, s)
	}
}

// tablesOf returns the tables of a snapshot that the work is about.
func (w *work) tablesOf(s *projectdb.Snapshot) ([]*projectdb.Table, error) {
	var chosen []*projectdb.Table
	for i := range s.Tables {
		if w.wants(s.Tables[i].ID) {
			chosen = append(chosen, &s.Tables[i])
		}
	}
	if w.Tables != nil && len(chosen) < len(w.Tables) {
		return nil, problem.New(problem.CodeNotFound, "A table of the order does not exist any more.")
	}
	return chosen, nil
}
