package projectdb

import (
	"errors"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Ranges reads a whole table by rowid ranges, with several concurrent readers.
type Ranges struct {
	Columns     []format.Column
	First, Last int64 // the smallest and the largest existing rowid
	Readers     []*RangeReader
}

// Ranges prepares one reader per connection of the snapshot. It returns nil if reading
// by rowid ranges would not give the rows of a [Snapshot.Scan] in the same order: for
// a table without rows or with a key other than the rowid, and for a selection of only
// some rows or in another order. Until Close, nothing else may read the snapshot.
func (s *Snapshot) Ranges(t *Table, selection Selection) (*Ranges, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	var faults problem.Faults
	q := selection.plan(t, &faults, "")
	if err := faults.Err(); err != nil {
		return nil, err
	}
	rowid := t.rowidName()
	// The rowid must be accessible by name, be the order of a scan, and be the only
	// thing that selects rows.
	if rowid == "" || len(t.PrimaryKey) > 0 && !t.RowidKey ||
		q.where.sql != "" || len(q.sorts) > 0 || q.descending || q.limits() != "" ||
		selection.Total && len(t.PrimaryKey) == 0 {
		return nil, nil
	}
	r := &Ranges{Columns: q.columns}
	// Two statements, because SQLite can use an index for min and max only separately.
	err := errors.Join(
		s.conn().Query("SELECT min("+rowid+") FROM "+quote(t.Name), nil, func(s *sqlite.Stmt) error { r.First = s.Int(0); return nil }),
		s.conn().Query("SELECT max("+rowid+") FROM "+quote(t.Name), nil, func(s *sqlite.Stmt) error {
			if s.IsNull(0) {
				r = nil
				return nil
			}
			r.Last = s.Int(0)
			return nil
		}))
	if err != nil || r == nil {
		return nil, explain(err)
	}
	// The rowid is selected after the columns: it says where the next range begins.
	query := q.selectSQL(q.list+", "+rowid, where{sql: rowid + " BETWEEN ? AND ?"}, q.order)
	for _, c := range s.pinned.Conns {
		stmt, err := c.Prepare(query)
		if err != nil {
			r.Close()
			return nil, explain(err)
		}
		r.Readers = append(r.Readers, &RangeReader{stmt, len(q.columns)})
	}
	return r, nil
}

// Close ends the reading.
func (r *Ranges) Close() {
	for _, reader := range r.Readers {
		reader.stmt.Close()
	}
	r.Readers = nil
}

// RangeReader is one reader of Ranges. It must be used by one goroutine at a time.
type RangeReader struct {
	stmt    *sqlite.Stmt
	columns int
}

// Read fills b with the first rows whose rowid lies between from and to, until it has
// maxRows rows, fewer if they are wide, or maxBytes bytes. If there may be more rows,
// it returns the rowid of the last one read.
func (r *RangeReader) Read(b *sqlite.Batch, from, to int64, maxRows, maxBytes int) (last int64, more bool, err error) {
	b.Reset(r.columns)
	if err := r.stmt.Reset(); err != nil {
		return 0, false, explain(err)
	}
	r.stmt.Bind(from, to)
	more, err = r.stmt.Fill(b, min(maxRows, maxBatchRows(r.columns)), maxBytes)
	if err != nil || !more {
		return 0, false, explain(err)
	}
	return r.stmt.Int(r.columns), true, nil
}
