package export

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// receipt is kept with the export that was ordered under its key.
type receipt struct {
	projectdb.Receipt
	at time.Time
}

// Recall returns the manifest of the export that was ordered with an equal
// receipt within projectdb.ReceiptLife, as it now stands, and false when there
// was none. The same key with another request is projectdb.ErrOtherRequest; an
// export that has been removed since is not_found.
func (e *Exports) Recall(ctx context.Context, projectID int64, r projectdb.Receipt) (m Manifest, ordered bool, err error) {
	id, err := e.book.findReceipt(ctx, projectID, receipt{r, e.now()})
	if err != nil || id == "" {
		return Manifest{}, false, err
	}
	m, err = e.Get(ctx, projectID, id)
	return m, err == nil, err
}

// findReceipt returns the id of the export that is kept for r, or "".
func (b book) findReceipt(ctx context.Context, projectID int64, r receipt) (id string, err error) {
	const query = "SELECT request = ?, export_id FROM receipts WHERE project_id = ? AND token_id = ? AND key = ? AND created_at > ?"
	err = b.Read(ctx, "look for a receipt", func(c *sqlite.Conn) error {
		return c.Query(query, []any{r.Request[:], projectID, r.TokenID, r.Key, r.oldest()}, func(s *sqlite.Stmt) error {
			if s.Int(0) == 0 {
				return projectdb.ErrOtherRequest
			}
			id = s.Text(1)
			return nil
		})
	})
	return id, err
}

// oldest is when the receipts were made that end at the time of r.
func (r *receipt) oldest() int64 { return r.at.Add(-projectdb.ReceiptLife).UnixMilli() }

// keep stores the receipt of an order in the order's transaction. A receipt with
// its key that has not ended is a conflict.
func (r *receipt) keep(c *sqlite.Conn, projectID int64, exportID string) error {
	err := c.Exec(`
INSERT INTO receipts (project_id, token_id, key, request, export_id, created_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET request = excluded.request, export_id = excluded.export_id, created_at = excluded.created_at
WHERE created_at <= ?`,
		projectID, r.TokenID, r.Key, r.Request[:], exportID, r.at.UnixMilli(), r.oldest())
	if err == nil && c.Changes() == 0 {
		err = problem.New(problem.CodeConflict, "An export is being ordered under this key.").Retry(time.Second)
	}
	return err
}

// sweepReceipts removes the receipts that had ended by then.
func (b book) sweepReceipts(ctx context.Context, then time.Time) error {
	return b.Write(ctx, "sweep receipts", func(c *sqlite.Conn) error {
		return c.Exec("DELETE FROM receipts WHERE created_at <= ?", (&receipt{at: then}).oldest())
	})
}
