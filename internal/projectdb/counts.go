package projectdb

import (
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// TotalKind says how exactly the total of a list is known.
type TotalKind string

// The kinds of totals.
const (
	ExactTotal    TotalKind = "exact"
	AtLeastTotal  TotalKind = "at_least" // as many were counted before the time was up
	EstimateTotal TotalKind = "estimate" // from the span of the rowids: deleted rows may be included
)

// estimateTime bounds how long an estimate may take.
const estimateTime = 300 * time.Millisecond

// count counts the rows that match the filters.
func (q query) count(c *sqlite.Conn) (int64, error) {
	q.limit, q.offset = 0, 0
	return c.Int(q.countSQL(), q.where.args...)
}

// estimate is like count, but takes at most estimateTime.
func (q query) estimate(c *sqlite.Conn) (n int64, kind TotalKind, err error) {
	if rowid := q.table.rowidName(); q.where.sql == "" && q.searched == "" && rowid != "" {
		n, err = q.table.estimateRows(c)
		if n <= exactCount {
			return n, ExactTotal, err
		}
		return n, EstimateTotal, err
	}
	late, err := c.Briefly(estimateTime, func() error {
		// An interrupted count(*) would tell nothing.
		return c.Query("SELECT 1 FROM "+q.from()+q.where.clause(), q.where.args, func(*sqlite.Stmt) error {
			n++
			return nil
		})
	})
	if late {
		return n, AtLeastTotal, nil
	}
	return n, ExactTotal, err
}
