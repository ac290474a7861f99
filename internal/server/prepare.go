package server

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"

	"github.com/zangtable/zangtable/examples"
	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/source"
)

// Ready is a project with rows and a new token, for the quickstart to work on.
type Ready struct {
	Project registry.Project
	Token   string
	Notes   []string // what the import adjusted or left out, in sentences
}

// Prepare creates the example project, or a project from the user's own file. A project
// created earlier from the same file is reused; its tokens stay.
func Prepare(ctx context.Context, app *App, file string) (ready Ready, err error) {
	if file == "" {
		ready.Project, err = app.exampleProject(ctx)
	} else {
		ready, err = app.projectFrom(ctx, file)
	}
	if err != nil {
		return ready, err
	}
	token, err := CreateToken.run(ctx, app, NewToken{Project: ready.Project.Slug, Name: "quickstart"})
	ready.Token = token.Secret
	return ready, err
}

func (app *App) exampleProject(ctx context.Context) (registry.Project, error) {
	order, err := api.DecodeBootstrap(new(problem.Faults), examples.CRM)
	if err != nil {
		return registry.Project{}, err
	}
	existing, err := app.Registry.Project(ctx, order.Slug)
	if !problem.Is(err, problem.CodeNotFound) {
		return existing, err
	}
	// Nobody needs this password: a new one can be set when the panel is used.
	order.User = &registry.NewProjectUser{Username: "example", Password: rand.Text()}
	created, err := app.Registry.CreateProject(ctx, order, nil)
	return created.Project, err
}

// projectFrom finds the project that was created from the same content, or creates one
// named after the file.
func (app *App) projectFrom(ctx context.Context, file string) (Ready, error) {
	source, err := ingest.Open(ctx, source.Opening{Workers: app.Workers, Path: file, Scratch: app.Imports.Scratch()})
	if err != nil {
		return Ready{}, err
	}
	defer source.Close()
	same, err := app.Registry.ProjectsFrom(ctx, source.SHA256())
	if err != nil {
		return Ready{}, err
	}
	if len(same) > 0 {
		return Ready{Project: same[0]}, nil
	}
	slug := slugOf(file)
	if _, err := app.Registry.Project(ctx, slug); !problem.Is(err, problem.CodeNotFound) {
		if err != nil {
			return Ready{}, err
		}
		return Ready{}, problem.New(problem.CodeConflict, "The project %s was made from different data than %s: import the file under another slug with zangtable import, or use another data folder.", slug, filepath.Base(file))
	}
	done, err := app.load(ctx, source, ImportOrder{Path: file, Project: slug})
	ready := Ready{Project: done.Project}
	for _, note := range done.Report.Notes {
		ready.Notes = append(ready.Notes, note.String())
	}
	return ready, err
}

// slugOf derives a slug from the name of a file.
func slugOf(file string) string {
	name := strings.ToLower(filepath.Base(file))
	name = strings.TrimSuffix(name, filepath.Ext(name))
	slug := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, name), "_-")
	if slug == "" {
		slug = "project"
	}
	return slug[:min(len(slug), projectdb.MaxName)]
}
