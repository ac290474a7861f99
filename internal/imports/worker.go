package imports

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// job is an import that a worker works on.
type job struct {
	*jobs.Job
	record *record
	ctx    context.Context // ends when the job is canceled, the disk fills or the server stops
	unsure bool            // an earlier attempt may have been committed

	progressed atomic.Pointer[Progress]
}

func newJob(base *jobs.Job, r *record) *job {
	j := &job{Job: base, record: r, ctx: base.Context}
	j.progressed.Store(pointer(r.manifest.Progress))
	return j
}

func (j *job) progress() Progress { return *j.progressed.Load() }

// newRunner returns what runs the jobs of the book.
func (m *Imports) newRunner() *jobs.Runner[record, job] {
	return &jobs.Runner[record, job]{
		Crew:       jobs.NewCrew(),
		Book:       m.book.Book,
		Quarantine: m.config.Quarantine,
		Limits:     jobs.Limits{Workers: m.config.Workers, PerProject: 1},
		Log:        m.log,
		Name:       func(r *record) (string, int64) { return r.manifest.ID, r.projectID },
		Begin: func(c *sqlite.Conn, id string) error {
			return c.Exec("UPDATE imports SET begun_at = coalesce(begun_at, ?) WHERE id = ?", m.now().UnixMilli(), id)
		},
		New: newJob,
		Run: m.run,
		Complete: func(j *job, err error) {
			m.config.Failpoint("loaded")
			j.record.complete(m.now(), err, j.Canceled(), m.config.KeepFiles)
			m.logOutcome(j, err)
		},
		Settle:  m.settle,
		PutBack: func(j *job) error { return m.book.putBack(context.Background(), j.ID, !j.unsure) },
	}
}

// run takes the file in.
func (m *Imports) run(j *job) error {
	m.config.Failpoint("claimed")
	return m.take(j)
}

func (m *Imports) logOutcome(j *job, err error) {
	manifest := &j.record.manifest
	switch {
	case err == nil:
		m.log.Info("import ready", "import", manifest.ID, "project", manifest.Project, "dry_run", manifest.DryRun)
	case isInternal(err) && !j.Canceled():
		m.log.Error("import failed", "import", manifest.ID, "project", manifest.Project, "error", err)
	}
}

func isInternal(err error) bool {
	var known *problem.Error
	return !errors.As(storage.Explain(err), &known)
}

// settle enters the outcome into the book and removes a file that is not kept.
func (m *Imports) settle(j *job) error {
	entered, surplus, err := m.book.settle(context.Background(), j.record, m.config.KeepCount)
	if err != nil {
		return err
	}
	m.config.Failpoint("settled")
	if !entered || j.record.expires.IsZero() {
		surplus = append(surplus, j.record)
	}
	m.removeFiles(surplus)
	return nil
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
	if !m.DryRun && err == nil || giveUp(err) {
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

// recover settles what a crash has interrupted: running jobs are pending again,
// up to jobs.MaxAttempts, uploads that are whole become jobs, and those that cannot be resumed are
// removed.
func (m *Imports) recover(ctx context.Context) error {
	all, err := m.book.interrupted(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		switch {
		case r.manifest.Status == Running:
			err = m.takeUp(ctx, r)
		case !r.resumable:
			err = m.book.withdraw(ctx, r.manifest.ID)
		default:
			err = m.finishWhole(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	if m.config.BookLost {
		if err := m.loseFiles(); err != nil {
			return err
		}
	}
	wanted, err := m.book.wanted(ctx)
	if err != nil {
		return err
	}
	return m.folder.removeOrphans(wanted)
}

// takeUp makes an interrupted job pending again, unless it was committed or has
// been interrupted too often. What an attempt has left in its project is looked at
// now, because that is not kept for as long as the job may have to wait.
func (m *Imports) takeUp(ctx context.Context, r *record) error {
	j := newJob(m.runner.NewJob(ctx, r), r)
	defer j.Interrupt(nil)
	done, err := m.recallWork(j)
	known := err == nil
	if !done && known {
		err = j.mayBegin()
	}
	switch {
	case done || giveUp(err):
		r.complete(m.now(), err, false, m.config.KeepFiles)
	case known:
		r.manifest.Status, r.begun = Pending, time.Time{}
	default:
		m.log.Warn("look whether an import was committed", "import", r.manifest.ID, "error", err)
		r.manifest.Status = Pending
	}
	_, _, err = m.book.settle(ctx, r, -1)
	return err
}

// Why an import is given up, whose file must not be run once more.
var (
	errDeadly = problem.New(problem.CodeConflict,
		"The server died twice while it worked on this file, so it is not tried again. Send it again if you think that the file is not to blame.")
	errUnknownOutcome = problem.New(problem.CodeConflict,
		"The server stopped during the import and was away for so long that it does not know whether the rows were committed. Please look, and send the file again if they were not.")
)

func giveUp(err error) bool { return errors.Is(err, errDeadly) || errors.Is(err, errUnknownOutcome) }

// mayBegin returns why a job that has begun before must not begin again, or nil.
func (j *job) mayBegin() error {
	if j.record.attempt < jobs.MaxAttempts {
		return nil
	}
	return errDeadly
}
