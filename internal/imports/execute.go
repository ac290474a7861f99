package imports

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/source"
)

// execute runs the request and completes the manifest. If it fails, nothing in the
// project has changed.
func (im *Imports) execute(j *job) (err error) {
	defer problem.Recovered(&err)
	r := j.record
	if r.attempt > 1 {
		j.unsure = true
		if done, err := im.recallOutcome(j); done || err != nil {
			return err
		}
		j.unsure = false
	}
	if r.attempt > jobs.MaxAttempts {
		return errDeadly
	}
	file, err := ingest.Open(j.ctx, source.Opening{
		Workers: im.config.Projects.Workers(), Path: im.dir.upload(r), Name: r.manifest.FileName, Scratch: im.dir.Scratch(),
		Format: r.manifest.Options.Format, MaxUnpacked: im.config.MaxUnpacked, SHA256: *r.manifest.SHA256,
	})
	if err != nil {
		return err
	}
	defer im.closeSource(j, file)
	r.manifest.Format = new(file.Format())
	file.OnProgress(func(p ingest.Progress) {
		j.note(p)
		im.leaveRoom(j, p)
	})
	options := r.manifest.Options
	if r.spec.TableID != 0 {
		options.Table = strconv.FormatInt(int64(r.spec.TableID), 10)
	}
	if r.spec.NewProject != nil {
		return im.importProject(j, file, options)
	}
	return im.importTables(j, file, options)
}

// closeSource closes the file. An error does not undo what the job has already done.
func (im *Imports) closeSource(j *job, source *ingest.Source) {
	if err := source.Close(); err != nil {
		im.log.Error("close the file of an import", "import", j.record.manifest.ID, "error", err)
	}
}

// leaveRoom interrupts a job before it fills the disk for everybody. The rows imported
// so far are in the write-ahead log of the project, and will take up the same space
// again in its database at the commit.
func (im *Imports) leaveRoom(j *job, p ingest.Progress) {
	if j.record.manifest.DryRun {
		return
	}
	if err := im.config.Disk.Need(p.Bytes); err != nil {
		j.Interrupt(err)
	}
}

// note records the progress of the job.
func (j *job) note(p ingest.Progress) {
	j.progressed.Store(&Progress{Table: p.Table, RowsDone: p.Rows, BytesDone: p.Bytes, BytesTotal: p.Size})
}

func (im *Imports) importTables(j *job, source *ingest.Source, options ingest.Options) error {
	r := j.record
	db, release, err := im.config.Projects.Lease(j.ctx, r.projectID)
	if err != nil {
		return err
	}
	defer release()
	if err := r.permits(j.ctx, db, source, options); err != nil {
		return err
	}
	if r.manifest.DryRun {
		preview, err := source.Preview(j.ctx, db, options)
		if err == nil {
			r.setPreview(preview)
		}
		return err
	}
	report, err := source.LoadOnce(j.ctx, db, options, r.receipt())
	if err != nil {
		r.setRejects(report.Rejects, report.RejectedRows)
		return err
	}
	im.config.Failpoint("committed")
	r.setReport(report)
	return nil
}

// permits makes sure that an import restricted to one table touches no other.
func (r *record) permits(ctx context.Context, db *projectdb.DB, source *ingest.Source, options ingest.Options) error {
	if r.spec.TableID == 0 {
		return nil
	}
	into, others, err := source.Reach(ctx, db, options)
	if err != nil {
		return err
	}
	if others || slices.ContainsFunc(into, func(t projectdb.Table) bool { return t.ID != r.spec.TableID }) {
		return problem.New(problem.CodePermissionDenied, "This token may write to one table only, but the file has others. Nothing was imported.")
	}
	return nil
}

func (im *Imports) importProject(j *job, source *ingest.Source, options ingest.Options) error {
	r := j.record
	if r.manifest.DryRun {
		preview, err := source.Preview(j.ctx, nil, options)
		if err == nil {
			r.setPreview(preview)
		}
		return err
	}
	ws, err := im.config.Registry.Operator(j.ctx, r.manifest.Project)
	if err != nil {
		return err
	}
	wanted := registry.NewProject{Slug: r.spec.NewProject.Slug, Name: r.spec.NewProject.Name, Source: r.manifest.SHA256}
	if r.spec.NewProject.Username != "" {
		wanted.User = &registry.NewProjectUser{Username: r.spec.NewProject.Username, PasswordHash: r.spec.NewProject.PasswordHash}
	}
	var report ingest.Report
	created, err := ws.CreateProject(j.ctx, new(problem.Faults), wanted, func(db *projectdb.DB) error {
		report, err = source.LoadOnce(j.ctx, db, options, r.receipt())
		return err
	})
	if err != nil {
		return err
	}
	im.config.Failpoint("committed")
	r.manifest.NewProject = &created.Project
	r.setReport(report)
	return nil
}

// setReport sets the report. Rejected rows are stored apart from the manifest.
func (r *record) setReport(report ingest.Report) {
	m := &r.manifest
	r.setRejects(report.Rejects, report.RejectedRows)
	report.Rejects = nil
	m.Report = &report
	rows := int64(0)
	for _, t := range report.Tables {
		rows += t.Rows
	}
	m.Progress = Progress{RowsDone: rows, BytesDone: *m.SizeBytes, BytesTotal: *m.SizeBytes}
}

func (r *record) setPreview(preview ingest.Preview) {
	m := &r.manifest
	r.setRejects(preview.Rejects, preview.RejectedRows)
	preview.Rejects = nil
	m.Preview = &preview
	m.Progress.BytesDone = m.Progress.BytesTotal
}

func (r *record) setRejects(rejects []ingest.Reject, rows int64) {
	m := &r.manifest
	r.rejects, m.RejectedRows = rejects, rows
	if rows > 0 {
		m.RejectsURL = new("/projects/" + m.Project + "/imports/" + m.ID + "/rejects")
	}
}

// receipt is written to the project in the transaction of the imported rows: an import
// changes a project once, however often it runs.
func (r *record) receipt() projectdb.Receipt {
	return projectdb.Receipt{Key: "import " + r.manifest.ID, Kind: projectdb.LoadTransaction}
}

// recallOutcome reports whether an earlier attempt committed its rows, but the server
// stopped before it saved the outcome.
func (im *Imports) recallOutcome(j *job) (done bool, err error) {
	r := j.record
	if r.manifest.DryRun {
		return false, nil
	}
	if im.now().Sub(r.begun) > projectdb.ReceiptLife-time.Hour {
		return false, errUnknownOutcome
	}
	projectID := r.projectID
	if r.spec.NewProject != nil {
		project, err := im.config.Registry.Project(j.ctx, r.spec.NewProject.Slug)
		if problem.Is(err, problem.CodeNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		r.manifest.NewProject, projectID = &project, project.ID
	}
	db, release, err := im.config.Projects.Lease(j.ctx, projectID)
	if err != nil {
		return false, err
	}
	defer release()
	text, err := db.Recall(j.ctx, r.receipt())
	if err != nil || text == nil {
		return false, err
	}
	var report ingest.Report
	if err := json.Unmarshal(text, &report, storeOptions); err != nil {
		return false, fmt.Errorf("decode the report of an earlier attempt: %w", err)
	}
	r.manifest.Format = new(string(report.Kind))
	r.setReport(report)
	return true, nil
}
