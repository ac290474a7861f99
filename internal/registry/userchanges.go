package registry

import (
	"context"
	"strconv"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ProjectUserPatch describes what changes about a person. A nil field stays as it is.
type ProjectUserPatch struct {
	Username *string
	Password *string
	Role     *Role
}

// check notes what is wrong with the change.
func (patch *ProjectUserPatch) check(faults *problem.Faults) {
	username := ""
	if patch.Username != nil {
		username = *patch.Username
		checkLabel(faults, "username", username)
	}
	if patch.Password != nil {
		CheckPassword(faults, "password", *patch.Password, username)
	}
	if patch.Role != nil {
		checkRole(faults, "role", *patch.Role)
	}
}

// ChangeProjectUser changes a person of the project. A new role also holds for every
// token and session of that person; a new password ends the sessions, except the one
// that makes the call. It needs project:admin, and the last admin keeps the role.
func (ws *Workspace) ChangeProjectUser(ctx context.Context, faults *problem.Faults, id int64, patch ProjectUserPatch) (user ProjectUser, err error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return user, err
	}
	patch.check(faults)
	if err := faults.Err(); err != nil {
		return user, err
	}
	r := ws.registry
	passwordHash := ""
	if patch.Password != nil {
		if passwordHash, err = hashPassword(r.options.Random, *patch.Password); err != nil {
			return user, err
		}
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		if user, err = ws.projectUser(c, id); err != nil {
			return err
		}
		if patch.Role != nil && *patch.Role != Admin {
			if err := ws.keepAdmin(c, user); err != nil {
				return err
			}
		}
		if err := ws.applyToUser(c, user, patch, passwordHash); err != nil {
			return err
		}
		user, err = ws.projectUser(c, id)
		return err
	})
	r.known.forget()
	return user, err
}

// projectUser returns a person of the project, in a transaction of a call that is still
// allowed.
func (ws *Workspace) projectUser(c *sqlite.Conn, id int64) (ProjectUser, error) {
	if err := ws.stillValid(c); err != nil {
		return ProjectUser{}, err
	}
	users, err := selectProjectUsers(c, "WHERE project_id = ? AND id = ?", ws.Project.ID, id)
	if err != nil {
		return ProjectUser{}, err
	}
	if len(users) == 0 {
		return ProjectUser{}, problem.NotFound("The user", strconv.FormatInt(id, 10))
	}
	return users[0], nil
}

// keepAdmin makes sure that the project keeps an admin besides the given person, if
// that is one. The operator may do without.
func (ws *Workspace) keepAdmin(c *sqlite.Conn, user ProjectUser) error {
	if user.Role != Admin || ws.Token.ID == 0 {
		return nil
	}
	n, err := c.Int("SELECT count(*) FROM project_users WHERE project_id = ? AND role = ? AND id <> ?", ws.Project.ID, string(Admin), user.ID)
	if err == nil && n == 0 {
		err = problem.New(problem.CodeConflict, "This is the only admin of the project. Make somebody else an admin first.")
	}
	return err
}

func (ws *Workspace) applyToUser(c *sqlite.Conn, user ProjectUser, patch ProjectUserPatch, passwordHash string) error {
	err := c.Exec("UPDATE project_users SET username = coalesce(?, username), role = coalesce(?, role), password_hash = coalesce(nullif(?, ''), password_hash) WHERE id = ?",
		nullable(patch.Username), nullable((*string)(patch.Role)), passwordHash, user.ID)
	if err != nil && patch.Username != nil {
		return usernameTaken(*patch.Username, err)
	}
	if err != nil || passwordHash == "" {
		return err
	}
	var current int64
	if ws.Visit != nil {
		current = ws.Visit.ID
	}
	return c.Exec("DELETE FROM sessions WHERE project_user_id = ? AND id <> ?", user.ID, current)
}

// RemoveProjectUserWithID removes a person from the project, ends that person's
// sessions and revokes the tokens. It needs project:admin, and the last admin stays.
func (ws *Workspace) RemoveProjectUserWithID(ctx context.Context, id int64) error {
	if err := ws.Require(ProjectAdmin); err != nil {
		return err
	}
	now := projectdb.Timestamp(ws.registry.options.Now())
	err := ws.registry.write(ctx, func(c *sqlite.Conn) error {
		user, err := ws.projectUser(c, id)
		if err != nil {
			return err
		}
		if err := ws.keepAdmin(c, user); err != nil {
			return err
		}
		err = c.Exec(`
			UPDATE tokens
			SET revoked_at = coalesce(revoked_at, ?), project_user_id = NULL
			WHERE project_user_id = ?`, now, id)
		if err != nil {
			return err
		}
		return c.Exec("DELETE FROM project_users WHERE id = ?", id)
	})
	ws.registry.known.forget()
	return err
}

// maxProjectUsers is the maximum number of people in a project.
const maxProjectUsers = 1000

// roomForUser refuses a person too many.
func (ws *Workspace) roomForUser(c *sqlite.Conn) error {
	n, err := c.Int("SELECT count(*) FROM project_users WHERE project_id = ?", ws.Project.ID)
	if err == nil && n >= maxProjectUsers {
		err = problem.New(problem.CodeConflict, "The project already has %d users, which is the maximum. Remove some that are not needed.", n)
	}
	return err
}

// IsSelf reports whether a person of the project makes the call in a session.
func (ws *Workspace) IsSelf(projectUserID int64) bool {
	return ws.Visit != nil && ws.Visit.projectUserID == projectUserID && projectUserID != 0
}

// InviteProjectUser is AddProjectUser for a password that a person sets, which must not
// be easy to guess.
func (ws *Workspace) InviteProjectUser(ctx context.Context, faults *problem.Faults, order NewProjectUser) (ProjectUser, error) {
	if order.check(faults, ""); order.Password != "" {
		CheckPassword(faults, "password", order.Password, order.Username)
	}
	if err := faults.Err(); err != nil {
		return ProjectUser{}, err
	}
	return ws.AddProjectUser(ctx, order)
}
