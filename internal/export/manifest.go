package export

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Manifest says what an export is, how far it has got, and what its artifact holds.
type Manifest struct {
	ID             string                `json:"id"`
	Kind           Kind                  `json:"kind"`
	Scope          string                `json:"scope" enum:"project"`
	Project        string                `json:"project"`
	Table          *string               `json:"table" doc:"Only for table exports."`
	Format         string                `json:"format"`
	DownloadName   string                `json:"download_name"`
	DownloadURL    string                `json:"download_url" doc:"Relative to the server."`
	StorageBackend string                `json:"storage_backend" enum:"local,s3,gs,azblob" doc:"Where the artifact is: in the data folder of the server, or in a bucket."`
	ContentType    string                `json:"content_type"`
	RowCount       int64                 `json:"row_count" doc:"Rows in the artifact, across all tables; 0 for a schema."`
	Status         Status                `json:"status"`
	SizeBytes      *int64                `json:"size_bytes"`
	SHA256         *string               `json:"sha256" doc:"SHA-256 of the artifact, in hexadecimal."`
	Tables         []TableResult         `json:"tables" doc:"What the artifact contains; for a query, its result as one table."`
	Members        []Member              `json:"members,omitzero" doc:"The members of a ZIP file, in order."`
	Snapshot       *projectdb.SnapshotID `json:"snapshot" doc:"The one state of the project that all tables are read from."`
	FormatVersion  int                   `json:"format_version" doc:"The version of the manifest's form."`
	Options        Options               `json:"options"`
	Progress       Progress              `json:"progress"`
	Error          *string               `json:"error"`
	CreatedAt      string                `json:"created_at" format:"date-time"`
	CompletedAt    *string               `json:"completed_at" format:"date-time"`
	ExpiresAt      *string               `json:"expires_at" format:"date-time" doc:"Counted from completion."`

	CreatedByTokenID *ids.Token `json:"created_by_token_id"`
	OperationRunID   *string    `json:"operation_run_id"`

	// TableIDs are the ids of the tables that the artifact holds or will hold; token
	// scopes are checked against them.
	TableIDs []ids.Table `json:"-"`
}

// Kind is what is exported.
type Kind string

// The kinds of exports.
const (
	TableExport    Kind = "table_export"
	DatabaseExport Kind = "database_export"
	SchemaExport   Kind = "schema_export"
	QueryExport    Kind = "query_export"
	JournalExport  Kind = "journal_export" // recorded calls, runs or sums of them
	RunExport      Kind = "run_export"     // one run with its calls, as a bundle
)

// Status is the state of an export in its life cycle.
type Status = jobs.Status

// The statuses of an export. NotFound is never stored: it means that the artifact of a
// ready export has vanished.
const (
	Pending  = jobs.Pending
	Running  = jobs.Running
	Ready    = jobs.Ready
	Failed   = jobs.Failed
	Canceled = jobs.Canceled
	Expired  = jobs.Expired
	NotFound = Status("not_found")
)

var statuses = [...]Status{Pending, Running, Ready, Failed, Canceled, Expired, NotFound}

// TableResult says what the artifact holds of one table. RowCount is how many rows were
// written; RowsExpected is how many a separate statement counted in the same snapshot.
type TableResult struct {
	Name         string `json:"name"`
	RowCount     int64  `json:"row_count"`
	RowsExpected int64  `json:"rows_expected"`

	Columns      []ResultColumn `json:"columns,omitzero" doc:"The columns whose values the rows have, in order."`
	ContentHash  string         `json:"content_hash,omitzero" doc:"Hash of the values of the rows, whatever the format and the order: the sum, modulo 2^128, of the XXH3 hash of each row, in hexadecimal."`
	SchemaSHA256 string         `json:"schema_sha256,omitzero" doc:"SHA-256 of the statements that create the table and its indexes, where the artifact has them."`

	Replaced int64 `json:"replaced,omitzero" doc:"How many values the format cannot hold: in JSON, infinities, written as null; texts that are not UTF-8, written with U+FFFD except in CSV; and in ANY columns, values that cannot be told from those of another type."`
}

// ResultColumn is a column in the artifact.
type ResultColumn struct {
	Name string `json:"name"`
	Type string `json:"type" enum:"INTEGER,REAL,TEXT,BLOB,ANY" doc:"For a query, the type of its values, or ANY."`
}

// hold records which rows were written.
func (r *TableResult) hold(columns []format.Column, content sqlite.Content) {
	r.Columns = make([]ResultColumn, len(columns))
	for i, c := range columns {
		r.Columns[i] = ResultColumn{c.Name, cmp.Or(c.Type, "ANY")}
	}
	r.ContentHash = content.Hash()
}

// Progress says how far the work has got. Bytes counts bytes of the artifact.
type Progress struct {
	RowsDone  int64 `json:"rows_done"`
	RowsTotal int64 `json:"rows_total"`
	Bytes     int64 `json:"bytes"`

	Uploaded int64 `json:"bytes_uploaded,omitzero" doc:"While the finished artifact is uploaded to its store."`

	RowsPerSecond int64   `json:"rows_per_second,omitzero"`
	EstimatedEnd  *string `json:"estimated_end,omitzero" format:"date-time" doc:"While it is running."`
	QueuePosition int64   `json:"queue_position,omitzero" doc:"While it is pending: 1 for the job that runs next."`
}

// Options are the requested options other than kind and format; options left out of the
// request are left out here too.
type Options struct {
	FileName      string             `json:"file_name,omitzero" doc:"As requested; download_name is the form of it that every system accepts."`
	Columns       []string           `json:"columns,omitzero"`
	Filters       json.RawMessage    `json:"filters,omitzero"`
	Sort          string             `json:"sort,omitzero"`
	Order         string             `json:"order,omitzero"`
	Limit         int64              `json:"limit,omitzero"`
	Offset        int64              `json:"offset,omitzero"`
	IncludeTables []string           `json:"include_tables,omitzero"`
	ExcludeTables []string           `json:"exclude_tables,omitzero"`
	TableOptions  map[string]Options `json:"table_options,omitzero"`
	SQL           string             `json:"sql,omitzero" doc:"For query exports."`
	Params        json.RawMessage    `json:"params,omitzero"`
	Parameters    map[string]string  `json:"parameters,omitzero" doc:"For exports of the journal: the parameters of the request."`
	Profile       string             `json:"profile,omitzero" doc:"The named dialect that the request started from."`
	Dialect       *format.Dialect    `json:"dialect,omitzero" doc:"How CSV files are written: what is needed to read them exactly."`
	Compression   string             `json:"compression,omitzero" enum:"gzip,zstd"`
	Canonical     bool               `json:"canonical,omitzero"`
	Split         bool               `json:"split,omitzero"`
}

func (o *Options) setSelection(s projectdb.Selection) {
	o.Columns, o.Sort, o.Limit, o.Offset = s.Columns, s.Sort, s.Limit, s.Offset
	if s.Filters.Kind() != 'n' {
		o.Filters = json.RawMessage(s.Filters)
	}
	if s.Descending {
		o.Order = "desc"
	}
}

// refuse returns why the artifact cannot be downloaded, or nil.
func (m *Manifest) refuse() error {
	switch m.Status {
	case Ready:
		return nil
	case Pending, Running:
		return problem.New(problem.CodeExportNotReady, "Export file is not ready: the export is %s.", m.Status).Retry(time.Second)
	case Expired:
		return problem.New(problem.CodeExportExpired, "Export file has expired.")
	case NotFound:
		return problem.New(problem.CodeNotFound, "Export file was not found: it has vanished from the store.")
	case Canceled:
		return problem.New(problem.CodeExportFailed, "The export was canceled.").About("export_id", m.ID)
	}
	return problem.New(problem.CodeExportFailed, "The export failed: %s", *m.Error).About("export_id", m.ID)
}
