package export

import (
	"context"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/storage"
)

// kind returns what the runner needs to know about exports.
func (e *Exports) kind() jobs.Kind[record, job] {
	return jobs.Kind[record, job]{
		Name: func(r *record) (string, ids.Project) { return r.manifest.ID, r.projectID },
		New: func(base *jobs.Job, r *record) *job {
			j := newJob(base.Context, r, e.now())
			j.Job = base
			return j
		},
		Run: func(j *job) error {
			defer e.config.Running()()
			return e.build(j)
		},
		Complete: func(j *job, err error) {
			j.record.complete(e.now(), err)
			if err == nil {
				err = e.noteReady(j)
			}
			e.logOutcome(j, err)
		},
		Save:    e.save,
		PutBack: func(j *job) error { return e.jobs.PutBack(context.Background(), j.ID) },
		Sweep:   e.sweep,
	}
}

// noteReady writes the sidecar of a ready export. If that fails, the export fails.
func (e *Exports) noteReady(j *job) error {
	err := e.writeSidecar(j.record)
	if err == nil {
		e.config.Failpoint("noted")
		return nil
	}
	err = errors.Join(err, e.remove(j.record))
	j.record.complete(e.now(), err)
	return err
}

func (e *Exports) logOutcome(j *job, err error) {
	m := &j.record.manifest
	switch {
	case err == nil:
		e.log.Info("export ready", "export", m.ID, "project", m.Project, "rows", m.RowCount, "bytes", *m.SizeBytes)
	case j.ctx.Err() == nil:
		e.log.Error("export failed", "export", m.ID, "project", m.Project, "error", err)
	}
}

// save stores the outcome. If the store does not accept it, because the job was
// canceled or the disk is full, the artifact is removed, but only when the store
// certainly does not say ready. After any other failure it may say so, and the artifact
// stays until the next outcome is stored.
func (e *Exports) save(j *job) error {
	ready := j.record.manifest.Status == Ready
	j.published = j.published || ready
	entered, err := e.jobs.saveOutcome(context.Background(), j.record)
	if entered && ready {
		e.config.Failpoint("entered")
		e.retain(context.Background(), j.record.projectID)
		return nil
	}
	if j.published && (err == nil || storage.IsFull(err)) {
		j.published = false
		if removeErr := e.remove(j.record); removeErr != nil {
			e.log.Error("remove an artifact", "export", j.ID, "error", removeErr)
		}
	}
	if err != nil {
		j.record.complete(e.now(), err)
	}
	return err
}

// complete completes the record as a ready export, or as a failed one.
func (r *record) complete(now time.Time, err error) {
	m := &r.manifest
	r.finished, m.CompletedAt = now, new(jobs.Timestamp(now))
	if err == nil {
		r.expires = now.Add(r.life)
		m.Status, m.ExpiresAt = Ready, new(jobs.Timestamp(r.expires))
		return
	}
	sentence := ""
	r.failure, sentence = explainFailure(err)
	r.expires = time.Time{}
	m.Status, m.Error = Failed, &sentence
	m.RowCount, m.SizeBytes, m.SHA256, m.ExpiresAt = 0, nil, nil, nil
}

// explainFailure returns the reason why a job failed, in terms that clients may see.
func explainFailure(err error) (problem.Code, string) {
	var known *problem.Error
	var limit *format.LimitError
	err = storage.Explain(err)
	switch {
	case problem.Is(err, problem.CodeStorageFull) && errors.As(err, &known):
		return problem.CodeStorageFull, known.Message
	case errors.As(err, &limit):
		return problem.CodeExportFailed, "The format cannot hold the table: " + limit.Error() + "."
	case errors.As(err, &known):
		return problem.CodeExportFailed, known.Message
	}
	return problem.CodeExportFailed, problem.Internal("the id of the export")
}
