package export

import (
	"context"
	"io"
	"sync"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// source reads tables from one snapshot of a project.
type source struct {
	snapshot *projectdb.Snapshot
	tables   []*projectdb.Table
	spec     *spec
	cpus     chan struct{} // see Exports
	throttle throttle
	close    func() // releases the snapshot and the project
}

// maxReaders limits the readers of one table.
const maxReaders = 8

func (e *Exports) openSource(ctx context.Context, r *record) (*source, error) {
	db, release, err := e.projects.Lease(ctx, r.projectID)
	if err != nil {
		return nil, err
	}
	snapshot, err := db.ParallelSnapshot(ctx, min(cap(e.cpus), maxReaders))
	if err != nil {
		release()
		return nil, err
	}
	s := &source{snapshot: snapshot, spec: &r.spec, cpus: e.cpus, throttle: e.throttle()}
	s.close = sync.OnceFunc(func() {
		if err := snapshot.Close(); err != nil {
			e.log.Error("close a snapshot", "export", r.manifest.ID, "error", err)
		}
		release()
	})
	if s.tables, err = r.spec.tablesOf(snapshot); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// copy copies the tables of the source into the document, and then closes the source.
func (j *job) copy(s *source, d document) error {
	for i, t := range s.tables {
		if err := j.copyTable(s, t, d, &j.record.manifest.Tables[i]); err != nil {
			return err
		}
		j.record.manifest.RowCount += j.record.manifest.Tables[i].RowCount
	}
	s.close()
	return d.close()
}

func (j *job) copyTable(s *source, t *projectdb.Table, d document, result *TableResult) error {
	rows, err := s.open(t, result.RowsExpected)
	if err != nil {
		return err
	}
	defer rows.close()
	w, encoder, err := d.begin(t, rows.columns)
	if err != nil {
		return err
	}
	if _, err := w.Write(encoder.Head(nil)); err != nil {
		return err
	}
	content, err := rows.copy(j.ctx, encoder, j.writer(w, result))
	if err != nil {
		return err
	}
	result.hold(rows.columns, content)
	if _, err := w.Write(encoder.Tail(nil, result.RowCount > 0)); err != nil {
		return err
	}
	if err := d.end(); err != nil {
		return err
	}
	return result.check(encoder)
}

// writer returns a function that writes encoded rows and counts them.
func (j *job) writer(w io.Writer, result *TableResult) emit {
	return func(piece []byte, rows int) error {
		result.RowCount += int64(rows)
		j.rowsDone.Add(int64(rows))
		_, err := w.Write(piece)
		return err
	}
}

// tableRows is a table ready to be read, in one of two ways.
type tableRows struct {
	columns []format.Column
	copy    func(ctx context.Context, encoder format.Encoder, emit emit) (sqlite.Content, error)
	close   func()
}

// emit takes encoded rows, in order.
type emit = func(piece []byte, rows int) error

// fewRows is the number of rows up to which one reader is enough.
const fewRows = 4 * pieceRows

// open prepares to read a table with that many rows.
func (s *source) open(t *projectdb.Table, rows int64) (tableRows, error) {
	selection := s.spec.Selections[t.ID]
	if rows > fewRows {
		r, err := s.snapshot.Ranges(t, selection)
		if err != nil {
			return tableRows{}, err
		}
		if r != nil {
			return tableRows{r.Columns, func(ctx context.Context, encoder format.Encoder, emit emit) (sqlite.Content, error) {
				return newRanges(r, rows, encoder).run(ctx, r.Readers, s.cpus, s.throttle, emit)
			}, r.Close}, nil
		}
	}
	scan, err := s.snapshot.Scan(t, selection)
	if err != nil {
		return tableRows{}, err
	}
	return tableRows{scan.Columns, func(ctx context.Context, encoder format.Encoder, emit emit) (sqlite.Content, error) {
		return copyScan(ctx, scan, encoder, emit)
	}, scan.Close}, nil
}

// copyScan encodes the rows of a scan, and returns their content.
func copyScan(ctx context.Context, scan *projectdb.Scan, encoder format.Encoder, emit emit) (content sqlite.Content, err error) {
	var piece []byte
	first := true
	err = prefetch(ctx, scan.Next, func(b *sqlite.Batch) error {
		content.Add(b)
		piece = encoder.Rows(piece[:0], b, first)
		first = false
		err := emit(piece, b.Rows)
		if cap(piece) > keepBytes {
			piece = nil // do not keep the memory of one oversized row to the end
		}
		return err
	})
	return content, err
}
