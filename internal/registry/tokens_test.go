package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

func table(t testing.TB, ws *Workspace, name string) projectdb.Table {
	t.Helper()
	var created projectdb.Table
	use(t, ws, func(db *projectdb.DB) (err error) {
		created, err = db.CreateTable(t.Context(), new(problem.Faults), projectdb.NewTable{Name: name})
		return err
	})
	return created
}

func TestTokenJSON(t *testing.T) {
	h := open(t)
	ws := h.project(t, "shop")
	goods := table(t, ws, "goods")
	expires := h.clock.Now().Add(36 * time.Hour)
	minted := ws.mustMint(t, TokenRequest{Name: "reader", Scopes: []string{"records:read:goods", "query:read"}, ExpiresAt: &expires})
	got, err := json.Marshal(minted)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"token":"%s","token_id":%d,"token_type":"project_api_token","token_name":"reader","expires_at":"2026-06-03T13:23:45Z","scopes":["records:read:goods","query:read"]}`, minted.Secret, minted.ID)
	if string(got) != want {
		t.Errorf("minted %s\nwant   %s", got, want)
	}
	h.clock.Add(time.Minute)
	me, err := h.enter(t, "shop", minted.Secret).Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err = json.Marshal(me); err != nil {
		t.Fatal(err)
	}
	want = fmt.Sprintf(`{"id":%d,"token_type":"project_api_token","token_name":"reader","expires_at":"2026-06-03T13:23:45Z","revoked_at":null,"last_used_at":"2026-06-02T01:24:45Z","created_at":"2026-06-02T01:23:45Z","scopes":["records:read:goods","query:read"],"account_user_id":1,"token_hint":%q,"created_by":{"type":"operator","id":0,"name":"operator"},"replaced_by":null}`, minted.ID, minted.Secret[36:])
	if string(got) != want {
		t.Errorf("shown %s\nwant  %s", got, want)
	}

	// A rename is followed; a new table with the old name gets nothing.
	name := "wares"
	use(t, ws, func(db *projectdb.DB) error {
		_, err := db.UpdateTable(t.Context(), new(problem.Faults), "goods", projectdb.TablePatch{NewName: &name})
		return err
	})
	other := table(t, ws, "goods")
	reader := h.enter(t, "shop", minted.Secret)
	if !reader.MayTable(RecordsRead, goods.ID) || reader.MayTable(RecordsRead, other.ID) {
		t.Error("the scope did not follow its table")
	}
	if me, _ := reader.Me(t.Context()); me.Scopes[0] != "records:read:wares" {
		t.Errorf("shown as %v", me.Scopes)
	}
	use(t, ws, func(db *projectdb.DB) error {
		_, err := db.DeleteTable(t.Context(), "wares")
		return err
	})
	if me, err := reader.Me(t.Context()); err != nil || me.Scopes[0] != fmt.Sprintf("records:read:%d", goods.ID) {
		t.Errorf("shown as %v, %v", me.Scopes, err)
	}
}

func TestNobodyLearnsWhyATokenIsInvalid(t *testing.T) {
	h := open(t)
	shop, other := h.project(t, "shop"), h.project(t, "other")
	expires := h.clock.Now().Add(time.Hour)
	good := shop.mustMint(t, TokenRequest{}).Secret
	short := shop.mustMint(t, TokenRequest{ExpiresAt: &expires}).Secret
	revoked := shop.mustMint(t, TokenRequest{})
	for _, secret := range []string{good, short, revoked.Secret} {
		if !h.isValid(t, "shop", secret) || !h.isValid(t, "SHOP", secret) {
			t.Fatal("a good token is refused")
		}
	}
	if err := shop.Revoke(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Add(time.Hour)
	unknown, err := newSecret(h.options.Random)
	if err != nil {
		t.Fatal(err)
	}
	typo := []byte(good)
	typo[10] ^= 1
	for name, secret := range map[string]string{
		"unknown": unknown, "expired": short, "revoked": revoked.Secret, "mistyped": string(typo), "empty": "",
		"of another project": other.mustMint(t, TokenRequest{}).Secret, "odd": "pat_\x00'; DROP TABLE tokens",
	} {
		for range 2 {
			if h.isValid(t, "shop", secret) {
				t.Errorf("a token that is %s is valid", name)
			}
		}
	}
	for _, slug := range []string{"nowhere", "", "shop ", "shop/", "shop\x00"} {
		if h.isValid(t, slug, good) {
			t.Errorf("the token is valid for %q", slug)
		}
	}
	if !h.isValid(t, "shop", good) {
		t.Error("the good token is refused")
	}
}

func TestMintGivesNoMoreThanItHas(t *testing.T) {
	h := open(t)
	operator := h.project(t, "shop")
	table(t, operator, "goods")
	table(t, operator, "people")
	soon, later := h.clock.Now().Add(time.Hour), h.clock.Now().Add(2*time.Hour)
	past, never := h.clock.Now(), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	manager := h.enter(t, "shop", operator.mustMint(t, TokenRequest{
		Scopes: []string{"tokens:manage", "records:read:goods", "exports:create"}, ExpiresAt: &later,
	}).Secret)
	tests := []struct {
		name    string
		request TokenRequest
		code    problem.Code
		field   string
	}{
		{"its own", TokenRequest{}, "", ""},
		{"less", TokenRequest{Scopes: []string{"records:read:goods"}, ExpiresAt: &soon}, "", ""},
		{"one table of all", TokenRequest{Scopes: []string{"exports:create:people"}}, "", ""},
		{"the table by another case", TokenRequest{Scopes: []string{"records:read:GOODS"}}, "", ""},
		{"admin", TokenRequest{Scopes: []string{"project:admin"}}, problem.CodePermissionDenied, ""},
		{"all tables", TokenRequest{Scopes: []string{"records:read"}}, problem.CodePermissionDenied, ""},
		{"another table", TokenRequest{Scopes: []string{"records:read:people"}}, problem.CodePermissionDenied, ""},
		{"a life beyond all dates", TokenRequest{ExpiresAt: &never}, problem.CodeValidationFailed, "expires_at"},
		{"a life in the past", TokenRequest{ExpiresAt: &past}, problem.CodeValidationFailed, "expires_at"},
		{"no scopes", TokenRequest{Scopes: []string{}}, problem.CodeValidationFailed, "scopes"},
		{"unknown scope", TokenRequest{Scopes: []string{"records:read:goods", "records:eat"}}, problem.CodeValidationFailed, "scopes[1]"},
		{"unknown table", TokenRequest{Scopes: []string{"records:read:nowhere"}}, problem.CodeValidationFailed, "scopes[0]"},
		{"empty table", TokenRequest{Scopes: []string{"records:read:"}}, problem.CodeValidationFailed, "scopes[0]"},
		{"schema of a table", TokenRequest{Scopes: []string{"schema:read:goods"}}, problem.CodeValidationFailed, "scopes[0]"},
		{"odd scope", TokenRequest{Scopes: []string{""}}, problem.CodeValidationFailed, "scopes[0]"},
		{"odd name", TokenRequest{Name: "a\nb"}, problem.CodeValidationFailed, "token_name"},
	}
	for _, test := range tests {
		minted, err := manager.Mint(t.Context(), new(problem.Faults), test.request)
		if test.code == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			child := h.enter(t, "shop", minted.Secret)
			if !manager.Token.power.covers(child.Token.power) || child.Token.expires.After(later) || child.Token.expires.IsZero() {
				t.Errorf("%s: got %v until %v", test.name, child.Token.power, child.Token.expires)
			}
			continue
		}
		wantCode(t, test.name, err, test.code)
		if test.field != "" && problem.From(err).Details[0].Field != test.field {
			t.Errorf("%s: blames %v", test.name, problem.From(err).Details)
		}
	}
	muchLater := later.Add(time.Second)
	_, err := manager.Mint(t.Context(), new(problem.Faults), TokenRequest{ExpiresAt: &muchLater})
	wantCode(t, "a longer life", err, problem.CodePermissionDenied)

	reader := h.enter(t, "shop", manager.mustMint(t, TokenRequest{Scopes: []string{"records:read:goods"}}).Secret)
	_, err = reader.Mint(t.Context(), new(problem.Faults), TokenRequest{})
	wantCode(t, "mint without tokens:manage", err, problem.CodePermissionDenied)
	_, err = reader.Tokens(t.Context())
	wantCode(t, "list without tokens:manage", err, problem.CodePermissionDenied)
	_, err = reader.Rename(t.Context(), new(problem.Faults), "x")
	wantCode(t, "rename without project:admin", err, problem.CodePermissionDenied)
	wantCode(t, "delete without project:admin", reader.Delete(t.Context()), problem.CodePermissionDenied)
	_, err = reader.CreateProject(t.Context(), new(problem.Faults), NewProject{Slug: "x", Name: "x"}, nil)
	wantCode(t, "create without project:admin", err, problem.CodePermissionDenied)
	wantCode(t, "require", reader.Require(RecordsRead), problem.CodePermissionDenied)
	use(t, reader, func(db *projectdb.DB) error {
		_, err := db.Tables(t.Context())
		return err
	})
}

func TestRevoke(t *testing.T) {
	h := open(t)
	operator, elsewhere := h.project(t, "shop"), h.project(t, "other")
	admin := operator.mustMint(t, TokenRequest{Name: "admin"})
	manager := operator.mustMint(t, TokenRequest{Name: "manager", Scopes: []string{"tokens:manage", "records:read"}})
	reader := operator.mustMint(t, TokenRequest{Name: "reader", Scopes: []string{"records:read"}})
	writer := operator.mustMint(t, TokenRequest{Name: "writer", Scopes: []string{"records:write"}})
	foreign := elsewhere.mustMint(t, TokenRequest{Name: "foreign"})
	ws := h.enter(t, "shop", manager.Secret)
	for _, token := range []MintedToken{admin, writer} {
		wantCode(t, "revoke "+token.Name, ws.Revoke(t.Context(), token.ID), problem.CodePermissionDenied)
	}
	for _, id := range []ids.Token{foreign.ID, 0, -1, 1 << 60} {
		wantCode(t, fmt.Sprintf("revoke %d", id), ws.Revoke(t.Context(), id), problem.CodeNotFound)
	}
	wantCode(t, "revoke without tokens:manage", h.enter(t, "shop", reader.Secret).Revoke(t.Context(), reader.ID), problem.CodePermissionDenied)
	waiting := h.enter(t, "shop", reader.Secret)
	if err := waiting.Admitted(t.Context()); err != nil {
		t.Errorf("before: %v", err)
	}
	for range 2 {
		if err := ws.Revoke(t.Context(), reader.ID); err != nil {
			t.Errorf("revoke the reader: %v", err)
		}
	}
	wantCode(t, "who waits with it", waiting.Admitted(t.Context()), problem.CodeInvalidToken)
	if err := ws.Admitted(t.Context()); err != nil {
		t.Errorf("who waits with another: %v", err)
	}
	if h.isValid(t, "shop", reader.Secret) || !h.isValid(t, "shop", admin.Secret) || !h.isValid(t, "shop", writer.Secret) || !h.isValid(t, "other", foreign.Secret) {
		t.Error("the wrong tokens are revoked")
	}
	h.clock.Add(time.Second)
	if err := ws.Revoke(t.Context(), manager.ID); err != nil {
		t.Errorf("revoke itself: %v", err)
	}
	// A request that was admitted earlier must not use power that has been revoked.
	wantCode(t, "revoke with a revoked token", ws.Revoke(t.Context(), reader.ID), problem.CodeInvalidToken)
	_, err := ws.Mint(t.Context(), new(problem.Faults), TokenRequest{})
	wantCode(t, "mint with a revoked token", err, problem.CodeInvalidToken)
	tokens, err := operator.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, token := range tokens {
		text := token.Name
		if token.RevokedAt != nil {
			text += " " + *token.RevokedAt
		}
		shown = append(shown, text)
	}
	if got := strings.Join(shown, ", "); got != "writer, reader 2026-06-02T01:23:45Z, manager 2026-06-02T01:23:46Z, admin" {
		t.Errorf("listed %s", got)
	}
}

func TestMintRevokesPrevious(t *testing.T) {
	h := open(t)
	operator, elsewhere := h.project(t, "shop"), h.project(t, "other")
	admin := operator.mustMint(t, TokenRequest{Name: "admin"})
	manager := operator.mustMint(t, TokenRequest{Name: "manager", Scopes: []string{"tokens:manage", "records:read"}})
	reader := operator.mustMint(t, TokenRequest{Name: "reader", Scopes: []string{"records:read"}})
	foreign := elsewhere.mustMint(t, TokenRequest{Name: "foreign"})
	for _, token := range []MintedToken{admin, manager, reader} {
		h.enter(t, "shop", token.Secret) // so that they are cached
	}
	ws := h.enter(t, "shop", manager.Secret)
	temporary, err := ws.MintTemporary(t.Context(), new(problem.Faults), "test", 10*time.Minute)
	if err != nil || *temporary.ExpiresAt != "2026-06-02T01:33:45Z" {
		t.Fatal(temporary, err)
	}
	kept := ws.mustMint(t, TokenRequest{Name: "kept", Scopes: []string{"records:read"}})
	if !h.isValid(t, "shop", reader.Secret) || !h.isValid(t, "shop", temporary.Secret) {
		t.Error("a token was revoked without an order")
	}
	next := ws.mustMint(t, TokenRequest{Name: "next", RevokePrevious: true})
	for _, token := range []MintedToken{manager, reader, kept, temporary} {
		if h.isValid(t, "shop", token.Secret) {
			t.Errorf("%s is still valid", token.Name)
		}
	}
	if !h.isValid(t, "shop", admin.Secret) || !h.isValid(t, "shop", next.Secret) || !h.isValid(t, "other", foreign.Secret) {
		t.Error("a token was revoked that should not be")
	}
	expires := h.clock.Now().Add(time.Minute)
	short := h.enter(t, "shop", operator.mustMint(t, TokenRequest{ExpiresAt: &expires}).Secret)
	if temporary, err := short.MintTemporary(t.Context(), new(problem.Faults), "test", 10*time.Minute); err != nil || *temporary.ExpiresAt != "2026-06-02T01:24:45Z" {
		t.Errorf("%v, %v", temporary, err)
	}
}

// If many requests replace the same token at once, exactly one succeeds.
func TestATokenIsReplacedOnce(t *testing.T) {
	h := open(t)
	operator := h.project(t, "shop")
	secret := operator.mustMint(t, TokenRequest{}).Secret
	const tries = 16
	var workspaces []*Workspace
	for range tries {
		workspaces = append(workspaces, h.enter(t, "shop", secret))
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for _, ws := range workspaces {
		wg.Go(func() {
			_, err := ws.Mint(t.Context(), new(problem.Faults), TokenRequest{RevokePrevious: true})
			if err == nil {
				won.Add(1)
			} else if !problem.Is(err, problem.CodeInvalidToken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d requests won", won.Load())
	}
}

func TestRevocationIsEffectiveAtOnce(t *testing.T) {
	h := open(t)
	operator := h.project(t, "shop")
	for range 40 {
		token := operator.mustMint(t, TokenRequest{Scopes: []string{"records:read"}})
		var revoked atomic.Bool
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 200 {
					before := revoked.Load()
					valid := h.isValid(t, "shop", token.Secret)
					if before && valid {
						t.Error("a revoked token was let in")
						return
					}
					if !valid {
						return
					}
				}
			})
		}
		if err := operator.Revoke(t.Context(), token.ID); err != nil {
			t.Error(err)
		}
		revoked.Store(true)
		wg.Wait()
		if h.isValid(t, "shop", token.Secret) {
			t.Error("a revoked token is remembered as valid")
		}
	}
}

func TestProjectUsersCapTheirTokens(t *testing.T) {
	h := open(t)
	operator := h.project(t, "shop")
	for _, user := range []NewProjectUser{{Username: "vera", Password: "pw", Role: Viewer}, {Username: "ed", Password: "pw", Role: Editor}, {Username: "ada", Password: "pw"}} {
		if _, err := operator.AddProjectUser(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	_, err := operator.AddProjectUser(t.Context(), NewProjectUser{Username: "VERA", Password: "pw", Role: Viewer})
	wantCode(t, "a taken username", err, problem.CodeConflict)
	_, err = operator.AddProjectUser(t.Context(), NewProjectUser{Username: "x", Password: strings.Repeat("x", 1001), Role: "boss"})
	wantCode(t, "a bad order", err, problem.CodeValidationFailed)
	users, err := operator.ProjectUsers(t.Context())
	if err != nil || len(users) != 3 || users[2].Role != Admin {
		t.Errorf("users %v, %v", users, err)
	}

	vera := operator.mustMint(t, TokenRequest{ProjectUsername: "Vera"})
	ws := h.enter(t, "shop", vera.Secret)
	if !ws.May(RecordsRead) || ws.May(RecordsWrite) || ws.May(ProjectAdmin) || ws.May(TokensManage) {
		t.Errorf("a viewer may %v", ws.Token.power)
	}
	if err := operator.SetRole(t.Context(), "vera", Admin); err != nil {
		t.Fatal(err)
	}
	ws = h.enter(t, "shop", vera.Secret)
	if !ws.May(ProjectAdmin) {
		t.Errorf("an admin may %v", ws.Token.power)
	}
	_, err = ws.Mint(t.Context(), new(problem.Faults), TokenRequest{ProjectUsername: "ed"})
	wantCode(t, "mint for another user", err, problem.CodePermissionDenied)
	_, err = ws.Mint(t.Context(), new(problem.Faults), TokenRequest{ProjectUsername: "nobody"})
	wantCode(t, "mint for nobody", err, problem.CodeValidationFailed)
	child := ws.mustMint(t, TokenRequest{Scopes: []string{"records:write"}})
	if err := operator.SetRole(t.Context(), "vera", Viewer); err != nil {
		t.Fatal(err)
	}
	if ws := h.enter(t, "shop", child.Secret); ws.May(RecordsWrite) {
		t.Error("a child token escaped the role of its parent")
	}
	if err := operator.RemoveProjectUser(t.Context(), "VERA"); err != nil {
		t.Fatal(err)
	}
	if h.isValid(t, "shop", vera.Secret) || h.isValid(t, "shop", child.Secret) {
		t.Error("tokens of a removed user are valid")
	}
	tokens, err := operator.Tokens(t.Context())
	if err != nil || len(tokens) != 2 || tokens[0].RevokedAt == nil || tokens[1].RevokedAt == nil {
		t.Errorf("tokens of a removed user: %+v, %v", tokens, err)
	}
	wantCode(t, "remove nobody", operator.RemoveProjectUser(t.Context(), "vera"), problem.CodeNotFound)
	wantCode(t, "no such role", operator.SetRole(t.Context(), "vera", "king"), problem.CodeValidationFailed)
	wantCode(t, "no such user", operator.SetRole(t.Context(), "nobody", Viewer), problem.CodeNotFound)
}

func TestLogin(t *testing.T) {
	h := open(t)
	hashed, err := h.HashPassword("pass other")
	if err != nil {
		t.Fatal(err)
	}
	for slug, user := range map[string]NewProjectUser{
		"shop":  {Username: "ada", Password: "pass shop"},
		"other": {Username: "ada", PasswordHash: hashed},
	} {
		if _, err := h.CreateProject(t.Context(), NewProject{Slug: slug, Name: "x", User: &user}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		slug, username, password string
		want                     bool
	}{
		{"shop", "ada", "pass shop", true},
		{"SHOP", "Ada", "pass shop", true},
		{"shop", "ada", "pass other", false},
		{"other", "ada", "pass other", true},
		{"shop", "ada", "", false},
		{"shop", "bob", "pass shop", false},
		{"nowhere", "ada", "pass shop", false},
		{"shop", "ada", strings.Repeat("x", 2000), false},
	} {
		user, ok, err := h.Login(t.Context(), test.slug, test.username, test.password)
		if err != nil || ok != test.want || ok != (user.Username == "ada") {
			t.Errorf("%v: %v, %v, %v", test, user, ok, err)
		}
	}
	for _, stored := range []string{"", "$", "$argon2id$v=19$m=1,t=0,p=1$AA$AA", "$argon2id$v=18$m=8,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=1$!$AAAA", "$argon2id$v=19$m=8,t=1,p=1$AAAA$", decoyPassword} {
		if checkPassword(stored, "x") {
			t.Errorf("%q accepts a password", stored)
		}
	}
}

func TestAuthenticateAccount(t *testing.T) {
	h := open(t)
	operator := h.project(t, "shop")
	admin, reader := operator.mustMint(t, TokenRequest{}), operator.mustMint(t, TokenRequest{Scopes: []string{"records:read"}})
	_, err := h.AuthenticateAccount(t.Context(), reader.Secret)
	wantCode(t, "a reader", err, problem.CodePermissionDenied)
	_, err = h.AuthenticateAccount(t.Context(), "pat_x")
	wantCode(t, "nobody", err, problem.CodeInvalidToken)
	ws, err := h.AuthenticateAccount(t.Context(), admin.Secret)
	if err != nil {
		t.Fatal(err)
	}
	created, err := ws.CreateProject(t.Context(), new(problem.Faults), NewProject{Slug: "second", Name: "x", Tokens: []NewToken{{}, {}}}, nil)
	if err != nil || created.Project.AccountID != ws.Project.AccountID {
		t.Fatal(created, err)
	}
	for _, token := range created.Tokens {
		if !h.isValid(t, "second", token.Secret) {
			t.Error("tokens of one order revoke each other")
		}
	}
}

func TestLastUseIsStoredLater(t *testing.T) {
	h := open(t)
	ws := h.project(t, "shop")
	token := ws.mustMint(t, TokenRequest{})
	lastUsed := func() string {
		tokens, err := ws.Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tokens[0].LastUsedAt == nil {
			return "never"
		}
		return *tokens[0].LastUsedAt
	}
	if got := lastUsed(); got != "never" {
		t.Errorf("used %s", got)
	}
	h.isValid(t, "shop", token.Secret)
	h.clock.Add(5 * time.Second)
	h.isValid(t, "shop", token.Secret)
	const want = "2026-06-02T01:23:50Z"
	if got := lastUsed(); got != want {
		t.Errorf("before it is stored: %s", got)
	}
	if err := h.storeUses(); err != nil || len(h.used.take()) != 0 {
		t.Error(err)
	}
	if got := lastUsed(); got != want {
		t.Errorf("after it was stored: %s", got)
	}
	h.clock.Add(time.Hour)
	h.isValid(t, "shop", token.Secret)
	h.close(t)
	h.open(t)
	var err error
	if ws, err = h.Operator(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if got := lastUsed(); got != "2026-06-02T02:23:50Z" {
		t.Errorf("closing lost the last use: %s", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	for i := range 3 * maxKnown {
		h := hashOf(fmt.Sprint(i))
		_, generation := c.get(h)
		c.put(h, &grant{}, generation)
		if len(c.grants) > maxKnown {
			t.Fatalf("%d grants are kept", len(c.grants))
		}
	}
	h := hashOf("x")
	_, generation := c.get(h)
	c.forget()
	c.put(h, &grant{}, generation)
	if g, _ := c.get(h); g != nil {
		t.Error("what was read before a change is kept after it")
	}
}

// Authentication of a known token must not wait for the registry's database.
func TestKnownTokensNeedNoDisk(t *testing.T) {
	h := open(t)
	secret := h.project(t, "shop").mustMint(t, TokenRequest{}).Secret
	h.isValid(t, "shop", secret)
	if g, _ := h.known.get(hashOf(secret)); g == nil {
		t.Error("the token is not remembered")
	}
}

func TestManyTokensAtOnce(t *testing.T) {
	h := open(t)
	ws := h.project(t, "shop")
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 10 {
				minted, err := ws.Mint(t.Context(), new(problem.Faults), TokenRequest{Name: fmt.Sprint(w, "/", i)})
				if err != nil {
					t.Error(err)
					return
				}
				if !h.isValid(t, "shop", minted.Secret) {
					t.Error("a new token is refused")
				}
				if i%2 == 0 {
					if err := ws.Revoke(t.Context(), minted.ID); err != nil || h.isValid(t, "shop", minted.Secret) {
						t.Errorf("revoked, yet valid (%v)", err)
					}
				}
			}
		})
	}
	wg.Wait()
	tokens, err := ws.Tokens(t.Context())
	if err != nil || len(tokens) != 160 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
}

func TestSecretsAreNowhereOnDisk(t *testing.T) {
	h := open(t)
	const password = "correct-horse-battery"
	created, err := h.CreateProject(t.Context(), NewProject{
		Slug: "shop", Name: "x", User: &NewProjectUser{Username: "ada", Password: password}, Tokens: []NewToken{{}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws := h.enter(t, "shop", created.Tokens[0].Secret)
	secrets := []string{password, created.Tokens[0].Secret}
	for range 20 {
		secrets = append(secrets, ws.mustMint(t, TokenRequest{}).Secret)
	}
	search := func(when string) {
		files := 0
		err := filepath.WalkDir(h.folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			content, err := os.ReadFile(path)
			for _, secret := range secrets {
				if bytes.Contains(content, []byte(secret)) || bytes.Contains(content, []byte(secret[4:20])) {
					t.Errorf("%s: %s holds a secret", when, filepath.Base(path))
				}
			}
			return err
		})
		if err != nil || files < 2 {
			t.Error(files, err)
		}
	}
	h.close(t)
	search("closed")
}

func BenchmarkAuthenticate(b *testing.B) {
	h := open(b)
	operator := h.project(b, "shop")
	secret := operator.mustMint(b, TokenRequest{}).Secret
	for b.Loop() {
		if _, err := h.Authenticate(b.Context(), "shop", secret); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTokensOfAProjectAreBounded mints tokens until no more are allowed. Dead tokens
// make room, oldest first; valid ones never do.
func TestTokensOfAProjectAreBounded(t *testing.T) {
	h := open(t)
	h.Registry.options.MaxTokens = 5
	ws, other := h.project(t, "shop"), h.project(t, "other")
	soon := h.clock.Now().Add(time.Minute)
	ws.mustMint(t, TokenRequest{ExpiresAt: &soon})
	revoked := ws.mustMint(t, TokenRequest{})
	valid := ws.mustMint(t, TokenRequest{})
	if err := ws.Revoke(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	h.clock.Add(time.Hour)
	for range 4 { // two fit, and two replace dead ones
		ws.mustMint(t, TokenRequest{})
	}
	_, err := ws.Mint(t.Context(), new(problem.Faults), TokenRequest{})
	if !problem.Is(err, problem.CodeConflict) || !strings.Contains(err.Error(), "5 valid tokens") {
		t.Errorf("a sixth token: %v", err)
	}
	tokens, err := ws.Tokens(t.Context())
	if err != nil || len(tokens) != 5 || tokens[4].ID != valid.ID {
		t.Errorf("%d tokens are left, %v; the oldest is %+v", len(tokens), err, tokens[len(tokens)-1])
	}
	other.mustMint(t, TokenRequest{})
	if minted, err := ws.Mint(t.Context(), new(problem.Faults), TokenRequest{RevokePrevious: true}); err != nil || minted.ID <= valid.ID {
		t.Errorf("a token in place of the others: %+v, %v", minted, err)
	}
	order := NewProject{Slug: "many", Name: "Many", Tokens: make([]NewToken, 6)}
	if _, err := h.CreateProject(t.Context(), order, nil); !problem.Is(err, problem.CodeValidationFailed) {
		t.Errorf("a project with six tokens: %v", err)
	}
}
