package jobs

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
)

// watchInterval is how often a watched job is checked.
const watchInterval = 300 * time.Millisecond

// Manifest is what clients see of a job. M is the manifest's own type.
type Manifest[M any] interface {
	Job() (id string, status Status)
	Differs(next M) bool     // whether next shows that the job has made progress
	WithPlace(place int64) M // a copy with its place in the queue
}

// View shows callers the jobs of one kind: each record of the store as a manifest. Its
// methods may be called from many goroutines.
type View[R any, M Manifest[M]] struct {
	store      Store[R]
	dispatcher *Dispatcher
	statuses   []Status
	show       func(ctx context.Context, projectID ids.Project, list bool) func(*R) M
	fault      func(*R) error
	now        func() time.Time
	listTime   time.Duration // how long a list may take
}

// NewView returns a view of the jobs in a store with the given possible statuses. show
// returns a function that turns records of a project into manifests, adding what the
// store does not know: the time, the files and the progress of running jobs; list says
// that it will be called for many records. now is the clock by which jobs expire. fault
// returns why a finished job has no result, or nil.
func NewView[R any, M Manifest[M]](store Store[R], d *Dispatcher, now func() time.Time, statuses []Status,
	show func(ctx context.Context, projectID ids.Project, list bool) func(*R) M, fault func(*R) error) *View[R, M] {
	return &View[R, M]{store: store, dispatcher: d, statuses: statuses, show: show, fault: fault, now: now, listTime: 10 * time.Second}
}

// Get returns the manifest of a job of a project, or not_found.
func (v *View[R, M]) Get(ctx context.Context, projectID ids.Project, id string) (M, error) {
	m, _, err := v.look(ctx, projectID, id)
	return m, err
}

func (v *View[R, M]) look(ctx context.Context, projectID ids.Project, id string) (m M, r *R, err error) {
	if r, err = v.store.Find(ctx, projectID, id); err != nil {
		return m, nil, err
	}
	list := []M{v.show(ctx, projectID, false)(r)}
	err = v.addPlaces(ctx, projectID, list)
	return list[0], r, err
}

// ListOptions selects the jobs to list.
type ListOptions[M any] struct {
	Status  string // one of the statuses; "" or "all" for any
	Limit   int    // 0 means 50
	Offset  int
	Visible func(*M) bool // nil: all of them
}

// List returns jobs of a project, newest first, and whether there are more. An
// unknown status is validation_failed. As much as possible is left to SQLite, because to
// decode a record takes much longer than to pass it over.
func (v *View[R, M]) List(ctx context.Context, projectID ids.Project, o ListOptions[M]) (list []M, more bool, err error) {
	wanted, err := parseStatus(o.Status, v.statuses)
	if err != nil {
		return nil, false, err
	}
	which, all := storedAs(wanted, v.now())
	which.offset, which.limit, which.within = o.Offset, cmp.Or(o.Limit, 50), v.listTime
	if all && o.Visible == nil {
		which.skip, which.offset = o.Offset, 0
	}
	show := v.show(ctx, projectID, true)
	list, more, err = page(ctx, v.store, projectID, which, func(r *R) (M, bool) {
		m := show(r)
		_, status := m.Job()
		return m, (wanted == "" || status == wanted) && (o.Visible == nil || o.Visible(&m))
	})
	if err != nil {
		return nil, false, err
	}
	return list, more, v.addPlaces(ctx, projectID, list)
}

// storedAs selects the records that may be shown with a status, "" for any, and says
// whether all of them are. A job is shown as expired before a sweep stores that. Which
// ready jobs still have their files, only their kind knows.
func storedAs(status Status, now time.Time) (which selection, all bool) {
	switch status {
	case "":
		return selection{condition: "TRUE"}, true
	case Pending, Running, Failed, Canceled:
		return selection{condition: "status = ?", args: []any{string(status)}}, true
	case Uploading:
		return selection{condition: "status = 'uploading' AND (expires_at IS NULL OR expires_at > ?)", args: []any{now.UnixMilli()}}, true
	case Ready:
		return selection{condition: "status = 'ready' AND (expires_at IS NULL OR expires_at > ?)", args: []any{now.UnixMilli()}}, false
	case Expired:
		return selection{condition: "status = 'expired' OR status IN ('uploading', 'ready') AND expires_at <= ?", args: []any{now.UnixMilli()}}, true
	}
	return selection{condition: "status = 'ready'"}, false
}

// addPlaces adds the places in the queue to the manifests of a project's pending jobs.
func (v *View[R, M]) addPlaces(ctx context.Context, projectID ids.Project, list []M) error {
	var pending []string
	for _, m := range list {
		if id, status := m.Job(); status == Pending {
			pending = append(pending, id)
		}
	}
	places, err := v.store.Places(ctx, projectID, pending...)
	for i, m := range list {
		if id, status := m.Job(); status == Pending {
			list[i] = m.WithPlace(places[id])
		}
	}
	return err
}

// Counts returns how many jobs of all projects are pending and running.
func (v *View[R, M]) Counts(ctx context.Context) (Counts, error) { return v.store.Counts(ctx) }

// Wait returns the manifest once the job has finished, or in its current state when ctx
// or the server ends. For a job that failed or was canceled, it also returns an error
// that says why.
func (v *View[R, M]) Wait(ctx context.Context, projectID ids.Project, id string) (m M, err error) {
	looking := context.WithoutCancel(ctx)
	for {
		next := v.dispatcher.nextFinished()
		m, r, err := v.look(looking, projectID, id)
		if err != nil {
			return m, err
		}
		if finished(m) {
			return m, v.fault(r)
		}
		select {
		case <-next:
		case <-v.dispatcher.Stopped.Done():
			return m, nil
		case <-ctx.Done():
			return v.Get(looking, projectID, id)
		}
	}
}

// Watch returns the current manifest, and again whenever the job has made progress, at
// most a few times a second. The channel is closed after the manifest of a finished
// job, when the job is removed, and when ctx or the server ends.
func (v *View[R, M]) Watch(ctx context.Context, projectID ids.Project, id string) (<-chan M, error) {
	m, err := v.Get(ctx, projectID, id)
	if err != nil {
		return nil, err
	}
	updates := make(chan M, 1)
	updates <- m
	go func() {
		defer close(updates)
		for !finished(m) && v.pause(ctx) {
			next, err := v.Get(ctx, projectID, id)
			if err != nil {
				return
			}
			if !m.Differs(next) {
				continue
			}
			m = next
			select {
			case updates <- m:
			case <-ctx.Done():
				return
			case <-v.dispatcher.Stopped.Done():
				return
			}
		}
	}()
	return updates, nil
}

// maxFollowed is how many of a project's newest jobs are followed.
const maxFollowed = 100

// Follow returns the manifests of a project's newest jobs that have not finished, and
// from then on of every job that is new or has made progress, at most a few times a
// second. The channel is closed when ctx or the server ends. A nil visible shows all.
func (v *View[R, M]) Follow(ctx context.Context, projectID ids.Project, visible func(*M) bool) <-chan M {
	updates := make(chan M)
	go func() {
		defer close(updates)
		f := follower[R, M]{view: v, projectID: projectID, visible: visible, updates: updates, first: true}
		for f.look(ctx) && v.pause(ctx) {
		}
	}()
	return updates
}

// follower knows what a caller of [View.Follow] has been told.
type follower[R any, M Manifest[M]] struct {
	view      *View[R, M]
	projectID ids.Project
	visible   func(*M) bool
	updates   chan<- M
	known     map[string]M
	commits   uint64 // of the store, when it was read last
	first     bool   // it has not been read yet
	moving    bool   // some of the known jobs have not finished
}

// look sends what has changed. It returns false when ctx or the server has ended.
func (f *follower[R, M]) look(ctx context.Context) bool {
	commits := f.view.store.DB.Commits()
	if !f.first && !f.moving && commits == f.commits {
		return true // nobody has changed a job
	}
	list, _, err := f.view.List(ctx, f.projectID, ListOptions[M]{Limit: maxFollowed, Visible: f.visible})
	if err != nil {
		return ctx.Err() == nil
	}
	before, first := f.known, f.first
	f.known, f.commits, f.first, f.moving = map[string]M{}, commits, false, false
	for _, m := range slices.Backward(list) {
		id, status := m.Job()
		f.known[id] = m
		f.moving = f.moving || !status.Finished()
		old, isKnown := before[id]
		if first && status.Finished() || isKnown && !old.Differs(m) {
			continue
		}
		select {
		case f.updates <- m:
		case <-ctx.Done():
			return false
		case <-f.view.dispatcher.Stopped.Done():
			return false
		}
	}
	return true
}

func finished[M Manifest[M]](m M) bool {
	_, status := m.Job()
	return status.Finished()
}

// pause waits until there may be news, and reports false when ctx or the server has
// ended.
func (v *View[R, M]) pause(ctx context.Context) bool {
	news := v.dispatcher.nextFinished()
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	select {
	case <-news:
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-v.dispatcher.Stopped.Done():
		return false
	}
	return true
}
