package projectdb

import (
	"context"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ReceiptLife is how long a receipt is kept.
const ReceiptLife = 24 * time.Hour

// Receipt says which of a token's calls is made, so that it is made once only,
// however often it is asked for.
type Receipt struct {
	TokenID int64
	Key     string   // chosen by the client
	Request [32]byte // SHA-256 of all that is asked
	Kind    TransactionKind
}

// TransactionKind is in what transaction a call of Once does its work.
type TransactionKind int

// The kinds of transactions. Only the last two may alter columns.
const (
	SharedTransaction  TransactionKind = iota // small changes of rows, committed together with others
	OwnTransaction                            // large bodies of rows
	SchemaTransaction                         // tables and indexes
	RebuildTransaction                        // changes that may rebuild a table
	LoadTransaction                           // whole tables, in the background: it waits for its turn
)

// ErrOtherRequest is returned for a key that the token has used for another
// request.
var ErrOtherRequest = errors.New("the key was used for another request")

// Once runs fn, which makes one change by methods of db with the context it is
// given, and keeps its answer in the same transaction. A call with an equal
// receipt within ReceiptLife changes nothing and gets that answer again, with
// replayed true; one with the same key and another request is ErrOtherRequest.
// Nothing is kept when fn fails. fn may run more than once and must have no
// effect outside db.
func (db *DB) Once(ctx context.Context, r Receipt, fn func(context.Context) ([]byte, error)) (answer []byte, replayed bool, err error) {
	err = db.transact(ctx, r.Kind, func(c *sqlite.Conn) error {
		if answer, err = findReceipt(c, r, db.now()); err != nil {
			return err
		}
		if answer != nil {
			return errReplayed // nothing is to be committed
		}
		inside := context.WithValue(ctx, openKey{db.sql}, open{c, r.Kind})
		if answer, err = fn(inside); err != nil {
			return err
		}
		return keepReceipt(c, r, answer, db.now())
	})
	if err == errReplayed {
		return answer, true, nil
	}
	if err != nil {
		return nil, false, explain(err)
	}
	return answer, false, nil
}

var errReplayed = errors.New("the answer is known")

// findReceipt returns the answer that is kept for r, or nil.
func findReceipt(c *sqlite.Conn, r Receipt, now time.Time) (answer []byte, err error) {
	const query = "SELECT request = ?, answer FROM _receipts WHERE token_id = ? AND key = ? AND created_at > ?"
	err = c.Query(query, []any{r.Request[:], r.TokenID, r.Key, timestamp(now.Add(-ReceiptLife))}, func(s *sqlite.Stmt) error {
		if s.Int(0) == 0 {
			return ErrOtherRequest
		}
		answer = []byte(s.Text(1))
		return nil
	})
	return answer, err
}

// keepReceipt stores the answer, in the place of one that has ended.
func keepReceipt(c *sqlite.Conn, r Receipt, answer []byte, now time.Time) error {
	return c.Exec("REPLACE INTO _receipts (token_id, key, request, answer, created_at) VALUES (?, ?, ?, ?, ?)",
		r.TokenID, r.Key, r.Request[:], string(answer), timestamp(now))
}

// sweepReceipts removes the receipts that have ended. Every transaction does it,
// so that answers are not kept for longer because nobody sends keys any more.
func sweepReceipts(c *sqlite.Conn, now time.Time) error {
	return c.Exec("DELETE FROM _receipts WHERE created_at <= ?", timestamp(now.Add(-ReceiptLife)))
}

// openKey is where the context that Once gives to its function holds the
// transaction of db.
type openKey struct{ sql *sqlite.DB }

type open struct {
	conn *sqlite.Conn
	kind TransactionKind
}

// opened returns the connection of the transaction that ctx holds, or nil.
func (db *DB) opened(ctx context.Context) *sqlite.Conn {
	o, _ := ctx.Value(openKey{db.sql}).(open)
	return o.conn
}

// freeing, added to a kind, marks a transaction that makes the project smaller.
// It goes on where there is too little room to grow.
const freeing TransactionKind = 1 << 8

// transact runs fn in a transaction of the given kind, or in the one that ctx
// holds already.
func (db *DB) transact(ctx context.Context, kind TransactionKind, fn func(*sqlite.Conn) error) error {
	if o, ok := ctx.Value(openKey{db.sql}).(open); ok {
		if kind&^freeing >= RebuildTransaction && o.kind < RebuildTransaction {
			return errors.New("tables cannot be rebuilt in this transaction: its foreign keys are on")
		}
		return fn(o.conn)
	}
	if kind&freeing != 0 {
		return db.free(ctx, kind&^freeing, fn)
	}
	err := db.begin(ctx, kind, func(c *sqlite.Conn) error {
		if err := db.mayGrow(c); err != nil {
			return err
		}
		return fn(c)
	})
	if err != nil && db.room.Low() {
		db.emptyLog(ctx)
	}
	return db.overQuota(err)
}

// free runs fn, which deletes, in a transaction that no limit holds up. On a full
// disk it uses the reserve, and gives back what the log has taken of it.
func (db *DB) free(ctx context.Context, kind TransactionKind, fn func(*sqlite.Conn) error) error {
	return db.room.Free(func() error {
		err := db.begin(ctx, kind, func(c *sqlite.Conn) error {
			if err := c.LimitPages(0); err != nil {
				return err
			}
			return fn(c)
		})
		if err == nil && db.room.Low() {
			db.sql.Trim(ctx)
		}
		return err
	})
}

// begin runs fn in a transaction of the given kind.
func (db *DB) begin(ctx context.Context, kind TransactionKind, fn func(*sqlite.Conn) error) error {
	bounds := db.bounds.of(kind)
	switch kind {
	case SharedTransaction:
		return tookTooLong(bounds, db.sql.WriteWithin(ctx, bounds, fn))
	case OwnTransaction, SchemaTransaction:
		return tookTooLong(bounds, db.sql.ExclusiveWithin(ctx, bounds, fn))
	}
	return tookTooLong(bounds, explainBroken(db.sql.RestructureWithin(ctx, bounds, fn)))
}

// explainBroken makes a problem of a foreign key that does not hold at the end.
func explainBroken(err error) error {
	var broken *sqlite.BrokenReference
	if errors.As(err, &broken) {
		return problem.New(problem.CodeConflict, "A row of %s would refer to a row of %s that does not exist.", broken.Table, broken.Parent)
	}
	return err
}
