package export

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// query returns the statement of a query export.
func (e *Exports) query(r *record) projectdb.Query {
	w := &r.work
	return projectdb.Query{SQL: w.SQL, Params: w.Params, Timeout: e.config.QueryTimeout, Readable: w.Readable, Group: r.root}
}

// orderQuery notes the statement, for which check says whether it can run.
func (r *record) orderQuery(faults *problem.Faults, o Order, check func(*record) error) error {
	r.work.SQL, r.work.Params, r.work.Readable = o.SQL, o.Params.Clone(), o.Readable
	r.manifest.Options.SQL, r.manifest.Options.Params = o.SQL, []byte(r.work.Params)
	err := check(r)
	if problem.Is(err, problem.CodeValidationFailed) {
		faults.Merge("", err)
		return nil
	}
	return err
}

// writeQuery has a worker write the rows that the statement gives into the
// artifact, which the worker inherits.
func (e *Exports) writeQuery(j *job, a *artifact) error {
	db, release, err := e.projects.Lease(j.ctx, j.record.projectID)
	if err != nil {
		return err
	}
	defer release()
	q := e.query(j.record)
	order, err := e.queryOrder(j.record, q)
	if err != nil {
		return err
	}
	order.MD5 = a.md5 != nil
	scope := db.Scope()
	scope.Files, scope.Memory = []*os.File{a.file}, encoderMemory
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

// encoderMemory is what the encoders of a query export need beside SQLite, in
// bytes: most for the groups of rows of Parquet.
const encoderMemory = 256 << 20

// queryOrder is what a worker must know of a query export.
type queryOrder struct {
	Query   projectdb.QueryMessage `json:"query"`
	Format  string                 `json:"format"`
	Work    work                   `json:"work"`
	Project string                 `json:"project"`
	At      time.Time              `json:"at"`
	MD5     bool                   `json:"md5"` // is wanted
}

func (e *Exports) queryOrder(r *record, q projectdb.Query) (queryOrder, error) {
	message, err := q.Message()
	layout := work{Dialect: r.work.Dialect, Compress: r.work.Compress, Canonical: r.work.Canonical, Split: r.work.Split}
	return queryOrder{Query: message, Format: r.manifest.Format, Work: layout, Project: r.manifest.Project, At: e.now()}, err
}

// followWorker notes the progress that a worker tells, and ends it when the disk has
// too little room.
func (j *job) followWorker(p []byte, a *artifact) error {
	var told workerProgress
	if err := json.Unmarshal(p, &told); err != nil {
		return fmt.Errorf("read the progress of a worker: %w", err)
	}
	j.rowsDone.Store(told.Rows)
	return a.grown(told.Bytes - a.bytes.Swap(told.Bytes))
}

// enter takes over what a worker has made.
func (made queryMade) enter(j *job, a *artifact, at time.Time) error {
	if err := a.takeOver(made.Size, made.SHA256, made.MD5); err != nil {
		return err
	}
	m := &j.record.manifest
	if !j.record.work.Canonical {
		id := projectdb.SnapshotAt(made.Commit, at)
		m.Snapshot = &id
	}
	m.Tables, m.RowCount = []TableResult{made.Table}, made.Table.RowCount
	j.rowsDone.Store(m.RowCount)
	j.rowsTotal.Store(m.RowCount)
	return nil
}
