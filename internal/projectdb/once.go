package projectdb

import (
	"context"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ReceiptLife is how long a receipt is kept.
const ReceiptLife = 24 * time.Hour

// Receipt identifies one call of a token, so that it runs only once, however often it
// is repeated.
type Receipt struct {
	TokenID ids.Token
	Key     string   // chosen by the client
	Request [32]byte // SHA-256 of the whole request
	Kind    TransactionKind
}

// ErrOtherRequest is returned for a key that the token has already used for a
// different request.
var ErrOtherRequest = errors.New("the key was used for another request")

// Once runs fn in a transaction that also stores its answer. A call with an equal
// receipt within ReceiptLife changes nothing and gets that answer again, with replayed
// true; a call with the same key and a different request fails with ErrOtherRequest.
// Nothing is stored if fn fails. As with [DB.Change], fn may run more than once.
func (db *DB) Once(ctx context.Context, r Receipt, fn func(*Tx) ([]byte, error)) (answer []byte, replayed bool, err error) {
	err = db.transact(ctx, r.Kind, func(tx *Tx) error {
		if answer, err = findReceipt(tx.c, r, db.now()); err != nil {
			return err
		}
		if answer != nil {
			return errReplayed // there is nothing to commit
		}
		if answer, err = fn(tx); err != nil {
			return err
		}
		return keepReceipt(tx.c, r, answer, db.now())
	})
	if err == errReplayed {
		return answer, true, nil
	}
	if err != nil {
		return nil, false, explain(err)
	}
	return answer, false, nil
}

// Recall returns the answer that [DB.Once] has stored for a receipt, or nil.
func (db *DB) Recall(ctx context.Context, r Receipt) (answer []byte, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		answer, err = findReceipt(tx.c, r, db.now())
		return err
	})
	return answer, err
}

var errReplayed = errors.New("the answer is known")

// findReceipt returns the answer stored for r, or nil.
func findReceipt(c *sqlite.Conn, r Receipt, now time.Time) (answer []byte, err error) {
	const query = "SELECT request = ?, answer FROM _receipts WHERE token_id = ? AND key = ? AND created_at > ?"
	err = c.Query(query, []any{r.Request[:], r.TokenID, r.Key, Timestamp(now.Add(-ReceiptLife))}, func(s *sqlite.Stmt) error {
		if s.Int(0) == 0 {
			return ErrOtherRequest
		}
		answer = []byte(s.Text(1))
		return nil
	})
	return answer, err
}

// keepReceipt stores the answer, replacing one that has expired.
func keepReceipt(c *sqlite.Conn, r Receipt, answer []byte, now time.Time) error {
	return c.Exec("REPLACE INTO _receipts (token_id, key, request, answer, created_at) VALUES (?, ?, ?, ?, ?)",
		r.TokenID, r.Key, r.Request[:], string(answer), Timestamp(now))
}

// sweepReceipts removes expired receipts. Every transaction calls it, so that answers
// do not linger once nobody sends keys any more.
func sweepReceipts(c *sqlite.Conn, now time.Time) error {
	return c.Exec("DELETE FROM _receipts WHERE created_at <= ?", Timestamp(now.Add(-ReceiptLife)))
}
