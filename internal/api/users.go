package api

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

type (
	usersOut struct {
		Users []registry.ProjectUser `json:"users"`
	}
	userOut struct {
		User registry.ProjectUser `json:"user"`
	}
)

func (h *handlers) listUsers(ctx context.Context, ws *Workspace, _ *noInput) (usersOut, error) {
	users, err := ws.ProjectUsers(ctx)
	return usersOut{append([]registry.ProjectUser{}, users...)}, err
}

type addUserIn struct {
	Body struct {
		Username string `json:"username"`
		Password string `json:"password" doc:"At least 12 characters, and not easy to guess."`
		Role     string `json:"role" enum:"admin,editor,viewer"`
	}
}

func (h *handlers) addUser(ctx context.Context, ws *Workspace, in *addUserIn, faults *problem.Faults) (out userOut, err error) {
	order := registry.NewProjectUser{Username: in.Body.Username, Password: in.Body.Password, Role: registry.Role(in.Body.Role)}
	out.User, err = ws.InviteProjectUser(ctx, faults, order)
	return out, err
}

type userIDIn struct {
	ID int64 `path:"user_id"`
}

type changeUserIn struct {
	userIDIn
	Body struct {
		Username *string `json:"username,omitzero"`
		Password *string `json:"password,omitzero" doc:"At least 12 characters, and not easy to guess. The user's sessions end."`
		Role     *string `json:"role,omitzero" enum:"admin,editor,viewer"`
	}
}

func (h *handlers) changeUser(ctx context.Context, ws *Workspace, in *changeUserIn, faults *problem.Faults) (out userOut, err error) {
	if in.Body.Password != nil && ws.IsSelf(in.ID) {
		faults.Add("password", "Your own password is changed by another admin of the project.")
	}
	patch := registry.ProjectUserPatch{Username: in.Body.Username, Password: in.Body.Password, Role: (*registry.Role)(in.Body.Role)}
	out.User, err = ws.ChangeProjectUser(ctx, faults, in.ID, patch)
	return out, err
}

func (h *handlers) removeUser(ctx context.Context, ws *Workspace, in *userIDIn) (removedOut, error) {
	return removedOut{true}, ws.RemoveProjectUserWithID(ctx, in.ID)
}
