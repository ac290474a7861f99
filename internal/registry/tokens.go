package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TokenType is the only token type.
const TokenType = "project_api_token"

// Token is a token of a project, without its secret. Its JSON form is part of the wire
// contract.
type Token struct {
	ID         ids.Token `json:"id"`
	Type       string    `json:"token_type"`
	Name       string    `json:"token_name"`
	ExpiresAt  *string   `json:"expires_at"`
	RevokedAt  *string   `json:"revoked_at"`
	LastUsedAt *string   `json:"last_used_at"`
	CreatedAt  string    `json:"created_at"`
	Scopes     []string  `json:"scopes"` // with the names of tables; only set by Me and Tokens

	AccountUserID int64 `json:"account_user_id"`

	Hint       *string    `json:"token_hint" doc:"The last characters of the secret; null for a token made by an earlier version."`
	CreatedBy  *Author    `json:"created_by" doc:"Who made the token; null if it was made together with the project or by an earlier version."`
	ReplacedBy *ids.Token `json:"replaced_by" doc:"The id of the token that a rotation has put in its place."`

	first         ids.Token // of the tokens that have replaced one another
	projectID     ids.Project
	projectUserID *int64 // whose role limits the token
	granted       power  // as minted
	power         power  // granted, limited by the role
	expires       time.Time
}

// tokenColumns are the columns that scanToken reads, of tokens as t and project_users
// as u.
const (
	tokenColumns     = "t.id, t.token_name, t.expires_at, t.revoked_at, t.last_used_at, t.created_at, t.scopes, t.account_user_id, t.project_id, t.project_user_id, u.role, t.hint, t.created_by, t.created_by_name, t.replaced_by, coalesce(t.first, t.id)"
	tokenColumnCount = 16
)

func scanToken(s *sqlite.Stmt) Token {
	t := Token{
		ID:            ids.Token(s.Int(0)),
		Type:          TokenType,
		Name:          s.Text(1),
		ExpiresAt:     s.TextOrNil(2),
		RevokedAt:     s.TextOrNil(3),
		LastUsedAt:    s.TextOrNil(4),
		CreatedAt:     s.Text(5),
		granted:       parsePower(s.Text(6)),
		AccountUserID: s.Int(7),
		projectID:     ids.Project(s.Int(8)),
		Hint:          s.TextOrNil(11),
		first:         ids.Token(s.Int(15)),
	}
	if !s.IsNull(12) {
		t.CreatedBy = AuthorOf(ids.Token(s.Int(12)), s.Text(13))
	}
	if !s.IsNull(14) {
		successor := ids.Token(s.Int(14))
		t.ReplacedBy = &successor
	}
	t.power = t.granted
	if !s.IsNull(9) {
		id := s.Int(9)
		t.projectUserID = &id
		t.power = t.granted.cappedBy(Role(s.Text(10)).power())
	}
	if t.ExpiresAt != nil {
		t.expires = parseTime(*t.ExpiresAt)
	}
	return t
}

// parseTime parses a time written by this package. An unreadable time counts as long
// past.
func parseTime(text string) time.Time {
	t, err := time.Parse(projectdb.TimeLayout, text)
	if err != nil {
		return time.Unix(0, 0)
	}
	return t
}

// TokenRequest describes a token to be minted.
type TokenRequest struct {
	Name            string     // "" means a default
	Scopes          []string   // as written by a client; nil means the minting token's
	ExpiresAt       *time.Time // nil means the minting token's
	RevokePrevious  bool       // revoke the earlier tokens of the same account user that the caller may manage
	ProjectUsername string     // whose role limits the token; "" means the role of the minting token's user, if any
}

// MintedToken is a new token with its secret, which is never shown again. Its JSON
// form is part of the wire contract.
type MintedToken struct {
	Secret    string    `json:"token"`
	ID        ids.Token `json:"token_id"`
	Type      string    `json:"token_type"`
	Name      string    `json:"token_name"`
	ExpiresAt *string   `json:"expires_at"`
	Scopes    []string  `json:"scopes"`
}

// Mint creates a token with at most the power and the lifetime of the workspace's own.
// It needs tokens:manage.
func (ws *Workspace) Mint(ctx context.Context, faults *problem.Faults, request TokenRequest) (MintedToken, error) {
	if err := ws.Require(TokensManage); err != nil {
		return MintedToken{}, err
	}
	token, err := ws.draft(ctx, faults, request)
	if err != nil {
		return MintedToken{}, err
	}
	return ws.mint(ctx, token, request)
}

// MintTemporary creates a token of the same power that is valid for at most the given
// time. It needs tokens:manage and revokes nothing.
func (ws *Workspace) MintTemporary(ctx context.Context, faults *problem.Faults, name string, life time.Duration) (MintedToken, error) {
	expires := ws.registry.options.Now().Add(life)
	if own := ws.Token.expires; !own.IsZero() && own.Before(expires) {
		expires = own
	}
	return ws.Mint(ctx, faults, TokenRequest{Name: name, ExpiresAt: &expires})
}

func (ws *Workspace) mint(ctx context.Context, token Token, request TokenRequest) (minted MintedToken, err error) {
	r := ws.registry
	secret, err := newSecret(r.options.Random)
	if err != nil {
		return minted, err
	}
	names, err := ws.scopeNames(ctx, token.granted)
	if err != nil {
		return minted, err
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		// Checked again here because another request may have revoked it since.
		if err := ws.stillValid(c); err != nil {
			return err
		}
		if request.ProjectUsername != "" {
			if err := ws.bindUser(c, &token, request.ProjectUsername); err != nil {
				return err
			}
		}
		if request.RevokePrevious {
			if err := ws.revokePrevious(c); err != nil {
				return err
			}
		}
		if err := r.makeRoomForToken(c, ws.Project.ID); err != nil {
			return err
		}
		minted, err = insertToken(c, token, secret, names)
		return err
	})
	if err != nil {
		return MintedToken{}, err
	}
	if request.RevokePrevious {
		r.known.forget()
	}
	return minted, nil
}

// draft checks the request against the power and the lifetime of the workspace's
// token.
func (ws *Workspace) draft(ctx context.Context, faults *problem.Faults, request TokenRequest) (Token, error) {
	now := ws.registry.options.Now()
	token := Token{
		Name: defaultName(request.Name), CreatedAt: projectdb.Timestamp(now), AccountUserID: ws.Token.AccountUserID, CreatedBy: ws.Author(),
		projectID: ws.Project.ID, projectUserID: ws.Token.projectUserID,
		granted: ws.Token.power, expires: ws.Token.expires,
	}
	checkLabel(faults, "token_name", token.Name)
	if request.ExpiresAt != nil {
		token.expires = request.ExpiresAt.UTC().Truncate(time.Second)
		checkExpiry(faults, token.expires, now)
	}
	if request.Scopes != nil {
		var err error
		if token.granted, err = ws.parseScopes(ctx, faults, request.Scopes); err != nil {
			return token, err
		}
	}
	if err := faults.Err(); err != nil {
		return token, err
	}
	for i, scope := range token.granted {
		if !ws.Token.power.may(scope) {
			return token, problem.New(problem.CodePermissionDenied, "A token cannot grant more than it has itself: %s.", request.Scopes[i])
		}
	}
	if own := ws.Token.expires; !own.IsZero() && token.expires.After(own) {
		return token, problem.New(problem.CodePermissionDenied, "A token cannot grant a longer life than its own, which ends at %s.", *ws.Token.ExpiresAt)
	}
	return token, nil
}

// defaultName returns a name for a token without one.
func defaultName(name string) string {
	if name == "" {
		return "api-token"
	}
	return name
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// parseScopes parses scopes as written by a client and binds tables by their ids. The
// result has the same length as the list.
func (ws *Workspace) parseScopes(ctx context.Context, faults *problem.Faults, list []string) (power, error) {
	if len(list) == 0 {
		faults.Add("scopes", "Must name at least one scope, or be absent.")
	}
	p := power{}
	for i, text := range list {
		if faults.Full() {
			break
		}
		scope, table := Scope(text).split()
		isBound := len(text) > len(scope)
		if !slices.Contains(Scopes[:], scope) || isBound && (table == "" || !scope.perTable()) {
			faults.Unknown(indexed("scopes", i), "scope", text, "", words(Scopes[:]))
			continue
		}
		if isBound {
			found, err := ws.table(ctx, table)
			if problem.Is(err, problem.CodeNotFound) {
				faults.Unknown(indexed("scopes", i), "table", table, "", nil)
				continue
			}
			if err != nil {
				return nil, err
			}
			scope = scope.On(found.ID)
		}
		p = append(p, scope)
	}
	return p, nil
}

func words(scopes []Scope) []string {
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	return names
}

// scopeNames returns scopes as a client writes them, with the current names of tables.
// A deleted table keeps its id.
func (ws *Workspace) scopeNames(ctx context.Context, p power) ([]string, error) {
	names := make([]string, len(p))
	for i, scope := range p {
		names[i] = string(scope)
		base, table := scope.split()
		if table == "" {
			continue
		}
		switch found, err := ws.table(ctx, table); {
		case err == nil:
			names[i] = string(base) + ":" + found.Name
		case !problem.Is(err, problem.CodeNotFound):
			return nil, err
		}
	}
	return names, nil
}

// stillValid rereads the workspace's token or session inside a transaction that relies
// on it.
func (ws *Workspace) stillValid(c *sqlite.Conn) error {
	if ws.Token.ID == 0 {
		return nil
	}
	if ws.Visit != nil {
		return ws.Visit.stillValid(c)
	}
	n, err := c.Int("SELECT count(*) FROM tokens WHERE id = ? AND revoked_at IS NULL", ws.Token.ID)
	if err == nil && n == 0 {
		err = errInvalidToken()
	}
	return err
}

// bindUser limits a token to the role of a project user.
func (ws *Workspace) bindUser(c *sqlite.Conn, token *Token, username string) error {
	id, err := c.Int("SELECT id FROM project_users WHERE project_id = ? AND username = ?", ws.Project.ID, username)
	if err != nil {
		return err
	}
	if id == 0 {
		return problem.Invalid("project_username", problem.NoSuchUser)
	}
	if own := ws.Token.projectUserID; own != nil && *own != id {
		return problem.New(problem.CodePermissionDenied, "A token of a project user can create tokens only for the same user.")
	}
	token.projectUserID = &id
	return nil
}

// revokePrevious revokes the valid tokens of the same account user in this
// project, except those that are more powerful than the workspace's.
func (ws *Workspace) revokePrevious(c *sqlite.Conn) error {
	tokens, err := selectTokens(c, "WHERE t.project_id = ? AND t.account_user_id = ? AND t.revoked_at IS NULL", ws.Project.ID, ws.Token.AccountUserID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if !ws.Token.power.covers(t.power) {
			continue
		}
		if err := ws.revokeRow(c, t.ID); err != nil {
			return err
		}
	}
	return nil
}

// manageable returns a token of the project that may do no more than the workspace's.
// The verb says what is to be done with it.
func (ws *Workspace) manageable(c *sqlite.Conn, id ids.Token, verb string) (Token, error) {
	if err := ws.stillValid(c); err != nil {
		return Token{}, err
	}
	token, err := ws.tokenWithID(c, id)
	if err == nil && !ws.Token.power.covers(token.power) {
		err = problem.New(problem.CodePermissionDenied, "This token may not %s one that may do more.", verb)
	}
	return token, err
}

func (ws *Workspace) tokenWithID(c *sqlite.Conn, id ids.Token) (Token, error) {
	tokens, err := selectTokens(c, "WHERE t.id = ? AND t.project_id = ?", id, ws.Project.ID)
	if err != nil {
		return Token{}, err
	}
	if len(tokens) == 0 {
		return Token{}, problem.NotFound("The token", strconv.FormatInt(int64(id), 10))
	}
	return tokens[0], nil
}

func (ws *Workspace) revokeRow(c *sqlite.Conn, id ids.Token) error {
	return c.Exec("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", projectdb.Timestamp(ws.registry.options.Now()), id)
}

// makeRoomForToken keeps a project below its limit of tokens by deleting revoked and
// expired ones, oldest first.
func (r *Registry) makeRoomForToken(c *sqlite.Conn, projectID ids.Project) error {
	most := int64(r.options.MaxTokens)
	if most == 0 {
		return nil
	}
	const count = "SELECT count(*) FROM tokens WHERE project_id = ?"
	n, err := c.Int(count, projectID)
	if err != nil || n < most {
		return err
	}
	err = c.Exec(`
		DELETE FROM tokens WHERE id IN (
			SELECT id FROM tokens
			WHERE project_id = ? AND (revoked_at IS NOT NULL OR expires_at <= ?)
			ORDER BY id LIMIT ?)`, projectID, projectdb.Timestamp(r.options.Now()), n-most+1)
	if err != nil {
		return fmt.Errorf("remove dead tokens: %w", err)
	}
	if n, err = c.Int(count, projectID); err == nil && n >= most {
		err = problem.New(problem.CodeConflict, "The project already has %d valid tokens, which is the maximum. Revoke some that are not needed.", n)
	}
	return err
}

// insertToken stores a token; scopeNames are its scopes as a client sees them.
func insertToken(c *sqlite.Conn, t Token, secret string, scopeNames []string) (MintedToken, error) {
	if !t.expires.IsZero() {
		text := projectdb.Timestamp(t.expires)
		t.ExpiresAt = &text
	}
	var user any
	if t.projectUserID != nil {
		user = *t.projectUserID
	}
	var author, authorName any
	if t.CreatedBy != nil {
		author, authorName = t.CreatedBy.Identity(), t.CreatedBy.Name
	}
	h := hashOf(secret)
	err := c.Exec(`
		INSERT INTO tokens (project_id, account_user_id, project_user_id, token_name, hash, scopes, created_at, expires_at, hint, created_by, created_by_name, first)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0))`,
		t.projectID, t.AccountUserID, user, t.Name, h[:], t.granted.text(), t.CreatedAt, nullable(t.ExpiresAt), hintOf(secret), author, authorName, t.first)
	if err != nil {
		return MintedToken{}, fmt.Errorf("store the token: %w", err)
	}
	return MintedToken{secret, ids.Token(c.LastInsertRowID()), TokenType, t.Name, t.ExpiresAt, scopeNames}, nil
}

func selectTokens(c *sqlite.Conn, rest string, args ...any) (tokens []Token, err error) {
	err = c.Query("SELECT "+tokenColumns+" FROM tokens t LEFT JOIN project_users u ON u.id = t.project_user_id "+rest, args, func(s *sqlite.Stmt) error {
		tokens = append(tokens, scanToken(s))
		return nil
	})
	return tokens, err
}

// Revoke invalidates a token of the project immediately. It needs tokens:manage, and
// at least as much power as the token has.
func (ws *Workspace) Revoke(ctx context.Context, id ids.Token) error {
	if err := ws.Require(TokensManage); err != nil {
		return err
	}
	err := ws.registry.write(ctx, func(c *sqlite.Conn) error {
		if _, err := ws.manageable(c, id, "revoke"); err != nil {
			return err
		}
		return ws.revokeRow(c, id)
	})
	ws.registry.known.forget()
	return err
}

// Tokens returns the tokens of the project, newest first, including revoked ones. It
// needs tokens:manage.
func (ws *Workspace) Tokens(ctx context.Context) (tokens []Token, err error) {
	if err := ws.Require(TokensManage); err != nil {
		return nil, err
	}
	err = ws.registry.read(ctx, func(c *sqlite.Conn) error {
		tokens, err = selectTokens(c, "WHERE t.project_id = ? ORDER BY t.id DESC", ws.Project.ID)
		return err
	})
	for i := range tokens {
		if err == nil {
			err = ws.describe(ctx, &tokens[i])
		}
	}
	return tokens, err
}

// Me returns the workspace's own token in the form shown to clients.
func (ws *Workspace) Me(ctx context.Context) (Token, error) {
	token := ws.Token
	err := ws.describe(ctx, &token)
	return token, err
}

func (ws *Workspace) describe(ctx context.Context, t *Token) (err error) {
	t.LastUsedAt = ws.registry.used.of(t.ID, t.LastUsedAt)
	t.Scopes, err = ws.scopeNames(ctx, t.power)
	return err
}
