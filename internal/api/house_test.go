package api

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
)

// house is a data folder with everything that the API works on.
type house struct {
	registry   *registry.Registry
	exports    *export.Exports
	imports    *imports.Imports
	rehearsals *rehearsal.Stage
	journal    *journal.Journal
	now        func() time.Time
}

// openHouse opens a house that runs its exports.
func openHouse(t testing.TB, now func() time.Time, change ...func(*export.Config)) *house {
	t.Helper()
	h := openIdleHouse(t, now, change...)
	h.exports.Start()
	h.imports.Start()
	return h
}

// openIdleHouse opens a house where exports stay pending.
func openIdleHouse(t testing.TB, now func() time.Time, change ...func(*export.Config)) *house {
	t.Helper()
	h := &house{now: now}
	folder := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{Relaxed: true, Now: now})
	check(err)
	h.registry, err = registry.Open(filepath.Join(folder, "server.db"), dir, registry.Options{
		Now: now,
		Forget: func(ctx context.Context, id ids.Project) error {
			return errors.Join(h.exports.RemoveProject(ctx, id), h.imports.RemoveProject(ctx, id))
		},
	})
	check(err)
	config := export.Config{
		Config:   jobs.Config{Database: filepath.Join(folder, "exports.db"), Folder: filepath.Join(folder, "exports"), Now: now, Random: &counting{}},
		Projects: dir,
	}
	config.Journal = func() *journal.Journal { return h.journal }
	for _, fn := range change {
		fn(&config)
	}
	h.exports, err = export.Open(config)
	check(err)
	h.imports, err = imports.Open(imports.Config{
		Config:   jobs.Config{Database: filepath.Join(folder, "imports.db"), Folder: filepath.Join(folder, "imports"), Now: now, Random: &counting{}},
		Projects: dir, Registry: h.registry,
	})
	check(err)
	h.rehearsals, err = rehearsal.Open(rehearsal.Config{Folder: filepath.Join(folder, "rehearsals")})
	check(err)
	h.journal, err = journal.Open(filepath.Join(folder, "journal.db"), journal.Options{Now: now})
	check(err)
	t.Cleanup(func() {
		check(h.journal.Close())
		check(h.imports.Close())
		check(h.exports.Close())
		check(h.registry.Close())
		check(dir.Close())
	})
	return h
}

// project creates an empty project.
func (h *house) project(t testing.TB, slug string) {
	t.Helper()
	if _, err := h.registry.CreateProject(t.Context(), registry.NewProject{Slug: slug, Name: "Project " + slug}, nil); err != nil {
		t.Fatal(err)
	}
}

// inside runs fn with the database of a project.
func (h *house) inside(t testing.TB, slug string, fn func(*projectdb.DB) error) {
	t.Helper()
	ws, err := h.registry.Operator(t.Context(), slug)
	if err == nil {
		err = ws.Use(t.Context(), fn)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// token mints a token with the given scopes, or with full power.
func (h *house) token(t testing.TB, slug string, scopes ...string) registry.MintedToken {
	t.Helper()
	ws, err := h.registry.Operator(t.Context(), slug)
	if err != nil {
		t.Fatal(err)
	}
	token, err := ws.Mint(t.Context(), new(problem.Faults), registry.TokenRequest{Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// handlers returns the handlers of this house.
func (h *house) handlers() *handlers {
	return &handlers{h.registry, h.exports, h.imports, h.rehearsals, h.journal, 30 * time.Second, h.now, newRunningQueries()}
}
