package api

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
	"github.com/zangtable/zangtable/internal/rest"
)

// handlers is what handlers need besides the workspace of a call.
type handlers struct {
	registry   *registry.Registry
	exports    *export.Exports
	imports    *imports.Imports
	rehearsals *rehearsal.Stage
	journal    *journal.Journal
	waitLimit  time.Duration
	now        func() time.Time
	running    *runningQueries
}

// authenticate opens a project with the secret of a token: the token's own project if
// the route names none.
func (h *handlers) authenticate(ctx context.Context, slug, secret string) (*Workspace, error) {
	if slug == "" {
		return h.registry.AuthenticateAccount(ctx, secret)
	}
	return h.registry.Authenticate(ctx, slug, secret)
}

// noInput is the input of a route that takes nothing but its project.
type noInput struct{}

// tableIn is the input of a route about one table.
type tableIn struct {
	Table rest.Ref `path:"table" doc:"The name or the id of the table."`
}
