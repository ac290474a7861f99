package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Config says where exports are kept and how they are made. Durations and
// numbers that are zero have the values given here.
type Config struct {
	Database string // path of exports.db
	// StoreLost says that the job store was not there, or was not sound: artifacts are
	// taken up from the notes beside them.
	StoreLost bool
	Folder    string // of the artifacts
	Projects  *projectdb.Dir
	Log       *slog.Logger
	Now       func() time.Time
	Random    io.Reader // for ids

	DefaultLife   time.Duration // 24 hours: how long an artifact is kept
	MaxLife       time.Duration // 30 days, or DefaultLife if that is longer: the longest that can be asked for
	KeepManifests time.Duration // 7 days: how long a manifest outlives its artifact
	SweepInterval time.Duration // 1 minute
	KeepCount     int64         // of a project's artifacts, the newest; 0: no limit
	KeepBytes     int64         // of a project's artifacts together, the newest; 0: no limit
	QueryTimeout  time.Duration // 10 minutes: how long the statement of a query export may run; negative: no limit
	Workers       int           // 2: jobs that run at once
	PerProject    int           // 1: of these, jobs of one project
	MaxPending    int           // 1,000: of one project; negative: no limit
	HistoryBytes  int64         // 256 MiB: of the orders and manifests of a project; negative: no limit

	// Quarantine keeps jobs that may have ended the server apart; nil makes one.
	Quarantine *jobs.Quarantine

	// Store is the address of the bucket that finished artifacts go to: s3://…,
	// gs://… or azblob://…; "" keeps them in Folder. OldStores are those whose
	// artifacts can still be had. Credentials come from the environment.
	Store     string
	OldStores []string
	// LinkLife is how long the addresses are good that Artifact.Link makes; 0: it
	// makes none.
	LinkLife   time.Duration
	StorePause time.Duration // 1 second: before what failed at a store is tried again; it doubles each time

	Room *storage.Room // on the disk; nil: it is not watched
	Disk disk.Budget   // what exports leave free; without a folder: on the disk of Folder

	// Failpoint is called at each step of publishing, for tests that end the
	// process there; nil for none.
	Failpoint func(step string)
}

func (c *Config) setDefaults() {
	const day = 24 * time.Hour
	c.DefaultLife = cmp.Or(c.DefaultLife, day)
	c.MaxLife = cmp.Or(c.MaxLife, max(30*day, c.DefaultLife))
	c.KeepManifests = cmp.Or(c.KeepManifests, 7*day)
	c.SweepInterval = cmp.Or(c.SweepInterval, time.Minute)
	if c.QueryTimeout = cmp.Or(c.QueryTimeout, 10*time.Minute); c.QueryTimeout < 0 {
		c.QueryTimeout = 100 * 365 * day
	}
	c.Workers = cmp.Or(c.Workers, 2)
	c.PerProject = cmp.Or(c.PerProject, 1)
	c.MaxPending = cmp.Or(c.MaxPending, 1000)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 256<<20)
	if c.Quarantine == nil {
		c.Quarantine = jobs.NewQuarantine()
	}
	c.StorePause = cmp.Or(c.StorePause, time.Second)
	c.Disk.Folder = cmp.Or(c.Disk.Folder, c.Folder)
	if c.Failpoint == nil {
		c.Failpoint = func(string) {}
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
}

// Exports is exports.db, the folder of artifacts, and the workers that
// make them. Its methods may be called from many goroutines.
type Exports struct {
	config   Config
	projects *projectdb.Dir
	log      *slog.Logger
	now      func() time.Time
	random   io.Reader

	jobs    jobStore
	dir     dir
	buckets map[string]*bucket // by name
	current *bucket            // for new artifacts; nil: the folder

	runner *jobs.Runner[record, job]

	requests atomic.Int64  // that exports have been told to give way to
	cpus     chan struct{} // holds one for each goroutine that reads or encodes a range of a table

	swept chan struct{} // wakes the sweeper
}

// Open opens the job store and the folder, and creates them when missing; it asks no
// store whether it is there. Jobs that
// a crash has interrupted are pending again, and what they left is removed. No
// job runs before Start.
func Open(config Config) (*Exports, error) {
	config.setDefaults()
	folder, err := openDir(config.Folder)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(config.Database, sqlite.Options{Schema: schema})
	if err != nil {
		return nil, fmt.Errorf("open exports.db: %w", err)
	}
	e := &Exports{
		config:   config,
		projects: config.Projects,
		log:      config.Log,
		now:      config.Now,
		random:   config.Random,
		jobs:     newJobStore(db, config.Room),
		dir:      folder,
		cpus:     make(chan struct{}, processors),
		swept:    make(chan struct{}, 1),
	}
	e.runner = e.newRunner()
	if err := e.openBuckets(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := e.recover(context.Background()); err != nil {
		return nil, errors.Join(err, e.closeBuckets(), db.Close())
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
	noted, err := e.jobs.Projects(ctx, "status = 'ready'")
	if err != nil {
		return err
	}
	return e.dir.removeOrphans(artifacts, noted)
}

// Start begins to work on pending jobs and to sweep what has expired.
func (e *Exports) Start() {
	e.runner.Start()
	e.runner.Go(e.sweepAll)
}

// Stop tells the jobs to stop, which will begin anew after the next Start, and
// sends those away who wait for them or watch them.
func (e *Exports) Stop() { e.runner.Stop() }

// Close stops the jobs, waits for them, and closes the job store.
func (e *Exports) Close() error {
	e.runner.Close()
	return errors.Join(e.closeBuckets(), e.jobs.DB.Close())
}

// Get returns the manifest of an export of a project, or not_found.
func (e *Exports) Get(ctx context.Context, projectID int64, id string) (Manifest, error) {
	m, _, err := e.look(ctx, projectID, id)
	return m, err
}

// withLiveState returns the manifest with what only the clock, the store and the
// running job know.
func (e *Exports) withLiveState(r *record, present presence) Manifest {
	m := r.manifest
	switch m.Status {
	case Ready:
		if !e.now().Before(r.expires) {
			m.Status = Expired
		} else if !present(r) {
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

// ListOptions say which exports are wanted.
type ListOptions struct {
	Status  string // one of the statuses; "" or "all" for each of them
	Limit   int    // 0 means 50
	Offset  int
	Visible func(*Manifest) bool // nil: all of them
}

// List returns exports of a project, newest first, and whether there are more.
// A status that does not exist is validation_failed.
func (e *Exports) List(ctx context.Context, projectID int64, o ListOptions) (list []Manifest, more bool, err error) {
	status, err := parseStatus(o.Status)
	if err != nil {
		return nil, false, err
	}
	present := e.presentOf(ctx, projectID)
	list, more, err = jobs.Page(ctx, e.jobs.Store, projectID, o.Offset, cmp.Or(o.Limit, 50), func(r *record) (m Manifest, wanted bool) {
		m = e.withLiveState(r, present)
		return m, (status == "" || m.Status == status) && (o.Visible == nil || o.Visible(&m))
	})
	if err != nil {
		return nil, false, err
	}
	return list, more, e.notePlaces(ctx, projectID, list)
}

// notePlaces enters into the manifests of pending jobs of a project where they
// stand in the queue.
func (e *Exports) notePlaces(ctx context.Context, projectID int64, list []Manifest) error {
	return jobs.NotePlaces(ctx, e.jobs.Store, projectID, list, func(m *Manifest) (id string, place *int64) {
		if m.Status == Pending {
			id = m.ID
		}
		return id, &m.Progress.QueuePosition
	})
}

// Wait returns the manifest when the job is settled, or as it stands when ctx
// ends. With the manifest of a job that failed or was canceled comes an error,
// storage_full or export_failed.
func (e *Exports) Wait(ctx context.Context, projectID int64, id string) (Manifest, error) {
	var r *record
	m, finished, err := jobs.Wait(ctx, e.runner.Dispatcher, func(ctx context.Context) (m Manifest, err error) {
		m, r, err = e.look(ctx, projectID, id)
		return m, err
	})
	if finished {
		err = r.fault()
	}
	return m, err
}

func (e *Exports) look(ctx context.Context, projectID int64, id string) (Manifest, *record, error) {
	r, err := e.jobs.Find(ctx, projectID, id)
	if err != nil {
		return Manifest{}, nil, err
	}
	list := []Manifest{e.withLiveState(r, e.present(ctx))}
	err = e.notePlaces(ctx, projectID, list)
	return list[0], r, err
}

// fault returns why the export did not become ready, or nil.
func (r *record) fault() error {
	switch r.manifest.Status {
	case Failed, Canceled:
	default:
		return nil
	}
	if r.failure == problem.CodeStorageFull {
		return problem.New(r.failure, "%s", *r.manifest.Error).With("export_id", "%s", r.manifest.ID)
	}
	return r.manifest.refuse()
}

// Artifact is a complete file, open for reading. Its owner closes it.
type Artifact struct {
	Manifest  Manifest
	Completed time.Time
	File      File

	link func(context.Context) (string, error)
}

// Link returns an address in the store at which everybody can read the artifact
// for a short while, without this server; "" when there is none.
func (a *Artifact) Link(ctx context.Context) (string, error) { return a.link(ctx) }

// Artifact opens the artifact of an export. One that cannot be had is
// not_found, export_not_ready, export_failed or export_expired; while its store
// cannot be reached it is busy.
func (e *Exports) Artifact(ctx context.Context, projectID int64, id string) (a Artifact, err error) {
	r, err := e.jobs.Find(ctx, projectID, id)
	if err != nil {
		return a, err
	}
	a.Manifest = e.withLiveState(r, func(*record) bool { return true })
	if err := a.Manifest.refuse(); err != nil {
		return a, err
	}
	a.Completed = r.finished
	from, err := e.storeOf(r)
	if err != nil {
		return a, err
	}
	a.File, err = from.open(ctx, r)
	if errors.Is(err, fs.ErrNotExist) {
		return a, e.whyGone(ctx, projectID, id)
	}
	a.link = func(ctx context.Context) (string, error) { return e.link(ctx, r) }
	return a, err
}

// whyGone returns why a ready export has no artifact: it expired or was deleted
// a moment ago, or the artifact has vanished.
func (e *Exports) whyGone(ctx context.Context, projectID int64, id string) error {
	m, _, err := e.look(ctx, projectID, id)
	if err != nil {
		return err
	}
	if m.Status == Ready {
		m.Status = NotFound
	}
	return m.refuse()
}

// Delete cancels an export that is not finished: its manifest stays, as
// canceled. A settled one is removed with its artifact.
func (e *Exports) Delete(ctx context.Context, projectID int64, id string) error {
	before, err := e.jobs.withdraw(ctx, projectID, id, e.now())
	if err != nil {
		return err
	}
	if before.manifest.Status.Finished() {
		return e.remove(before)
	}
	return e.runner.Cancel(ctx, id)
}

// RemoveProject removes every export of a project, after the project itself
// cannot be reached any more.
func (e *Exports) RemoveProject(ctx context.Context, projectID int64) error {
	if err := e.runner.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	e.wakeSweeper()
	return e.dir.removeProject(projectID)
}

// Counts returns how many exports wait for their turn and how many run.
func (e *Exports) Counts(ctx context.Context) (jobs.Counts, error) { return e.jobs.Counts(ctx) }
