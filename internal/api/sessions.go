package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// visitKey is the key of the context's visit.
type visitKey struct{}

// visited is a visit, or why there is none.
type visited struct {
	visit *registry.Visit
	err   error
}

// WithVisit returns a context for calls that a person makes in a session. A nil visit
// stands for somebody who has not signed in; with an error nobody knows.
func WithVisit(ctx context.Context, v *registry.Visit, err error) context.Context {
	return context.WithValue(ctx, visitKey{}, visited{v, err})
}

// NewForSessions returns the API for people who have signed in: the routes of [New],
// and a few about people, sessions and projects, which no token may call. The
// credential of a call is the visit in its context; headers do not count.
func NewForSessions(config Config) *rest.Edge {
	config.HTTP.Authenticate = func(r *http.Request, slug string) (rest.Caller, error) {
		who, _ := r.Context().Value(visitKey{}).(visited)
		switch {
		case who.err != nil:
			return nil, who.err
		case who.visit == nil:
			return nil, problem.New(problem.CodeMissingAuthorization, "Sign in to the panel first.")
		}
		ws, err := who.visit.Workspace(r.Context(), slug)
		if err != nil {
			return nil, err
		}
		return ws, nil
	}
	return newEdge(config, sessionRoutes)
}

// sessionRoutes returns the list for people. A call that belongs to no project cannot
// keep an import anywhere, so a person creates the project first.
func sessionRoutes(h *handlers) []*rest.Endpoint {
	list := slices.DeleteFunc(routes(h), func(ep *rest.Endpoint) bool {
		return ep.ID == "show-token" || ep.Path == "/import-project"
	})
	admin, anybody := rest.Scope(registry.ProjectAdmin), rest.AnyToken()
	conflicts, reading := rest.Fails(problem.CodeConflict), rest.Fails(problem.CodeQueryTimeout)
	return append(list,
		rest.Route("GET", "/projects/{project}/auth/me", "show-session", "Show the session that makes the call", anybody, rest.Plain(h.showSession)),
		rest.Route("GET", "/projects", "list-projects", "List the projects that the person may enter", anybody, rest.Plain(h.listProjects)),
		rest.Route("POST", "/projects", "create-project", "Create a project, empty or with tables", admin, h.createProject, rest.Created, rest.RefuseKey, rest.BodyUpTo(32), conflicts),
		rest.Route("GET", "/users", "list-account-users", "List the account users", anybody, rest.Plain(h.listAccountUsers)),
		rest.Route("POST", "/users", "add-account-user", "Add an account user", anybody, h.addAccountUser, rest.Created, rest.RefuseKey, conflicts),
		rest.Route("PATCH", "/users/{user_id}", "change-account-user", "Change an account user", anybody, h.changeAccountUser, conflicts),
		rest.Route("DELETE", "/users/{user_id}", "remove-account-user", "Remove an account user", anybody, rest.Plain(h.removeAccountUser), conflicts),
		rest.Route("GET", "/server/audit", "list-audit", "List the entries of the audit log, newest first", anybody, h.listAudit, reading),
		rest.Route("GET", "/server/audit/verify", "verify-audit", "Recompute the chain of the audit log", anybody, rest.Plain(h.verifyAudit), reading),
		rest.Route("GET", "/sessions", "list-sessions", "List the person's sessions; an owner sees everybody's", anybody, rest.Plain(h.listSessions)),
		rest.Route("DELETE", "/sessions/{session_id}", "end-session", "End a session", anybody, rest.Plain(h.endSession)),
	)
}

type sessionOut struct {
	Session registry.Session `json:"session"`
}

func (h *handlers) showSession(_ context.Context, ws *Workspace, _ *noInput) (sessionOut, error) {
	return sessionOut{ws.Visit.Session}, nil
}

type projectsOut struct {
	Projects []registry.Project `json:"projects"`
}

func (h *handlers) listProjects(ctx context.Context, ws *Workspace, _ *noInput) (out projectsOut, err error) {
	out.Projects, err = ws.Visit.Projects(ctx)
	return out, err
}

type createProjectIn struct {
	Body struct {
		BlueprintBody
		User rest.Optional[blueprintUser] `json:"initial_project_user,omitzero"`
	}
}

func (h *handlers) createProject(ctx context.Context, ws *Workspace, in *createProjectIn, faults *problem.Faults) (projectOut, error) {
	created, err := ws.CreateProject(ctx, faults, in.Body.order(in.Body.User.Ptr()), nil)
	return projectOut{created.Project}, err
}

type (
	accountUsersOut struct {
		Users []registry.AccountUser `json:"users"`
	}
	accountUserOut struct {
		User registry.AccountUser `json:"user"`
	}
)

func (h *handlers) listAccountUsers(ctx context.Context, ws *Workspace, _ *noInput) (out accountUsersOut, err error) {
	out.Users, err = ws.Visit.AccountUsers(ctx)
	return out, err
}

// accountUserBody is what a request says about an account user.
type accountUserBody struct {
	Username *string     `json:"username,omitzero"`
	Password *string     `json:"password,omitzero"`
	Role     *string     `json:"role,omitzero" doc:"owner, admin or member."`
	Grants   []grantBody `json:"grants,omitzero" doc:"The projects of a member; they replace the earlier ones."`
}

type grantBody struct {
	Project string `json:"project_slug"`
	Role    string `json:"role" doc:"admin, editor or viewer."`
}

func (b *accountUserBody) change() registry.AccountUserChange {
	change := registry.AccountUserChange{Username: b.Username, Password: b.Password, Role: (*registry.AccountRole)(b.Role)}
	if b.Grants != nil {
		grants := []registry.Grant{}
		for _, g := range b.Grants {
			grants = append(grants, registry.Grant{Project: g.Project, Role: registry.Role(g.Role)})
		}
		change.Grants = &grants
	}
	return change
}

type addAccountUserIn struct{ Body accountUserBody }

func (h *handlers) addAccountUser(ctx context.Context, ws *Workspace, in *addAccountUserIn, faults *problem.Faults) (out accountUserOut, err error) {
	out.User, err = ws.Visit.AddAccountUser(ctx, faults, in.Body.change())
	return out, err
}

type accountUserIDIn struct {
	ID int64 `path:"user_id"`
}

type changeAccountUserIn struct {
	accountUserIDIn
	Body accountUserBody
}

func (h *handlers) changeAccountUser(ctx context.Context, ws *Workspace, in *changeAccountUserIn, faults *problem.Faults) (out accountUserOut, err error) {
	if in.Body.Password != nil && in.ID == ws.Visit.AccountUserID() {
		faults.Add("password", "Your own password is changed on the page about you, which asks for the old one.")
	}
	out.User, err = ws.Visit.ChangeAccountUser(ctx, faults, in.ID, in.Body.change())
	return out, err
}

type removedOut struct {
	Deleted bool `json:"deleted"`
}

func (h *handlers) removeAccountUser(ctx context.Context, ws *Workspace, in *accountUserIDIn) (removedOut, error) {
	return removedOut{true}, ws.Visit.RemoveAccountUser(ctx, in.ID)
}

type sessionsOut struct {
	Sessions []registry.Session `json:"sessions"`
}

func (h *handlers) listSessions(ctx context.Context, ws *Workspace, _ *noInput) (out sessionsOut, err error) {
	out.Sessions, err = ws.Visit.Sessions(ctx)
	return out, err
}

type sessionIDIn struct {
	ID int64 `path:"session_id"`
}

func (h *handlers) endSession(ctx context.Context, ws *Workspace, in *sessionIDIn) (removedOut, error) {
	return removedOut{true}, ws.Visit.EndSession(ctx, in.ID)
}
