package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/registry"
)

// entries returns the whole audit log, oldest first.
func (s *running) entries(t *testing.T) (entries []registry.AuditEntry) {
	t.Helper()
	page, err := s.app.Registry.AuditEntries(t.Context(), registry.AuditFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Entries {
		entries = append(entries, page.Entries[len(page.Entries)-1-i])
	}
	return entries
}

func TestCallsThatMatterAreInTheAuditLog(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	before := len(s.entries(t))
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}
	var minted struct {
		Token struct {
			ID     int64  `json:"token_id"`
			Secret string `json:"token"`
		}
	}
	if status, _ := c.call("POST", "/auth/tokens", `{"token_name":"reader","scopes":["records:read"],"revoke_previous":false}`, &minted); status != http.StatusCreated {
		t.Fatal(status)
	}
	reader := &labeled{t: t, base: c.base, token: minted.Token.Secret}
	for _, step := range []struct {
		who                *labeled
		method, path, body string
		want               int
	}{
		{c, "POST", "/table", `{"table_name":"canaries","columns":[{"column_name":"bird"}]}`, 201},
		{c, "POST", "/records/canaries", `{"bird":"canary-value-1"}`, 201},
		{c, "GET", "/records/canaries", "", 200},
		{c, "POST", "/query", `{"sql":"SELECT 'canary-value-2'"}`, 200},
		{c, "POST", "/table", `{"table_name":"no good"}`, 422},
		{reader, "DELETE", "/table/canaries", "", 403},
		{reader, "PATCH", "/settings", `{"stage":"production"}`, 403},
		{c, "PATCH", "/settings", `{"stage":"production"}`, 200},
		{c, "DELETE", fmt.Sprint("/auth/tokens/", minted.Token.ID), "", 200},
	} {
		if status, _ := step.who.call(step.method, step.path, step.body, nil); status != step.want {
			t.Fatalf("%s %s: %d", step.method, step.path, status)
		}
	}
	b.setUp(s)
	for _, try := range []struct {
		username, password string
		want               int
	}{{"ada", "canary-wrong-password", 422}, {"canary-typed-as-name", "canary-x", 422}, {"ada", passphrase, 303}} {
		if got := newBrowser(t, s).post("/admin/sign-in", map[string]string{"username": try.username, "password": try.password}); got.status != try.want {
			t.Fatalf("sign-in: %d", got.status)
		}
	}
	b.post("/admin/server/users", map[string]string{"username": "bob", "password": "canary-password-of-bob", "role": "admin"})
	b.post("/admin/sign-out", nil)
	var got []string
	for _, e := range s.entries(t)[before:] {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s: %s | %s", e.Actor.Name, e.Action, e.Outcome, strings.TrimSpace(e.Object+" "+e.Note))))
		if e.Address == "" || e.Action != "sign-in" && e.Action != "sign-out" && e.Action != "set-up" && e.RequestID == "" {
			t.Errorf("%+v", e)
		}
	}
	name, id := s.entries(t)[before].Actor.Name, fmt.Sprint(minted.Token.ID)
	want := []string{
		name + " mint-token: ok | token " + id + " name=reader scopes=records:read",
		name + " create-table: ok | table=canaries",
		"reader delete-table: permission_denied | table canaries",
		"reader change-settings: permission_denied |",
		name + " change-settings: ok | stage=production",
		name + " revoke-token: ok | token " + id,
		"ada set-up: ok |",
		"sign-in: permission_denied | user ada",
		"sign-in: permission_denied |",
		"ada sign-in: ok |",
		"ada add-account-user: ok | username=bob role=admin password=set",
		"ada sign-out: ok |",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, e := range s.entries(t) {
		if text, _ := json.Marshal(e); strings.Contains(string(text), "canary-") || strings.Contains(string(text), minted.Token.Secret) || strings.Contains(string(text), passphrase) {
			t.Errorf("a secret or a value: %s", text)
		}
	}
}

func TestOnlyOwnersReadTheAuditLog(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	if got := b.get("/admin/server/audit?verify=1&actor=ada"); got.status != 200 || !strings.Contains(got.body, "entries are as they were written") || !strings.Contains(got.body, "<td>set-up</td>") {
		t.Errorf("the owner sees %d %s", got.status, got.body)
	}
	var listed struct {
		Data struct {
			Entries []registry.AuditEntry
			Next    *string `json:"next_cursor"`
		}
	}
	newBrowser(t, s).post("/admin/sign-in", map[string]string{"username": "ada", "password": "a wrong one"})
	got := b.get("/admin/api/server/audit?limit=1")
	if err := json.Unmarshal([]byte(got.body), &listed); err != nil || len(listed.Data.Entries) != 1 || listed.Data.Next == nil {
		t.Errorf("%v: %s", err, got.body)
	}
	if got := b.get("/admin/api/server/audit?limit=0&from=yesterday&after=x"); got.status != 422 || strings.Count(got.body, `"field"`) != 3 {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.post("/admin/server/users", map[string]string{"username": "bob", "password": "another battery staple", "role": "admin"})
	bob := newBrowser(t, s)
	bob.post("/admin/sign-in", map[string]string{"username": "bob", "password": "another battery staple"})
	for _, path := range []string{"/admin/server/audit", "/admin/api/server/audit", "/admin/api/server/audit/verify"} {
		if got := bob.get(path); got.status != http.StatusForbidden {
			t.Errorf("an admin gets %s: %d", path, got.status)
		}
	}
	if status, _ := (&labeled{t: t, base: s.url, token: s.ready.Token}).call("GET", "/server/audit", "", nil); status != http.StatusNotFound {
		t.Errorf("a token gets it: %d", status)
	}
}

func TestCommandsAreInTheAuditLogAndCheckVerifiesIt(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	admin, err := Dial(t.Context(), folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateProject.Call(t.Context(), admin, NewProject{Slug: "shop", Name: "Shop"}); err != nil {
		t.Fatal(err)
	}
	if _, err := DeleteProject.Call(t.Context(), admin, Slug{"none"}); err == nil {
		t.Error("a missing project was deleted")
	}
	page, err := ListAudit.Call(t.Context(), admin, registry.AuditFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Entries {
		got = append(got, fmt.Sprintf("%s %s %s %s", e.Actor.Type, e.Action, *e.ProjectSlug, e.Outcome))
	}
	if fmt.Sprint(got) != "[operator project.delete none not_found operator project.create shop ok]" {
		t.Errorf("%q", got)
	}
	if err := admin.Close(); err != nil {
		t.Fatal(err)
	}
	line := func() CheckLine {
		report, err := Check(t.Context(), folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range report.Lines {
			if line.Subject == "audit log" {
				return line
			}
		}
		t.Fatalf("%+v", report)
		return CheckLine{}
	}
	if got := line(); got.Verdict != CheckOK || !strings.Contains(got.Message, "2 entries") {
		t.Errorf("%+v", got)
	}
	// One byte of a name, which leaves an intact database.
	path := filepath.Join(folder, "server.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.ReplaceAll(string(content), "project.delete", "project.create")
	if err := os.WriteFile(path, []byte(forged), 0o600); err != nil || forged == string(content) {
		t.Fatal(err)
	}
	if got := line(); got.Verdict != CheckFault {
		t.Errorf("after a change: %+v", got)
	}
}
