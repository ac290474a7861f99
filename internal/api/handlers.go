package api

import (
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
)

// handlers is what handlers need besides the workspace of a call.
type handlers struct {
	registry   *registry.Registry
	exports    *export.Exports
	imports    *imports.Imports
	rehearsals *rehearsal.Stage
	waitLimit  time.Duration
	now        func() time.Time
}

// noInput is the input of a route that takes nothing but its project.
type noInput struct{}

// tableIn is the input of a route about one table.
type tableIn struct {
	Table Ref `path:"table" doc:"The name or the id of the table."`
}
