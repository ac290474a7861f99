package imports

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// job is a running import.
type job struct {
	*jobs.Job
	record *record
	ctx    context.Context // ends when the job is canceled, the disk fills or the server stops
	unsure bool            // an earlier attempt may have been committed

	progressed atomic.Pointer[Progress]
}

func newJob(base *jobs.Job, r *record) *job {
	j := &job{Job: base, record: r, ctx: base.Context}
	j.progressed.Store(new(r.manifest.Progress))
	return j
}

func (j *job) progress() Progress { return *j.progressed.Load() }

// kind returns what the runner needs to know about imports.
func (im *Imports) kind() jobs.Kind[record, job] {
	return jobs.Kind[record, job]{
		Name: func(r *record) (string, ids.Project) { return r.manifest.ID, r.projectID },
		Begin: func(c *sqlite.Conn, id string) error {
			return c.Exec("UPDATE imports SET begun_at = coalesce(begun_at, ?) WHERE id = ?", im.now().UnixMilli(), id)
		},
		New: newJob,
		Run: im.run,
		Complete: func(j *job, err error) {
			im.config.Failpoint("loaded")
			j.record.complete(im.now(), err, j.Canceled(), im.config.KeepFiles)
			im.logOutcome(j, err)
		},
		Save:    im.save,
		PutBack: func(j *job) error { return im.jobs.putBack(context.Background(), j.ID, !j.unsure) },
		Sweep:   im.sweep,
	}
}

// run imports the file.
func (im *Imports) run(j *job) error {
	im.config.Failpoint("claimed")
	return im.execute(j)
}

func (im *Imports) logOutcome(j *job, err error) {
	manifest := &j.record.manifest
	switch {
	case err == nil:
		im.log.Info("import ready", "import", manifest.ID, "project", manifest.Project, "dry_run", manifest.DryRun)
	case isInternal(err) && !j.Canceled():
		im.log.Error("import failed", "import", manifest.ID, "project", manifest.Project, "error", err)
	}
}

func isInternal(err error) bool {
	var known *problem.Error
	return !errors.As(storage.Explain(err), &known)
}

// save stores the outcome and removes the file if it is no longer needed.
func (im *Imports) save(j *job) error {
	entered, surplus, err := im.jobs.saveOutcome(context.Background(), j.record, im.config.KeepCount)
	if err != nil {
		return err
	}
	im.config.Failpoint("settled")
	if !entered || j.record.expires.IsZero() {
		surplus = append(surplus, j.record)
	}
	im.removeFiles(surplus)
	return nil
}

// complete completes the record as ready, failed or canceled. The file is kept in case
// the import is to be run again.
func (r *record) complete(now time.Time, err error, canceled bool, keep time.Duration) {
	m := &r.manifest
	if err != nil && canceled {
		r.cancel(now)
		return
	}
	r.finished, m.CompletedAt = now, new(jobs.Timestamp(now))
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
	m.ExpiresAt = new(jobs.Timestamp(r.expires))
}

// fail records why a job failed, in terms that clients may see.
func (r *record) fail(err error) {
	m := &r.manifest
	p := problem.New(problem.CodeInternal, "%s", problem.Internal("the id of the import"))
	if known := (*problem.Error)(nil); errors.As(storage.Explain(err), &known) {
		p = known
	}
	m.Status, m.Error, m.ErrorCode = Failed, &p.Message, &p.Code
	m.ErrorDetails = append([]problem.Detail{}, p.Details[:min(len(p.Details), maxDetails)]...)
}

// maxDetails limits the faults in a manifest. All known faults of rows are in the
// rejects.
const maxDetails = 100

// recover takes up work interrupted by a crash: running jobs become pending again,
// unless they have been interrupted jobs.MaxAttempts times; complete uploads become
// jobs; and uploads that cannot be resumed are removed.
func (im *Imports) recover(ctx context.Context) error {
	all, err := im.jobs.interrupted(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		switch {
		case r.manifest.Status == Running:
			err = im.resume(ctx, r)
		case !r.resumable:
			err = im.jobs.withdraw(ctx, r.manifest.ID)
		default:
			err = im.finishWhole(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	if im.config.StoreLost {
		// Without the store, nobody knows what the uploads were for.
		moved, err := im.dir.loseAll()
		if err != nil {
			return fmt.Errorf("keep uploads whose store is lost: %w", err)
		}
		if moved > 0 {
			im.log.Warn("imports.db was missing or damaged: its uploads were moved to where they stay", "files", moved, "folder", im.dir.Lost())
		}
	}
	wanted, err := im.jobs.wanted(ctx)
	if err != nil {
		return err
	}
	return im.dir.removeOrphans(wanted)
}

// resume makes an interrupted job pending again, unless it was committed or has been
// interrupted too often. It checks now what an attempt has left in the project, because
// that may be gone by the time the job runs.
func (im *Imports) resume(ctx context.Context, r *record) error {
	j := newJob(im.runner.NewJob(ctx, r), r)
	defer j.Interrupt(nil)
	done, err := im.recallOutcome(j)
	known := err == nil
	if !done && known {
		err = j.mayBegin()
	}
	switch {
	case done || giveUp(err):
		r.complete(im.now(), err, false, im.config.KeepFiles)
	case known:
		r.manifest.Status, r.begun = Pending, time.Time{}
	default:
		im.log.Warn("look whether an import was committed", "import", r.manifest.ID, "error", err)
		r.manifest.Status = Pending
	}
	_, _, err = im.jobs.saveOutcome(ctx, r, -1)
	return err
}

// Reasons for giving up an import whose file must not be run again.
var (
	errDeadly = problem.New(problem.CodeConflict,
		"The server crashed twice while it worked on this file, so it is not tried again. Upload the file again if you think that it is not the cause.")
	errUnknownOutcome = problem.New(problem.CodeConflict,
		"The server stopped during the import and was down for so long that it cannot tell whether the rows were committed. Please check, and upload the file again if they were not.")
)

func giveUp(err error) bool { return errors.Is(err, errDeadly) || errors.Is(err, errUnknownOutcome) }

// mayBegin returns why an interrupted job must not begin again, or nil.
func (j *job) mayBegin() error {
	if j.record.attempt < jobs.MaxAttempts {
		return nil
	}
	return errDeadly
}
