package testkit

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// Route is one line of a list of routes, with what [WalkRoutes] needs.
type Route struct {
	Method, Path string
	Denied       bool  // the token weak may not call it
	TakesJSON    bool  // it reads a JSON body
	BodyLimit    int64 // in bytes
}

var wildcard = regexp.MustCompile(`\{[a-z_]+\}`)

// WalkRoutes tests what must hold for every route of a list. ask makes a call, with a
// good token unless the headers say otherwise, and returns the status with the code and
// the details of the error in the answer.
func WalkRoutes(t *testing.T, routes []Route, ask func(t *testing.T, method, path, body string, headers ...string) (failure string, header http.Header)) {
	for _, route := range routes {
		if route.Method == http.MethodHead {
			continue // its answers have no envelope
		}
		path := wildcard.ReplaceAllString(strings.Replace(route.Path, "{project}", "shop", 1), "x")
		t.Run(route.Method+route.Path, func(t *testing.T) {
			expect := func(want, method, path, body string, headers ...string) {
				t.Helper()
				if got, _ := ask(t, method, path, body, headers...); got != want {
					t.Errorf("%s %s with %.40q and %q: %s, want %s", method, path, body, headers, got, want)
				}
			}
			// Everything else about the request is wrong too: nothing is checked before
			// the token.
			for _, credential := range []string{"Authorization:", "Authorization: Basic Zm9v", "Authorization: Bearer", "Authorization: Bearer  "} {
				got, header := ask(t, route.Method, path+"?nonsense=%zz", "{", credential, "Content-Type: text/plain")
				if got != "401 missing_authorization" || header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s: %s %v", credential, got, header)
				}
			}
			expect("401 invalid_token", route.Method, path, "{", "Authorization: Bearer bad")
			if route.Denied {
				expect("403 permission_denied", route.Method, path, "{", "Authorization: Bearer weak")
			}
			if got, header := ask(t, "LINK", path, ""); got != "405 method_not_allowed" || !strings.Contains(header.Get("Allow"), route.Method) {
				t.Errorf("LINK: %s, Allow %s", got, header.Get("Allow"))
			}
			expect("404 not_found", route.Method, path+"/no/such", "")
			if got, _ := ask(t, route.Method, path+"?nonsense=1", ""); !strings.Contains(got, `[nonsense: There is no query parameter "nonsense".]`) {
				t.Errorf("unknown parameter: %s", got)
			}
			if !route.TakesJSON {
				return
			}
			nested := strings.Repeat("[", 64) + strings.Repeat("]", 64)
			for _, body := range []string{
				`{`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{} {}`, `{}]`, `nonsense`, `{"a":` + nested + `}`, "\xef\xbb\xbf{}", `{"a":1,"b":[1,2,{"c":tru}]`,
			} {
				expect("400 invalid_json", route.Method, path, body)
			}
			expect("415 unsupported_media_type", route.Method, path, "a=1", "Content-Type: application/x-www-form-urlencoded")
			expect("415 unsupported_media_type", route.Method, path, "{}", "Content-Encoding: br")
			expect("413 body_too_large", route.Method, path, strings.Repeat(" ", int(route.BodyLimit)+1))
		})
	}
}
