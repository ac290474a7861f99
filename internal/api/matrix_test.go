package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

// needs is the permission table of the contract, repeated independently: what a token
// must have for each route. A scope with @ is checked for the table that the call is
// about.
var needs = map[string]string{
	"bootstrap": "project:admin", "get-project": "", "follow-project": "", "rename-project": "project:admin", "delete-project": "project:admin",
	"get-settings": "project:admin", "change-settings": "project:admin",
	"show-token": "", "list-tokens": "tokens:manage", "mint-token": "tokens:manage", "test-token": "tokens:manage", "revoke-token": "tokens:manage",
	"change-token": "tokens:manage", "rotate-token": "tokens:manage",
	"list-saved-filters": "records:read?", "save-filter": "records:read?", "get-saved-filter": "records:read?", "change-saved-filter": "records:read?", "delete-saved-filter": "records:read?",
	"list-saved-queries": "query:read", "save-query": "query:read", "get-saved-query": "query:read", "change-saved-query": "query:read", "delete-saved-query": "query:read",
	"list-users": "project:admin", "add-user": "project:admin", "change-user": "project:admin", "remove-user": "project:admin",
	"list-tables": "schema:read?", "create-table": "schema:write", "get-table": "schema:read@", "update-table": "schema:write", "delete-table": "schema:write",
	"list-columns": "schema:read@", "add-column": "schema:write", "update-columns": "schema:write", "update-column": "schema:write", "delete-column": "schema:write",
	"list-records": "records:read@", "search-records": "records:read@", "aggregate-records": "records:read@", "get-record": "records:read@", "insert-records": "records:write@", "update-records": "records:write@ records:read@",
	"list-values": "records:read@", "summarize-column": "records:read@",
	"delete-records": "records:write@ records:read@", "update-record": "records:write@", "delete-record": "records:write@", "batch": "records:write?",
	"get-cell": "records:read@", "put-cell": "records:write@ records:read@",
	"query": "query:read", "cancel-query": "query:read", "list-indexes": "schema:read@", "create-index": "schema:write", "delete-index": "schema:write", "get-search-index": "schema:read@", "create-search-index": "schema:write", "delete-search-index": "schema:write",
	"export-table": "exports:create@ records:read@", "export-query": "exports:create query:read", "export-database": "project:admin", "export-schema": "project:admin",
	"export-requests": "exports:create journal:read", "export-runs": "exports:create journal:read", "export-usage": "exports:create journal:read",
	"export-run":   "exports:create journal:read",
	"list-exports": "exports:read?", "get-export": "exports:read@ records:read@", "download-export": "exports:read@ records:read@",
	"delete-export": "exports:create@ records:read@", "verify-export": "exports:read@ records:read@", "rehearse-restore": "exports:read@ records:read@", "follow-export": "exports:read@ records:read@",
	"list-requests": "journal:read", "follow-requests": "journal:read", "get-request": "journal:read", "list-operations": "journal:read",
	"list-runs": "journal:read", "get-run": "journal:read", "follow-run": "journal:read", "get-usage": "journal:read",
	"create-import": "schema:write records:write", "import-project": "project:admin",
	"list-changes": "records:read?", "list-run-changes": "records:read?", "list-history": "records:read@", "erase-changes": "project:admin",
	"revert-run": "project:admin", "revert-request": "project:admin",
	// Jobs of others need full power.
	"show-upload": "project:admin", "continue-upload": "project:admin", "get-import": "project:admin", "follow-import": "project:admin",
	"import-rejects": "project:admin", "run-import": "project:admin", "delete-import": "project:admin", "list-imports": "records:write?",
	"show-tus": "records:write?", "show-project-tus": "project:admin",
}

// harmless is a body for each route that needs one to reach its permission check, and
// that changes nothing the other routes rely on.
var harmless = map[string]string{
	"insert-records": `{"name":"x"}`, "update-records": `{"data":{"name":"x"},"where":{"name":"nobody"}}`, "delete-records": `{"where":{"name":"nobody"}}`,
	"update-record": `{"name":"x"}`, "mint-token": `{"revoke_previous":false}`, "delete-table": `{"unknown":1}`, "export-table": `{"limit":1}`, "export-query": `{"sql":"SELECT 1 AS one"}`,
}

// has reports whether a token with the given scopes meets a need. Reading the
// records of a table implies seeing its schema.
func has(scopes []string, need, table string) bool {
	scope := strings.TrimRight(need, "@?")
	accepted := []string{"project:admin", scope}
	if scope == "schema:read" {
		accepted = append(accepted, "records:read")
	}
	switch {
	case strings.HasSuffix(need, "@"):
		for _, s := range accepted[1:] {
			accepted = append(accepted, s+":"+table)
		}
	case strings.HasSuffix(need, "?"):
		for _, s := range accepted[1:] {
			accepted = append(accepted, s+":shown", s+":hidden")
		}
	}
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(accepted, s) })
}

func hasAll(scopes []string, id, table string) bool {
	for _, need := range strings.Fields(needs[id]) {
		if !has(scopes, need, table) {
			return false
		}
	}
	return true
}

// credentials returns the sets of scopes that the matrix tries.
func credentials() [][]string {
	var all [][]string
	for _, s := range registry.Scopes {
		all = append(all, []string{string(s)})
	}
	return append(all,
		[]string{"records:read:shown"}, []string{"records:write:shown"}, []string{"exports:create:shown"}, []string{"exports:read:shown"},
		[]string{"exports:create", "records:read:shown"}, []string{"exports:create:shown", "records:read"}, []string{"exports:read:shown", "records:read"},
		[]string{"exports:read", "exports:create", "records:read", "query:read"},
	)
}

// maze is a house with the project shop, whose tables shown and hidden have one row
// each, and the project other.
type maze struct {
	*house
	watch  *testkit.Clock
	server *httptest.Server
	tables map[string]ids.Table
}

func openMaze(t *testing.T) *maze {
	watch := testkit.NewClock(clock())
	m := &maze{house: openHouse(t, watch.Now), watch: watch, tables: map[string]ids.Table{}}
	m.house.project(t, "shop")
	m.house.project(t, "other")
	for _, name := range []string{"shown", "hidden"} {
		var table projectdb.Table
		m.inside(t, "shop", func(db *projectdb.DB) (err error) {
			if table, err = db.CreateTable(t.Context(), new(problem.Faults), projectdb.NewTable{Name: name, Columns: []projectdb.NewColumn{{Name: "name"}}}); err != nil {
				return err
			}
			_, err = db.InsertRecord(t.Context(), new(problem.Faults), name, []byte(`{"name":"Ada"}`), projectdb.InsertOptions{})
			return err
		})
		m.tables[name] = table.ID
	}
	m.server = httptest.NewServer(New(Config{Registry: m.registry, Exports: m.exports, Imports: m.imports, Rehearsals: m.rehearsals, Journal: m.journal, HTTP: rest.Config{Log: slog.New(slog.DiscardHandler), Now: watch.Now, Random: endless{}}}))
	t.Cleanup(m.server.Close)
	return m
}

// export creates an export of a table and returns its id.
func (m *maze) export(t *testing.T, table string) string {
	t.Helper()
	order := export.Request{Project: export.ProjectRef{ID: 1, Slug: "shop"}, Kind: export.TableExport, Table: table}
	made, err := m.exports.Create(t.Context(), new(problem.Faults), order)
	if err == nil {
		made, err = m.exports.Wait(t.Context(), 1, made.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// upload begins an upload and returns its id.
func (m *maze) upload(t *testing.T) string {
	t.Helper()
	made, _, err := m.imports.Begin(t.Context(), new(problem.Faults), imports.Request{Project: imports.ProjectRef{ID: 1, Slug: "shop"}, Kind: imports.TableImport, Size: 5, Resumable: true})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

func (m *maze) ask(t *testing.T, ep *rest.Endpoint, table, jobID, secret string) int {
	t.Helper()
	path := strings.NewReplacer(
		"{project}", "shop", "{table}", table, "{table_id_or_name}", table, "{column_id_or_name}", "name",
		"{id}", "1", "{index}", "none", "{token_id}", "999", "{user_id}", "999", "{saved_id}", "999", "{export_id}", jobID, "{import_id}", jobID, "{run_id}", "oprun_none", "{request_id}", "none",
	).Replace(ep.Path)
	r, err := http.NewRequest(ep.Method, m.server.URL+path, strings.NewReader(harmless[ep.ID]))
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if ep.ID == "continue-upload" {
		r.Header.Set("Tus-Resumable", "1.0.0")
		r.Header.Set("Upload-Offset", "0")
		r.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	if ep.ID == "follow-import" || ep.ID == "follow-requests" || ep.ID == "follow-project" {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // an upload that is never finished
		defer cancel()
		r = r.WithContext(ctx)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// TestIsolation calls every route with every kind of token. Allowed calls get some
// other kind of answer; refused ones get exactly the expected refusal.
func TestIsolation(t *testing.T) {
	t.Parallel()
	m := openMaze(t)
	strangers := map[string]string{
		"none": "", "malformed": "pat_x", "of another project": m.token(t, "other").Secret,
		"revoked": m.revoked(t), "expired": m.expired(t), "of a deleted project": m.orphaned(t),
	}
	secrets := map[string]string{}
	for _, scopes := range credentials() {
		secrets[fmt.Sprint(scopes)] = m.token(t, "shop", scopes...).Secret
	}
	list := routes(m.handlers())
	if len(list) != len(needs) {
		t.Errorf("%d routes, and %d in the permission table", len(list), len(needs))
	}
	for _, ep := range list {
		t.Run(ep.ID, func(t *testing.T) {
			ids := map[string]string{}
			if strings.Contains(ep.Path, "{export_id}") {
				ids["shown"], ids["hidden"] = m.export(t, "shown"), m.export(t, "hidden")
			}
			if strings.Contains(ep.Path, "{import_id}") {
				ids["shown"] = m.upload(t)
				ids["hidden"] = ids["shown"]
			}
			for kind, secret := range strangers {
				want := http.StatusUnauthorized
				if (ep.ID == "bootstrap" || ep.ID == "import-project") && kind == "of another project" {
					want = http.StatusUnprocessableEntity // an admin of any project of the account may
				}
				if ep.ID == "show-project-tus" && kind == "of another project" {
					want = http.StatusNoContent
				}
				if got := m.ask(t, ep, "shown", ids["shown"], secret); got != want {
					t.Errorf("token %s: %d, want %d", kind, got, want)
				}
			}
			for _, scopes := range credentials() {
				for table := range m.tables {
					allowed := hasAll(scopes, ep.ID, table)
					got := m.ask(t, ep, table, ids[table], secrets[fmt.Sprint(scopes)])
					if refused := got == http.StatusForbidden; refused == allowed || got == http.StatusUnauthorized || got >= 500 {
						t.Errorf("%v on %s: %d, and allowed is %t", scopes, table, got, allowed)
					}
					if ep.ID == "delete-export" && allowed {
						ids[table] = m.export(t, table)
					}
					if ep.ID == "delete-import" && allowed {
						ids["shown"] = m.upload(t)
						ids["hidden"] = ids["shown"]
					}
				}
			}
		})
	}
}

func (m *maze) revoked(t *testing.T) string {
	t.Helper()
	token := m.token(t, "shop")
	ws, err := m.registry.Operator(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.Revoke(t.Context(), token.ID); err != nil {
		t.Fatal(err)
	}
	return token.Secret
}

func (m *maze) expired(t *testing.T) string {
	t.Helper()
	ws, err := m.registry.Operator(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	token, err := ws.MintTemporary(t.Context(), new(problem.Faults), "short", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	m.watch.Add(2 * time.Second)
	return token.Secret
}

func (m *maze) orphaned(t *testing.T) string {
	t.Helper()
	m.house.project(t, "gone")
	secret := m.token(t, "gone").Secret
	project, err := m.registry.Project(t.Context(), "gone")
	if err == nil {
		err = m.registry.DeleteProject(context.Background(), project)
	}
	if err != nil {
		t.Fatal(err)
	}
	return secret
}
