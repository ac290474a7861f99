package export

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// query returns the statement of a query export.
func (e *Exports) query(r *record) projectdb.Query {
	w := &r.spec
	return projectdb.Query{SQL: w.SQL, Params: w.Params, Timeout: e.config.QueryTimeout, Readable: w.Readable, Group: r.root}
}

// applyQuery sets the statement, which check tries to prepare.
func (r *record) applyQuery(faults *problem.Faults, req Request, check func(*record) error) error {
	r.spec.SQL, r.spec.Params, r.spec.Readable = req.SQL, req.Params.Clone(), req.Readable
	r.manifest.Options.SQL, r.manifest.Options.Params = req.SQL, []byte(r.spec.Params)
	err := check(r)
	if problem.Is(err, problem.CodeValidationFailed) {
		faults.Merge("", err)
		return nil
	}
	return err
}

// writeQuery has a worker process write the rows of the statement into the artifact,
// whose file the worker inherits.
func (e *Exports) writeQuery(j *job, a *artifact.Writer) error {
	db, release, err := e.projects.Lease(j.ctx, j.record.projectID)
	if err != nil {
		return err
	}
	defer release()
	q := e.query(j.record)
	order, err := e.queryRequest(j.record, q)
	if err != nil {
		return err
	}
	order.MD5 = a.WithMD5()
	scope := db.Scope()
	scope.Files, scope.Memory = []*os.File{a.File()}, encoderMemory
	w, err := e.projects.Workers().Start(j.ctx, scope)
	if err != nil {
		return err
	}
	defer w.End()
	var made queryMade
	err = q.Within(j.ctx, func(ctx context.Context) (err error) {
		made, err = exportTask.Call(ctx, w, order, func(p []byte) error { return j.followWorker(p, a) })
		return err
	})
	if err != nil {
		return err
	}
	return made.enter(j, a, order.At)
}

// encoderMemory is how many bytes the encoders of a query export need besides
// SQLite, mostly for the row groups of Parquet.
const encoderMemory = 256 << 20

// queryRequest is what a worker process needs to know about a query export.
type queryRequest struct {
	Query   projectdb.QueryMessage `json:"query"`
	Format  string                 `json:"format"`
	Spec    spec                   `json:"spec"`
	Project string                 `json:"project"`
	At      time.Time              `json:"at"`
	MD5     bool                   `json:"md5"` // whether an MD5 is needed
}

func (e *Exports) queryRequest(r *record, q projectdb.Query) (queryRequest, error) {
	message, err := q.Message()
	layout := spec{Dialect: r.spec.Dialect, Compress: r.spec.Compress, Canonical: r.spec.Canonical, Split: r.spec.Split}
	return queryRequest{Query: message, Format: r.manifest.Format, Spec: layout, Project: r.manifest.Project, At: e.now()}, err
}

// followWorker records the progress that a worker process reports, and stops the worker
// when the disk runs short of space.
func (j *job) followWorker(p []byte, a *artifact.Writer) error {
	var told workerProgress
	if err := json.Unmarshal(p, &told); err != nil {
		return fmt.Errorf("read the progress of a worker: %w", err)
	}
	j.rowsDone.Store(told.Rows)
	return a.Grow(told.Bytes)
}

// enter takes over the result of a worker process.
func (made queryMade) enter(j *job, a *artifact.Writer, at time.Time) error {
	if err := a.Accept(made.Size, made.SHA256, made.MD5); err != nil {
		return err
	}
	m := &j.record.manifest
	if !j.record.spec.Canonical {
		id := projectdb.SnapshotAt(made.Commit, at)
		m.Snapshot = &id
	}
	m.Tables, m.RowCount = []TableResult{made.Table}, made.Table.RowCount
	j.rowsDone.Store(m.RowCount)
	j.rowsTotal.Store(m.RowCount)
	return nil
}
