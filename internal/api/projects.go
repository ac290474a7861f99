package api

import (
	"context"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

type projectOut struct {
	Project registry.Project `json:"project"`
}

type projectSize struct {
	registry.Project
	TableCount int   `json:"table_count"`
	SizeBytes  int64 `json:"size_bytes"`
}

type projectSizeOut struct {
	Project projectSize `json:"project"`
}

func (h *handlers) getProject(ctx context.Context, ws *Workspace, _ *noInput) (projectSizeOut, error) {
	tables, err := ws.DB.Tables(ctx)
	if err != nil {
		return projectSizeOut{}, err
	}
	size, err := ws.DB.Size(ctx)
	return projectSizeOut{projectSize{ws.Project, len(tables), size}}, err
}

type renameProjectIn struct {
	Body struct {
		Name string `json:"project_name"`
	}
}

func (h *handlers) renameProject(ctx context.Context, ws *Workspace, in *renameProjectIn) (projectOut, error) {
	if strings.TrimSpace(in.Body.Name) == "" {
		return projectOut{}, problem.Invalid("project_name", "must not be empty")
	}
	project, err := ws.Rename(ctx, in.Body.Name)
	return projectOut{project}, err
}

type deleteProjectIn struct {
	Body struct {
		Confirm string `json:"confirm_project_slug" doc:"The slug of the project, exactly."`
	}
}

type projectDeleted struct {
	Deleted bool   `json:"deleted"`
	Slug    string `json:"project_slug"`
}

func (h *handlers) deleteProject(ctx context.Context, ws *Workspace, in *deleteProjectIn) (projectDeleted, error) {
	if in.Body.Confirm != ws.Project.Slug {
		return projectDeleted{}, problem.Invalid("confirm_project_slug", "must be exactly the slug of the project")
	}
	return projectDeleted{true, ws.Project.Slug}, ws.Delete(ctx)
}
