package api

import (
	"context"
	"fmt"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// withOrigin returns a context whose changes are recorded as made by the call.
func withOrigin(ctx context.Context, who rest.Caller, requestID string, operation *rest.Operation) context.Context {
	ws, ok := who.(*Workspace)
	if !ok || !ws.Project.Settings.TrackChanges {
		return ctx
	}
	return projectdb.WithOrigin(ctx, originOf(ws, requestID, operation))
}

func originOf(ws *Workspace, requestID string, operation *rest.Operation) projectdb.Origin {
	o := projectdb.Origin{RequestID: requestID, TokenID: ws.Token.ID, Name: ws.Author().Name}
	if operation != nil {
		if o.RunID = operation.RunID; operation.Key != nil {
			o.Key = *operation.Key
		}
	}
	return o
}

// changesIn is the part of an input that asks for a page of changes.
type changesIn struct {
	integersIn
	After string `query:"after" doc:"The next_cursor of the previous page, or the place of a change."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (in *changesIn) filter(ws *Opened, faults *problem.Faults) projectdb.ChangeFilter {
	f := projectdb.ChangeFilter{Limit: in.Limit, Everything: ws.May(registry.ProjectAdmin), JSON: in.options()}
	if in.After != "" {
		place, ok := projectdb.ParseChangePlace(in.After)
		if !ok {
			faults.Add("after", "Expected the place of a change, such as 12.1, or 0 for the oldest.")
		}
		f.After = place
	}
	return f
}

type changesOut struct {
	Changes    []projectdb.Change `json:"changes"`
	Returned   int                `json:"returned"`
	HasMore    bool               `json:"has_more"`
	NextCursor *string            `json:"next_cursor" doc:"Null at the end."`
	LastPlace  *string            `json:"last_place" doc:"The place of the last change of the page: after it, later changes are found."`
	OldestKept string             `json:"oldest_kept" doc:"Changes before this place are no longer kept."`
}

func (h *handlers) changes(ctx context.Context, ws *Opened, f projectdb.ChangeFilter) (out changesOut, err error) {
	page, err := ws.DB.Changes(ctx, f)
	if err != nil {
		return out, err
	}
	out = changesOut{Changes: page.Changes, Returned: len(page.Changes), HasMore: page.Next != 0, OldestKept: page.Oldest.String()}
	if out.Changes == nil {
		out.Changes = []projectdb.Change{}
	}
	if out.HasMore {
		next := page.Next.String()
		out.NextCursor = &next
	}
	if n := len(page.Changes); n > 0 {
		out.LastPlace = &page.Changes[n-1].Place
	}
	return out, nil
}

type listChangesIn struct {
	changesIn
	Table     string `query:"table" doc:"The name or the id of a table."`
	RunID     string `query:"run" doc:"The id of a run."`
	TokenID   int64  `query:"token" doc:"The id of the token of the run, if several tokens have runs with this id."`
	RequestID string `query:"request" doc:"The id of a request."`
}

func (h *handlers) listChanges(ctx context.Context, ws *Opened, in *listChangesIn, faults *problem.Faults) (changesOut, error) {
	f := in.filter(ws, faults)
	if err := faults.Err(); err != nil {
		return changesOut{}, err
	}
	f.Table, f.RunID, f.RequestID, f.TokenID = in.Table, in.RunID, in.RequestID, ids.Token(in.TokenID)
	return h.changes(ctx, ws, f)
}

type historyIn struct {
	recordKeyIn
	changesIn
}

func (h *handlers) listHistory(ctx context.Context, ws *Opened, in *historyIn, faults *problem.Faults) (changesOut, error) {
	f := in.filter(ws, faults)
	if err := faults.Err(); err != nil {
		return changesOut{}, err
	}
	f.Table, f.Record, f.Newest = string(in.Table), string(in.ID), true
	return h.changes(ctx, ws, f)
}

type runChangesIn struct {
	RunID   string `path:"run_id"`
	TokenID int64  `query:"token" doc:"The id of the token of the run, if several tokens have runs with this id."`
	changesIn
}

func (h *handlers) listRunChanges(ctx context.Context, ws *Opened, in *runChangesIn, faults *problem.Faults) (changesOut, error) {
	f := in.filter(ws, faults)
	if err := faults.Err(); err != nil {
		return changesOut{}, err
	}
	f.RunID, f.TokenID = in.RunID, ids.Token(in.TokenID)
	return h.changes(ctx, ws, f)
}

type eraseChangesIn struct {
	Table string `query:"table" doc:"The name or the id of the table whose changes are erased; without it, those of all tables are."`
}

type changesErased struct {
	Erased int64 `json:"erased_changes"`
}

func (h *handlers) eraseChanges(ctx context.Context, ws *Opened, in *eraseChangesIn) (out changesErased, err error) {
	out.Erased, err = ws.DB.EraseChanges(ctx, in.Table)
	return out, err
}

// revertIn is the part of an input that takes changes back.
type revertIn struct {
	Call rest.Call
	Body struct {
		DryRun  bool  `json:"dry_run,omitzero" doc:"Changes nothing; the answer shows what would change, and every conflict."`
		TokenID int64 `json:"token,omitzero" doc:"The id of the token of the run, if several tokens have runs with this id."`
	}
}

type revertOut struct {
	projectdb.Reverted
	DryRun bool    `json:"dry_run"`
	RunID  *string `json:"run_id" doc:"The run that the revert is, and by which it can be reverted itself; null for a dry run."`

	operation *rest.Operation
}

// Effect returns how many rows were changed, and the run that the revert is.
func (out revertOut) Effect() rest.Effect {
	if out.DryRun {
		return rest.Effect{}
	}
	return rest.Effect{Rows: out.Inserted + out.Updated + out.Deleted, Operation: out.operation}
}

type revertRunIn struct {
	RunID string `path:"run_id"`
	revertIn
}

func (h *handlers) revertRun(ctx context.Context, ws *Opened, in *revertRunIn) (revertOut, error) {
	return h.revert(ctx, ws, in.revertIn, in.RunID, projectdb.ChangeFilter{RunID: in.RunID, TokenID: ids.Token(in.Body.TokenID)})
}

type revertRequestIn struct {
	RequestID string `path:"request_id"`
	revertIn
}

func (h *handlers) revertRequest(ctx context.Context, ws *Opened, in *revertRequestIn) (revertOut, error) {
	return h.revert(ctx, ws, in.revertIn, in.RequestID, projectdb.ChangeFilter{RequestID: in.RequestID})
}

// revert takes changes back, in a run of its own unless headers name one.
func (h *handlers) revert(ctx context.Context, ws *Opened, in revertIn, what string, f projectdb.ChangeFilter) (out revertOut, err error) {
	operation := in.Call.Operation
	if operation == nil && !in.Body.DryRun {
		if operation, err = h.joinRevert(ctx, ws, what); err != nil {
			return out, err
		}
	}
	origin := originOf(ws.Workspace, in.Call.RequestID, operation)
	out.DryRun, out.operation = in.Body.DryRun, operation
	if out.Reverted, err = ws.DB.Revert(projectdb.WithOrigin(ctx, origin), f, in.Body.DryRun); err != nil {
		return out, err
	}
	if out.ConflictsTotal > 0 && !in.Body.DryRun {
		return out, conflictsOf(out.Reverted)
	}
	if !in.Body.DryRun {
		out.RunID = &operation.RunID
	}
	return out, nil
}

func (h *handlers) joinRevert(ctx context.Context, ws *Opened, what string) (*rest.Operation, error) {
	projectID, tokenID := ws.Identity()
	joined, err := h.journal.Join(ctx, journal.Caller{ProjectID: projectID, TokenID: tokenID}, "revert:"+what, "")
	if err != nil {
		return nil, err
	}
	return &rest.Operation{Key: joined.Key, RunID: joined.RunID, Status: string(joined.Status)}, nil
}

// conflictsOf describes why nothing was reverted.
func conflictsOf(done projectdb.Reverted) error {
	p := problem.New(problem.CodeConflict, "Nothing was reverted: %d of the changes cannot be taken back. With dry_run they are listed.", done.ConflictsTotal)
	for _, c := range done.Conflicts {
		field := c.Place
		if c.Table != nil {
			field = *c.Table
			if c.Record != nil {
				field = fmt.Sprintf("%s/%s", *c.Table, *c.Record)
			}
		}
		p.With(field, c.Reason)
	}
	return p
}
