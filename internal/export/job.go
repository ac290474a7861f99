package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/zangtable/zangtable/internal/format"
)

// job is an export that a worker works on.
type job struct {
	record *record
	ctx    context.Context // ends when the job is canceled or the server stops
	cancel context.CancelFunc
	done   chan struct{} // closed when the job is settled and has cleared up

	rowsDone, rowsTotal atomic.Int64
	artifact            atomic.Pointer[artifact]
}

func newJob(ctx context.Context, r *record) *job {
	j := &job{record: r, done: make(chan struct{})}
	j.ctx, j.cancel = context.WithCancel(ctx)
	return j
}

func (j *job) progress() Progress {
	p := Progress{RowsDone: j.rowsDone.Load(), RowsTotal: j.rowsTotal.Load()}
	if a := j.artifact.Load(); a != nil {
		p.Bytes = a.bytes.Load()
	}
	return p
}

// make makes the artifact of the job and completes its manifest. When it fails
// nothing is left.
func (e *Exports) make(j *job) error {
	a, err := e.folder.create(j.record)
	if err != nil {
		return err
	}
	j.artifact.Store(a)
	if err := e.fill(j, a); err != nil {
		return errors.Join(err, a.discard())
	}
	if err := a.publish(); err != nil {
		return err
	}
	m := &j.record.manifest
	size, sum := a.bytes.Load(), hex.EncodeToString(a.sum[:])
	m.SizeBytes, m.SHA256, m.Progress = &size, &sum, j.progress()
	return nil
}

// fill takes a snapshot of the project and writes what was ordered of it.
func (e *Exports) fill(j *job, a *artifact) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	s, err := e.openSource(j.ctx, j.record)
	if err != nil {
		return err
	}
	defer s.close()
	m := &j.record.manifest
	m.Snapshot = &s.snapshot.ID
	f := findFormat(nil, m.Kind, m.Format)
	if m.Kind == SchemaExport {
		return f.writeSchema(a, m.Project, e.now(), s.tables)
	}
	if err := j.count(s); err != nil {
		return err
	}
	document, err := f.document(a, m.Project, s.snapshot.ID, e.now())
	if err != nil {
		return err
	}
	return j.copy(s, document)
}

// count enters into the manifest the tables and how many rows they are to
// have.
func (j *job) count(s *source) error {
	m := &j.record.manifest
	m.Tables, m.TableIDs = make([]TableResult, len(s.tables)), make([]int64, len(s.tables))
	total := int64(0)
	for i, t := range s.tables {
		rows, err := s.snapshot.Count(t, s.work.Selections[t.ID])
		if err != nil {
			return fmt.Errorf("count the rows of %s: %w", t.Name, err)
		}
		m.Tables[i] = TableResult{Name: t.Name, RowsExpected: rows}
		m.TableIDs[i] = t.ID
		total += rows
	}
	j.rowsTotal.Store(total)
	return nil
}

// check makes sure that all rows were written, and notes what the format could
// not hold.
func (r *TableResult) check(encoder format.Encoder) error {
	if r.RowCount != r.RowsExpected {
		return fmt.Errorf("the table %s gave %d rows, %d were counted in the same snapshot", r.Name, r.RowCount, r.RowsExpected)
	}
	if json, ok := encoder.(*format.JSON); ok {
		r.Replaced = json.Replaced()
	}
	return nil
}
