package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/registry"
)

const allowOrigin = "Access-Control-Allow-Origin"

// openPages is a shop whose settings allow app.example, beside the server's own
// ops.example, and another project that allows other.example.
func openPages(t *testing.T) *shop {
	s := openShop(t, openHouse(t, clock), Config{Origins: registry.Origins{"https://ops.example"}})
	s.project(t, "other")
	s.allow(t, "shop", "https://app.example")
	s.allow(t, "other", "https://other.example")
	return s
}

// allow sets the origins whose pages may call a project.
func (s *shop) allow(t *testing.T, slug string, origins ...string) {
	t.Helper()
	token := s.house.token(t, slug).Secret
	body := `{"cors":{"allow_origins":["` + strings.Join(origins, `","`) + `"]}}`
	if got := s.askAt(t, "PATCH", "/projects/"+slug+"/settings", body, "Authorization: Bearer "+token); got.status != http.StatusOK {
		t.Fatal(got.body)
	}
}

func TestPreflightsNeedNoToken(t *testing.T) {
	t.Parallel()
	s := openPages(t)
	for _, path := range []string{"/projects/shop/records/contacts", "/projects/nobody/tables", "/projects/shop/imports", "/projects/shop/imports/x", "/import-project", "/bootstrap", "/projects/shop/nonsense"} {
		for origin, want := range map[string]string{
			"https://app.example": "https://app.example", "https://ops.example": "https://ops.example",
			"https://other.example": "https://other.example", "https://evil.example": "", "https://app.example:8443": "", "null": "",
		} {
			got := s.askAt(t, "OPTIONS", path, "", "Authorization:", "Origin: "+origin, "Access-Control-Request-Method: PATCH")
			if got.status != http.StatusNoContent || got.header.Get(allowOrigin) != want || got.header.Get("Vary") != "Origin" {
				t.Errorf("%s from %s: %d %v", path, origin, got.status, got.header)
			}
			if maxAge := got.header.Get("Access-Control-Max-Age"); (maxAge == "600") != (want != "") {
				t.Errorf("%s from %s: max-age %q", path, origin, maxAge)
			}
			if got.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: credentials are allowed", path)
			}
		}
	}
	headers := strings.ToLower(s.askAt(t, "OPTIONS", "/bootstrap", "", "Authorization:", "Origin: https://app.example", "Access-Control-Request-Method: POST").header.Get("Access-Control-Allow-Headers"))
	for _, name := range []string{"authorization", "content-type", "idempotency-key", "if-match", "last-event-id", "tus-resumable", "upload-offset", "upload-metadata", "x-operation-key", "x-http-method-override"} {
		if !strings.Contains(headers, name) {
			t.Errorf("%s may not be sent", name)
		}
	}
}

func TestAnswersGoByTheListOfTheProject(t *testing.T) {
	t.Parallel()
	s := openPages(t)
	for _, test := range []struct{ path, origin, authorization, want string }{
		{"/projects/shop/tables", "https://app.example", "Bearer " + s.token, "https://app.example"},
		{"/projects/shop/tables", "https://ops.example", "Bearer " + s.token, "https://ops.example"},
		{"/projects/shop/tables", "https://other.example", "Bearer " + s.token, ""},
		{"/projects/shop/tables", "https://other.example", "", "https://other.example"}, // 401, like an unknown project
		{"/projects/nobody/tables", "https://other.example", "", "https://other.example"},
		{"/projects/nobody/tables", "https://evil.example", "", ""},
		{"/projects/shop/record/1", "https://app.example", "Bearer " + s.token, "https://app.example"},    // 404
		{"/projects/shop/tables?no=1", "https://app.example", "Bearer " + s.token, "https://app.example"}, // 422
		{"/openapi.json", "https://app.example", "", "https://app.example"},
	} {
		got := s.askAt(t, "GET", test.path, "", "Authorization: "+test.authorization, "Origin: "+test.origin)
		if got.header.Get(allowOrigin) != test.want || got.header.Values("Vary")[0] != "Origin" {
			t.Errorf("%+v: %d %v", test, got.status, got.header)
		}
		if exposed := got.header.Get("Access-Control-Expose-Headers"); strings.Contains(exposed, "ETag") != (test.want != "") {
			t.Errorf("%+v exposes %q", test, exposed)
		}
	}
	s.allow(t, "shop", "*")
	if got := s.ask(t, "GET", "/tables", "", "Origin: null"); got.header.Get(allowOrigin) != "*" {
		t.Errorf("for all origins: %v", got.header)
	}
	if got := s.ask(t, "PATCH", "/settings", `{"cors":null}`); got.status != 200 || !strings.Contains(got.body, `"allow_origins":[]`) {
		t.Error(got.body)
	}
	if got := s.ask(t, "GET", "/tables", "", "Origin: https://app.example"); got.header.Get(allowOrigin) != "" {
		t.Errorf("once it is off: %v", got.header)
	}
}

// TestOnlyTheAPIIsOpenToPages asks for paths that the server answers beside the API.
func TestOnlyTheAPIIsOpenToPages(t *testing.T) {
	t.Parallel()
	s := openPages(t)
	for _, path := range []string{"/admin", "/admin/api/projects", "/metrics", "/readyz"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			got := s.askAt(t, method, path, "", "Authorization:", "Origin: https://ops.example", "Access-Control-Request-Method: GET")
			if got.header.Get(allowOrigin) != "" || got.header.Get("Vary") != "" || got.status == http.StatusNoContent {
				t.Errorf("%s %s: %d %v", method, path, got.status, got.header)
			}
		}
	}
}

func TestOriginsOfADeletedProjectAreForgotten(t *testing.T) {
	t.Parallel()
	s := openPages(t)
	if got := s.ask(t, "DELETE", "", `{"confirm_project_slug":"shop"}`); got.status != 200 {
		t.Fatal(got.body)
	}
	got := s.askAt(t, "OPTIONS", "/bootstrap", "", "Authorization:", "Origin: https://app.example", "Access-Control-Request-Method: POST")
	if got.header.Get(allowOrigin) != "" {
		t.Error("the origin of a deleted project is still allowed")
	}
}

func TestSettingsReplaceWholeMembers(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{})
	if got := s.ask(t, "PATCH", "/settings", `{"cors":{"allow_origins":["https://a.example"]},"stage":"staging"}`); got.status != 200 {
		t.Fatal(got.body)
	}
	if got := s.ask(t, "PATCH", "/settings", `{"stage":null}`); !strings.Contains(got.body, `"allow_origins":["https://a.example"]},"track_changes":false,"stage":null`) {
		t.Error(got.body)
	}
	if got := s.ask(t, "GET", "", ""); !strings.Contains(got.body, `"stage":null,"track_changes":false`) {
		t.Error(got.body)
	}
	many := `"https://a.example"` + strings.Repeat(`,"https://a.example"`, 50)
	for _, body := range []string{`{"used_bytes":1}`, `{"stage":""}`, `{"stage":1}`, `{"cors":{"allow_origins":[` + many + `]}}`, `{"cors":[]}`, `{"cors":{"origins":[]}}`, `{"cors":{"allow_origins":[1]}}`} {
		if got := s.ask(t, "PATCH", "/settings", body); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}
