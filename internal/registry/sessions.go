package registry

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// How long a session lasts.
const (
	SessionLife = 30 * 24 * time.Hour // at most
	sessionIdle = 12 * time.Hour      // without a call
	seenEvery   = time.Minute         // how precisely the last call is stored
)

// maxBrowser limits what is stored of a browser's name for itself, in bytes.
const maxBrowser = 300

// Session is a sign-in that has not ended, as people see it in a list.
type Session struct {
	ID         int64   `json:"id"`
	Username   string  `json:"username"`
	Role       string  `json:"role" doc:"Of an account user: owner, admin or member; of a project user: admin, editor or viewer."`
	Project    *string `json:"project_slug" doc:"The project of a project user; null for an account user."`
	CreatedAt  string  `json:"created_at" format:"date-time"`
	LastSeenAt string  `json:"last_seen_at" format:"date-time"`
	ExpiresAt  string  `json:"expires_at" format:"date-time"`
	Browser    string  `json:"browser"`
	Address    string  `json:"address"`
	Current    bool    `json:"current" doc:"Whether it is the session that makes the call."`
}

// Visit is a valid session together with its person.
type Visit struct {
	Session
	registry *Registry
	hash     hash

	accountUserID int64 // 0 for a project user
	accountRole   AccountRole
	projectUserID int64 // 0 for an account user
	projectID     ids.Project
	projectRole   Role
}

// From says where a person signs in from.
type From struct{ Browser, Address string }

// errSessionEnded is the answer to a session that is unknown, expired or revoked.
func errSessionEnded() error {
	return problem.New(problem.CodeInvalidToken, "The session has ended. Sign in again.")
}

// SignIn starts a session for an account user or, if slug is not empty, for a user of
// that project. It returns the secret of the session, "" if the name or the password is
// wrong; which of them takes as long.
func (r *Registry) SignIn(ctx context.Context, slug, username, password string, from From) (secret string, err error) {
	if secret, err = r.signIn(ctx, slug, username, password, from); err != nil {
		return "", err
	}
	e := AuditEvent{Action: "sign-in", Project: Project{Slug: slug}, Address: from.Address}
	if secret == "" {
		// What was typed as a name may be a password.
		e.Actor, e.Outcome = *nobody(), problem.CodePermissionDenied
		e.Object, err = r.personNamed(ctx, slug, username)
	} else if v, failed := r.visitOf(ctx, hashOf(secret)); failed == nil {
		e.Actor = *v.Author()
	} else {
		err = failed
	}
	if err == nil {
		err = r.Audit(ctx, e)
	}
	return secret, err
}

// personNamed returns "user " and the name of a person, if there is such a one, else "".
func (r *Registry) personNamed(ctx context.Context, slug, username string) (person string, err error) {
	const query = `
		SELECT username FROM account_users WHERE ?1 = '' AND username = ?2
		UNION ALL SELECT u.username FROM project_users u JOIN projects p ON p.id = u.project_id WHERE p.project_slug = ?1 AND u.username = ?2`
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(query, []any{slug, username}, func(s *sqlite.Stmt) error {
			person = "user " + s.Text(0)
			return nil
		})
	})
	return person, err
}

func (r *Registry) signIn(ctx context.Context, slug, username, password string, from From) (secret string, err error) {
	var accountUser, projectUser any
	if slug != "" {
		user, ok, err := r.Login(ctx, slug, username, password)
		if err != nil || !ok {
			return "", err
		}
		projectUser = user.ID
	} else {
		id, err := r.accountLogin(ctx, username, password)
		if err != nil || id == 0 {
			return "", err
		}
		accountUser = id
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		secret, err = r.startSession(c, accountUser, projectUser, from)
		return err
	})
	return secret, err
}

// accountLogin returns the id of the account user with the given name and password, or
// 0. An unknown name takes as long as a wrong password.
func (r *Registry) accountLogin(ctx context.Context, username, password string) (id int64, err error) {
	stored := decoyPassword
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT id, password_hash FROM account_users WHERE username = ? AND password_hash IS NOT NULL", []any{username}, func(s *sqlite.Stmt) error {
			id, stored = s.Int(0), s.Text(1)
			return nil
		})
	})
	if err != nil || !checkPassword(stored, password) {
		return 0, err
	}
	return id, nil
}

// startSession stores a new session and removes those that have ended.
func (r *Registry) startSession(c *sqlite.Conn, accountUser, projectUser any, from From) (secret string, err error) {
	if secret, err = newCode(r.options.Random, sha256.Size); err != nil {
		return "", err
	}
	now := r.options.Now()
	if err := r.removeEnded(c); err != nil {
		return "", err
	}
	h := hashOf(secret)
	err = c.Exec(`
		INSERT INTO sessions (hash, account_user_id, project_user_id, created_at, last_seen_at, expires_at, browser, address)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		h[:], accountUser, projectUser, projectdb.Timestamp(now), projectdb.Timestamp(now), projectdb.Timestamp(now.Add(SessionLife)),
		strings.ToValidUTF8(from.Browser[:min(len(from.Browser), maxBrowser)], ""), from.Address)
	return secret, err
}

func (r *Registry) removeEnded(c *sqlite.Conn) error {
	now := r.options.Now()
	return c.Exec("DELETE FROM sessions WHERE expires_at <= ? OR last_seen_at <= ?", projectdb.Timestamp(now), projectdb.Timestamp(now.Add(-sessionIdle)))
}

// newCode returns random bytes in a form that fits cookies and addresses.
func newCode(random io.Reader, size int) (string, error) {
	code := make([]byte, size)
	if _, err := io.ReadFull(random, code); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(code), nil
}

const visitQuery = `
	SELECT s.id, s.created_at, s.last_seen_at, s.expires_at, s.browser, s.address,
		a.id, a.username, a.role, u.id, u.username, u.role, p.id, p.project_slug
	FROM sessions s
	LEFT JOIN account_users a ON a.id = s.account_user_id
	LEFT JOIN project_users u ON u.id = s.project_user_id
	LEFT JOIN projects p ON p.id = u.project_id `

func (r *Registry) scanVisit(s *sqlite.Stmt) *Visit {
	v := &Visit{registry: r, Session: Session{
		ID: s.Int(0), CreatedAt: s.Text(1), LastSeenAt: s.Text(2), ExpiresAt: s.Text(3), Browser: s.Text(4), Address: s.Text(5),
	}}
	if s.IsNull(6) {
		v.projectUserID, v.projectID, v.projectRole = s.Int(9), ids.Project(s.Int(12)), Role(s.Text(11))
		v.Username, v.Role, v.Project = s.Text(10), s.Text(11), s.TextOrNil(13)
		return v
	}
	v.accountUserID, v.accountRole = s.Int(6), AccountRole(s.Text(8))
	v.Username, v.Role = s.Text(7), s.Text(8)
	return v
}

// Visit returns the session with the given secret and notes that it is used, unless the
// disk is full: then pages are still read, and the session may end early.
func (r *Registry) Visit(ctx context.Context, secret string) (*Visit, error) {
	h := hashOf(secret)
	v, err := r.visitOf(ctx, h)
	if err != nil {
		return nil, err
	}
	if now := r.options.Now(); now.Sub(parseTime(v.LastSeenAt)) >= seenEvery {
		// Not worth the reserve, which r.write would give up.
		err = storage.Explain(r.db.Write(ctx, func(c *sqlite.Conn) error {
			return c.Exec("UPDATE sessions SET last_seen_at = ? WHERE id = ?", projectdb.Timestamp(now), v.ID)
		}))
	}
	if err != nil && !problem.Is(err, problem.CodeStorageFull) {
		return nil, err
	}
	return v, nil
}

func (r *Registry) visitOf(ctx context.Context, h hash) (v *Visit, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(visitQuery+"WHERE s.hash = ?", []any{h[:]}, func(s *sqlite.Stmt) error {
			v = r.scanVisit(s)
			return nil
		})
	})
	if err == nil && (v == nil || !v.validAt(r.options.Now())) {
		err = errSessionEnded()
	}
	if err != nil {
		return nil, err
	}
	v.hash, v.Current = h, true
	return v, nil
}

func (v *Visit) validAt(now time.Time) bool {
	return now.Before(parseTime(v.ExpiresAt)) && now.Sub(parseTime(v.LastSeenAt)) < sessionIdle
}

// stillValid rereads the session inside a transaction that relies on it.
func (v *Visit) stillValid(c *sqlite.Conn) error {
	n, err := c.Int("SELECT count(*) FROM sessions WHERE id = ?", v.ID)
	if err == nil && n == 0 {
		err = errSessionEnded()
	}
	return err
}

// again returns the workspace that the session opens now.
func (v *Visit) again(ctx context.Context, slug string) (*Workspace, error) {
	now, err := v.registry.visitOf(ctx, v.hash)
	if err != nil {
		return nil, err
	}
	return now.Workspace(ctx, slug)
}

// Workspace opens a project for the person. Without a slug it is for calls that concern
// no project: they have full power for owners and admins, and none for others. A
// project that the person may not enter is not_found, as one that does not exist.
func (v *Visit) Workspace(ctx context.Context, slug string) (*Workspace, error) {
	ws := &Workspace{Visit: v, registry: v.registry, Project: Project{AccountID: defaultAccount}}
	ws.Token = Token{ID: ids.AccountUser(v.accountUserID), AccountUserID: v.accountUserID}
	if v.projectUserID != 0 {
		ws.Token = Token{ID: ids.ProjectUser(v.projectUserID), AccountUserID: defaultAccountUser, projectUserID: &v.projectUserID}
	}
	if slug == "" {
		if v.accountRole.inEveryProject() {
			ws.Token.power = fullPower()
		}
		return ws, nil
	}
	project, err := v.registry.Project(ctx, slug)
	if err != nil {
		return nil, err
	}
	role, err := v.roleIn(ctx, project)
	if err != nil {
		return nil, err
	}
	if role == "" {
		return nil, problem.NotFound("The project", slug)
	}
	ws.Project, ws.Token.power, ws.role = project, role.power(), role
	return ws, nil
}

// roleIn returns the person's role in a project, "" for none.
func (v *Visit) roleIn(ctx context.Context, project Project) (role Role, err error) {
	switch {
	case v.accountRole.inEveryProject():
		return Admin, nil
	case v.projectUserID == 0:
		err = v.registry.read(ctx, func(c *sqlite.Conn) error {
			role, err = projectGrant(c, v.accountUserID, project.ID)
			return err
		})
	case v.projectID == project.ID:
		role = v.projectRole
	}
	return role, err
}

// Projects returns the projects that the person may enter, ordered by slug.
func (v *Visit) Projects(ctx context.Context) ([]Project, error) {
	switch {
	case v.accountRole.inEveryProject():
		return v.registry.Projects(ctx)
	case v.projectUserID != 0:
		return v.registry.selectProjects(ctx, "WHERE p.id = ?", v.projectID)
	}
	return v.registry.selectProjects(ctx, "JOIN grants g ON g.project_id = p.id WHERE g.account_user_id = ? ORDER BY p.project_slug", v.accountUserID)
}

// IsOwner reports whether the person is an owner of the account.
func (v *Visit) IsOwner() bool { return v.accountRole == Owner }

// AccountUserID returns the id of an account user; 0 for a project user.
func (v *Visit) AccountUserID() int64 { return v.accountUserID }

func (v *Visit) requireOwner() error {
	if v.IsOwner() {
		return nil
	}
	return problem.New(problem.CodePermissionDenied, "Only an owner of the server may do this.")
}

// Sessions returns the sessions that have not ended, newest first: the person's own or,
// for an owner, everybody's.
func (v *Visit) Sessions(ctx context.Context) (sessions []Session, err error) {
	where := "WHERE s.account_user_id IS ? AND s.project_user_id IS ? ORDER BY s.id DESC"
	args := []any{orNull(v.accountUserID), orNull(v.projectUserID)}
	if v.IsOwner() {
		where, args = "ORDER BY s.id DESC", nil
	}
	now := v.registry.options.Now()
	err = v.registry.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(visitQuery+where, args, func(s *sqlite.Stmt) error {
			if other := v.registry.scanVisit(s); other.validAt(now) {
				other.Current = other.ID == v.ID
				sessions = append(sessions, other.Session)
			}
			return nil
		})
	})
	return sessions, err
}

func orNull(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// EndSession ends one of the sessions that [Visit.Sessions] lists.
func (v *Visit) EndSession(ctx context.Context, id int64) error {
	return v.registry.write(ctx, func(c *sqlite.Conn) error {
		if err := v.stillValid(c); err != nil {
			return err
		}
		err := c.Exec("DELETE FROM sessions WHERE id = ? AND (? OR account_user_id IS ? AND project_user_id IS ?)", id, v.IsOwner(), orNull(v.accountUserID), orNull(v.projectUserID))
		if err == nil && c.Changes() == 0 {
			err = problem.NotFound("The session", fmt.Sprint(id))
		}
		return err
	})
}

// End ends the session.
func (v *Visit) End(ctx context.Context, from From) error {
	if err := v.EndSession(ctx, v.ID); err != nil {
		return err
	}
	return v.registry.Audit(ctx, AuditEvent{Actor: *v.Author(), Action: "sign-out", Address: from.Address})
}

// ChangePassword changes the password of the account user, who has shown the old one.
func (v *Visit) ChangePassword(ctx context.Context, password string, from From) error {
	if _, err := v.ChangeAccountUser(ctx, new(problem.Faults), v.accountUserID, AccountUserChange{Password: &password}); err != nil {
		return err
	}
	return v.registry.Audit(ctx, AuditEvent{Actor: *v.Author(), Action: "change-password", Address: from.Address})
}
