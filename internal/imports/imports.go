package imports

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Config says where imports are kept and how they run. Zero durations and numbers get
// the defaults given here.
type Config struct {
	jobs.Config // StoreLost: uploads are moved to where nothing removes them
	Projects    *projectdb.Dir
	Registry    *registry.Registry // creates the projects of project imports

	MaxBytes    int64         // 16 GiB: the largest upload
	MaxUnpacked int64         // the default of package ingest: how much an upload may unpack to
	KeepFiles   time.Duration // 24 hours: how long the file of an unfinished upload, a dry run or a failed import is kept
	KeepBytes   int64         // 32 GiB: the total size of the files of a project's imports; negative: no limit
	KeepCount   int64         // 1,000: how many files of a project are kept after a dry run or a failure, the newest first; negative: no limit
}

func (c *Config) setDefaults() {
	c.SetDefaults()
	c.MaxBytes = cmp.Or(c.MaxBytes, 16<<30)
	c.KeepFiles = cmp.Or(c.KeepFiles, 24*time.Hour)
	c.KeepBytes = cmp.Or(c.KeepBytes, 32<<30)
	c.KeepCount = cmp.Or(c.KeepCount, 1000)
}

// Imports receives files and imports them. Its methods, which include those of
// [jobs.View], may be called from many goroutines.
type Imports struct {
	*view
	config Config
	log    *slog.Logger
	now    func() time.Time

	jobs   jobStore
	dir    dir
	runner *jobs.Runner[record, job]

	mu        sync.Mutex
	receiving map[string]bool // uploads that are receiving bytes
}

type view = jobs.View[record, Manifest]

// Open opens the store and the directory of imports, and creates them if they are
// missing. Jobs interrupted by a crash become pending again, resumable uploads wait for
// their senders, and all other leftovers are removed. No job runs before Start.
func Open(config Config) (*Imports, error) {
	config.setDefaults()
	dir, err := openDir(config.Folder)
	if err != nil {
		return nil, err
	}
	im := &Imports{config: config, log: config.Log, now: config.Now, dir: dir, receiving: map[string]bool{}}
	if im.jobs, err = openJobStore(&config); err != nil {
		return nil, err
	}
	im.runner = jobs.NewRunner(config.Config, im.jobs.Store, im.kind())
	show := func(context.Context, ids.Project, bool) func(*record) Manifest { return im.withLiveState }
	im.view = jobs.NewView(im.jobs.Store, im.runner.Dispatcher, im.now, statuses[:], show, (*record).fault)
	if err := im.recover(context.Background()); err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return im, nil
}

// Start begins to run pending jobs and to sweep what has expired.
func (im *Imports) Start() { im.runner.Start() }

// Stop stops the jobs, which start over after the next Start, and releases all callers
// waiting for or watching them.
func (im *Imports) Stop() { im.runner.Stop() }

// Close stops the jobs, waits for them, and closes the store.
func (im *Imports) Close() error { return im.runner.Close() }

// Scratch is the directory for unpacked files. The next Open removes what a crash
// leaves there.
func (im *Imports) Scratch() string { return im.dir.Scratch() }

// Metadata returns the metadata that the sender of an upload in parts gave about the
// file.
func (im *Imports) Metadata(ctx context.Context, projectID ids.Project, id string) (string, error) {
	r, err := im.jobs.Find(ctx, projectID, id)
	if err != nil {
		return "", err
	}
	return r.spec.Metadata, nil
}

// MaxBytes returns the maximum size of an upload, in bytes.
func (im *Imports) MaxBytes() int64 { return im.config.MaxBytes }

// withLiveState returns the manifest with the state known only from the clock, the
// directory and the running job.
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

// ListOptions selects the imports to list.
type ListOptions = jobs.ListOptions[Manifest]

// Rejects returns the first 1,000 rows that an import has rejected, or would reject.
func (im *Imports) Rejects(ctx context.Context, projectID ids.Project, id string) ([]ingest.Reject, error) {
	return im.jobs.readRejects(ctx, projectID, id)
}

// Run requests another run of an import whose file is still kept: a dry run or a failed
// import. Nil options stay unchanged.
func (im *Imports) Run(ctx context.Context, faults *problem.Faults, projectID ids.Project, id string, options *ingest.Options, dryRun bool, tableID ids.Table) (Manifest, error) {
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
		if err := im.jobs.Admit(c, projectID, im.config.Bounds(), 0, 0); err != nil {
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

// Delete cancels an unfinished import, whose manifest stays. A finished import is
// removed. It is a conflict if the import completes before it can be canceled.
func (im *Imports) Delete(ctx context.Context, projectID ids.Project, id string) error {
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

// forget drops what is needed only for another run.
func (r *record) forget() {
	if r.spec.NewProject != nil {
		r.spec.NewProject.PasswordHash = ""
	}
}

func (r *record) cancel(now time.Time) {
	r.forget()
	r.finished, r.expires = now, time.Time{}
	r.manifest.Status, r.manifest.CompletedAt, r.manifest.ExpiresAt = Canceled, new(jobs.Timestamp(now)), nil
}

// cancelRunning stops a running job. Anything it has committed by then stays, and only
// the job itself knows whether it has.
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

// RemoveProject removes every import of a project. It is called once the project itself
// can no longer be reached.
func (im *Imports) RemoveProject(ctx context.Context, projectID ids.Project) error {
	if err := im.runner.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	return im.dir.RemoveProject(projectID)
}
