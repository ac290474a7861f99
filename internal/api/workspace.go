package api

import (
	"context"
	"strconv"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

// Workspace is an opened project together with what the caller may do in it.
// Holding one proves that the token was checked.
type Workspace = registry.Workspace

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
