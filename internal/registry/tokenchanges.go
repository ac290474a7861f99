package registry

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TokenPatch describes what changes about a token. A nil field stays as it is.
type TokenPatch struct {
	Name      *string
	Scopes    []string   // as written by a client
	ExpiresAt *time.Time // the zero time means never
}

// check notes what is wrong with the change by itself.
func (patch *TokenPatch) check(faults *problem.Faults, now time.Time) {
	if patch.Name != nil {
		checkLabel(faults, "token_name", *patch.Name)
	}
	if at := patch.ExpiresAt; at != nil && !at.IsZero() {
		checkExpiry(faults, *at, now)
	}
}

func checkExpiry(faults *problem.Faults, at, now time.Time) {
	if !now.Before(at) || at.Year() > 9999 {
		faults.Add("expires_at", "Must be in the future and before the year 10000.")
	}
}

// ChangeToken changes the name of a token, or takes scopes or time from it: a token
// never gets more than it has. It needs tokens:manage, and at least as much power as
// the token has.
func (ws *Workspace) ChangeToken(ctx context.Context, faults *problem.Faults, id ids.Token, patch TokenPatch) (changed Token, err error) {
	if err := ws.Require(TokensManage); err != nil {
		return changed, err
	}
	patch.check(faults, ws.registry.options.Now())
	var scopes power
	if patch.Scopes != nil {
		if scopes, err = ws.parseScopes(ctx, faults, patch.Scopes); err != nil {
			return changed, err
		}
	}
	if err := faults.Err(); err != nil {
		return changed, err
	}
	err = ws.registry.write(ctx, func(c *sqlite.Conn) error {
		token, err := ws.living(c, id, "change")
		if err != nil {
			return err
		}
		if err := token.narrow(patch, scopes); err != nil {
			return err
		}
		if err := token.store(c); err != nil {
			return err
		}
		changed, err = ws.tokenWithID(c, id)
		return err
	})
	ws.registry.known.forget()
	if err == nil {
		err = ws.describe(ctx, &changed)
	}
	return changed, err
}

// living is manageable for tokens that have not ended.
func (ws *Workspace) living(c *sqlite.Conn, id ids.Token, verb string) (Token, error) {
	token, err := ws.manageable(c, id, verb)
	if err == nil && !token.validAt(ws.registry.options.Now()) {
		err = problem.New(problem.CodeConflict, "The token has been revoked or has expired. Create a new one.")
	}
	return token, err
}

// narrow applies a change that takes nothing but power or time.
func (t *Token) narrow(patch TokenPatch, scopes power) error {
	for i, scope := range scopes {
		if !t.granted.may(scope) {
			return problem.New(problem.CodePermissionDenied, "A token cannot be given more than it has: %s. Create a new one.", patch.Scopes[i])
		}
	}
	if scopes != nil {
		t.granted = scopes
	}
	if patch.Name != nil {
		t.Name = *patch.Name
	}
	if at := patch.ExpiresAt; at != nil {
		expires := at.UTC().Truncate(time.Second)
		if t.ExpiresAt != nil && (at.IsZero() || expires.After(t.expires)) {
			return problem.New(problem.CodePermissionDenied, "A token cannot be given a longer life than it has, which ends at %s. Rotate it or create a new one.", *t.ExpiresAt)
		}
		t.endAt(expires)
	}
	return nil
}

// endAt sets when the token expires; the zero time means never.
func (t *Token) endAt(at time.Time) {
	t.expires, t.ExpiresAt = at, nil
	if !at.IsZero() {
		text := projectdb.Timestamp(at)
		t.ExpiresAt = &text
	}
}

// store writes what can change about a token.
func (t *Token) store(c *sqlite.Conn) error {
	var successor any
	if t.ReplacedBy != nil {
		successor = *t.ReplacedBy
	}
	return c.Exec("UPDATE tokens SET token_name = ?, scopes = ?, expires_at = ?, replaced_by = ? WHERE id = ?",
		t.Name, t.granted.text(), nullable(t.ExpiresAt), successor, t.ID)
}

// MaxOverlap is the longest time for which a token stays valid after it has been
// rotated.
const MaxOverlap = 7 * 24 * time.Hour

// Rotate creates a token with the name, the scopes and the expiry of another one, which
// stays valid for the time of the overlap; no other token is revoked. It needs
// tokens:manage, at least as much power as the token has, and as long a life. The
// result previous is the other token as it is afterwards.
func (ws *Workspace) Rotate(ctx context.Context, id ids.Token, overlap time.Duration) (minted MintedToken, previous Token, err error) {
	if err := ws.Require(TokensManage); err != nil {
		return minted, previous, err
	}
	r := ws.registry
	secret, err := newSecret(r.options.Random)
	if err != nil {
		return minted, previous, err
	}
	var scopes power
	err = r.write(ctx, func(c *sqlite.Conn) error {
		token, err := ws.living(c, id, "rotate")
		if err != nil {
			return err
		}
		successor, err := ws.successor(token)
		if err != nil {
			return err
		}
		if err := r.makeRoomForToken(c, ws.Project.ID); err != nil {
			return err
		}
		if minted, err = insertToken(c, successor, secret, nil); err != nil {
			return err
		}
		if err := ws.retire(c, token, minted.ID, overlap); err != nil {
			return err
		}
		scopes = successor.granted
		previous, err = ws.tokenWithID(c, id)
		return err
	})
	r.known.forget()
	if err != nil {
		return MintedToken{}, Token{}, err
	}
	if minted.Scopes, err = ws.scopeNames(ctx, scopes); err == nil {
		err = ws.describe(ctx, &previous)
	}
	return minted, previous, err
}

// successor returns the token that takes the place of another. It belongs to whoever
// makes the call, and ends with that person if the other one did not end with anybody.
func (ws *Workspace) successor(old Token) (Token, error) {
	switch own := ws.Token.projectUserID; {
	case old.ReplacedBy != nil:
		return Token{}, problem.New(problem.CodeConflict, "The token has already been replaced by the token %d. Rotate that one.", *old.ReplacedBy)
	case !ws.Token.expires.IsZero() && (old.expires.IsZero() || old.expires.After(ws.Token.expires)):
		return Token{}, problem.New(problem.CodePermissionDenied, "A token cannot grant a longer life than its own, which ends at %s.", *ws.Token.ExpiresAt)
	case own != nil && old.projectUserID != nil && *own != *old.projectUserID:
		return Token{}, problem.New(problem.CodePermissionDenied, "A token of a project user can create tokens only for the same user.")
	case own != nil:
		old.projectUserID = own
	}
	if !ws.Token.power.covers(old.granted) {
		old.granted = old.power // the role of its user may grow again
	}
	old.AccountUserID, old.CreatedBy = ws.Token.AccountUserID, ws.Author()
	old.CreatedAt = projectdb.Timestamp(ws.registry.options.Now())
	return old, nil
}

// retire ends a token that has been replaced after the time of the overlap.
func (ws *Workspace) retire(c *sqlite.Conn, token Token, successor ids.Token, overlap time.Duration) error {
	now := ws.registry.options.Now()
	token.ReplacedBy = &successor
	if end := now.Add(overlap); overlap > 0 && (token.expires.IsZero() || end.Before(token.expires)) {
		token.endAt(end)
	}
	if err := token.store(c); err != nil || overlap > 0 {
		return err
	}
	return ws.revokeRow(c, token.ID)
}
