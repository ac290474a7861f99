package jobs

import (
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Receipt is the idempotency record of a call that requests a job: the same call, made
// again within [projectdb.ReceiptLife], gets the job of the first. It is stored in the
// transaction that adds the job.
type Receipt struct {
	TokenID ids.Token
	Key     string // chosen by the client
	Request []byte // SHA-256 of the whole content of the call
}

// ReplayedError says that the same call has been made before, and which job it
// requested.
type ReplayedError struct{ ID string }

// Error implements error.
func (e *ReplayedError) Error() string { return "the job " + e.ID + " was ordered by an equal call" }

// ReceiptSchema returns the migration that gives all stores the same table of receipts.
// id is the former name of the column with the job's id. It must never change: later
// changes are further migrations.
func ReceiptSchema(id string) string { return strings.ReplaceAll(receiptSchema, "@id", id) }

const receiptSchema = `
ALTER TABLE receipts RENAME TO receipts_before;
DROP INDEX receipts_by_age;
CREATE TABLE receipts (
	project_id INTEGER NOT NULL,
	token_id   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	request    BLOB NOT NULL,
	job_id     TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (project_id, token_id, key)
) STRICT;
CREATE INDEX receipts_by_age ON receipts (created_at);
INSERT INTO receipts SELECT project_id, token_id, key, request, @id, created_at FROM receipts_before;
DROP TABLE receipts_before;
`

// ReceiptOf returns what a store keeps of a call's receipt, nil for none.
func ReceiptOf(r *projectdb.Receipt) *Receipt {
	if r == nil {
		return nil
	}
	return &Receipt{r.TokenID, r.Key, r.Request[:]}
}

// Recall returns the id of the job that the same call requested before, or "". A call
// with the same key and different content is [projectdb.ErrOtherRequest].
func (r *Receipt) Recall(c *sqlite.Conn, projectID ids.Project, now time.Time) (id string, err error) {
	const query = "SELECT request = ?, job_id FROM receipts WHERE project_id = ? AND token_id = ? AND key = ? AND created_at > ?"
	err = c.Query(query, []any{r.Request, projectID, r.TokenID, r.Key, oldestReceipt(now)}, func(s *sqlite.Stmt) error {
		if s.Int(0) == 0 {
			return projectdb.ErrOtherRequest
		}
		id = s.Text(1)
		return nil
	})
	return id, err
}

// Keep stores the receipt of a job. If the same call has been made before, it returns a
// [ReplayedError].
func (r *Receipt) Keep(c *sqlite.Conn, projectID ids.Project, jobID string, now time.Time) error {
	switch known, err := r.Recall(c, projectID, now); {
	case err != nil:
		return err
	case known != "":
		return &ReplayedError{known}
	}
	return c.Exec("REPLACE INTO receipts (project_id, token_id, key, request, job_id, created_at) VALUES (?, ?, ?, ?, ?, ?)",
		projectID, r.TokenID, r.Key, r.Request, jobID, now.UnixMilli())
}

// SweepReceipts removes the receipts that had expired by the time then.
func SweepReceipts(c *sqlite.Conn, then time.Time) error {
	return c.Exec("DELETE FROM receipts WHERE created_at <= ?", oldestReceipt(then))
}

// oldestReceipt returns the creation time, in milliseconds, of the receipts that expire
// now.
func oldestReceipt(now time.Time) int64 { return now.Add(-projectdb.ReceiptLife).UnixMilli() }
