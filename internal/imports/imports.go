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
	// BookLost says that the book was not there, or was not sound: uploads are moved
	// to where nothing removes them.
	BookLost bool
	Folder   string // of the uploads
	Projects *projectdb.Dir
	Registry *registry.Registry // makes the projects of project imports
	Log      *slog.Logger
	Now      func() time.Time
	Random   io.Reader // for ids

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

// Imports is the book of imports, the folder of uploads, and the workers that
// take them in. Its methods may be called from many goroutines.
type Imports struct {
	config Config
	log    *slog.Logger
	now    func() time.Time

	book   book
	folder folder

	runner *jobs.Runner[record, job]

	mu        sync.Mutex
	receiving map[string]bool // uploads that bytes are written to
}

// Open opens the book and the folder, and creates them when missing. Jobs that
// a crash has interrupted are pending again, uploads that can be resumed wait
// for their senders, and what else was left is removed. No job runs before
// Start.
func Open(config Config) (*Imports, error) {
	config.setDefaults()
	folder, err := openFolder(config.Folder)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(config.Database, sqlite.Options{Schema: schema})
	if err != nil {
		return nil, fmt.Errorf("open the book of imports: %w", err)
	}
	m := &Imports{
		config:    config,
		log:       config.Log,
		now:       config.Now,
		book:      newBook(db, config.Room),
		folder:    folder,
		receiving: map[string]bool{},
	}
	m.runner = m.newRunner()
	if err := m.recover(context.Background()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return m, nil
}

// Start begins to work on pending jobs and to sweep what has expired.
func (m *Imports) Start() {
	m.runner.Start()
	m.runner.Go(m.sweepAll)
}

// Stop tells the jobs to stop, which will begin anew after the next Start, and
// sends those away who wait for them or watch them.
func (m *Imports) Stop() { m.runner.Stop() }

// Close stops the jobs, waits for them, and closes the book.
func (m *Imports) Close() error {
	m.runner.Close()
	return m.book.DB.Close()
}

// Scratch is the folder for what has to be unpacked, which the next Open clears
// of what a crash has left.
func (m *Imports) Scratch() string { return m.folder.scratch() }

// Metadata returns what the sender of an upload in parts has told of the file.
func (m *Imports) Metadata(ctx context.Context, projectID int64, id string) (string, error) {
	r, err := m.book.Find(ctx, projectID, id)
	if err != nil {
		return "", err
	}
	return r.work.Metadata, nil
}

// MaxBytes is how large an upload may be.
func (m *Imports) MaxBytes() int64 { return m.config.MaxBytes }

// Get returns the manifest of an import of a project, or not_found.
func (m *Imports) Get(ctx context.Context, projectID int64, id string) (Manifest, error) {
	r, err := m.book.Find(ctx, projectID, id)
	if err != nil {
		return Manifest{}, err
	}
	list := []Manifest{m.asOfNow(r)}
	err = m.notePlaces(ctx, projectID, list)
	return list[0], err
}

// notePlaces enters into the manifests of pending jobs of a project where they
// stand in the queue.
func (m *Imports) notePlaces(ctx context.Context, projectID int64, list []Manifest) error {
	return jobs.NotePlaces(ctx, m.book.Book, projectID, list, func(manifest *Manifest) (id string, place *int64) {
		if manifest.Status == Pending {
			id = manifest.ID
		}
		return id, &manifest.Progress.QueuePosition
	})
}

// asOfNow returns the manifest with what only the clock, the folder and the
// running job know.
func (m *Imports) asOfNow(r *record) Manifest {
	switch r.manifest.Status {
	case Uploading:
		r.manifest.ReceivedBytes = m.folder.received(r)
	case Running:
		if j := m.runner.Find(r.manifest.ID); j != nil {
			r.manifest.Progress = j.progress()
		}
	}
	if !r.expires.IsZero() && !m.now().Before(r.expires) && r.manifest.Status != Pending && r.manifest.Status != Running {
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
func (m *Imports) List(ctx context.Context, projectID int64, o ListOptions) (list []Manifest, more bool, err error) {
	status, err := parseStatus(o.Status)
	if err != nil {
		return nil, false, err
	}
	list, more, err = jobs.Page(ctx, m.book.Book, projectID, o.Offset, cmp.Or(o.Limit, 50), func(r *record) (manifest Manifest, wanted bool) {
		manifest = m.asOfNow(r)
		return manifest, (status == "" || manifest.Status == status) && (o.Visible == nil || o.Visible(&manifest))
	})
	if err != nil {
		return nil, false, err
	}
	return list, more, m.notePlaces(ctx, projectID, list)
}

// Wait returns the manifest when the import is settled, or as it stands when ctx
// or the server ends. With the manifest of one that failed or was canceled
// comes the reason.
func (m *Imports) Wait(ctx context.Context, projectID int64, id string) (Manifest, error) {
	manifest, settled, err := jobs.Wait(ctx, m.runner.Crew, func(ctx context.Context) (Manifest, error) { return m.Get(ctx, projectID, id) })
	if settled {
		err = manifest.fault()
	}
	return manifest, err
}

// Rejects returns the rows that an import has refused, or would refuse: at most
// the first 1,000.
func (m *Imports) Rejects(ctx context.Context, projectID int64, id string) ([]ingest.Reject, error) {
	return m.book.readRejects(ctx, projectID, id)
}

// Run orders an import anew whose file is still kept: a dry run, or one that
// failed. Options that are nil stay as they are.
func (m *Imports) Run(ctx context.Context, faults *problem.Faults, projectID int64, id string, options *Options, dryRun bool, tableID int64) (Manifest, error) {
	if options != nil {
		options.check(faults)
	}
	if err := faults.Err(); err != nil {
		return Manifest{}, err
	}
	r, err := m.book.change(ctx, projectID, id, func(c *sqlite.Conn, r *record) error {
		if err := m.mayRun(r); err != nil {
			return err
		}
		if err := m.book.Admit(c, projectID, m.bounds(), 0, 0); err != nil {
			return err
		}
		if options != nil {
			r.manifest.Options = *options
		}
		r.work.TableID = tableID
		r.manifest.DryRun = dryRun
		r.order()
		return keepRejects(c, id, nil)
	})
	if err != nil {
		return Manifest{}, err
	}
	m.runner.Wake()
	return m.Get(ctx, projectID, r.manifest.ID)
}

func (m *Imports) bounds() jobs.Bounds {
	return jobs.Bounds{Pending: m.config.MaxPending, Bytes: m.config.HistoryBytes}
}

func (m *Imports) mayRun(r *record) error {
	manifest := m.asOfNow(r)
	switch {
	case !manifest.Status.Settled():
		return problem.New(problem.CodeConflict, "The import is %s.", manifest.Status).Retry(time.Second)
	case manifest.Status == Ready && !manifest.DryRun:
		return problem.New(problem.CodeConflict, "The import is done. Its file can be sent again for another one.")
	case r.expires.IsZero() || !m.folder.keeps(r):
		return problem.New(problem.CodeNotFound, "The file of the import is not kept any more.")
	}
	return nil
}

// order makes the record that of a pending job.
func (r *record) order() {
	m := &r.manifest
	m.Status, m.CompletedAt, m.ExpiresAt = Pending, nil, nil
	m.Preview, m.Report, m.RejectedRows, m.RejectsURL = nil, nil, 0, nil
	m.Error, m.ErrorCode, m.ErrorDetails = nil, nil, []problem.Detail{}
	m.Progress = Progress{BytesTotal: *m.SizeBytes}
	r.attempt, r.begun, r.settled, r.expires = 0, time.Time{}, time.Time{}, time.Time{}
}

// Delete cancels an import that is not settled: its manifest stays, as
// canceled. A settled one is removed. One that was completed before it could be
// canceled is a conflict.
func (m *Imports) Delete(ctx context.Context, projectID int64, id string) error {
	was := Status("")
	r, err := m.book.change(ctx, projectID, id, func(_ *sqlite.Conn, r *record) error {
		was = r.manifest.Status
		if was == Uploading || was == Pending {
			r.cancel(m.now())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if was == Running {
		return m.cancelRunning(ctx, r)
	}
	if was.Settled() {
		if err := m.book.remove(ctx, id); err != nil {
			return err
		}
	}
	m.runner.TellSettled()
	return m.folder.remove(r)
}

// forget drops what only a further run would need.
func (r *record) forget() {
	if r.work.NewProject != nil {
		r.work.NewProject.PasswordHash = ""
	}
}

func (r *record) cancel(now time.Time) {
	r.forget()
	r.settled, r.expires = now, time.Time{}
	r.manifest.Status, r.manifest.CompletedAt, r.manifest.ExpiresAt = Canceled, pointer(timestamp(now)), nil
}

// cancelRunning stops a job. What it has committed by then stays: only the job
// itself knows.
func (m *Imports) cancelRunning(ctx context.Context, r *record) error {
	id := r.manifest.ID
	if err := m.runner.Cancel(ctx, id); err != nil {
		return err
	}
	manifest, err := m.Get(ctx, r.projectID, id)
	if err == nil && manifest.Status == Ready {
		err = problem.New(problem.CodeConflict, "The import was completed before it could be canceled.")
	}
	return err
}

// RemoveProject removes every import of a project, after the project itself
// cannot be reached any more.
func (m *Imports) RemoveProject(ctx context.Context, projectID int64) error {
	if err := m.runner.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	return m.folder.removeProject(projectID)
}

// Counts returns how many imports wait for their turn and how many run.
func (m *Imports) Counts(ctx context.Context) (jobs.Counts, error) { return m.book.Counts(ctx) }
