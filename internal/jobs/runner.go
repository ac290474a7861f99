package jobs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Job is what a [Runner] knows about a running job. Each kind embeds it in a type of
// its own.
type Job struct {
	ID        string
	ProjectID ids.Project
	Context   context.Context // ends when the job is canceled or interrupted, or the server stops

	cancel   context.CancelCauseFunc
	canceled atomic.Bool
	done     chan struct{} // closed when the job has ended and has cleaned up
}

// Interrupt ends the context of the job. The job fails with the cause.
func (j *Job) Interrupt(cause error) { j.cancel(cause) }

// Canceled reports whether the job has been canceled.
func (j *Job) Canceled() bool { return j.canceled.Load() }

// Kind is what one kind of job provides to its [Runner]: the steps in which kinds
// differ. R is a record of the store, J is a running job.
type Kind[R, J any] struct {
	Name  func(*R) (id string, projectID ids.Project)
	Begin func(c *sqlite.Conn, id string) error // makes further updates to the record of a claimed job; nil: none

	New      func(*Job, *R) *J
	Run      func(*J) error        // does the work; leaves nothing behind if it fails
	Complete func(j *J, err error) // turns what Run returned into the outcome of the job
	Save     func(*J) error        // stores the outcome, unless the job was canceled or removed; repeated until it succeeds
	PutBack  func(*J) error        // makes the job pending again

	// Sweep removes what had expired by a time, which lies one sweep in the past.
	Sweep func(ctx context.Context, at time.Time) error
}

// Runner runs the jobs of one store. Its fields are not changed after Start. The
// methods may be called from many goroutines.
type Runner[R, J any] struct {
	*Dispatcher
	Config Config
	Store  Store[R]
	Kind   Kind[R, J]

	mu       sync.Mutex
	running  map[string]*running[J]
	claiming sync.Mutex // held from the claim of a job until the job is in running
}

// running is a running job, as seen by the Runner and by its kind.
type running[J any] struct {
	*Job
	own *J
}

// NewRunner returns a runner for the jobs of a store. No job runs before Start.
func NewRunner[R, J any](config Config, store Store[R], kind Kind[R, J]) *Runner[R, J] {
	return &Runner[R, J]{Dispatcher: NewDispatcher(), Config: config, Store: store, Kind: kind, running: map[string]*running[J]{}}
}

// Start begins to run jobs and to sweep. It starts one goroutine more than there are
// workers, for the extra job that [Store.Claim] allows.
func (r *Runner[R, J]) Start() {
	r.Config.Quarantine.Join(r.Dispatcher)
	r.Dispatch(r.Config.Workers+1, r.Config.Log, r.claim)
	r.Go(r.sweep)
}

// Close stops the jobs, which start over after the next Start, waits for them, and
// closes the store.
func (r *Runner[R, J]) Close() error {
	r.Dispatcher.Close()
	return r.Store.DB.Close()
}

// claim claims the next job and returns a function that runs it, or nil if there is
// none.
func (r *Runner[R, J]) claim() (run func(), err error) {
	r.claiming.Lock()
	defer r.claiming.Unlock()
	record, leave, err := Claim(r.Stopped, r.Config.Quarantine, r.Store, r.Config.Limits(), r.Kind.Begin)
	if record == nil || err != nil {
		return nil, err
	}
	j := &running[J]{Job: r.NewJob(r.Stopped, record)}
	j.own = r.Kind.New(j.Job, record)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[j.ID] = j
	return func() {
		defer leave()
		r.run(j)
	}, nil
}

// NewJob returns a job for a record that is not running yet.
func (r *Runner[R, J]) NewJob(ctx context.Context, record *R) *Job {
	j := &Job{done: make(chan struct{})}
	j.ID, j.ProjectID = r.Kind.Name(record)
	j.Context, j.cancel = context.WithCancelCause(ctx)
	return j
}

// run runs one attempt, from the claim to its end.
func (r *Runner[R, J]) run(j *running[J]) {
	err := r.Kind.Run(j.own)
	if err != nil && j.Context.Err() != nil {
		// Whatever Run returned, this is why it failed.
		err = context.Cause(j.Context)
	}
	if err != nil && r.Stopped.Err() != nil && !j.Canceled() {
		if err := r.Kind.PutBack(j.own); err != nil {
			// The next start does the same, but counts the attempt.
			r.Config.Log.Error("put the "+r.Store.Job+" back", "id", j.ID, "error", err)
		}
	} else {
		r.Kind.Complete(j.own, err)
		r.save(j)
	}
	r.mu.Lock()
	delete(r.running, j.ID)
	r.mu.Unlock()
	j.cancel(nil)
	close(j.done)
}

// save stores the outcome of a job. It retries until it succeeds, but tries only once
// while the server is stopping: the next start takes the job up then.
func (r *Runner[R, J]) save(j *running[J]) {
	for err := r.Kind.Save(j.own); err != nil; err = r.Kind.Save(j.own) {
		if r.Stopped.Err() != nil {
			return
		}
		r.Config.Log.Error("save the outcome of the "+r.Store.Job, "id", j.ID, "error", err)
		r.Rest()
	}
}

// Find returns the running job with this id, or nil.
func (r *Runner[R, J]) Find(id string) *J {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.running[id]; j != nil {
		return j.own
	}
	return nil
}

// Running returns the running jobs. It waits for a claim in progress.
func (r *Runner[R, J]) Running() (all []*J) {
	for _, j := range r.which(func(*Job) bool { return true }) {
		all = append(all, j.own)
	}
	return all
}

func (r *Runner[R, J]) which(is func(*Job) bool) (found []*running[J]) {
	r.claiming.Lock()
	defer r.claiming.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.running {
		if is(j.Job) {
			found = append(found, j)
		}
	}
	return found
}

// Cancel stops a job if it is running, and waits until it has cleaned up. Callers
// waiting for the job are woken in any case.
func (r *Runner[R, J]) Cancel(ctx context.Context, id string) error {
	return r.cancel(ctx, func(j *Job) bool { return j.ID == id })
}

// RemoveProject removes the jobs of a project from the store, and cancels those that
// are running.
func (r *Runner[R, J]) RemoveProject(ctx context.Context, projectID ids.Project) error {
	if err := r.Store.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	return r.cancel(ctx, func(j *Job) bool { return j.ProjectID == projectID })
}

func (r *Runner[R, J]) cancel(ctx context.Context, which func(*Job) bool) error {
	r.NotifyFinished()
	for _, j := range r.which(which) {
		j.canceled.Store(true)
		j.cancel(nil)
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sweep periodically removes what has expired, until the runner stops. It removes only
// what had already expired at the previous sweep, so that a clock that jumps ahead and
// back does no harm.
func (r *Runner[R, J]) sweep() {
	ticker := time.NewTicker(r.Config.SweepInterval)
	defer ticker.Stop()
	for last := r.Config.Now(); ; {
		select {
		case <-ticker.C:
		case <-r.Stopped.Done():
			return
		}
		now := r.Config.Now()
		if err := r.Kind.Sweep(r.Stopped, SweepCutoff(last, now)); err != nil && r.Stopped.Err() == nil {
			r.Config.Log.Error("sweep the "+r.Store.Table, "error", err)
		}
		last = now
	}
}

// SweepCutoff returns the time by which something must have expired to be swept: the
// earlier of the previous and the current sweep.
func SweepCutoff(previous, now time.Time) time.Time {
	if previous.Before(now) {
		return previous
	}
	return now
}
