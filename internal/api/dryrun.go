package api

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// dryRunIn is the part of an input that changes the schema or only tries to.
type dryRunIn struct {
	DryRun rest.Flag `query:"dry_run" doc:"Only try the change, and answer in plan what it would do."`
}

// plan returns the plan to fill, nil if the change is to be made.
func (in dryRunIn) plan() *projectdb.SchemaPlan {
	if !in.DryRun.Or(false) {
		return nil
	}
	return new(projectdb.SchemaPlan)
}

// database returns the database of a workspace for a change, or for one that is only
// tried if there is a plan.
func (in dryRunIn) database(ws *Opened, plan *projectdb.SchemaPlan) *projectdb.DB {
	if plan == nil {
		return ws.DB
	}
	return ws.DB.Trying(plan)
}

// changeSchema changes the schema, or only tries to if there is a plan.
func changeSchema(ctx context.Context, ws *Workspace, faults *problem.Faults, kind projectdb.TransactionKind, plan *projectdb.SchemaPlan, fn func(*projectdb.Tx) error) error {
	switch {
	case plan == nil:
		return ws.Change(ctx, faults, kind, fn)
	case ws.Inside():
		return problem.Invalid("dry_run", "What is only tried cannot be kept under an Idempotency-Key: leave out one of them.")
	}
	return ws.Use(ctx, func(db *projectdb.DB) error { return db.Trying(plan).Change(ctx, faults, kind, fn) })
}

// Tried is the part of an output that says what a change would do.
type Tried struct {
	Plan *projectdb.SchemaPlan `json:"plan,omitzero" doc:"With dry_run: what the change would do. Nothing was changed."`
}
