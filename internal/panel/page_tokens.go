package panel

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
)

// tokenInfo is a token in a list.
type tokenInfo struct {
	ID        int64    `json:"id"`
	Name      string   `json:"token_name"`
	Hint      string   `json:"token_hint"`
	Scopes    []string `json:"scopes"`
	ExpiresAt *string  `json:"expires_at"`
	RevokedAt *string  `json:"revoked_at"`
	UsedAt    *string  `json:"last_used_at"`
	CreatedAt string   `json:"created_at"`
	CreatedBy *struct {
		Name string `json:"name"`
	} `json:"created_by"`
	ReplacedBy *int64 `json:"replaced_by"`
}

// Ended says why a token opens nothing any more; "" if it does.
func (t tokenInfo) Ended() string {
	switch {
	case t.RevokedAt != nil:
		return "revoked " + readableTime(*t.RevokedAt)
	case t.ExpiresAt != nil && *t.ExpiresAt < time.Now().UTC().Format(time.RFC3339):
		return "expired " + readableTime(*t.ExpiresAt)
	}
	return ""
}

// tokensView is the data of the page of tokens.
type tokensView struct {
	Tokens  []tokenInfo
	Ended   []tokenInfo
	Tables  []tableInfo
	Presets []tokenPreset
	Lives   []tokenLife

	Name, Preset, Table, Life string // of the form
	Faults                    map[string]string
	Made                      *madeToken // shown once
}

// tokenPreset is a choice of scopes.
type tokenPreset struct {
	Name, Label, Says string
	Scopes            []string
	OneTable          bool // the scopes are for the chosen table alone
}

var tokenPresets = []tokenPreset{
	{"read", "Read", "reads all tables, runs queries and makes exports", []string{"schema:read", "records:read", "query:read", "exports:read", "exports:create"}, false},
	{"write", "Read and write", "also changes records", []string{"schema:read", "records:read", "records:write", "query:read", "exports:read", "exports:create"}, false},
	{"table", "One table, read", "reads the records of one table", []string{"records:read"}, true},
	{"form", "One table, read and write", "reads and changes the records of one table", []string{"records:read", "records:write"}, true},
	{"all", "Everything", "also tables, tokens, users and the project itself", []string{"project:admin"}, false},
}

// tokenLife is how long a token can live.
type tokenLife struct {
	Name, Label string
	Life        time.Duration // 0 for ever
}

const day = 24 * time.Hour

var tokenLives = []tokenLife{{"30", "30 days", 30 * day}, {"90", "90 days", 90 * day}, {"365", "1 year", 365 * day}, {"never", "never", 0}}

// madeToken is a token with its secret.
type madeToken struct {
	Name, Secret, Curl string
	Rotated            bool
}

func showTokens(q *request) error {
	return q.listTokens(http.StatusOK, tokensView{Preset: "read", Life: "90"})
}

func (q *request) listTokens(status int, view tokensView) error {
	p, tables, err := q.inProject(page{Title: "Tokens", Section: "tokens"})
	if err != nil {
		return err
	}
	var listed struct{ Tokens []tokenInfo }
	if err := q.get(&listed, "/projects/%s/auth/tokens", p.Project); err != nil {
		return err
	}
	for _, t := range listed.Tokens {
		if t.Ended() == "" {
			view.Tokens = append(view.Tokens, t)
		} else {
			view.Ended = append(view.Ended, t)
		}
	}
	view.Tables, view.Presets, view.Lives = tables, tokenPresets, tokenLives
	p.Data = view
	p.Modules = []string{"copy.js"}
	q.show(status, "tokens", p)
	return nil
}

func createToken(q *request) error {
	project := q.r.PathValue("project")
	view := tokensView{Name: q.field("token_name"), Preset: q.field("preset"), Table: q.field("table"), Life: q.field("life")}
	body, faults := view.order(q.Now())
	if view.Faults = faults; len(faults) > 0 {
		return q.listTokens(http.StatusUnprocessableEntity, view)
	}
	var made struct {
		Token struct{ Token string }
	}
	err := q.call(http.MethodPost, apiPath("/projects/%s/auth/tokens", project), body, &made)
	if view.Faults = faultsOf(err); len(view.Faults) > 0 {
		return q.listTokens(http.StatusUnprocessableEntity, view)
	}
	if err != nil {
		return err
	}
	return q.listTokens(http.StatusOK, tokensView{Preset: "read", Life: "90", Made: q.made(project, view.Name, made.Token.Token, false)})
}

// order returns the body of the call that creates the token of a form. Tokens that exist
// are never revoked by it.
func (v *tokensView) order(now time.Time) (body map[string]any, faults map[string]string) {
	faults = map[string]string{}
	preset := slices.IndexFunc(tokenPresets, func(p tokenPreset) bool { return p.Name == v.Preset })
	life := slices.IndexFunc(tokenLives, func(l tokenLife) bool { return l.Name == v.Life })
	if v.Name == "" {
		faults["token_name"] = "Say what the token is for."
	}
	if preset < 0 {
		faults["preset"] = "Choose what the token may do."
	}
	if life < 0 {
		faults["expires_at"] = "Choose when the token ends."
	}
	if len(faults) > 0 {
		return nil, faults
	}
	scopes := slices.Clone(tokenPresets[preset].Scopes)
	if tokenPresets[preset].OneTable {
		if v.Table == "" {
			return nil, map[string]string{"table": "Choose the table."}
		}
		for i := range scopes {
			scopes[i] += ":" + v.Table
		}
	}
	body = map[string]any{"token_name": v.Name, "scopes": scopes, "revoke_previous": false}
	if l := tokenLives[life].Life; l > 0 {
		body["expires_at"] = now.Add(l).UTC().Format(time.RFC3339)
	}
	return body, nil
}

// made returns what is shown of a new token, once.
func (q *request) made(project, name, secret string, rotated bool) *madeToken {
	scheme := "http"
	if q.Secure {
		scheme = "https"
	}
	curl := fmt.Sprintf(`curl -H "Authorization: Bearer %s" %s`, secret, quoteForShell(scheme+"://"+q.r.Host+apiPath("/projects/%s/auth/me", project)))
	return &madeToken{Name: name, Secret: secret, Curl: curl, Rotated: rotated}
}

func rotateToken(q *request) error {
	project := q.r.PathValue("project")
	var made struct {
		Token struct {
			Token string
			Name  string `json:"token_name"`
		}
	}
	if err := q.call(http.MethodPost, apiPath("/projects/%s/auth/tokens/%s/rotate", project, q.r.PathValue("id")), map[string]any{}, &made); err != nil {
		return err
	}
	return q.listTokens(http.StatusOK, tokensView{Preset: "read", Life: "90", Made: q.made(project, made.Token.Name, made.Token.Token, true)})
}

func revokeToken(q *request) error {
	err := q.call(http.MethodDelete, apiPath("/projects/%s/auth/tokens/%s", q.r.PathValue("project"), q.r.PathValue("id")), nil, nil)
	if err != nil && !hasCode(err, problem.CodeNotFound) {
		return err
	}
	q.redirect(pagePath("p", q.r.PathValue("project"), "tokens") + "?done=revoked")
	return nil
}
