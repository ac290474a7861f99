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

// Config says where imports are kept and how they run. Durations and numbers
// that are zero get the defaults given here.
type Config struct {
	jobs.Config // StoreLost: uploads are moved to where nothing removes them
	Projects    *projectdb.Dir
	Registry    *registry.Registry // makes the projects of project imports

	MaxBytes    int64         // 16 GiB: of one upload
	MaxUnpacked int64         // that of package ingest: of what an upload unpacks to
	KeepFiles   time.Duration // 24 hours: how long an upload is kept unfinished, after a dry run, and after a failure
	KeepBytes   int64         // 32 GiB: of the files of a project's imports together; negative: no limit
	KeepCount   int64         // 1,000: of the files of a project that are kept after a dry run or a failure, the newest; negative: no limit
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
	receiving map[string]bool // uploads that bytes are written to
}

type view = jobs.View[record, Manifest]

// Open opens the store and the directory of imports, and creates them if they are
// missing. Jobs that a crash has interrupted are pending again, uploads that can be
// resumed wait for their senders, and what else was left is removed. No job runs
// before Start.
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
	im.view = jobs.NewView(im.jobs.Store, im.runner.Dispatcher, statuses[:], show, (*record).fault)
	if err := im.recover(context.Background()); err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return im, nil
}

// Start begins to run pending jobs and to sweep what has expired.
func (im *Imports) Start() { im.runner.Start() }

// Stop stops the jobs, which begin anew after the next Start, and dismisses those
// who wait for them or watch them.
func (im *Imports) Stop() { im.runner.Stop() }

// Close stops the jobs, waits for them, and closes the store.
func (im *Imports) Close() error { return im.runner.Close() }

// Scratch is the directory for unpacked files. The next Open removes what a crash
// has left there.
func (im *Imports) Scratch() string { return im.dir.Scratch() }

// Metadata returns what the sender of an upload in parts has said about the file.
func (im *Imports) Metadata(ctx context.Context, projectID ids.Project, id string) (string, error) {
	r, err := im.jobs.Find(ctx, projectID, id)
	if err != nil {
		return "", err
	}
	return r.spec.Metadata, nil
}

// MaxBytes returns how large an upload may be.
func (im *Imports) MaxBytes() int64 { return im.config.MaxBytes }

// withLiveState returns the manifest with what only the clock, the directory and the
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

// ListOptions says which imports are wanted.
type ListOptions = jobs.ListOptions[Manifest]

// Rejects returns the first 1,000 rows that an import has rejected, or would reject.
func (im *Imports) Rejects(ctx context.Context, projectID ids.Project, id string) ([]ingest.Reject, error) {
	return im.jobs.readRejects(ctx, projectID, id)
}

// Run requests an import again whose file is still kept: a dry run, or one that
// failed. Options that are nil stay as they are.
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

// Delete cancels an import that has not finished; its manifest stays. One that has
// finished is removed. It is a conflict if the import completes before it can be
// canceled.
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

// forget drops what only another run would need.
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

// cancelRunning stops a job. What the job has committed by then stays, and only the
// job itself knows.
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
// can no longer be reached.
func (im *Imports) RemoveProject(ctx context.Context, projectID ids.Project) error {
	if err := im.runner.RemoveProject(ctx, projectID); err != nil {
		return err
	}
	return im.dir.RemoveProject(projectID)
}
