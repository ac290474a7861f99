// Package api is the HTTP contract: the list of routes, their inputs and outputs, and
// the handlers that connect them to the packages that do the work. Everything about
// HTTP itself (headers, limits, decoding, the envelope, downloads) is in package
// [rest]: a handler gets a context, a workspace and an input, returns an output, and
// never sees the request or the response. It does not know how anything is stored
// either.
package api

import (
	"cmp"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
	"github.com/zangtable/zangtable/internal/rest"
)

// Config is what the API needs from outside.
type Config struct {
	Registry   *registry.Registry
	Exports    *export.Exports
	Imports    *imports.Imports
	Rehearsals *rehearsal.Stage
	Journal    *journal.Journal

	// WaitLimit limits how long the creation of an export waits for the artifact; 30
	// seconds if zero.
	WaitLimit time.Duration

	Version string // of the server, for the OpenAPI document

	// Origins are allowed to call every project, in addition to those of the project's
	// own settings.
	Origins registry.Origins

	// HTTP says how calls are accepted and answered. If Authenticate is nil, callers
	// present a token of the registry.
	HTTP rest.Config
}

// New returns the whole API.
func New(config Config) *rest.Edge { return newEdge(config, routes) }

func newEdge(config Config, list func(*handlers) []*rest.Endpoint) *rest.Edge {
	h := &handlers{config.Registry, config.Exports, config.Imports, config.Rehearsals, config.Journal, cmp.Or(config.WaitLimit, 30*time.Second), config.HTTP.Now, newRunningQueries()}
	if config.HTTP.Authenticate == nil {
		config.HTTP.Authenticate = rest.Bearer(h.authenticate)
		config.HTTP.AllowOrigin = config.allowOrigin
	}
	config.HTTP.WithRoom, config.HTTP.WithOrigin, config.HTTP.KnownColumn = projectdb.WithRoom, withOrigin, knownColumn
	return rest.New(config.HTTP, document(config.Version), list(h))
}

// allowOrigin says whether a page of the given origin may read an answer. As long as
// nobody knows who asks, the lists of all projects count.
func (config *Config) allowOrigin(who rest.Caller, origin string) string {
	if allowed := config.Origins.Allow(origin); allowed != "" {
		return allowed
	}
	if ws, known := who.(*Workspace); known {
		return ws.Project.Settings.Origins.Allow(origin)
	}
	return config.Registry.AllowSomewhere(origin)
}

// document returns what the OpenAPI document contains besides the routes.
func document(version string) rest.Document {
	return rest.Document{
		Title: "ZangTable", Version: version, Tag: tagOf, License: "Apache-2.0",
		Description: "An isolated SQLite database for each project, with its tables, records, queries, exports and imports.",
		// What imports have in common with exports has the same names there.
		Prefixes: map[string]string{"imports": "Imports", "ingest": "Ingest", "source": "Ingest"},
		Choices:  formatChoices(),
	}
}

// tagOf returns the name of the group of routes that a path belongs to.
func tagOf(path string) string {
	tags := map[string]string{
		"bootstrap": "Projects", "auth": "Tokens", "users": "Users", "saved": "Saved filters and queries", "tables": "Tables", "table": "Tables", "column": "Columns", "records": "Records", "cells": "Records",
		"query": "Query and indexes", "indexes": "Query and indexes", "search-index": "Query and indexes", "export": "Exports", "exports": "Exports", "imports": "Imports", "import-project": "Imports", "openapi.json": "Reference",
		"operations": "Journal", "requests": "Journal", "usage": "Journal",
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/projects/{project}"), "/"), "/")
	return cmp.Or(tags[first], "Projects")
}
