package api

import (
	"context"
	"strconv"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// auditIn selects entries of the audit log.
type auditIn struct {
	within
	Project string `query:"project" doc:"The slug of the project, as it was then."`
	Action  string `query:"action" doc:"As in the entries, such as mint-token."`
	Actor   string `query:"actor" doc:"The name of the token or user."`
	Outcome string `query:"outcome" doc:"ok, or the code of an error."`
	After   string `query:"after" doc:"The next_cursor of the previous page."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (in *auditIn) filter(faults *problem.Faults) registry.AuditFilter {
	f := registry.AuditFilter{Project: in.Project, Action: in.Action, Actor: in.Actor, Outcome: in.Outcome, Limit: in.Limit}
	f.From, f.To = in.read(faults)
	if in.After != "" {
		id, err := strconv.ParseInt(in.After, 10, 64)
		if err != nil || id < 1 {
			faults.Add("after", "Expected the next_cursor of another page.")
		}
		f.Before = id
	}
	return f
}

type auditOut struct {
	Entries    []registry.AuditEntry `json:"entries"`
	HasMore    bool                  `json:"has_more"`
	NextCursor *string               `json:"next_cursor" doc:"Null at the end."`
}

func (h *handlers) listAudit(ctx context.Context, ws *Workspace, in *auditIn, faults *problem.Faults) (out auditOut, err error) {
	f := in.filter(faults)
	if err := faults.Err(); err != nil {
		return out, err
	}
	page, err := ws.Visit.AuditEntries(ctx, f)
	if err != nil {
		return out, err
	}
	out = auditOut{Entries: page.Entries, HasMore: page.Next != 0}
	if out.HasMore {
		next := strconv.FormatInt(page.Next, 10)
		out.NextCursor = &next
	}
	return out, nil
}

type auditChainOut struct {
	Chain registry.AuditChain `json:"chain"`
}

func (h *handlers) verifyAudit(ctx context.Context, ws *Workspace, _ *noInput) (out auditChainOut, err error) {
	out.Chain, err = ws.Visit.VerifyAudit(ctx)
	return out, err
}
