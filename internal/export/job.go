package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
)

// job is a running export.
type job struct {
	*jobs.Job // nil in a dry run
	record    *record
	ctx       context.Context // ends when the job is canceled or the server stops

	began               time.Time
	rowsDone, rowsTotal atomic.Int64
	passes              int64 // over each row
	artifact            atomic.Pointer[artifact.Writer]
	uploaded            atomic.Int64 // bytes of the artifact uploaded by the current attempt
	published           bool         // there is an artifact that the store may not know about
}

func newJob(ctx context.Context, r *record, now time.Time) *job {
	j := &job{record: r, ctx: ctx, passes: 1, began: now}
	if r.manifest.Format == archive().Name {
		j.passes = 3
	}
	return j
}

func (j *job) progress() Progress {
	p := Progress{RowsDone: j.rowsDone.Load() / j.passes, RowsTotal: j.rowsTotal.Load(), Uploaded: j.uploaded.Load()}
	if a := j.artifact.Load(); a != nil {
		p.Bytes = a.Bytes()
	}
	return p
}

// build makes the artifact of the job and completes its manifest. It leaves nothing
// behind if it fails.
func (e *Exports) build(j *job) error {
	m, step := &j.record.manifest, e.config.Failpoint
	a, err := e.artifacts.Create(j.record.ref())
	if err != nil {
		return err
	}
	j.artifact.Store(a)
	step("created")
	if err := e.fill(j, a); err != nil {
		return errors.Join(err, a.Discard())
	}
	step("written")
	if err := e.chooseStore(j.ctx, j.record); err != nil {
		return errors.Join(err, a.Discard())
	}
	delivery := artifact.Delivery{ContentType: m.ContentType, Disposition: m.Disposition(), Uploaded: &j.uploaded}
	if err := e.artifacts.Publish(j.ctx, a, j.record.ref(), delivery); err != nil {
		return err
	}
	step("published")
	size, sum := a.Bytes(), hex.EncodeToString(a.SHA256())
	m.SizeBytes, m.SHA256, m.Progress = &size, &sum, j.progress()
	return nil
}

// chooseStore records in the running job which store its artifact goes to.
func (e *Exports) chooseStore(ctx context.Context, r *record) error {
	r.manifest.StorageBackend, r.store = e.artifacts.Backend(), e.artifacts.Current()
	if r.store == "" {
		return nil
	}
	return e.jobs.addOrphan(ctx, r)
}

// fill writes the requested content to the artifact.
func (e *Exports) fill(j *job, a *artifact.Writer) (err error) {
	defer problem.Recovered(&err)
	m, spec := &j.record.manifest, &j.record.spec
	if m.Kind == QueryExport {
		return e.writeQuery(j, a)
	}
	f, _ := formatOf(m.Kind, m.Format)
	l := layout{format: f, spec: spec, project: m.Project}
	w, err := compressor(spec.Compress, a)
	if err != nil {
		return err
	}
	switch m.Kind {
	case JournalExport:
		err = e.writeJournal(j, l, w)
	case RunExport:
		err = e.writeRun(j, l, w)
	default:
		err = e.writeSnapshot(j, l, w)
	}
	if err != nil {
		return err
	}
	return w.Close()
}

// writeSnapshot writes tables, or their schema, from one snapshot.
func (e *Exports) writeSnapshot(j *job, l layout, w io.Writer) error {
	s, err := e.openSource(j.ctx, j.record)
	if err != nil {
		return err
	}
	defer s.close()
	m := &j.record.manifest
	if l.spec.Canonical {
		l.spec.setTotal(s.tables)
	} else {
		m.Snapshot, l.snapshot, l.at = &s.snapshot.ID, &s.snapshot.ID, e.now()
	}
	if m.Kind == SchemaExport {
		return l.writeSchema(w, s.tables)
	}
	if err := j.count(s); err != nil {
		return err
	}
	if l.format.keepsSchema() {
		s.noteSchemas(m.Tables)
	}
	expected, err := l.estimate(s, m.Tables)
	if err != nil {
		return err
	}
	if err := e.config.Disk.Need(expected.space); err != nil {
		return err
	}
	if err := e.writeContent(j, s, l, w); err != nil {
		return err
	}
	m.RowCount = 0
	for _, t := range m.Tables {
		m.RowCount += t.RowCount
	}
	return nil
}

// writeContent writes the rows.
func (e *Exports) writeContent(j *job, s *source, l layout, w io.Writer) (err error) {
	m := &j.record.manifest
	var zip *memberZIP
	switch {
	case l.format.file == archive():
		zip, err = e.writeArchive(j, s, l, w)
	case l.format.isDatabaseFile():
		return e.writeDatabase(j, s, w)
	case !l.format.encodes():
		zip, err = j.writeTables(s, l, w)
	case l.format.isZIP():
		zip = newMemberZIP(w, l.modified())
		err = j.copy(s, zipOfTables{l, zip})
	default:
		return j.writeSingle(s, l, w)
	}
	if zip != nil {
		m.Members = zip.members
	}
	return err
}

// writeSingle writes a text file that is not part of another file.
func (j *job) writeSingle(s *source, l layout, w io.Writer) error {
	var d document = single{l, w}
	var err error
	if l.format.kind == DatabaseExport {
		s, d, err = newDatabaseDocument(s, l, w)
	}
	if err != nil {
		return err
	}
	return j.copy(s, d)
}

// newDatabaseDocument returns a text document for all tables, and a matching source for
// their rows.
func newDatabaseDocument(s *source, l layout, w io.Writer) (*source, document, error) {
	switch l.format.name {
	case "json":
		d, err := newJSONDatabase(w, l)
		return s, d, err
	case "sql":
		stored, shapes, err := s.shapes()
		if err != nil {
			return nil, nil, err
		}
		d, err := newDump(w, shapes)
		return stored, d, err
	}
	return nil, nil, fmt.Errorf("the format %s has no writer of databases", l.format.name)
}

// count adds the tables and their expected row counts to the manifest.
func (j *job) count(s *source) error {
	m := &j.record.manifest
	m.Tables, m.TableIDs = make([]TableResult, len(s.tables)), make([]ids.Table, len(s.tables))
	total := int64(0)
	for i, t := range s.tables {
		rows, err := s.snapshot.Count(t, s.spec.Selections[t.ID])
		if err != nil {
			return fmt.Errorf("count the rows of %s: %w", t.Name, err)
		}
		m.Tables[i] = TableResult{Name: t.Name, RowsExpected: rows}
		m.TableIDs[i] = t.ID
		total += rows
	}
	j.rowsTotal.Store(total)
	return nil
}

// check makes sure that all rows were written, and notes what the format could not
// represent.
func (r *TableResult) check(writer any) error {
	if r.RowCount != r.RowsExpected {
		return fmt.Errorf("the table %s gave %d rows, %d were counted in the same snapshot", r.Name, r.RowCount, r.RowsExpected)
	}
	r.Replaced = replaced(writer)
	return nil
}
