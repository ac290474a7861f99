package server

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/source"
)

// commands returns every operator command.
func commands() []registrable {
	return []registrable{
		CreateProject, ListProjects, ShowProject, RenameProject, LimitProject, DeleteProject, Bootstrap, Import,
		CreateToken, ListTokens, RevokeToken,
		CreateUser, ListUsers, DeleteUser, CreateOwner, ListAudit, VerifyAudit,
		ListRequests, FollowRequests, ListRuns, ShowRun,
	}
}

// None is the input or output of a command without one.
type None struct{}

// Slug is the input of a command about one project.
type Slug struct{ Project string }

// inProject wraps a command that works in one project with full power.
func inProject[In, Out any](slug func(In) string, run func(context.Context, *App, *registry.Workspace, In) (Out, error)) func(context.Context, *App, In) (Out, error) {
	return func(ctx context.Context, app *App, in In) (out Out, err error) {
		ws, err := app.Registry.Operator(ctx, slug(in))
		if err != nil {
			return out, err
		}
		return run(ctx, app, ws, in)
	}
}

// NewProject is the input of CreateProject.
type NewProject struct{ Slug, Name string }

func (in NewProject) slug() string { return in.Slug }

// CreateProject creates an empty project.
var CreateProject = Command[NewProject, registry.Project]{"project.create", changes, func(ctx context.Context, app *App, in NewProject) (registry.Project, error) {
	created, err := app.Registry.CreateProject(ctx, registry.NewProject{Slug: in.Slug, Name: in.Name}, nil)
	return created.Project, err
}}

// ListProjects lists every project.
var ListProjects = Command[None, []registry.Project]{"project.list", reads, func(ctx context.Context, app *App, _ None) ([]registry.Project, error) {
	return app.Registry.Projects(ctx)
}}

// ProjectDetails is the output of ShowProject.
type ProjectDetails struct {
	registry.Project
	TableCount int   `json:"table_count"`
	SizeBytes  int64 `json:"size_bytes"`
	projectdb.Usage
}

// ShowProject returns the details of a project, such as its size.
var ShowProject = Command[Slug, ProjectDetails]{"project.show", reads, inProject(Slug.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, _ Slug) (ProjectDetails, error) {
	details := ProjectDetails{Project: ws.Project}
	err := ws.Use(ctx, func(db *projectdb.DB) error {
		tables, err := db.Tables(ctx)
		if err != nil {
			return err
		}
		details.TableCount = len(tables)
		if details.SizeBytes, err = db.Size(ctx); err != nil {
			return err
		}
		details.Usage, err = db.Usage(ctx)
		return err
	})
	return details, err
})}

func (in Slug) slug() string { return in.Project }

// NewName is the input of RenameProject.
type NewName struct{ Project, Name string }

func (in NewName) slug() string { return in.Project }

// RenameProject changes the display name; the slug stays.
var RenameProject = Command[NewName, registry.Project]{"project.rename", changes, inProject(NewName.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, in NewName) (registry.Project, error) {
	return ws.Rename(ctx, new(problem.Faults), in.Name)
})}

// Limit is the input of LimitProject.
type Limit struct {
	Project  string
	MaxBytes *int64 // 0: no limit; nil: the limit of the server
}

func (in Limit) slug() string { return in.Project }

// LimitProject sets the quota of a project, in bytes.
var LimitProject = Command[Limit, registry.Project]{"project.limit", changes, func(ctx context.Context, app *App, in Limit) (registry.Project, error) {
	return app.Registry.LimitProject(ctx, in.Project, in.MaxBytes)
}}

// DeleteProject removes a project with its database, exports and tokens.
var DeleteProject = Command[Slug, None]{"project.delete", changes, func(ctx context.Context, app *App, in Slug) (None, error) {
	project, err := app.Registry.Project(ctx, in.Project)
	if err != nil {
		return None{}, err
	}
	return None{}, app.Registry.DeleteProject(ctx, project)
}}

// Blueprint is the input of Bootstrap: the body of a bootstrap request.
type Blueprint struct{ Body []byte }

func (in Blueprint) slug() string {
	var named struct {
		Slug string `json:"project_slug"`
	}
	_ = json.Unmarshal(in.Body, &named) // then the command fails, too
	return named.Slug
}

// Bootstrap creates a project with tables, first rows, indexes and tokens, all or
// nothing.
var Bootstrap = Command[Blueprint, registry.CreatedProject]{"bootstrap", changes, func(ctx context.Context, app *App, in Blueprint) (registry.CreatedProject, error) {
	var faults problem.Faults
	order, err := api.DecodeBootstrap(&faults, in.Body)
	if err != nil {
		return registry.CreatedProject{}, err
	}
	return app.Registry.BuildProject(ctx, &faults, order)
}}

// NewToken is the input of CreateToken.
type NewToken struct {
	Project string
	Name    string
	Scopes  []string // nil: full power
	User    string   // a project user whose role caps the token
}

func (in NewToken) slug() string { return in.Project }

func (in NewToken) object() string {
	if in.Scopes == nil {
		return strings.TrimSpace("token "+in.Name) + " with full power"
	}
	return strings.TrimSpace("token "+in.Name) + " with " + strings.Join(in.Scopes, ",")
}

// CreateToken mints a token. Earlier tokens stay.
var CreateToken = Command[NewToken, registry.MintedToken]{"token.create", changes, inProject(NewToken.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, in NewToken) (registry.MintedToken, error) {
	return ws.Mint(ctx, new(problem.Faults), registry.TokenRequest{Name: in.Name, Scopes: in.Scopes, ProjectUsername: in.User})
})}

// ListTokens lists the tokens of a project, without their secrets.
var ListTokens = Command[Slug, []registry.Token]{"token.list", reads, inProject(Slug.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, _ Slug) ([]registry.Token, error) {
	return ws.Tokens(ctx)
})}

// TokenID is the input of RevokeToken.
type TokenID struct {
	Project string
	ID      ids.Token
}

func (in TokenID) slug() string { return in.Project }

func (in TokenID) object() string { return fmt.Sprint("token ", in.ID) }

// RevokeToken revokes a token, with immediate effect.
var RevokeToken = Command[TokenID, None]{"token.revoke", changes, inProject(TokenID.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, in TokenID) (None, error) {
	return None{}, ws.Revoke(ctx, in.ID)
})}

// NewUser is the input of CreateUser.
type NewUser struct {
	Project  string
	Username string
	Password string
	Role     registry.Role
}

func (in NewUser) slug() string { return in.Project }

func (in NewUser) object() string { return "user " + in.Username + ", " + string(in.Role) }

// CreateUser creates a project user.
var CreateUser = Command[NewUser, registry.ProjectUser]{"user.create", changes, inProject(NewUser.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, in NewUser) (registry.ProjectUser, error) {
	return ws.AddProjectUser(ctx, registry.NewProjectUser{Username: in.Username, Password: in.Password, Role: in.Role})
})}

// NewOwner is the input of CreateOwner.
type NewOwner struct{ Username, Password string }

func (in NewOwner) object() string { return "owner " + in.Username }

// CreateOwner creates an owner of the server, who can sign in to the panel.
var CreateOwner = Command[NewOwner, registry.AccountUser]{"user.create-owner", changes, func(ctx context.Context, app *App, in NewOwner) (registry.AccountUser, error) {
	return app.Registry.AddOwner(ctx, in.Username, in.Password)
}}

// ListUsers lists the users of a project.
var ListUsers = Command[Slug, []registry.ProjectUser]{"user.list", reads, inProject(Slug.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, _ Slug) ([]registry.ProjectUser, error) {
	return ws.ProjectUsers(ctx)
})}

// ListAudit lists entries of the audit log.
var ListAudit = Command[registry.AuditFilter, registry.AuditPage]{"audit.list", reads, func(ctx context.Context, app *App, in registry.AuditFilter) (registry.AuditPage, error) {
	return app.Registry.AuditEntries(ctx, in)
}}

// VerifyAudit recomputes the chain of the audit log.
var VerifyAudit = Command[None, registry.AuditChain]{"audit.verify", reads, func(ctx context.Context, app *App, _ None) (registry.AuditChain, error) {
	return app.Registry.VerifyAudit(ctx)
}}

// UserName is the input of DeleteUser.
type UserName struct{ Project, Username string }

func (in UserName) slug() string { return in.Project }

func (in UserName) object() string { return "user " + in.Username }

// DeleteUser deletes a project user; the tokens minted for it are revoked.
var DeleteUser = Command[UserName, None]{"user.delete", changes, inProject(UserName.slug, func(ctx context.Context, _ *App, ws *registry.Workspace, in UserName) (None, error) {
	return None{}, ws.RemoveProjectUser(ctx, in.Username)
})}

// ImportOrder is the input of Import.
type ImportOrder struct {
	Path    string // absolute, because the server may run in another folder
	Project string // created if it does not exist
	DryRun  bool   // only say what the import would do
	Options ingest.Options
}

func (in ImportOrder) slug() string { return in.Project }

func (in ImportOrder) object() string {
	if in.DryRun {
		return "file " + filepath.Base(in.Path) + ", dry run"
	}
	return "file " + filepath.Base(in.Path)
}

// Imported is the output of Import. If the file is refused because of its rows, the
// report says which ones.
type Imported struct {
	Project registry.Project `json:"project"`
	Created bool             `json:"created"` // the project did not exist before
	Report  ingest.Report    `json:"report"`
	Preview *ingest.Preview  `json:"preview,omitempty"` // of a dry run, which has no report
}

// Import imports a file, all or nothing, into a new or existing project.
var Import = Command[ImportOrder, Imported]{"import", changes, func(ctx context.Context, app *App, in ImportOrder) (Imported, error) {
	source, err := ingest.Open(ctx, source.Opening{Workers: app.Workers, Path: in.Path, Format: in.Options.Format, Scratch: app.Imports.Scratch()})
	if err != nil {
		return Imported{}, err
	}
	defer source.Close()
	return app.load(ctx, source, in)
}}

func (app *App) load(ctx context.Context, source *ingest.Source, in ImportOrder) (done Imported, err error) {
	load := func(db *projectdb.DB) error {
		if !in.DryRun {
			done.Report, err = source.Load(ctx, db, in.Options)
			return err
		}
		preview, err := source.Preview(ctx, db, in.Options)
		done.Preview = &preview
		return err
	}
	ws, err := app.Registry.Operator(ctx, in.Project)
	switch {
	case err == nil:
		done.Project = ws.Project
		err = ws.Use(ctx, load)
		return done, err
	case !problem.Is(err, problem.CodeNotFound):
		return done, err
	}
	done.Created = true
	if in.DryRun {
		done.Project.Slug = in.Project
		return done, load(nil)
	}
	sum := source.SHA256()
	created, err := app.Registry.CreateProject(ctx, registry.NewProject{Slug: in.Project, Name: in.Project, Source: &sum}, load)
	done.Project = created.Project
	return done, err
}
