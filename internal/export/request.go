package export

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// Request asks for an export. Tables are given by id or name.
type Request struct {
	Project  ProjectRef
	Root     ids.Project // the project whose turn the export takes; 0: its own
	Kind     Kind
	Table    string // of a table export
	Format   string // "" is the default of the kind
	FileName string // suggested name of the download, used as far as it is safe; "" derives one from the table or project
	// Selection restricts the rows and columns of a table export.
	Selection projectdb.Selection
	// Include and Exclude select the tables of a database export; an empty Include
	// means every table that exists when the job begins.
	Include, Exclude []string
	// TableOptions restricts single tables of a database export.
	TableOptions map[string]TableOptions
	// SQL is the SELECT of a query export, Params its parameters: an array, or an
	// object of named values.
	SQL    string
	Params jsontext.Value
	// Readable lists the ids of the tables that the statement may read; nil means all.
	Readable []ids.Table
	// Journal selects what an export of the journal holds.
	Journal JournalPart
	// CSV says how CSV files are written, if the format contains any.
	CSV CSVOptions
	// Compression applies to formats that do not compress by themselves: "", "none",
	// "gzip" or "zstd".
	Compression string
	// Canonical makes exports of equal rows identical byte for byte.
	Canonical bool
	// Split lets a workbook continue on another sheet when one is full.
	Split bool
	// ExpiresIn is how long the artifact is kept once it is ready, in seconds; nil
	// means the default.
	ExpiresIn      *int64
	TokenID        ids.Token // of the token that requests it; 0 for none
	OperationRunID *string
	// Receipt is stored with the request, for [Exports.Recall]; nil for none. A receipt
	// that is already stored is a conflict.
	Receipt *projectdb.Receipt
}

// TableOptions says what a database export contains of a table, and how its CSV file is
// written if that differs from the others.
type TableOptions struct {
	projectdb.Selection
	CSV CSVOptions
}

// ProjectRef is all that exports know about a project.
type ProjectRef = jobs.ProjectRef

// spec is what a job has been asked to do. It refers to tables by id, so that neither
// renaming a table nor creating another one with the same name changes the result.
type spec struct {
	Tables     []ids.Table // nil: all but Excluded
	Excluded   []ids.Table
	Selections map[ids.Table]projectdb.Selection
	SQL        string
	Params     jsontext.Value
	Readable   []ids.Table
	Journal    *JournalPart                  // of an export of the journal
	Dialect    *format.Dialect               // of CSV files; nil: the default
	Dialects   map[ids.Table]*format.Dialect // of CSV files of single tables
	Compress   string                        // "", "gzip" or "zstd"
	Canonical  bool
	Split      bool // of a workbook into sheets
}

// dialect returns the dialect of a table's CSV file; 0 stands for the result of a
// query.
func (sp *spec) dialect(tableID ids.Table) format.Dialect {
	d := cmp.Or(sp.Dialects[tableID], sp.Dialect)
	if d == nil {
		return format.DefaultDialect()
	}
	return *d
}

// Create checks the request and stores it as a pending job. It reports all faults at
// once, under the field names of the request body, together with those already in
// faults. An unknown table in a table export is not_found.
func (e *Exports) Create(ctx context.Context, faults *problem.Faults, req Request) (Manifest, error) {
	r, err := e.check(ctx, faults, req)
	if err != nil {
		return Manifest{}, err
	}
	if err := e.config.Disk.Need(0); err != nil {
		return Manifest{}, err
	}
	if err := e.jobs.add(ctx, r, e.now(), e.config.Bounds()); err != nil {
		return Manifest{}, notTwice(err)
	}
	m := r.manifest
	if places, err := e.jobs.Places(ctx, r.projectID, m.ID); err == nil { // the request is stored even if its place is unknown
		m.Progress.QueuePosition = places[m.ID]
	}
	e.runner.Wake()
	return m, nil
}

// check turns the request into the record of a pending export.
func (e *Exports) check(ctx context.Context, faults *problem.Faults, req Request) (*record, error) {
	db, release, err := e.projects.Lease(ctx, req.Project.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	tables, err := db.Tables(ctx)
	if err != nil {
		return nil, err
	}
	return e.accept(faults, req, tables, func(r *record) error { return db.CheckQuery(ctx, e.query(r)) })
}

// accept does the work of check without the project; the caller passes its tables. It
// goes on after a fault, so that all faults are reported together, and stops at
// not_found and forbidden.
func (e *Exports) accept(faults *problem.Faults, req Request, tables []projectdb.Table, checkQuery func(*record) error) (*record, error) {
	f := findFormat(faults, req.Kind, req.Format)
	r := &record{projectID: req.Project.ID, root: cmp.Or(req.Root, req.Project.ID), life: e.life(faults, req.ExpiresIn)}
	r.applyOptions(faults, req, f)
	if len(req.FileName) > maxFileName {
		faults.Add("file_name", "The name must have at most %d bytes, but it has %d.", maxFileName, len(req.FileName))
	}
	r.manifest.Options.FileName = req.FileName
	// From here on, f is the format of the downloaded file: compression changes the
	// extension and content type.
	f = f.compressed(r.spec.Compress)
	base := req.Project.Slug + "_schema_export"
	var err error
	switch req.Kind {
	case TableExport:
		base, err = r.applyTable(faults, req, tables)
	case DatabaseExport:
		base = req.Project.Slug + "_database_export"
		r.applyDatabase(faults, req, f, tables)
	case QueryExport:
		base = req.Project.Slug + "_query_export"
		err = r.applyQuery(faults, req, checkQuery)
	case JournalExport, RunExport:
		base = req.Project.Slug + "_" + req.Journal.name()
		r.spec.Journal, r.manifest.Options.Parameters = &req.Journal, req.Journal.Parameters
	}
	if err == nil {
		err = faults.Err()
	}
	if err != nil {
		return nil, err
	}
	// The request is valid; only now does it get an id and a manifest.
	now := e.now()
	m := &r.manifest
	if m.ID, err = e.config.NewID("exp", now); err != nil {
		return nil, err
	}
	m.Kind, m.Scope, m.Project, m.Format, m.Status = req.Kind, "project", req.Project.Slug, f.name, Pending
	m.StorageBackend, m.ContentType, m.Tables = e.artifacts.Backend(), f.contentType(), []TableResult{}
	m.DownloadName = f.downloadName(req.FileName, base)
	m.DownloadURL = "/projects/" + req.Project.Slug + "/export/download/" + m.ID
	m.CreatedAt, m.OperationRunID, m.FormatVersion = jobs.Timestamp(now), req.OperationRunID, formatVersion
	r.receipt = jobs.ReceiptOf(req.Receipt)
	if req.TokenID > 0 { // people have no token
		m.CreatedByTokenID = &req.TokenID
	}
	r.ext = f.ext()
	return r, nil
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

func (r *record) applyTable(faults *problem.Faults, req Request, tables []projectdb.Table) (name string, err error) {
	t, err := projectdb.FindTable(tables, req.Table)
	if err != nil {
		return "", err
	}
	r.choose(faults, t, req.Selection, "")
	r.spec.Tables = []ids.Table{t.ID}
	r.manifest.Table, r.manifest.TableIDs = &t.Name, r.spec.Tables
	r.manifest.Options.setSelection(req.Selection)
	return t.Name, nil
}

// choose applies the selection for a table.
func (r *record) choose(faults *problem.Faults, t *projectdb.Table, s projectdb.Selection, prefix string) {
	s.Check(faults, t, prefix)
	if s.Limit < 0 {
		faults.Add(prefix+"limit", "Must be at least 0.")
	}
	if s.Offset < 0 {
		faults.Add(prefix+"offset", "Must be at least 0.")
	}
	r.spec.setSelection(t.ID, s)
}

func (r *record) applyDatabase(faults *problem.Faults, req Request, f fileFormat, tables []projectdb.Table) {
	options := &r.manifest.Options
	r.spec.Tables, options.IncludeTables = lookUp(faults, "include_tables", req.Include, tables)
	r.spec.Excluded, options.ExcludeTables = lookUp(faults, "exclude_tables", req.Exclude, tables)
	for i, name := range options.ExcludeTables {
		if slices.Contains(r.spec.Tables, r.spec.Excluded[i]) {
			faults.Add("exclude_tables", "The table %s is also in include_tables.", name)
		}
	}
	for i := range tables {
		if r.spec.wants(tables[i].ID) {
			r.manifest.TableIDs = append(r.manifest.TableIDs, tables[i].ID)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(req.TableOptions)) {
		if faults.Full() {
			return
		}
		field := "table_options." + ref
		t, err := projectdb.FindTable(tables, ref)
		switch {
		case err != nil:
			unknownTable(faults, field, ref, tables)
		case !r.spec.wants(t.ID):
			faults.Add(field, "The table is not part of the export.")
		case r.spec.chose(t.ID):
			faults.Add(field, "The table already has options, under its id or its name.")
		default:
			r.applyTableOptions(faults, t, req.TableOptions[ref], f, field+".")
		}
	}
}

// applyTableOptions applies the options for one table of a database.
func (r *record) applyTableOptions(faults *problem.Faults, t *projectdb.Table, o TableOptions, f fileFormat, prefix string) {
	r.choose(faults, t, o.Selection, prefix)
	var options Options
	options.setSelection(o.Selection)
	if d := chooseDialect(faults, o.CSV, f, prefix, r.spec.dialect(t.ID)); d != nil {
		r.spec.setDialect(t.ID, d)
		options.Profile, options.Dialect = o.CSV.Profile, d
	}
	all := &r.manifest.Options.TableOptions
	if *all == nil {
		*all = map[string]Options{}
	}
	(*all)[t.Name] = options
}

// lookUp returns the ids and names of the tables that refs name, without duplicates.
func lookUp(faults *problem.Faults, field string, refs []string, tables []projectdb.Table) (found []ids.Table, names []string) {
	for i, ref := range refs {
		if faults.Full() {
			break
		}
		t, err := projectdb.FindTable(tables, ref)
		if err != nil {
			unknownTable(faults, field+"["+strconv.Itoa(i)+"]", ref, tables)
		} else if !slices.Contains(found, t.ID) {
			found, names = append(found, t.ID), append(names, t.Name)
		}
	}
	return found, names
}

func unknownTable(faults *problem.Faults, field, ref string, tables []projectdb.Table) {
	if faults.Full() || faults.Has(field) {
		return // avoid the work of listing the names
	}
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].Name
	}
	faults.Unknown(field, "table", ref, "", names)
}

// wants reports whether the export includes the table.
func (sp *spec) wants(tableID ids.Table) bool {
	if sp.Tables != nil {
		return slices.Contains(sp.Tables, tableID)
	}
	return !slices.Contains(sp.Excluded, tableID)
}

func (sp *spec) setSelection(tableID ids.Table, s projectdb.Selection) {
	if sp.Selections == nil {
		sp.Selections = map[ids.Table]projectdb.Selection{}
	}
	sp.Selections[tableID] = s
}

func (sp *spec) setDialect(tableID ids.Table, d *format.Dialect) {
	if sp.Dialects == nil {
		sp.Dialects = map[ids.Table]*format.Dialect{}
	}
	sp.Dialects[tableID] = d
}

func (sp *spec) chose(tableID ids.Table) bool {
	_, ok := sp.Selections[tableID]
	return ok
}

// isPart reports whether the export includes only some columns or rows of the table.
func (sp *spec) isPart(tableID ids.Table) bool {
	s := sp.Selections[tableID]
	return s.Columns != nil || s.Filters != nil || s.Limit != 0 || s.Offset != 0
}

// setTotal makes the order of rows depend only on their values.
func (sp *spec) setTotal(tables []*projectdb.Table) {
	for _, t := range tables {
		s := sp.Selections[t.ID]
		s.Total = true
		sp.setSelection(t.ID, s)
	}
}

// tablesOf returns the tables of a snapshot that the export includes.
func (sp *spec) tablesOf(s *projectdb.Snapshot) ([]*projectdb.Table, error) {
	var chosen []*projectdb.Table
	for i := range s.Tables {
		if sp.wants(s.Tables[i].ID) {
			chosen = append(chosen, &s.Tables[i])
		}
	}
	if sp.Tables != nil && len(chosen) < len(sp.Tables) {
		return nil, problem.New(problem.CodeNotFound, "A table of the request no longer exists.")
	}
	return chosen, nil
}
