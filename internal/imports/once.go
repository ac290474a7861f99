package imports

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// keyed is the receipt of a call with a key. The file of an upload in one piece
// belongs to what was asked for, and is only known when it has come.
type keyed struct {
	TokenID int64
	Key     string
	Request []byte // SHA-256 of all that was asked, without such a file
}

func newKeyed(r *projectdb.Receipt) *keyed {
	if r == nil {
		return nil
	}
	return &keyed{r.TokenID, r.Key, r.Request[:]}
}

// replayedError says that an equal call has been made before, and which import
// came of it.
type replayedError struct{ id string }

func (e *replayedError) Error() string { return "the import " + e.id + " was made by an equal call" }

// keep stores the receipt of a call that makes an import, within the
// transaction of what it makes. One that is kept already for an equal call is a
// replayedError, one for another request projectdb.ErrOtherRequest.
func (k *keyed) keep(c *sqlite.Conn, projectID int64, importID, digest string, now time.Time) error {
	if k == nil {
		return nil
	}
	request := sha256.Sum256(append(k.Request, digest...))
	oldest := now.Add(-projectdb.ReceiptLife).UnixMilli()
	const query = "SELECT request = ?, import_id FROM receipts WHERE project_id = ? AND token_id = ? AND key = ? AND created_at > ?"
	err := c.Query(query, []any{request[:], projectID, k.TokenID, k.Key, oldest}, func(s *sqlite.Stmt) error {
		if s.Int(0) == 0 {
			return projectdb.ErrOtherRequest
		}
		return &replayedError{s.Text(1)}
	})
	if err != nil {
		return err
	}
	return c.Exec("REPLACE INTO receipts (project_id, token_id, key, request, import_id, created_at) VALUES (?, ?, ?, ?, ?, ?)",
		projectID, k.TokenID, k.Key, request[:], importID, now.UnixMilli())
}

// replay returns the import that an equal call has made, when that is what err
// says.
func (m *Imports) replay(ctx context.Context, projectID int64, err error) (manifest Manifest, replayed bool, _ error) {
	var known *replayedError
	if !errors.As(err, &known) {
		return manifest, false, err
	}
	manifest, err = m.Get(ctx, projectID, known.id)
	return manifest, err == nil, err
}
