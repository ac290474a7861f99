package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// TestSavedThingsBelongToSomebody saves filters with several tokens and looks at them
// with others.
func TestSavedThingsBelongToSomebody(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	s.must(t, "POST", "/table", `{"table_name":"secrets"}`)
	ann, ben, other := s.house.token(t, "shop", "records:read", "schema:read"), s.house.token(t, "shop", "records:read"), s.house.token(t, "shop", "records:read:secrets")
	ask := func(secret, method, path, body string) reply {
		t.Helper()
		r := testkit.Request(t, method, s.URL+"/projects/shop/saved/filters"+path, secret, strings.NewReader(body))
		return replyOf(testkit.Send(t, http.DefaultClient.Do, r))
	}
	want := func(what string, got reply, status int, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(got.body, part) {
				t.Errorf("%s: %s lacks %s", what, got.body, part)
			}
		}
		if got.status != status {
			t.Errorf("%s: %d %s, want %d", what, got.status, got.body, status)
		}
	}
	want("save", ask(ann.Secret, "POST", "", `{"name":"mine","table":"contacts","state":{"a":[1,{"b":null}]}}`), 201, `"id":1`, `"state":{"a":[1,{"b":null}]}`, `"private"`)
	want("save for all", ask(ann.Secret, "POST", "", `{"name":"ours","table":"1","state":{},"visibility":"project"}`), 201, `"id":2`, `"table":"contacts"`)
	want("save where one may not read", ask(other.Secret, "POST", "", `{"name":"x","table":"contacts","state":{}}`), 403)

	want("one's own", ask(ann.Secret, "GET", "", ""), 200, "mine", "ours")
	for who, secret := range map[string]string{"another": ben.Secret, "an admin": s.token} {
		if got := ask(secret, "GET", "", ""); strings.Contains(got.body, "mine") || !strings.Contains(got.body, "ours") {
			t.Errorf("%s sees %s", who, got.body)
		}
	}
	want("who reads another table", ask(other.Secret, "GET", "", ""), 200, `"saved":[]`)
	want("all without the right", ask(ben.Secret, "GET", "?all=true", ""), 403)
	want("all", ask(s.token, "GET", "?all=true", ""), 200, "mine", "ours")
	for what, got := range map[string]reply{
		"show": ask(ben.Secret, "GET", "/1", ""), "change": ask(ben.Secret, "PATCH", "/1", `{"name":"x"}`), "delete": ask(ben.Secret, "DELETE", "/1", ""),
		"show that of an unreadable table": ask(other.Secret, "GET", "/2", ""), "show a query": s.ask(t, "GET", "/saved/queries/2", ""),
	} {
		want(what, got, 404)
	}
	want("change that of another", ask(ben.Secret, "PATCH", "/2", `{"name":"x"}`), 403)
	want("delete that of another", ask(ben.Secret, "DELETE", "/2", ""), 403)
	want("change as an admin", ask(s.token, "PATCH", "/2", `{"name":"changed","state":{"n":12345678901234567890.5}}`), 200, "changed", `{"n":12345678901234567890.5}`)

	// What is private stays with a token that is rotated.
	next, _, err := s.operator(t).Rotate(t.Context(), ann.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	want("after a rotation", ask(next.Secret, "PATCH", "/1", `{"name":"still mine"}`), 200, "still mine")
	want("with the old token", ask(ann.Secret, "GET", "/1", ""), 200, "still mine")

	// A filter follows its table, and goes with it.
	s.must(t, "PATCH", "/table/contacts", `{"new_table_name":"people"}`)
	want("after a rename", ask(ann.Secret, "GET", "?table=people", ""), 200, `"table":"people"`)
	s.must(t, "DELETE", "/table/people", "")
	s.must(t, "POST", "/table", `{"table_name":"people"}`)
	want("after a deletion", ask(s.token, "GET", "?all=true", ""), 200, `"saved":[]`)
}

// TestSavedThingsAreBounded saves what is too large, and too many.
func TestSavedThingsAreBounded(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	state := func(size int) string {
		return fmt.Sprintf(`{"name":"x","state":{"a":"%s"}}`, strings.Repeat("x", size-8))
	}
	if got := s.ask(t, "POST", "/saved/queries", state(64<<10)); got.status != 201 {
		t.Errorf("the largest state is answered %d %s", got.status, got.body)
	}
	if got := s.ask(t, "POST", "/saved/queries", state(64<<10+1)); got.status != 422 || !strings.Contains(got.body, `"state"`) {
		t.Errorf("a larger state is answered %d %s", got.status, got.body)
	}
	for _, body := range []string{`{}`, `{"name":"x"}`, `{"state":{}}`, `{"name":"","state":{}}`, `{"name":"\u0001","state":{}}`, `{"name":"x","state":"{}"}`, `{"name":"x","state":{},"visibility":"world"}`} {
		if got := s.ask(t, "POST", "/saved/queries", body); got.status != 422 {
			t.Errorf("%s is answered %d %s", body, got.status, got.body)
		}
	}
	for i := 1; i < 500; i++ {
		s.must(t, "POST", "/saved/queries", `{"name":"x","state":{}}`)
	}
	if got := s.ask(t, "POST", "/saved/filters", `{"name":"x","table":"contacts","state":{}}`); got.status != 409 {
		t.Errorf("one more is answered %d %s", got.status, got.body)
	}
	s.must(t, "DELETE", "/saved/queries/7", "")
	s.must(t, "POST", "/saved/filters", `{"name":"x","table":"contacts","state":{}}`)
}
