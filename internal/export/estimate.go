package export

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// sampleRows is how many rows are encoded to estimate the bytes per row.
const sampleRows = 1000

// sample is the result of encoding the first rows of a table.
type sample struct {
	rows, bytes int64
	took        time.Duration
	refused     bool // the format cannot hold these rows; the export itself will report it
}

// of returns the estimated size of that many rows, and how long they take to write.
func (s sample) of(rows int64) (bytes int64, took time.Duration) {
	if s.rows == 0 {
		return s.bytes, s.took
	}
	share := float64(rows) / float64(s.rows)
	return int64(float64(s.bytes) * share), time.Duration(float64(s.took) * share)
}

// countingWriter counts bytes and discards them.
type countingWriter struct{ n atomic.Int64 }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return len(p), nil
}

// sample encodes the first rows of a table and discards the output.
func (l layout) sample(s *source, t *projectdb.Table) (sample, error) {
	selection := s.spec.Selections[t.ID]
	if selection.Limit == 0 || selection.Limit > sampleRows {
		selection.Limit = sampleRows
	}
	scan, err := s.snapshot.Scan(t, selection)
	if err != nil {
		return sample{}, err
	}
	defer scan.Close()
	return l.sampleRows(tableRef{id: t.ID, name: t.Name}, scan.Columns, scan.Next)
}

func (l layout) sampleRows(t tableRef, columns []format.Column, next func(*sqlite.Batch) (bool, error)) (result sample, err error) {
	began := time.Now()
	var count countingWriter
	compression := l.spec.Compress
	if l.format.isZIP() && !l.format.rows().Compressed {
		compression = "gzip" // like ZIP members
	}
	compressed, err := compressor(compression, &count)
	if err != nil {
		return result, err
	}
	result.rows, err = l.writeSample(compressed, t, columns, next)
	var limit *format.LimitError
	if errors.As(err, &limit) {
		return sample{refused: true}, nil
	}
	if err != nil {
		return result, err
	}
	if err := compressed.Close(); err != nil {
		return result, err
	}
	result.bytes, result.took = count.n.Load(), time.Since(began)
	return result, nil
}

func (l layout) writeSample(w io.Writer, t tableRef, columns []format.Column, next func(*sqlite.Batch) (bool, error)) (rows int64, err error) {
	written := l.format.rows()
	if written.SQLite {
		written = format.All().Get("csv") // a text file of these rows is about as slow to write, and about as large
	}
	rowsWriter, err := written.Writer(w, columns, l.writing(t))
	if err != nil {
		return 0, err
	}
	var b sqlite.Batch
	for rows < sampleRows {
		more, err := next(&b)
		if err != nil {
			return rows, err
		}
		if !more {
			break
		}
		if err := rowsWriter.Rows(&b); err != nil {
			return rows, err
		}
		rows += int64(b.Rows)
	}
	return rows, rowsWriter.Close()
}

// estimate is the expected size and cost of an export.
type estimate struct {
	bytes int64 // of the artifact
	space int64 // on the disk, while the artifact is made
	took  time.Duration

	unknown bool // no estimate is possible
}

// estimate extrapolates from the first rows of each table; rows has the row count of
// each.
func (l layout) estimate(s *source, rows []TableResult) (e estimate, err error) {
	for i, t := range s.tables {
		sampled, err := l.sample(s, t)
		if err != nil {
			return e, err
		}
		e.unknown = e.unknown || sampled.refused
		bytes, took := sampled.of(rows[i].RowsExpected)
		e.bytes += bytes
		e.took += took
	}
	e.space = e.bytes
	if !l.format.isDatabaseFile() {
		return e, nil
	}
	size := e.bytes
	if s.isWhole() {
		if size, err = s.snapshot.Size(); err != nil {
			return e, err
		}
	}
	if !l.format.isZIP() {
		e.bytes = size
	} else {
		// The database, CSV and NDJSON, all of them compressed.
		e.bytes += size / 3
		e.took *= 3
	}
	e.space = e.bytes + 2*size
	return e, nil
}
