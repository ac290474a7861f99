package api

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

type projectOut struct {
	Project registry.Project `json:"project"`
}

type projectSize struct {
	registry.Project
	Stage        *string `json:"stage" doc:"development, staging or production; null if nobody has said."`
	TrackChanges bool    `json:"track_changes" doc:"Whether changes of records are recorded."`
	TableCount   int     `json:"table_count"`
	SizeBytes    int64   `json:"size_bytes"`
	projectdb.Usage
}

type projectSizeOut struct {
	Project projectSize `json:"project"`
}

func (h *handlers) getProject(ctx context.Context, ws *Opened, _ *noInput) (projectSizeOut, error) {
	tables, err := ws.DB.Tables(ctx)
	if err != nil {
		return projectSizeOut{}, err
	}
	size, err := ws.DB.Size(ctx)
	if err != nil {
		return projectSizeOut{}, err
	}
	usage, err := ws.DB.Usage(ctx)
	return projectSizeOut{projectSize{ws.Project, ws.Project.Settings.Stage, ws.Project.Settings.TrackChanges, len(tables), size, usage}}, err
}

type renameProjectIn struct {
	Body struct {
		Name string `json:"project_name"`
	}
}

func (h *handlers) renameProject(ctx context.Context, ws *Workspace, in *renameProjectIn, faults *problem.Faults) (projectOut, error) {
	project, err := ws.Rename(ctx, faults, in.Body.Name)
	return projectOut{project}, err
}

type deleteProjectIn struct {
	Body struct {
		Confirm string `json:"confirm_project_slug" doc:"The exact slug of the project."`
	}
}

type projectDeleted struct {
	Deleted bool   `json:"deleted"`
	Slug    string `json:"project_slug"`
}

func (h *handlers) deleteProject(ctx context.Context, ws *Workspace, in *deleteProjectIn, faults *problem.Faults) (projectDeleted, error) {
	if in.Body.Confirm != ws.Project.Slug {
		faults.Add("confirm_project_slug", "Must be the exact slug of the project.")
	}
	if err := faults.Err(); err != nil {
		return projectDeleted{}, err
	}
	return projectDeleted{true, ws.Project.Slug}, ws.Delete(ctx)
}
