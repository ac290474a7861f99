package imports

import (
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// Manifest says what an import is, how far it has got, and what its result is.
type Manifest struct {
	ID            string            `json:"id"`
	Kind          Kind              `json:"kind"`
	Project       string            `json:"project"`
	FileName      string            `json:"file_name"`
	Format        *string           `json:"format" doc:"The kind of file, known once the job has started."`
	Status        Status            `json:"status"`
	SizeBytes     *int64            `json:"size_bytes" doc:"The size of the whole file; null while it is not known."`
	ReceivedBytes int64             `json:"received_bytes"`
	SHA256        *string           `json:"sha256" doc:"SHA-256 of the file, in hexadecimal."`
	Options       ingest.Options    `json:"options"`
	DryRun        bool              `json:"dry_run"`
	Preview       *ingest.Preview   `json:"preview" doc:"For a dry run: what the import would do."`
	Report        *ingest.Report    `json:"report" doc:"What the import did. The rejected rows are at rejects_url."`
	NewProject    *registry.Project `json:"new_project" doc:"For a project import: the project that was created."`
	Progress      Progress          `json:"progress"`
	RejectedRows  int64             `json:"rejected_rows"`
	RejectsURL    *string           `json:"rejects_url" doc:"Where the rejected rows can be downloaded as CSV, relative to the server."`
	Error         *string           `json:"error"`
	ErrorCode     *problem.Code     `json:"error_code"`
	ErrorDetails  []problem.Detail  `json:"error_details"`
	CreatedAt     string            `json:"created_at" format:"date-time"`
	CompletedAt   *string           `json:"completed_at" format:"date-time"`
	ExpiresAt     *string           `json:"expires_at" format:"date-time" doc:"How long the file is kept; null when it no longer is."`

	CreatedByTokenID *ids.Token `json:"created_by_token_id"`
	OperationRunID   *string    `json:"operation_run_id"`
}

// Kind is what the file is imported into.
type Kind string

// The kinds of imports.
const (
	TableImport   Kind = "table_import"   // tables of an existing project
	ProjectImport Kind = "project_import" // a new project
)

// Status is the state of an import in its life cycle.
type Status = jobs.Status

// The statuses of an import. An upload that was never finished is Expired, as is a dry
// run whose file is no longer kept.
const (
	Uploading = jobs.Uploading
	Pending   = jobs.Pending
	Running   = jobs.Running
	Ready     = jobs.Ready
	Failed    = jobs.Failed
	Canceled  = jobs.Canceled
	Expired   = jobs.Expired
)

var statuses = [...]Status{Uploading, Pending, Running, Ready, Failed, Canceled, Expired}

// Progress says how far the job has got: rows imported, and bytes of the file read.
type Progress struct {
	Table      string `json:"table,omitzero" doc:"The table that is being filled."`
	RowsDone   int64  `json:"rows_done"`
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`

	QueuePosition int64 `json:"queue_position,omitzero" doc:"While it is pending: 1 for the job that runs next."`
}

// fault returns why the import failed, or nil.
func (r *record) fault() error {
	m := &r.manifest
	switch m.Status {
	case Canceled:
		return problem.New(problem.CodeConflict, "The import was canceled.").About("import_id", m.ID)
	case Failed:
		p := problem.New(*m.ErrorCode, "%s", *m.Error).About("import_id", m.ID)
		p.Details = m.ErrorDetails
		return p
	}
	return nil
}
