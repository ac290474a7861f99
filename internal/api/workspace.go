package api

import (
	"context"
	"slices"
	"strconv"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// Workspace is a project together with what the caller may do in it. Holding one proves
// that the token was checked.
type Workspace = registry.Workspace

// Opened is a workspace whose database is open.
type Opened struct {
	*Workspace
	DB *projectdb.DB
}

// use runs fn with the open database of a workspace. The project cannot be deleted
// until fn returns, so fn must not wait for a client or a job.
func use(ctx context.Context, ws *Workspace, fn func(*Opened) error) error {
	return ws.Use(ctx, func(db *projectdb.DB) error { return fn(&Opened{ws, db}) })
}

// database makes a route whose handler works on the project's database, which is open
// while it runs.
func database[In, Out any](method, path, id, summary string, access rest.Access, handle rest.Handler[*Opened, In, Out], options ...rest.Option) *rest.Endpoint {
	leased := func(ctx context.Context, ws *Workspace, in *In, faults *problem.Faults) (out Out, err error) {
		err = use(ctx, ws, func(ws *Opened) error {
			out, err = handle(ctx, ws, in, faults)
			return err
		})
		return out, err
	}
	return rest.Route(method, path, id, summary, access, leased, append(options, rest.Fails(problem.CodeProjectDamaged))...)
}

// tableOf returns the table that a request names, if the token has the scopes for it.
// Later steps refer to it by idOf: another table may take over its name.
func tableOf(ctx context.Context, ws *Opened, ref rest.Ref, scopes ...registry.Scope) (*projectdb.Table, error) {
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

// mayTable refuses a token without the scopes for the table that a request names. A
// token that has them for all tables need not name an existing table: an earlier call
// may be replayed after its table is gone.
func mayTable(ctx context.Context, ws *Workspace, ref rest.Ref, scopes ...registry.Scope) error {
	if !slices.ContainsFunc(scopes, func(s registry.Scope) bool { return !ws.May(s) }) {
		return nil
	}
	return use(ctx, ws, func(ws *Opened) error {
		_, err := tableOf(ctx, ws, ref, scopes...)
		return err
	})
}

func idOf(t *projectdb.Table) string { return strconv.FormatInt(int64(t.ID), 10) }
