package api

import (
	"context"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

type tokenOut struct {
	Token registry.Token `json:"token"`
}

func (h *handlers) showToken(ctx context.Context, ws *Workspace, _ *noInput) (tokenOut, error) {
	token, err := ws.Me(ctx)
	return tokenOut{token}, err
}

type tokensOut struct {
	Tokens []registry.Token `json:"tokens"`
}

func (h *handlers) listTokens(ctx context.Context, ws *Workspace, _ *noInput) (tokensOut, error) {
	tokens, err := ws.Tokens(ctx)
	return tokensOut{tokens}, err
}

type mintTokenIn struct {
	Body struct {
		Name           string    `json:"token_name,omitzero"`
		Type           string    `json:"token_type,omitzero" enum:"project_api_token"`
		Scopes         []string  `json:"scopes,omitzero" doc:"What the token may do; when absent, what the caller may. Scopes of records and exports may end in :{table}."`
		ExpiresAt      time.Time `json:"expires_at,omitzero"`
		RevokePrevious rest.Flag `json:"revoke_previous,omitzero" doc:"Revoke the earlier tokens of the same account user in this project; true when absent."`
		Username       string    `json:"project_username,omitzero" doc:"A project user whose role limits the token."`
	}
}

type mintedTokenOut struct {
	Token registry.MintedToken `json:"token"`
}

func (h *handlers) mintToken(ctx context.Context, ws *Workspace, in *mintTokenIn, faults *problem.Faults) (mintedTokenOut, error) {
	b := in.Body
	request := registry.TokenRequest{
		Name: b.Name, Scopes: b.Scopes, ProjectUsername: b.Username,
		RevokePrevious: b.RevokePrevious.Or(true),
	}
	if !b.ExpiresAt.IsZero() {
		request.ExpiresAt = &b.ExpiresAt
	}
	token, err := ws.Mint(ctx, faults, request)
	return mintedTokenOut{token}, err
}

const testTokenLife = 10 * time.Minute

type testTokenIn struct {
	Body struct {
		Table rest.Optional[rest.Ref] `json:"table_name,omitzero" doc:"A table to read one row from."`
		Name  string                  `json:"token_name,omitzero" default:"temporary-access-test"`
	}
}

type testToken struct {
	Secret    string    `json:"token"`
	ID        ids.Token `json:"token_id"`
	Type      string    `json:"token_type"`
	ExpiresAt *string   `json:"expires_at"`
}

type tokenTest struct {
	Project   string     `json:"project"`
	Table     *string    `json:"table"`
	SampleRow *recordRow `json:"sample_row"`
}

type testTokenOut struct {
	Token testToken `json:"token"`
	Test  tokenTest `json:"test"`
}

// testTokenAccess mints a token and reads with it as its holder would.
func (h *handlers) testTokenAccess(ctx context.Context, ws *Workspace, in *testTokenIn, faults *problem.Faults) (testTokenOut, error) {
	out := testTokenOut{Test: tokenTest{Project: ws.Project.Slug}}
	ref := in.Body.Table.Ptr()
	if ref != nil {
		err := use(ctx, ws, func(ws *Opened) error {
			_, err := tableOf(ctx, ws, *ref, registry.RecordsRead)
			return err
		})
		if err != nil {
			return out, err
		}
	}
	minted, err := ws.MintTemporary(ctx, faults, in.Body.Name, testTokenLife)
	if err != nil {
		return out, err
	}
	out.Token = testToken{minted.Secret, minted.ID, minted.Type, minted.ExpiresAt}
	if ref == nil {
		return out, nil
	}
	if err = h.readSample(ctx, &out.Test, minted.Secret, *ref); err != nil {
		// The client does not learn the token.
		err = errors.Join(err, ws.Revoke(context.WithoutCancel(ctx), minted.ID))
	}
	return out, err
}

// readSample reads one row of a table, if there is one, with a token.
func (h *handlers) readSample(ctx context.Context, test *tokenTest, secret string, ref rest.Ref) error {
	ws, err := h.registry.Authenticate(ctx, test.Project, secret)
	if err != nil {
		return err
	}
	return ws.Use(ctx, func(db *projectdb.DB) error {
		page, err := db.ListRecords(ctx, new(problem.Faults), string(ref), projectdb.ListOptions{Selection: projectdb.Selection{Limit: 1}})
		if err != nil {
			return err
		}
		test.Table = &page.Table
		if page.Len() > 0 {
			test.SampleRow = &recordRow{rows: page.Rows}
		}
		return nil
	})
}

type tokenIDIn struct {
	ID ids.Token `path:"token_id"`
}

type changeTokenIn struct {
	tokenIDIn
	Body struct {
		Name      *string                  `json:"token_name,omitzero"`
		Scopes    []string                 `json:"scopes,omitzero" doc:"What the token may do from now on: never more than before."`
		ExpiresAt rest.Optional[time.Time] `json:"expires_at,omitzero" doc:"Never later than before; null, for never, only if the token does not expire."`
	}
}

func (h *handlers) changeToken(ctx context.Context, ws *Workspace, in *changeTokenIn, faults *problem.Faults) (out tokenOut, err error) {
	patch := registry.TokenPatch{Name: in.Body.Name, Scopes: in.Body.Scopes}
	if in.Body.ExpiresAt.Sent {
		patch.ExpiresAt = &in.Body.ExpiresAt.Value
	}
	out.Token, err = ws.ChangeToken(ctx, faults, in.ID, patch)
	return out, err
}

type rotateTokenIn struct {
	tokenIDIn
	Body struct {
		Overlap int `json:"overlap_seconds,omitzero" minimum:"0" maximum:"604800" default:"86400" doc:"How long the old token stays valid; 0 revokes it at once."`
	}
}

type rotatedTokenOut struct {
	Token    registry.MintedToken `json:"token"`
	Previous registry.Token       `json:"previous"`
}

func (h *handlers) rotateToken(ctx context.Context, ws *Workspace, in *rotateTokenIn) (out rotatedTokenOut, err error) {
	out.Token, out.Previous, err = ws.Rotate(ctx, in.ID, time.Duration(in.Body.Overlap)*time.Second)
	return out, err
}

type tokenRevoked struct {
	Revoked bool      `json:"revoked"`
	ID      ids.Token `json:"token_id"`
}

func (h *handlers) revokeToken(ctx context.Context, ws *Workspace, in *tokenIDIn) (tokenRevoked, error) {
	return tokenRevoked{true, in.ID}, ws.Revoke(ctx, in.ID)
}
