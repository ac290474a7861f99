package api

import (
	"strings"
	"testing"
)

// TestSchemaChangesAreTried tries changes, each of which answers what it would do and
// leaves the project as it was.
func TestSchemaChangesAreTried(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	s.must(t, "POST", "/table", `{"table_name":"firms","columns":[{"name":"name"},{"name":"code","unique":true}]}`)
	s.must(t, "POST", "/table", `{"table_name":"people","columns":[{"name":"name"},{"name":"firm_id","type":"INTEGER","references":{"table":"firms"}}]}`)
	s.must(t, "POST", "/indexes/people", `{"columns":["firm_id"],"index_name":"by_firm"}`)
	s.must(t, "POST", "/records/firms", `{"data":[{"name":"a"},{"name":"b"},{"name":null}]}`)
	s.must(t, "POST", "/records/people", `{"data":[{"name":"Ada","firm_id":1},{"name":"Eve","firm_id":1}]}`)
	s.must(t, "POST", "/saved/filters", `{"name":"all","table":"people","state":{},"visibility":"project"}`)
	s.must(t, "POST", "/search-index/people", `{"columns":["name"]}`)
	s.must(t, "PATCH", "/table/people", `{"label_column":"name"}`)
	state := func() string {
		all := ""
		for _, path := range []string{"/tables", "/table/firms", "/table/people", "/column/firms", "/column/people", "/indexes/firms", "/indexes/people", "/search-index/people", "/records/people", "/records/firms"} {
			all += dataOf(t, s.ask(t, "GET", path, ""))
		}
		return all
	}
	before := state()
	for _, test := range []struct {
		method, path, body string
		status             int
		want               []string
	}{
		{"POST", "/table", `{"table_name":"more"}`, 201, []string{`"table_name":"more"`, `"rebuilt_tables":[]`, `"rows_affected":0`}},
		{"POST", "/table", `{"table_name":"firms"}`, 409, nil},
		{"PATCH", "/table/people", `{"new_table_name":"persons"}`, 200, []string{`"table_name":"persons"`, `"rows_affected":0`, `{"kind":"index","table":"people","name":"by_firm"}`, `{"kind":"saved_filter","table":"people","name":"all"}`, `"search_index"`, `"label_column"`}},
		{"DELETE", "/table/people", ``, 200, []string{`"deleted":false`, `"rows_affected":2`, `"rebuilt_tables":[]`}},
		{"DELETE", "/table/firms", ``, 409, nil},
		{"POST", "/column/people", `{"name":"email"}`, 201, []string{`"column_name":"email"`, `"rebuilt_tables":[]`}},
		{"PATCH", "/column/people/name", `{"is_nullable":false}`, 200, []string{`"is_nullable":0`, `"rebuilt_tables":["people"]`, `"rows_affected":2`, `"search_index"`}},
		{"PATCH", "/column/firms/name", `{"is_nullable":false}`, 409, nil},
		{"PATCH", "/column/firms/id", `{"new_column_name":"number"}`, 200, []string{`"kind":"foreign_key","table":"people"`, `"rows_affected":0`}},
		{"PATCH", "/column/people", `{"columns":[{"name":"name","is_nullable":false},{"name":"firm_id","is_nullable":false}]}`, 200, []string{`"updated_count":2`, `"rebuilt_tables":["people"]`, `"rows_affected":2`, `"by_firm"`}},
		{"DELETE", "/column/people/firm_id", ``, 200, []string{`"deleted":false`, `"rebuilt_tables":["people"]`, `{"kind":"index","table":"people","name":"by_firm"}`, `"foreign_key"`}},
		{"POST", "/indexes/firms", `{"columns":["name"],"unique":true}`, 201, []string{`"idx_firms_name"`, `"rows_affected":3`}},
		{"POST", "/indexes/people", `{"columns":["firm_id"],"unique":true}`, 409, nil},
		{"DELETE", "/indexes/people/by_firm", ``, 200, []string{`"deleted":false`}},
	} {
		got := s.ask(t, test.method, test.path+"?dry_run=true", test.body)
		if got.status != test.status || test.status < 300 && !strings.Contains(got.body, `"plan":{`) {
			t.Errorf("%s %s %s: %d %s", test.method, test.path, test.body, got.status, got.body)
		}
		for _, part := range test.want {
			if !strings.Contains(got.body, part) {
				t.Errorf("%s %s %s: %s lacks %s", test.method, test.path, test.body, got.body, part)
			}
		}
		if after := state(); after != before {
			t.Fatalf("%s %s has changed the project from\n%s\nto\n%s", test.method, test.path, before, after)
		}
	}
	if got := s.ask(t, "POST", "/table?dry_run=true", `{"table_name":"more"}`, "Idempotency-Key: k"); got.status != 422 || !strings.Contains(got.body, `"dry_run"`) {
		t.Errorf("with a key: %d %s", got.status, got.body)
	}
	// The real change works after it was tried, with what is known of the catalog.
	s.must(t, "PATCH", "/table/people", `{"new_table_name":"persons"}`)
	s.must(t, "DELETE", "/column/persons/firm_id", "")
	if got := s.ask(t, "POST", "/column/persons", `{"name":"x"}`); strings.Contains(got.body, "plan") {
		t.Errorf("a change that is made answers a plan: %s", got.body)
	}
}

// dataOf returns the data of an answer.
func dataOf(t *testing.T, got reply) string {
	t.Helper()
	_, data, ok := strings.Cut(got.body, `"data":`)
	if !ok || got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	data, _, _ = strings.Cut(data, `"request_id"`)
	return data
}
