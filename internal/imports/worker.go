package imports

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// job is an import that a worker works on.
type job struct {
	record   *record
	ctx      context.Context // ends when the job is canceled, the disk fills or the server stops
	cancel   context.CancelCauseFunc
	canceled atomic.Bool
	done     chan struct{} // closed when the job is settled and has cleared up

	progressed atomic.Pointer[Progress]
}

func newJob(ctx context.Context, r *record) *job {
	j := &job{record: r, done: make(chan struct{})}
	j.progressed.Store(pointer(r.manifest.Progress))
	j.ctx, j.cancel = context.WithCancelCause(ctx)
	return j
}

func (j *job) progress() Progress { return *j.progressed.Load() }

// claim takes the next job, or nil, out of the book, and returns what runs it.
func (m *Imports) claim() (run func(), err error) {
	j, err := m.running.Claim(func() (id string, j *job, err error) {
		r, err := m.book.claim(m.crew.Stopped, m.now())
		if r == nil || err != nil {
			return "", nil, err
		}
		return r.manifest.ID, newJob(m.crew.Stopped, r), nil
	})
	if j == nil || err != nil {
		return nil, err
	}
	return func() { m.runJob(j) }, nil
}

// runJob takes the file in and settles the job.
func (m *Imports) runJob(j *job) {
	m.config.Failpoint("claimed")
	err := m.take(j)
	if err != nil && j.ctx.Err() != nil {
		err = context.Cause(j.ctx)
	}
	m.config.Failpoint("loaded")
	if err != nil && m.crew.Stopped.Err() != nil && !j.canceled.Load() {
		m.putBack(j)
	} else {
		j.record.complete(m.now(), err, j.canceled.Load(), m.config.KeepFiles)
		m.logOutcome(j, err)
		m.settle(j)
	}
	m.running.Remove(j.record.manifest.ID)
	j.cancel(nil)
	close(j.done)
}

func (m *Imports) putBack(j *job) {
	if err := m.book.PutBack(context.Background(), j.record.manifest.ID); err != nil {
		// The next Open does the same.
		m.log.Error("stop an import", "import", j.record.manifest.ID, "error", err)
	}
}

func (m *Imports) logOutcome(j *job, err error) {
	manifest := &j.record.manifest
	switch {
	case err == nil:
		m.log.Info("import ready", "import", manifest.ID, "project", manifest.Project, "dry_run", manifest.DryRun)
	case isInternal(err) && !j.canceled.Load():
		m.log.Error("import failed", "import", manifest.ID, "project", manifest.Project, "error", err)
	}
}

func isInternal(err error) bool {
	var known *problem.Error
	return !errors.As(storage.Explain(err), &known)
}

// settle enters the outcome into the book and removes a file that is not kept.
func (m *Imports) settle(j *job) {
	for {
		// The outcome must be entered also when the server is stopping.
		entered, err := m.book.settle(context.Background(), j.record)
		if err == nil {
			m.config.Failpoint("settled")
			if !entered || j.record.expires.IsZero() {
				err = m.folder.remove(j.record)
			}
			if err != nil {
				// The next Open removes it: no entry needs it any more.
				m.log.Error("remove an upload", "import", j.record.manifest.ID, "error", err)
			}
			return
		}
		if m.crew.Stopped.Err() != nil {
			return
		}
		m.log.Error("settle an import", "import", j.record.manifest.ID, "error", err)
		m.crew.Rest()
	}
}

// complete makes the record that of an import that is ready, failed or
// canceled. The file is kept for those who may want to run it again.
func (r *record) complete(now time.Time, err error, canceled bool, keep time.Duration) {
	m := &r.manifest
	if err != nil && canceled {
		r.cancel(now)
		return
	}
	r.settled, m.CompletedAt = now, pointer(timestamp(now))
	m.Status = Ready
	if err != nil {
		r.fail(err)
	}
	r.expires, m.ExpiresAt = time.Time{}, nil
	if !m.DryRun && err == nil {
		r.forget()
		return
	}
	r.expires = now.Add(keep)
	m.ExpiresAt = pointer(timestamp(r.expires))
}

// fail notes why a job failed, as far as a client may know.
func (r *record) fail(err error) {
	m := &r.manifest
	p := problem.New(problem.CodeInternal, "Something went wrong on the server. Its log has the reason under the id of the import.")
	if known := (*problem.Error)(nil); errors.As(storage.Explain(err), &known) {
		p = known
	}
	m.Status, m.Error, m.ErrorCode = Failed, &p.Message, &p.Code
	m.ErrorDetails = append([]problem.Detail{}, p.Details[:min(len(p.Details), maxDetails)]...)
}

// maxDetails bounds the faults that a manifest tells. All that are known of rows
// are among the rejects.
const maxDetails = 100

// maxAttempts is how often a job may begin.
const maxAttempts = 3

// recover settles what a crash has interrupted: running jobs are pending again,
// uploads that are whole become jobs, and those that cannot be resumed are
// removed.
func (m *Imports) recover(ctx context.Context) error {
	all, err := m.book.interrupted(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		switch {
		case r.manifest.Status == Running:
			_, err = m.book.change(ctx, r.projectID, r.manifest.ID, func(_ *sqlite.Conn, r *record) error {
				r.takeUp(m.now(), m.config.KeepFiles)
				return nil
			})
		case !r.resumable:
			err = m.book.remove(ctx, r.manifest.ID)
		default:
			err = m.finishWhole(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	wanted, err := m.book.wanted(ctx)
	if err != nil {
		return err
	}
	return m.folder.removeOrphans(wanted)
}

// takeUp makes an interrupted job pending again, as long as the receipt that it
// may have left in its project is kept.
func (r *record) takeUp(now time.Time, keep time.Duration) {
	if r.manifest.DryRun || now.Sub(r.begun) < projectdb.ReceiptLife-time.Hour {
		r.manifest.Status = Pending
		return
	}
	r.complete(now, problem.New(problem.CodeConflict,
		"The server stopped during the import and was away for so long that it does not know whether the rows were committed. Please look, and send the file again if they were not."), false, keep)
	r.expires, r.manifest.ExpiresAt = time.Time{}, nil // it must not be run twice
}

func (j *job) tooOften() error {
	if j.record.attempt <= maxAttempts {
		return nil
	}
	return fmt.Errorf("attempt %d: the server stopped each time while it worked on the import", j.record.attempt)
}
