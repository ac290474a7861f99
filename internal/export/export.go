package export

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// Config says where exports are kept and how they are made. Zero durations and numbers
// get the defaults given here.
type Config struct {
	jobs.Config // StoreLost: artifacts are restored from their sidecars
	Projects    *projectdb.Dir
	Journal     func() *journal.Journal // of the calls that are exported; nil for none

	DefaultLife  time.Duration // 24 hours: how long an artifact is kept
	MaxLife      time.Duration // 30 days, or DefaultLife if that is longer: the longest life that a client may ask for
	KeepCount    int64         // how many artifacts of a project are kept, the newest first; 0: no limit
	KeepBytes    int64         // how many bytes of a project's artifacts are kept, the newest first; 0: no limit
	QueryTimeout time.Duration // 10 minutes: how long the statement of a query export may run; negative: no limit

	// Store is the address of the bucket for finished artifacts: s3://…, gs://… or
	// azblob://…; "" keeps them in Folder. OldStores lists buckets whose artifacts can
	// still be downloaded. Credentials come from the environment.
	Store     string
	OldStores []string
	// LinkLife is how long the links made by Artifact.Link are valid; 0 makes no links.
	LinkLife   time.Duration
	StorePause time.Duration // 1 second: the pause before a failed store operation is retried; it doubles each time

	// Running is called when a job begins to run, and end when the job ends; nil for
	// nothing.
	Running func() (end func())
}

func (c *Config) setDefaults() {
	const day = 24 * time.Hour
	c.SetDefaults()
	c.DefaultLife = cmp.Or(c.DefaultLife, day)
	c.MaxLife = cmp.Or(c.MaxLife, max(30*day, c.DefaultLife))
	if c.QueryTimeout = cmp.Or(c.QueryTimeout, 10*time.Minute); c.QueryTimeout < 0 {
		c.QueryTimeout = 100 * 365 * day
	}
	c.StorePause = cmp.Or(c.StorePause, time.Second)
	if c.Running == nil {
		c.Running = func() func() { return func() {} }
	}
}

// Exports makes exports and keeps their artifacts. Its methods, which include those
// of [jobs.View], may be called from many goroutines.
type Exports struct {
	*view
	config   Config
	projects *projectdb.Dir
	log      *slog.Logger
	now      func() time.Time

	jobs      jobStore
	artifacts *artifact.Stores
	runner    *jobs.Runner[record, job]

	requests atomic.Int64  // requests that exports have yielded to
	cpus     chan struct{} // holds one token for each goroutine that reads or encodes a range of a table

	swept chan struct{} // wakes the sweeper of the buckets
}

type view = jobs.View[record, Manifest]

// Open opens the store and the directory of exports, and creates them if they are
// missing; it does not contact any bucket. Jobs interrupted by a crash become pending
// again, and their leftover files are removed. No job runs before Start.
func Open(config Config) (*Exports, error) {
	config.setDefaults()
	store, err := openJobStore(&config)
	if err != nil {
		return nil, err
	}
	e := &Exports{
		config:   config,
		projects: config.Projects,
		log:      config.Log,
		now:      config.Now,
		jobs:     store,
		cpus:     make(chan struct{}, runtime.GOMAXPROCS(0)),
		swept:    make(chan struct{}, 1),
	}
	e.runner = jobs.NewRunner(config.Config, store.Store, e.kind())
	e.view = jobs.NewView(store.Store, e.runner.Dispatcher, e.now, statuses[:], e.show, (*record).fault)
	e.artifacts, err = artifact.Open(e.runner.Stopped, artifact.Config{
		Dir: config.Folder, Bucket: config.Store, OldBuckets: config.OldStores, LinkLife: config.LinkLife, Pause: config.StorePause,
		Log: config.Log, Step: config.Failpoint, Need: func() error { return config.Disk.Need(0) },
	})
	if err != nil {
		return nil, errors.Join(err, e.runner.Close())
	}
	if err := e.recover(context.Background()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Exports) recover(ctx context.Context) error {
	if err := e.jobs.recover(ctx, e.now()); err != nil {
		return err
	}
	if e.config.StoreLost {
		if err := e.adopt(ctx); err != nil {
			return err
		}
	}
	artifacts, err := e.jobs.artifacts(ctx)
	if err != nil {
		return err
	}
	ready, err := e.jobs.Projects(ctx, "status = 'ready'")
	if err != nil {
		return err
	}
	return e.artifacts.RemoveOrphans(artifacts, ready)
}

// Start begins to run pending jobs and to sweep what has expired.
func (e *Exports) Start() {
	e.runner.Start()
	if len(e.artifacts.Buckets()) > 0 {
		e.runner.Go(e.tendBuckets)
	}
}

// Stop stops the jobs, which start over after the next Start, and releases all callers
// waiting for or watching them.
func (e *Exports) Stop() { e.runner.Stop() }

// Close stops the jobs, waits for them, and closes the store.
func (e *Exports) Close() error {
	return errors.Join(e.runner.Close(), e.artifacts.Close())
}

// show returns a function that adds to manifests the state known only from the clock,
// the artifact stores and the running jobs.
func (e *Exports) show(ctx context.Context, projectID ids.Project, list bool) func(*record) Manifest {
	present := e.artifacts.Present(ctx)
	if list {
		present = e.artifacts.PresentIn(ctx, projectID)
	}
	return func(r *record) Manifest { return e.withLiveState(r, present) }
}

func (e *Exports) withLiveState(r *record, present func(artifact.Ref) bool) Manifest {
	m := r.manifest
	switch m.Status {
	case Ready:
		if !e.now().Before(r.expires) {
			m.Status = Expired
		} else if !present(r.ref()) {
			m.Status = NotFound
		}
	case Running:
		if j := e.runner.Find(m.ID); j != nil {
			m.Progress = j.progress()
			m.Progress.estimateEnd(j.began, e.now())
		}
	}
	return m
}

// ListOptions selects the exports to list.
type ListOptions = jobs.ListOptions[Manifest]

// fault returns why the export did not become ready, or nil.
func (r *record) fault() error {
	switch r.manifest.Status {
	case Failed, Canceled:
	default:
		return nil
	}
	if r.failure == problem.CodeStorageFull {
		return problem.New(r.failure, "%s", *r.manifest.Error).About("export_id", r.manifest.ID)
	}
	return r.manifest.refuse()
}

// Artifact is a complete file, open for reading. Its owner closes it.
type Artifact struct {
	Manifest  Manifest
	Completed time.Time
	File      artifact.File

	link func(context.Context) (string, error)
}

// Link returns a short-lived address in the store at which anyone can download the
// artifact without this server; "" when there is none.
func (a *Artifact) Link(ctx context.Context) (string, error) { return a.link(ctx) }

// Artifact opens the artifact of an export. If there is none, the error is not_found,
// export_not_ready, export_failed or export_expired; while its store cannot be reached,
// it is busy.
func (e *Exports) Artifact(ctx context.Context, projectID ids.Project, id string) (a Artifact, err error) {
	r, err := e.jobs.Find(ctx, projectID, id)
	if err != nil {
		return a, err
	}
	a.Manifest = e.withLiveState(r, func(artifact.Ref) bool { return true })
	if err := a.Manifest.refuse(); err != nil {
		return a, err
	}
	a.Completed = r.finished
	a.File, err = e.artifacts.Open(ctx, r.ref())
	if errors.Is(err, fs.ErrNotExist) {
		return a, e.whyGone(ctx, projectID, id)
	}
	a.link = func(ctx context.Context) (string, error) { return e.artifacts.Link(ctx, r.ref()) }
	return a, err
}

// whyGone returns why a ready export has no artifact: it has just expired or been
// deleted, or the artifact has vanished.
func (e *Exports) whyGone(ctx context.Context, projectID ids.Project, id string) error {
	m, err := e.Get(ctx, projectID, id)
	if err != nil {
		return err
	}
	if m.Status == Ready {
		m.Status = NotFound
	}
	return m.refuse()
}

// Delete cancels an unfinished export, whose manifest stays, as canceled. A finished
// export is removed with its artifact.
func (e *Exports) Delete(ctx context.Context, projectID ids.Project, id string) error {
	before, err := e.jobs.withdraw(ctx, projectID, id, e.now())
	if err != nil {
		return err
	}
	if before.manifest.Status.Finished() {
		return e.remove(before)
	}
	return e.runner.Cancel(ctx, id)
}

// RemoveProject removes every export of a project. It is called once the project itself
// can no longer be reached.
func (e *Exports) RemoveProject(ctx context.Context, projectID ids.Project) error {
	if err := e.runner.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	e.wakeSweeper()
	return e.artifacts.RemoveProject(projectID)
}
