package panel

import (
	"net/http"

	"github.com/zangtable/zangtable/internal/registry"
)

// usersView is the data of the page of the account users.
type usersView struct {
	Users          []registry.AccountUser
	Projects       []projectInfo
	Username, Role string
	Faults         map[string]string
}

func showUsers(q *request) error {
	return q.listUsers(http.StatusOK, usersView{Role: string(registry.Member)})
}

func (q *request) listUsers(status int, view usersView) error {
	var listed struct{ Users []registry.AccountUser }
	if err := q.get(&listed, "/users"); err != nil {
		return err
	}
	var projects struct{ Projects []projectInfo }
	if err := q.get(&projects, "/projects"); err != nil {
		return err
	}
	view.Users, view.Projects = listed.Users, projects.Projects
	q.show(status, "users", page{Title: "Users of this server", Section: "users", Data: view})
	return nil
}

func addUser(q *request) error {
	view := usersView{Username: q.field("username"), Role: q.field("role")}
	body := map[string]any{"username": view.Username, "password": q.r.PostFormValue("password"), "role": view.Role}
	if project := q.field("project"); project != "" && view.Role == string(registry.Member) {
		body["grants"] = []registry.Grant{{Project: project, Role: registry.Role(q.field("project_role"))}}
	}
	err := q.call(http.MethodPost, "/users", body, nil)
	if view.Faults = faultsOf(err); len(view.Faults) > 0 {
		return q.listUsers(http.StatusUnprocessableEntity, view)
	}
	if err != nil {
		return err
	}
	q.redirect(pagePath("server", "users") + "?done=user")
	return nil
}

func removeUser(q *request) error {
	if err := q.call(http.MethodDelete, apiPath("/users/%s", q.r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	q.redirect(pagePath("server", "users") + "?done=removed")
	return nil
}
