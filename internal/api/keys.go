package api

import (
	"context"
	"errors"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// keepWith returns an option that stores the answer of a call in the project's
// database, in the same transaction as the change.
func keepWith(kind projectdb.TransactionKind) rest.Option {
	once := rest.Once(func(ctx context.Context, ws *Workspace, key *rest.Keyed, do func(*Workspace) ([]byte, error)) (answer []byte, replayed bool, err error) {
		receipt := receiptOf(ws, key)
		receipt.Kind = kind
		if kind == projectdb.OwnTransaction && key.SmallBody {
			receipt.Kind = projectdb.SharedTransaction
		}
		err = ws.Use(ctx, func(db *projectdb.DB) error {
			answer, replayed, err = db.Once(ctx, *receipt, func(tx *projectdb.Tx) ([]byte, error) { return do(ws.In(tx)) })
			return otherRequest(err)
		})
		return answer, replayed, err
	})
	return rest.Options(once, rest.Fails(problem.CodeProjectDamaged))
}

// receiptOf returns the receipt of a call, or nil if it has no key.
func receiptOf(ws *Workspace, key *rest.Keyed) *projectdb.Receipt {
	if key == nil {
		return nil
	}
	return &projectdb.Receipt{TokenID: ws.Token.ID, Key: key.Key, Request: key.Request(), Kind: projectdb.SchemaTransaction}
}

// otherRequest turns the error for a reused key into the one that clients see.
func otherRequest(err error) error {
	if errors.Is(err, projectdb.ErrOtherRequest) {
		return rest.ErrOtherRequest
	}
	return err
}
