package server

import (
	"context"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/registry"
)

// RequestsIn is the input of ListRequests and FollowRequests.
type RequestsIn struct {
	Project string
	Filter  journal.Filter
	After   string // the Next of the page before; "" for the newest
	Limit   int
}

func (in RequestsIn) slug() string { return in.Project }

// ListRequests lists recorded calls of a project, newest first.
var ListRequests = Command[RequestsIn, journal.Page[journal.Request]]{"requests.list", reads, inProject(RequestsIn.slug,
	func(ctx context.Context, app *App, ws *registry.Workspace, in RequestsIn) (journal.Page[journal.Request], error) {
		return app.Journal.Requests(ctx, ws.Project.ID, in.Filter, in.After, in.Limit)
	})}

// FollowRequests passes calls of a project on as they are recorded.
var FollowRequests = Stream[RequestsIn, journal.Request]{"requests.follow", inProject(RequestsIn.slug,
	func(ctx context.Context, app *App, ws *registry.Workspace, in RequestsIn) (<-chan journal.Request, error) {
		return app.Journal.Follow(ctx, ws.Project.ID, in.Filter), nil
	})}

// RunsIn is the input of ListRuns.
type RunsIn struct {
	Project string
	Filter  journal.RunFilter
	After   string
	Limit   int
}

func (in RunsIn) slug() string { return in.Project }

// ListRuns lists runs of a project, the last started first.
var ListRuns = Command[RunsIn, journal.Page[journal.Run]]{"runs.list", reads, inProject(RunsIn.slug,
	func(ctx context.Context, app *App, ws *registry.Workspace, in RunsIn) (journal.Page[journal.Run], error) {
		return app.Journal.Runs(ctx, ws.Project.ID, in.Filter, in.After, in.Limit)
	})}

// RunIn is the input of ShowRun.
type RunIn struct {
	Project string
	RunID   string
	TokenID ids.Token // 0: that of the last started run of this id
	After   string
	Limit   int
}

func (in RunIn) slug() string { return in.Project }

// RunOut is a run with a page of its calls.
type RunOut struct {
	Run   journal.Run     `json:"run"`
	Chain []journal.Run   `json:"chain"`
	Calls []OffsetRequest `json:"calls"`
	Next  string          `json:"next,omitempty"`
}

// OffsetRequest is a call of a run with how long after the start of the run it began.
type OffsetRequest struct {
	journal.Request
	OffsetMS float64 `json:"offset_ms"`
}

// ShowRun shows a run with its calls, in the order in which they began.
var ShowRun = Command[RunIn, RunOut]{"run.show", reads, inProject(RunIn.slug, func(ctx context.Context, app *App, ws *registry.Workspace, in RunIn) (out RunOut, err error) {
	if out.Run, out.Chain, err = app.Journal.Run(ctx, ws.Project.ID, in.TokenID, in.RunID); err != nil {
		return out, err
	}
	page, err := app.Journal.Calls(ctx, ws.Project.ID, out.Run, in.After, in.Limit)
	out.Next = page.Next
	for _, r := range page.Items {
		out.Calls = append(out.Calls, OffsetRequest{r, out.Run.Offset(&r)})
	}
	return out, err
})}
