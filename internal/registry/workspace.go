package registry

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Workspace is a project opened with a token or by a person who has signed in. Holding
// it proves that the credential was valid for the project; [Workspace.May] and
// [Workspace.Require] say what it may do there. The project's database is not open yet:
// [Workspace.Use] opens it.
type Workspace struct {
	Project Project // the zero Project, with the account alone, for calls about no project
	Token   Token   // the zero Token for the operator; for a person, see [ids.Token]
	Visit   *Visit  // of the person; nil for a token

	registry *Registry
	tx       *projectdb.Tx // the transaction for its changes; nil for one per change
	hash     hash          // of the token's secret
	role     Role          // of the person; "" for a token
}

// Role returns the role in which a person works in the project, "" for a token.
func (ws *Workspace) Role() string { return string(ws.role) }

// grant is a valid token with its project, as stored in the database.
type grant struct {
	project Project
	token   Token
	hash    hash // of the secret
}

// errInvalidToken is the only answer for a secret that is not valid here: a stranger
// learns nothing about the reason.
func errInvalidToken() error {
	return problem.New(problem.CodeInvalidToken, "The token is not valid for this project.")
}

// Authenticate returns the project with the given slug if the secret belongs to one of
// its tokens. The error is the same invalid_token whether the secret is unknown,
// expired, revoked, malformed or of another project, or the project does not exist.
func (r *Registry) Authenticate(ctx context.Context, slug, secret string) (*Workspace, error) {
	g, err := r.grant(ctx, secret)
	if err != nil {
		return nil, err
	}
	if g.project.Slug != strings.ToLower(slug) {
		return nil, errInvalidToken()
	}
	return r.admit(g), nil
}

// AuthenticateAccount returns the token's own project, for calls that concern the
// account as a whole. The token must have project:admin, otherwise it is
// permission_denied.
func (r *Registry) AuthenticateAccount(ctx context.Context, secret string) (*Workspace, error) {
	g, err := r.grant(ctx, secret)
	if err != nil {
		return nil, err
	}
	if !g.token.power.may(ProjectAdmin) {
		return nil, problem.MissingScope(string(ProjectAdmin))
	}
	return r.admit(g), nil
}

// Operator returns a project with full power for the owner of the server, who needs no
// token. It fails with not_found if there is no such project.
func (r *Registry) Operator(ctx context.Context, slug string) (*Workspace, error) {
	project, err := r.Project(ctx, slug)
	if err != nil {
		return nil, err
	}
	return r.admit(&grant{project: project, token: Token{AccountUserID: defaultAccountUser, power: fullPower()}}), nil
}

func (r *Registry) admit(g *grant) *Workspace {
	if g.token.ID != 0 {
		r.used.note(g.token.ID, r.options.Now())
	}
	return &Workspace{Project: g.project, Token: g.token, registry: r, hash: g.hash}
}

// Use runs fn with the project's database. The project cannot be deleted until fn
// returns, so fn must not wait for a client or a job. A project whose file cannot be
// read is project_damaged.
func (ws *Workspace) Use(ctx context.Context, fn func(*projectdb.DB) error) error {
	if ws.tx != nil {
		return errors.New("the database is asked for inside a transaction, which its calls would wait for")
	}
	db, release, err := ws.registry.projects.Lease(ctx, ws.Project.ID)
	if err != nil {
		// The project may have been deleted since the token was checked.
		if _, gone := ws.registry.Project(ctx, ws.Project.Slug); problem.Is(gone, problem.CodeNotFound) {
			if ws.Token.ID == 0 {
				return gone // the operator has no token
			}
			return errInvalidToken()
		}
		return err
	}
	defer release()
	return fn(db.As(recordRights{ws.Token.power}).Tracked(ws.Project.Settings.TrackChanges))
}

// In returns the workspace inside a transaction, which its changes become part of. It
// must not be asked for its database.
func (ws *Workspace) In(tx *projectdb.Tx) *Workspace {
	inside := *ws
	inside.tx = tx
	return &inside
}

// Inside reports whether the workspace is inside a transaction.
func (ws *Workspace) Inside() bool { return ws.tx != nil }

// Change changes the project as [projectdb.DB.Change] does: in the transaction that
// the workspace is in, or otherwise in one of its own.
func (ws *Workspace) Change(ctx context.Context, faults *problem.Faults, kind projectdb.TransactionKind, fn func(*projectdb.Tx) error) error {
	if ws.tx != nil {
		return fn(ws.tx)
	}
	return ws.Use(ctx, func(db *projectdb.DB) error { return db.Change(ctx, faults, kind, fn) })
}

// table returns a table of the project.
func (ws *Workspace) table(ctx context.Context, ref string) (t projectdb.Table, err error) {
	err = ws.Use(ctx, func(db *projectdb.DB) error {
		t, err = db.Table(ctx, ref)
		return err
	})
	return t, err
}

// Admitted returns invalid_token if the token would no longer open the project:
// because it has been revoked or has expired, or the project has been deleted. If it
// may do less than when the workspace was opened, the error is permission_denied, and
// if a person may no longer enter the project, not_found.
func (ws *Workspace) Admitted(ctx context.Context) error {
	if ws.Token.ID == 0 {
		return nil // the operator's workspace
	}
	power, err := ws.powerNow(ctx)
	if err == nil && !power.covers(ws.Token.power) {
		err = problem.New(problem.CodePermissionDenied, "What this token may do has been reduced since the call began. Repeat the call.")
	}
	return err
}

func (ws *Workspace) powerNow(ctx context.Context) (power, error) {
	if ws.Visit != nil {
		now, err := ws.Visit.again(ctx, ws.Project.Slug)
		if err != nil {
			return nil, err
		}
		return now.Token.power, nil
	}
	g, err := ws.registry.grantOf(ctx, ws.hash)
	if err != nil {
		return nil, err
	}
	return g.token.power, nil
}

// Follow returns a follower of the project's commits, and where it begins.
func (ws *Workspace) Follow(ctx context.Context) (f *projectdb.Follower, now projectdb.Place, err error) {
	err = ws.Use(ctx, func(*projectdb.DB) error {
		f, now = ws.registry.projects.Follow(ws.Project.ID)
		return nil
	})
	return f, now, err
}

// grant returns what a secret gives access to, if it is currently valid.
func (r *Registry) grant(ctx context.Context, secret string) (*grant, error) {
	if !isSecret(secret) {
		return nil, errInvalidToken()
	}
	return r.grantOf(ctx, hashOf(secret))
}

func (r *Registry) grantOf(ctx context.Context, h hash) (*grant, error) {
	g, generation := r.known.get(h)
	if g == nil {
		var err error
		if g, err = r.readGrant(ctx, h); err != nil {
			return nil, err
		}
		r.known.put(h, g, generation)
	}
	if !g.token.validAt(r.options.Now()) {
		return nil, errInvalidToken()
	}
	return g, nil
}

func (r *Registry) readGrant(ctx context.Context, h hash) (g *grant, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(`
			SELECT `+tokenColumns+`, t.hash, `+projectColumns+`
			FROM tokens t
			JOIN projects p ON p.id = t.project_id
			LEFT JOIN project_users u ON u.id = t.project_user_id
			WHERE t.hash = ?`, []any{h[:]}, func(s *sqlite.Stmt) error {
			if subtle.ConstantTimeCompare(s.Value(tokenColumnCount).Bytes, h[:]) == 1 {
				g = &grant{scanProject(s, tokenColumnCount+1), scanToken(s), h}
			}
			return nil
		})
	})
	if err == nil && g == nil {
		err = errInvalidToken()
	}
	return g, err
}

// May reports whether the workspace includes the scope; a scope without a table means
// all tables.
func (ws *Workspace) May(scope Scope) bool { return ws.Token.power.may(scope) }

// MaySome reports whether the workspace includes the scope for all tables or for at
// least one.
func (ws *Workspace) MaySome(scope Scope) bool { return ws.Token.power.maySome(scope) }

// MayTable reports whether the workspace includes the scope for one table.
// Reading its records implies seeing its schema.
func (ws *Workspace) MayTable(scope Scope, tableID ids.Table) bool {
	return ws.Token.power.may(scope.On(tableID))
}

// Identity returns the ids of the project and of the token, which is 0 for the
// operator.
func (ws *Workspace) Identity() (projectID ids.Project, tokenID ids.Token) {
	return ws.Project.ID, ws.Token.ID
}

// Owner returns the id that what is saved in the workspace belongs to: that of a person,
// or of the first of the tokens that have replaced one another.
func (ws *Workspace) Owner() ids.Token {
	if ws.Token.first != 0 {
		return ws.Token.first
	}
	return ws.Token.ID
}

// Permits is MaySome for a scope that is only known by name.
func (ws *Workspace) Permits(scope string) bool { return ws.MaySome(Scope(scope)) }

// Require returns permission_denied unless May is true.
func (ws *Workspace) Require(scope Scope) error {
	if ws.May(scope) {
		return nil
	}
	return problem.MissingScope(string(scope))
}

// RequireTable returns permission_denied unless MayTable is true.
func (ws *Workspace) RequireTable(scope Scope, tableID ids.Table) error {
	if ws.MayTable(scope, tableID) {
		return nil
	}
	return problem.MissingScope(string(scope) + " for the table")
}

// validAt reports whether the token is neither revoked nor expired.
func (t *Token) validAt(now time.Time) bool {
	return t.RevokedAt == nil && (t.expires.IsZero() || now.Before(t.expires))
}
