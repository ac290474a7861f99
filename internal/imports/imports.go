package imports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Config says where imports are kept and how they run. Durations and numbers
// that are zero have the values given here.
type Config struct {
	Database string // path of imports.db
	// StoreLost says that the job store was not there, or was not sound: uploads are moved
	// to where nothing removes them.
	StoreLost bool
	Folder    string // of the uploads
	Projects  *projectdb.Dir
	Registry  *registry.Registry // makes the projects of project imports
	Log       *slog.Logger
	Now       func() time.Time
	Random    io.Reader // for ids

	MaxBytes      int64         // 16 GiB: of one upload
	MaxUnpacked   int64         // that of package ingest: of what an upload unpacks to
	KeepFiles     time.Duration // 24 hours: how long an upload is kept unfinished, after a dry run, and after a failure
	KeepBytes     int64         // 32 GiB: of the files of a project's imports together; negative: no limit
	KeepCount     int64         // 1,000: of the files of a project that are kept after a dry run or a failure, the newest; negative: no limit
	KeepManifests time.Duration // 7 days: how long a manifest is kept after that
	SweepInterval time.Duration // 1 minute
	Workers       int           // 2: jobs that run at once, of different projects
	MaxPending    int           // 1,000: of one project, those included whose file is still coming; negative: no limit
	HistoryBytes  int64         // 256 MiB: of the orders, manifests and rejects of a project; negative: no limit

	// Quarantine keeps jobs that may have ended the server apart; nil makes one.
	Quarantine *jobs.Quarantine

	Room *storage.Room // on the disk; nil: it is not watched
	Disk disk.Budget   // what uploads leave free; without a folder: on the disk of Folder

	// Failpoint is called at each step of an import, for tests that end the process
	// there; nil for none.
	Failpoint func(step string)
}

func (c *Config) setDefaults() {
	const day = 24 * time.Hour
	c.MaxBytes = cmp.Or(c.MaxBytes, 16<<30)
	c.KeepFiles = cmp.Or(c.KeepFiles, day)
	c.KeepBytes = cmp.Or(c.KeepBytes, 32<<30)
	c.KeepCount = cmp.Or(c.KeepCount, 1000)
	c.KeepManifests = cmp.Or(c.KeepManifests, 7*day)
	c.SweepInterval = cmp.Or(c.SweepInterval, time.Minute)
	c.Workers = cmp.Or(c.Workers, 2)
	c.MaxPending = cmp.Or(c.MaxPending, 1000)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 256<<20)
	if c.Quarantine == nil {
		c.Quarantine = jobs.NewQuarantine()
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	c.Disk.Folder = cmp.Or(c.Disk.Folder, c.Folder)
	if c.Failpoint == nil {
		c.Failpoint = func(string) {}
	}
}

// Imports is imports.db, the folder of uploads, and the workers that
// take them in. Its methods may be called from many goroutines.
type Imports struct {
	config Config
	log    *slog.Logger
	now    func() time.Time

	jobs jobStore
	dir  dir

	runner *jobs.Runner[record, job]

	mu        sync.Mutex
	receiving map[string]bool // uploads that bytes are written to
}

// Open opens the job store and the folder, and creates them when missing. Jobs that
// a crash has interrupted are pending again, uploads that can be resumed wait
// for their senders, and what else was left is removed. No job runs before
// Start.
func Open(config Config) (*Imports, error) {
	config.setDefaults()
	folder, err := openDir(config.Folder)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(config.Database, sqlite.Options{Schema: schema})
	if err != nil {
		return nil, fmt.Errorf("open imports.db: %w", err)
	}
	im := &Imports{
		config:    config,
		log:       config.Log,
		now:       config.Now,
		jobs:      newJobStore(db, config.Room),
		dir:       folder,
		receiving: map[string]bool{},
	}
	im.runner = im.newRunner()
	if err := im.recover(context.Background()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return im, nil
}

// Start begins to work on pending jobs and to sweep what has expired.
func (im *Imports) Start() {
	im.runner.Start()
	im.runner.Go(im.sweepAll)
}

// Stop tells the jobs to stop, which will begin anew after the next Start, and
// sends those away who wait for them or watch them.
func (im *Imports) Stop() { im.runner.Stop() }

// Close stops the jobs, waits for them, and closes the job store.
func (im *Imports) Close() error {
	im.runner.Close()
	return im.jobs.DB.Close()
}

// Scratch is the folder for what has to be unpacked, which the next Open clears
// of what a crash has left.
func (im *Imports) Scratch() string { return im.dir.scratch() }

// Metadata returns what the sender of an upload in parts has told of the file.
func (im *Imports) Metadata(ctx context.Context, projectID int64, id string) (string, error) {
	r, err := im.jobs.Find(ctx, projectID, id)
	if err != nil {
		return "", err
	}
	return r.spec.Metadata, nil
}

// MaxBytes is how large an upload may be.
func (im *Imports) MaxBytes() int64 { return im.config.MaxBytes }

// Get returns the manifest of an import of a project, or not_found.
func (im *Imports) Get(ctx context.Context, projectID int64, id string) (Manifest, error) {
	r, err := im.jobs.Find(ctx, projectID, id)
	if err != nil {
		return Manifest{}, err
	}
	list := []Manifest{im.withLiveState(r)}
	err = im.notePlaces(ctx, projectID, list)
	return list[0], err
}

// notePlaces enters into the manifests of pending jobs of a project where they
// stand in the queue.
func (im *Imports) notePlaces(ctx context.Context, projectID int64, list []Manifest) error {
	return jobs.NotePlaces(ctx, im.jobs.Store, projectID, list, func(manifest *Manifest) (id string, place *int64) {
		if manifest.Status == Pending {
			id = manifest.ID
		}
		return id, &manifest.Progress.QueuePosition
	})
}

// withLiveState returns the manifest with what only the clock, the folder and the
// running job know.
func (im *Imports) withLiveState(r *record) Manifest {
	switch r.manifest.Status {
	case Uploading:
		r.manifest.ReceivedBytes = im.dir.received(r)
	case Running:
		if j := im.runner.Find(r.manifest.ID); j != nil {
			r.manifest.Progress = j.progress()
		}
	}
	if !r.expires.IsZero() && !im.now().Before(r.expires) && r.manifest.Status != Pending && r.manifest.Status != Running {
		r.expire()
	}
	return r.manifest
}

// ListOptions say which imports are wanted.
type ListOptions struct {
	Status  string // one of the statuses; "" or "all" for each of them
	Limit   int    // 0 means 50
	Offset  int
	Visible func(*Manifest) bool // nil: all of them
}

// List returns imports of a project, newest first, and whether there are more.
// A status that does not exist is validation_failed.
func (im *Imports) List(ctx context.Context, projectID int64, o ListOptions) (list []Manifest, more bool, err error) {
	status, err := parseStatus(o.Status)
	if err != nil {
		return nil, false, err
	}
	list, more, err = jobs.Page(ctx, im.jobs.Store, projectID, o.Offset, cmp.Or(o.Limit, 50), func(r *record) (manifest Manifest, wanted bool) {
		manifest = im.withLiveState(r)
		return manifest, (status == "" || manifest.Status == status) && (o.Visible == nil || o.Visible(&manifest))
	})
	if err != nil {
		return nil, false, err
	}
	return list, more, im.notePlaces(ctx, projectID, list)
}

// Wait returns the manifest when the import is settled, or as it stands when ctx
// or the server ends. With the manifest of one that failed or was canceled
// comes the reason.
func (im *Imports) Wait(ctx context.Context, projectID int64, id string) (Manifest, error) {
	manifest, finished, err := jobs.Wait(ctx, im.runner.Dispatcher, func(ctx context.Context) (Manifest, error) { return im.Get(ctx, projectID, id) })
	if finished {
		err = manifest.fault()
	}
	return manifest, err
}

// Rejects returns the rows that an import has refused, or would refuse: at most
// the first 1,000.
func (im *Imports) Rejects(ctx context.Context, projectID int64, id string) ([]ingest.Reject, error) {
	return im.jobs.readRejects(ctx, projectID, id)
}

// Run orders an import anew whose file is still kept: a dry run, or one that
// failed. Options that are nil stay as they are.
func (im *Imports) Run(ctx context.Context, faults *problem.Faults, projectID int64, id string, options *ingest.Options, dryRun bool, tableID int64) (Manifest, error) {
	if options != nil {
		options.Check(faults)
	}
	if err := faults.Err(); err != nil {
		return Manifest{}, err
	}
	r, err := im.jobs.change(ctx, projectID, id, func(c *sqlite.Conn, r *record) error {
		if err := im.mayRun(r); err != nil {
			return err
		}
		if err := im.jobs.Admit(c, projectID, im.bounds(), 0, 0); err != nil {
			return err
		}
		if options != nil {
			r.manifest.Options = *options
		}
		r.spec.TableID = tableID
		r.manifest.DryRun = dryRun
		r.enqueue()
		return keepRejects(c, id, nil)
	})
	if err != nil {
		return Manifest{}, err
	}
	im.runner.Wake()
	return im.Get(ctx, projectID, r.manifest.ID)
}

func (im *Imports) bounds() jobs.Bounds {
	return jobs.Bounds{Pending: im.config.MaxPending, Bytes: im.config.HistoryBytes}
}

func (im *Imports) mayRun(r *record) error {
	manifest := im.withLiveState(r)
	switch {
	case !manifest.Status.Finished():
		return problem.New(problem.CodeConflict, "The import is %s.", manifest.Status).Retry(time.Second)
	case manifest.Status == Ready && !manifest.DryRun:
		return problem.New(problem.CodeConflict, "This import has finished. Upload the file again to start a new one.")
	case r.expires.IsZero() || !im.dir.keeps(r):
		return problem.New(problem.CodeNotFound, "The file of the import is no longer kept.")
	}
	return nil
}

// enqueue resets the record to a pending job.
func (r *record) enqueue() {
	m := &r.manifest
	m.Status, m.CompletedAt, m.ExpiresAt = Pending, nil, nil
	m.Preview, m.Report, m.RejectedRows, m.RejectsURL = nil, nil, 0, nil
	m.Error, m.ErrorCode, m.ErrorDetails = nil, nil, []problem.Detail{}
	m.Progress = Progress{BytesTotal: *m.SizeBytes}
	r.attempt, r.begun, r.finished, r.expires = 0, time.Time{}, time.Time{}, time.Time{}
}

// Delete cancels an import that is not finished: its manifest stays, as
// canceled. A settled one is removed. One that was completed before it could be
// canceled is a conflict.
func (im *Imports) Delete(ctx context.Context, projectID int64, id string) error {
	was := Status("")
	r, err := im.jobs.change(ctx, projectID, id, func(_ *sqlite.Conn, r *record) error {
		was = r.manifest.Status
		if was == Uploading || was == Pending {
			r.cancel(im.now())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if was == Running {
		return im.cancelRunning(ctx, r)
	}
	if was.Finished() {
		if err := im.jobs.remove(ctx, id); err != nil {
			return err
		}
	}
	im.runner.NotifyFinished()
	return im.dir.remove(r)
}

// forget drops what only a further run would need.
func (r *record) forget() {
	if r.spec.NewProject != nil {
		r.spec.NewProject.PasswordHash = ""
	}
}

func (r *record) cancel(now time.Time) {
	r.forget()
	r.finished, r.expires = now, time.Time{}
	r.manifest.Status, r.manifest.CompletedAt, r.manifest.ExpiresAt = Canceled, pointer(timestamp(now)), nil
}

// cancelRunning stops a job. What it has committed by then stays: only the job
// itself knows.
func (im *Imports) cancelRunning(ctx context.Context, r *record) error {
	id := r.manifest.ID
	if err := im.runner.Cancel(ctx, id); err != nil {
		return err
	}
	manifest, err := im.Get(ctx, r.projectID, id)
	if err == nil && manifest.Status == Ready {
		err = problem.New(problem.CodeConflict, "The import was completed before it could be canceled.")
	}
	return err
}

// RemoveProject removes every import of a project, after the project itself
// cannot be reached any more.
func (im *Imports) RemoveProject(ctx context.Context, projectID int64) error {
	if err := im.runner.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	return im.dir.removeProject(projectID)
}

// Counts returns how many imports wait for their turn and how many run.
func (im *Imports) Counts(ctx context.Context) (jobs.Counts, error) { return im.jobs.Counts(ctx) }
