package api

import (
	"context"
	"strconv"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

// Workspace is an opened project together with what the caller may do in it.
// Holding one proves that the token was checked.
type Workspace = registry.Workspace

// admittedInterval is how often the tokens of those who wait are looked at.
const admittedInterval = 2 * time.Second

// whileAdmitted returns a context for those who wait, that also ends when the
// token does not open the project any more. It must end at the latest with the
// request.
func whileAdmitted(ctx context.Context, ws *Workspace) context.Context {
	ctx, leave := context.WithCancel(ctx)
	go func() {
		defer leave()
		look := time.NewTicker(admittedInterval)
		defer look.Stop()
		for !problem.Is(ws.Admitted(ctx), problem.CodeInvalidToken) {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx
}

// tableOf returns the table that a request names, when the token has the scopes
// for it. What follows asks for it by idOf: another table may get its name.
func tableOf(ctx context.Context, ws *Workspace, ref Ref, scopes ...registry.Scope) (*projectdb.Table, error) {
	t, err := ws.DB.Table(ctx, string(ref))
	if err != nil {
		return nil, err
	}
	for _, scope := range scopes {
		if err := ws.RequireTable(scope, t.ID); err != nil {
			return nil, err
		}
	}
	return &t, nil
}

func idOf(t *projectdb.Table) string { return strconv.FormatInt(t.ID, 10) }
