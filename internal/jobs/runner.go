package jobs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Job is what a Runner knows of a job that a worker works on. The job of each kind
// has one in it.
type Job struct {
	ID        string
	ProjectID int64
	Context   context.Context // ends when the job is canceled or interrupted, or the server stops

	cancel   context.CancelCauseFunc
	canceled atomic.Bool
	done     chan struct{} // closed when the job has come to an end and has cleared up
}

// Interrupt ends the context of the job, with a cause for which it fails.
func (j *Job) Interrupt(cause error) { j.cancel(cause) }

// Canceled reports whether somebody has canceled the job.
func (j *Job) Canceled() bool { return j.canceled.Load() }

// Runner runs the jobs of one store, each as a J. Its fields are set before Start
// and not changed. The methods may be called from many goroutines.
type Runner[R, J any] struct {
	*Dispatcher
	Store      Store[R]
	Quarantine *Quarantine
	Limits     Limits
	Log        *slog.Logger

	Name  func(*R) (id string, projectID int64)
	Begin func(c *sqlite.Conn, id string) error // notes more of a claimed job; nil: nothing

	New      func(*Job, *R) *J
	Run      func(*J) error        // does the work, and leaves nothing behind when it fails
	Complete func(j *J, err error) // notes what the job has come to
	Save     func(*J) error        // enters it into the store, unless the job was canceled or removed; called until it succeeds
	PutBack  func(*J) error        // makes the job pending again
	mu       sync.Mutex
	running  map[string]*running[J]
	claiming sync.Mutex // held from the claim of a job until it is in running
}

// running is a job that a worker works on, as the Runner and as its kind know it.
type running[J any] struct {
	*Job
	own *J
}

// Start begins to run jobs. There is one worker more than the limit: see Claim.
func (r *Runner[R, J]) Start() {
	r.Quarantine.Join(r.Dispatcher)
	r.Dispatch(r.Limits.Workers+1, r.Log, r.claim)
}

// claim takes the next job, or nil, out of the store, and returns what runs it.
func (r *Runner[R, J]) claim() (run func(), err error) {
	r.claiming.Lock()
	defer r.claiming.Unlock()
	entry, leave, err := Claim(r.Stopped, r.Quarantine, r.Store, r.Limits, r.Begin)
	if entry == nil || err != nil {
		return nil, err
	}
	j := &running[J]{Job: r.NewJob(r.Stopped, entry)}
	j.own = r.New(j.Job, entry)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[string]*running[J]{}
	}
	r.running[j.ID] = j
	return func() {
		defer leave()
		r.run(j)
	}, nil
}

// NewJob returns a job of the store that no worker works on yet.
func (r *Runner[R, J]) NewJob(ctx context.Context, entry *R) *Job {
	j := &Job{done: make(chan struct{})}
	j.ID, j.ProjectID = r.Name(entry)
	j.Context, j.cancel = context.WithCancelCause(ctx)
	return j
}

// run is an attempt from the claim to the end.
func (r *Runner[R, J]) run(j *running[J]) {
	err := r.Run(j.own)
	if err != nil && j.Context.Err() != nil {
		err = context.Cause(j.Context)
	}
	if err != nil && r.Stopped.Err() != nil && !j.Canceled() {
		if err := r.PutBack(j.own); err != nil {
			// The next start does the same, but counts the attempt.
			r.Log.Error("put the "+r.Store.Job+" back", "id", j.ID, "error", err)
		}
	} else {
		r.Complete(j.own, err)
		r.save(j)
	}
	r.mu.Lock()
	delete(r.running, j.ID)
	r.mu.Unlock()
	j.cancel(nil)
	close(j.done)
}

// settle enters what the job has come to, also when the server is stopping; then it
// is tried only once.
func (r *Runner[R, J]) save(j *running[J]) {
	for err := r.Save(j.own); err != nil; err = r.Save(j.own) {
		if r.Stopped.Err() != nil {
			return
		}
		r.Log.Error("settle the "+r.Store.Job, "id", j.ID, "error", err)
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

// Running returns the jobs that run. It waits for a claim under way.
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

// Cancel stops a job if it runs, and waits until it has cleared up. Those who wait
// for it are told in any case.
func (r *Runner[R, J]) Cancel(ctx context.Context, id string) error {
	return r.cancel(ctx, func(j *Job) bool { return j.ID == id })
}

// RemoveProject removes the jobs of a project from the store, and cancels those
// that run.
func (r *Runner[R, J]) RemoveProject(ctx context.Context, projectID int64) error {
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

// Sweep has sweep remove what had expired by then, again and again, until the dispatcher
// stops. Because what has expired must be so for two sweeps, a clock that jumps
// ahead and back again does no harm. Whenever something comes from wake, only also
// is called, which is called after each sweep too.
func (r *Runner[R, J]) Sweep(interval time.Duration, now func() time.Time, sweep func(ctx context.Context, then time.Time) error, wake <-chan struct{}, also func(context.Context)) {
	also(r.Stopped)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for last := now(); ; {
		select {
		case <-ticker.C:
			present := now()
			if err := sweep(r.Stopped, SweepCutoff(last, present)); err != nil && r.Stopped.Err() == nil {
				r.Log.Error("sweep the "+r.Store.Table, "error", err)
			}
			last = present
		case <-wake:
		case <-r.Stopped.Done():
			return
		}
		also(r.Stopped)
	}
}

// NotePlaces enters into the manifests of a project's pending jobs where they stand
// in the queue. of returns the id of a pending job and where its place belongs, ""
// for a job that is not pending.
func NotePlaces[R, M any](ctx context.Context, b Store[R], projectID int64, list []M, of func(*M) (id string, place *int64)) error {
	var pending []string
	for i := range list {
		if id, _ := of(&list[i]); id != "" {
			pending = append(pending, id)
		}
	}
	places, err := b.Places(ctx, projectID, pending...)
	for i := range list {
		if id, place := of(&list[i]); id != "" {
			*place = places[id]
		}
	}
	return err
}
