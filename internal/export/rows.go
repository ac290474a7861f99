package export

import (
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// writeTable writes the selected rows of a table through a TableWriter, which must see
// them in order. begin creates the writer.
func (j *job) writeTable(s *source, t *projectdb.Table, result *TableResult, begin func([]format.Column) (format.TableWriter, error)) error {
	scan, err := s.snapshot.Scan(t, s.spec.Selections[t.ID])
	if err != nil {
		return err
	}
	defer scan.Close()
	w, err := begin(scan.Columns)
	if err != nil {
		return err
	}
	content, err := j.pump(scan.Next, w)
	if err != nil {
		return err
	}
	result.RowCount = content.Rows
	result.hold(scan.Columns, content)
	return result.check(w)
}

// pump writes all batches that next fills, and closes the writer. It returns the
// content of the rows.
func (j *job) pump(next func(*sqlite.Batch) (bool, error), w format.TableWriter) (content sqlite.Content, err error) {
	err = prefetch(j.ctx, next, func(b *sqlite.Batch) error {
		content.Add(b)
		j.rowsDone.Add(int64(b.Rows))
		return w.Rows(b)
	})
	if err != nil {
		return content, err
	}
	return content, w.Close()
}

// replaced returns how many values an encoder or writer could not write unchanged.
func replaced(holder any) int64 {
	if counts, ok := holder.(interface{ Replaced() int64 }); ok {
		return counts.Replaced()
	}
	return 0
}

// insertWriter writes rows into a table of a database file.
type insertWriter struct{ in *projectdb.Inserter }

func (w insertWriter) Rows(b *sqlite.Batch) error { return w.in.Batch(b) }

func (w insertWriter) Close() error {
	w.in.Close()
	return nil
}
