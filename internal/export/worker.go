package export

import (
	"context"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/storage"
)

// claim takes the next job, or nil, out of the book, and returns what makes it.
func (e *Exports) claim() (run func(), err error) {
	j, err := e.running.Claim(func() (id string, j *job, err error) {
		limits := jobs.Limits{Workers: e.config.Workers, PerProject: e.config.PerProject}
		r, leave, err := jobs.Claim(e.crew.Stopped, e.config.Quarantine, e.book.Book, limits, nil)
		if r == nil || err != nil {
			return "", nil, err
		}
		j = newJob(e.crew.Stopped, r, e.now())
		j.leave = leave
		return r.manifest.ID, j, nil
	})
	if j == nil || err != nil {
		return nil, err
	}
	return func() { e.runJob(j) }, nil
}

// runJob makes the artifact and settles the job.
func (e *Exports) runJob(j *job) {
	defer e.spareProcessor()()
	err := e.make(j)
	if err != nil && e.crew.Stopped.Err() != nil {
		e.putBack(j)
	} else {
		j.record.complete(e.now(), err)
		e.logOutcome(j, err)
		e.settle(j)
	}
	e.running.Remove(j.record.manifest.ID)
	j.cancel()
	j.leave()
	close(j.done)
}

func (e *Exports) putBack(j *job) {
	if err := e.book.PutBack(context.Background(), j.record.manifest.ID); err != nil {
		// The next Open does the same.
		e.log.Error("stop an export", "export", j.record.manifest.ID, "error", err)
	}
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

// settle enters the outcome into the book. An artifact that the book does not
// take, because the job was canceled or the disk is full, is removed.
func (e *Exports) settle(j *job) {
	for {
		// The outcome must be entered also when the server is stopping.
		entered, err := e.book.settle(context.Background(), j.record)
		if entered {
			e.config.Failpoint("entered")
			e.retain(context.Background(), j.record.projectID)
			return
		}
		if j.record.manifest.Status == Ready {
			if removeErr := e.remove(j.record); removeErr != nil {
				e.log.Error("remove an artifact", "export", j.record.manifest.ID, "error", removeErr)
			}
		}
		if err == nil || e.crew.Stopped.Err() != nil {
			return
		}
		e.log.Error("settle an export", "export", j.record.manifest.ID, "error", err)
		j.record.complete(e.now(), err)
		e.crew.Rest()
	}
}

// complete makes the record that of a ready export, or of one that failed.
func (r *record) complete(now time.Time, err error) {
	m := &r.manifest
	completed := timestamp(now)
	r.settled, m.CompletedAt = now, &completed
	if err == nil {
		r.expires = now.Add(r.life)
		expires := timestamp(r.expires)
		m.Status, m.ExpiresAt = Ready, &expires
		return
	}
	sentence := ""
	r.failure, sentence = explainFailure(err)
	r.expires = time.Time{}
	m.Status, m.Error = Failed, &sentence
	m.RowCount, m.SizeBytes, m.SHA256, m.ExpiresAt = 0, nil, nil, nil
}

// explainFailure returns why a job failed, as far as a client may know.
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
	return problem.CodeExportFailed, "Something went wrong on the server. Its log has the reason under the id of the export."
}
