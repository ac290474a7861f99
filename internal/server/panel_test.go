package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/limits"
)

const (
	passphrase = "correct horse battery staple"
	hostile    = `<img src=x onerror=alert(1)>"'`
)

// browser is a person's browser: it keeps cookies and does not follow redirects.
type browser struct {
	t       *testing.T
	base    string
	cookies map[string]*http.Cookie
}

// seen is an answer of the panel.
type seen struct {
	status int
	header http.Header
	body   string
	cookie *http.Cookie // of a session that begins or ends
}

func openPanel(t *testing.T) (*running, *browser) {
	t.Helper()
	s := stopped(t, start(t, Settings{Limits: limits.Defaults(), Admin: true}))
	return s, newBrowser(t, s)
}

func newBrowser(t *testing.T, s *running) *browser {
	return &browser{t, s.url, map[string]*http.Cookie{}}
}

// send makes a request. Each header stands as "Name: value".
func (b *browser) send(method, path, contentType, body string, headers ...string) seen {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	for _, cookie := range b.cookies {
		r.AddCookie(cookie)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	answer := seen{status: response.StatusCode, header: response.Header, body: string(text)}
	for _, cookie := range response.Cookies() {
		answer.cookie, b.cookies[cookie.Name] = cookie, cookie
	}
	if policy := response.Header.Get("Content-Security-Policy"); strings.HasPrefix(path, "/admin") &&
		(!strings.Contains(policy, "require-trusted-types-for 'script'") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe")) {
		b.t.Errorf("%s %s: the policy is %q", method, path, policy)
	}
	return answer
}

func (b *browser) get(path string, headers ...string) seen {
	b.t.Helper()
	return b.send("GET", path, "", "", headers...)
}

func (b *browser) post(path string, form map[string]string, headers ...string) seen {
	b.t.Helper()
	values := url.Values{}
	for name, value := range form {
		values.Set(name, value)
	}
	return b.send("POST", path, "application/x-www-form-urlencoded", values.Encode(), headers...)
}

// setUp makes the person the owner of the server.
func (b *browser) setUp(s *running) {
	b.t.Helper()
	link, err := s.app.SetupLink(b.t.Context(), s.url)
	if err != nil {
		b.t.Fatal(err)
	}
	code := link[strings.Index(link, "code=")+len("code="):]
	if got := b.post("/admin/setup", map[string]string{"code": code, "username": "ada", "password": passphrase}); got.status != http.StatusSeeOther {
		b.t.Fatalf("set-up: %d %s", got.status, got.body)
	}
}

func TestTheFirstOwnerSetsUpThePanel(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	if got := b.get("/"); got.status != http.StatusFound || got.header.Get("Location") != "/admin" {
		t.Errorf("/ answers %d %v", got.status, got.header)
	}
	older, err := s.app.SetupLink(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.app.SetupLink(t.Context(), s.url)
	if err != nil || link == older {
		t.Fatal(link, err)
	}
	path := strings.TrimPrefix(link, s.url)
	for range 2 { // looking at it does not use it up
		if got := b.get(path); got.status != 200 || !strings.Contains(got.body, "You become the owner") || got.header.Get("Referrer-Policy") != "no-referrer" {
			t.Fatalf("the link shows %d %s", got.status, got.body)
		}
	}
	code := path[strings.Index(path, "code=")+len("code="):]
	form := func(code, password string) map[string]string {
		return map[string]string{"code": code, "username": "ada", "password": password}
	}
	oldCode := older[strings.Index(older, "code=")+len("code="):]
	if got := b.post("/admin/setup", form(oldCode, passphrase)); got.status != http.StatusForbidden {
		t.Errorf("an older link: %d", got.status)
	}
	if got := b.post("/admin/setup", form(code, "short")); got.status != http.StatusUnprocessableEntity || len(b.cookies) > 0 {
		t.Errorf("a short password: %d, cookies %v", got.status, b.cookies)
	}
	got := b.post("/admin/setup", form(code, passphrase))
	if got.status != http.StatusSeeOther || got.cookie == nil || !got.cookie.HttpOnly || got.cookie.SameSite != http.SameSiteStrictMode || got.cookie.Path != "/" {
		t.Fatalf("set-up: %d, cookie %+v", got.status, got.cookie)
	}
	if got := newBrowser(t, s).post("/admin/setup", form(code, passphrase)); got.status != http.StatusForbidden || got.cookie != nil {
		t.Errorf("the link works twice: %d", got.status)
	}
	if link, err := s.app.SetupLink(t.Context(), s.url); link != "" || err != nil {
		t.Errorf("afterwards there is a link: %q, %v", link, err)
	}
	if got := b.get("/admin"); got.status != 200 || !strings.Contains(got.body, s.ready.Project.Slug) {
		t.Errorf("the owner sees %d %s", got.status, got.body)
	}
}

// Once the operator has named an owner, a link that was printed before is worth nothing.
func TestALinkIsVoidOnceThereIsAnOwner(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	link, err := s.app.SetupLink(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.app.Registry.AddOwner(t.Context(), "ada", passphrase); err != nil {
		t.Fatal(err)
	}
	code := link[strings.Index(link, "code=")+len("code="):]
	got := b.post("/admin/setup", map[string]string{"code": code, "username": "mallory", "password": "another battery staple"})
	if got.status != http.StatusForbidden || got.cookie != nil {
		t.Errorf("the link still makes an owner: %d %v", got.status, got.cookie)
	}
	if got := b.post("/admin/sign-in", map[string]string{"username": "ada", "password": passphrase}); got.status != http.StatusSeeOther {
		t.Errorf("the owner cannot sign in: %d %s", got.status, got.body)
	}
}

// Texts of strangers are shown as they are, and never become markup.
func TestPagesShowHostileTexts(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	project := s.ready.Project.Slug
	c := &labeled{t: t, base: s.url + "/projects/" + project, token: s.ready.Token}
	row, err := json.Marshal(map[string]any{"note": hostile, "n": 9007199254740993})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range [][2]string{
		{"/table", `{"table_name":"hostile","columns":[{"column_name":"id","column_type":"INTEGER","is_primary":true},{"column_name":"note"},{"column_name":"empty"},{"column_name":"n","column_type":"INTEGER"}]}`},
		{"/records/hostile", string(row)},
		{"/records/hostile", `{"note":"` + strings.Repeat("long ", 100_000) + `"}`},
	} {
		if status, _ := c.call("POST", call[0], call[1], nil); status != http.StatusCreated {
			t.Fatalf("%s: %d", call[0], status)
		}
	}
	p := "/admin/p/" + project
	for _, path := range []string{
		"/admin", "/admin/me", "/admin/new", "/admin/server/users", p, p + "?q=<script>", p + "/t/hostile", p + "/t/contacts", p + "/r/hostile/1", p + "/r/hostile/2",
		p + "/tokens", p + "/exports", p + "/exports?table=" + url.QueryEscape(hostile), p + "/imports",
	} {
		got := b.get(path)
		if got.status != 200 || strings.Contains(got.body, "<img src=x") || strings.Contains(got.body, "<script>") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		if len(got.body) > 200_000 {
			t.Errorf("%s has %d bytes", path, len(got.body))
		}
	}
	for _, path := range []string{p + "/t/hostile", p + "/r/hostile/1"} {
		if got := b.get(path); !strings.Contains(got.body, "&lt;img src=x onerror=alert(1)&gt;") || !strings.Contains(got.body, "9007199254740993") {
			t.Errorf("%s does not show the record: %s", path, got.body)
		}
	}
	for path, want := range map[string]int{
		"/admin/nothing": 404, p + "/t/" + url.PathEscape(hostile): 404, p + "/r/hostile/99": 404, "/admin/p/nothing": 404, "/admin/assets/x/y.js": 404,
		p + "/t/hostile?sort=" + url.QueryEscape(hostile): 422, "/admin/../admin": 404,
	} {
		if got := b.get(path); got.status != want || strings.Contains(got.body, "<img src=x") {
			t.Errorf("%s: %d, want %d: %s", path, got.status, want, got.body)
		}
	}
}

// A link leads to the record that is meant: a foreign key need not refer to the primary
// key, and a value that is cut cannot name a record.
func TestLinksLeadToTheRightRecords(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}
	long := strings.Repeat("k", 100_000)
	for _, call := range [][2]string{
		{"/table", `{"table_name":"country","columns":[{"column_name":"id","column_type":"INTEGER","is_primary":true},{"column_name":"dial","column_type":"INTEGER","is_unique":true},{"column_name":"name"}]}`},
		{"/records/country", `{"data":[{"id":1,"dial":49,"name":"Germany"},{"id":49,"dial":1,"name":"Canada"}]}`},
		{"/table", `{"table_name":"phone","columns":[{"column_name":"number","is_primary":true},{"column_name":"dial","column_type":"INTEGER","references":{"table":"country","column":"dial"}},{"column_name":"note"}]}`},
		{"/records/phone", `{"data":[{"number":"a","dial":49,"note":"` + long + `"},{"number":"` + long + `","dial":null,"note":null}]}`},
	} {
		if status, _ := c.call("POST", call[0], call[1], nil); status != http.StatusCreated {
			t.Fatalf("%s: %d", call[0], status)
		}
	}
	p := "/admin/p/" + s.ready.Project.Slug
	for _, path := range []string{p + "/t/phone", p + "/r/phone/a"} {
		_, rest, _ := strings.Cut(b.get(path).body, `href="`+p+`/t/country?`)
		query, _, found := strings.Cut(rest, `"`)
		got := b.get(p + "/t/country?" + strings.ReplaceAll(query, "&amp;", "&"))
		if !found || !strings.Contains(got.body, "Germany") || strings.Contains(got.body, "Canada") {
			t.Errorf("%s leads to %q: %s", path, query, got.body)
		}
	}
	if got := b.get(p + "/t/phone"); strings.Contains(got.body, "/r/phone/kkk") || !strings.Contains(got.body, "100.0 kB") {
		t.Errorf("a key that is cut is a link: %s", got.body)
	}
	if got := b.get(p + "/r/phone/a"); got.status != 200 || !strings.Contains(got.body, "100.0 kB") {
		t.Errorf("the page of one record does not say that a value is cut: %d", got.status)
	}
}

// Pages turn forwards and backwards through a table.
func TestTablesAreTurnedPageByPage(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	path := "/admin/p/" + s.ready.Project.Slug + "/t/contacts"
	link := func(page seen, name string) string {
		_, rest, ok := strings.Cut(page.body, `<p class="turn">`)
		end := strings.Index(rest, ">"+name+"</a>")
		if !ok || end < 0 {
			return ""
		}
		start := strings.LastIndex(rest[:end], `href="`)
		return strings.ReplaceAll(rest[start+len(`href="`):end-1], "&amp;", "&")
	}
	first := b.get(path)
	pages, rows := 1, strings.Count(first.body, "<tr>")-1
	last := first
	for next := link(first, "Next"); next != ""; next = link(last, "Next") {
		last = b.get(next)
		if pages, rows = pages+1, rows+strings.Count(last.body, "<tr>")-1; pages > 10 {
			t.Fatal("the pages do not end")
		}
	}
	if pages != 4 || rows != 320 {
		t.Errorf("%d rows on %d pages", rows, pages)
	}
	sorted := b.get(path + "?sort=-id")
	if _, body, _ := strings.Cut(sorted.body, "<tbody>"); !strings.Contains(strings.Split(body, "</tr>")[0], ">320</a>") || !strings.Contains(sorted.body, `aria-sort="descending"`) || !strings.Contains(sorted.body, "?sort=id\"") {
		t.Errorf("sorted by id, the last first: %s", sorted.body)
	}
	back := b.get(link(b.get(link(first, "Next")), "Previous"))
	if table := func(page seen) string {
		_, rest, _ := strings.Cut(page.body, "<tbody>")
		return strings.Split(rest, "</tbody>")[0]
	}; table(back) != table(first) {
		t.Error("the way back leads elsewhere")
	}
}

func TestOtherSitesCannotUseASession(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	project := s.ready.Project.Slug
	for _, test := range []struct {
		name, method, path string
		headers            []string
		want               int
	}{
		{"another host", "GET", "/admin", []string{"Host: evil.example"}, 421},
		{"another host for the API", "GET", "/admin/api/projects", []string{"Host: evil.example"}, 421},
		{"a form of another site", "POST", "/admin/sign-out", []string{"Origin: https://evil.example"}, 403},
		{"a form of another site, said by the browser", "POST", "/admin/sign-out", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"a form of a sibling", "POST", "/admin/sign-out", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"a call of another site", "GET", "/admin/api/projects", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"a deletion by another site", "DELETE", "/admin/api/projects/" + project, []string{"Origin: https://evil.example"}, 403},
		{"the public API", "GET", "/projects/" + project + "/records/contacts", nil, 401},
		{"the session's routes in the public API", "GET", "/sessions", nil, 404},
		{"the API of the panel", "GET", "/admin/api/projects/" + project + "/records/contacts", []string{"Sec-Fetch-Site: same-origin"}, 200},
	} {
		if got := b.send(test.method, test.path, "", "", test.headers...); got.status != test.want || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d, want %d: %v %s", test.name, got.status, test.want, got.header, got.body)
		}
	}
	stranger := newBrowser(t, s)
	if got := stranger.get("/admin/api/projects"); got.status != http.StatusUnauthorized {
		t.Errorf("without a session: %d %s", got.status, got.body)
	}
	if got := stranger.send("GET", "/admin/api/projects/"+project+"/records/contacts", "", "", "Authorization: Bearer "+s.ready.Token); got.status != http.StatusUnauthorized {
		t.Errorf("with a token: %d %s", got.status, got.body)
	}
	if got := stranger.get("/admin/p/" + project); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/admin/sign-in?next=") {
		t.Errorf("a page without a session: %d %v", got.status, got.header)
	}
}

func TestSessionsBeginAndEnd(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	other := newBrowser(t, s)
	other.cookies["zt"] = &http.Cookie{Name: "zt", Value: "chosen-by-an-attacker"}
	right := map[string]string{"username": "ada", "password": passphrase}
	if got := other.post("/admin/sign-in", right); got.status != http.StatusSeeOther || got.cookie.Value == "chosen-by-an-attacker" {
		t.Fatalf("sign-in: %d %v", got.status, got.cookie)
	}
	old := *other.cookies["zt"]
	if got := other.post("/admin/sign-out", nil); got.status != http.StatusSeeOther || got.cookie.MaxAge >= 0 {
		t.Errorf("sign-out: %d %+v", got.status, got.cookie)
	}
	other.cookies["zt"] = &old
	if got := other.get("/admin"); got.status != http.StatusSeeOther {
		t.Errorf("the session goes on after signing out: %d", got.status)
	}
	if got := other.get("/admin/api/projects"); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "invalid_token") {
		t.Errorf("the API says of an ended session: %d %s", got.status, got.body)
	}
	if got := newBrowser(t, s).get("/admin/api/projects"); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "missing_authorization") {
		t.Errorf("the API says without a session: %d %s", got.status, got.body)
	}
	var refused seen
	for i, form := range []map[string]string{
		{"username": "ada", "password": "wrong"}, {"username": "nobody", "password": passphrase}, {"username": "ada", "password": "wrong"},
		{"username": "", "password": ""}, {"username": "ada' OR 1=1 --", "password": "x"},
	} {
		if refused = other.post("/admin/sign-in", form); refused.status != http.StatusUnprocessableEntity || !strings.Contains(refused.body, "The name or the password is wrong.") {
			t.Errorf("attempt %d: %d %s", i, refused.status, refused.body)
		}
	}
	if refused = other.post("/admin/sign-in", right); refused.status != http.StatusTooManyRequests || refused.header.Get("Retry-After") == "" {
		t.Errorf("after five failures: %d %v", refused.status, refused.header)
	}
	if got := b.get("/admin"); got.status != 200 {
		t.Errorf("who has signed in before is refused: %d", got.status)
	}
}

// An open browser is not enough to take an account over.
func TestTheOldPasswordIsAskedFor(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	const other = "another battery staple"
	if got := b.send("PATCH", "/admin/api/users/1", "application/json", `{"password":"`+other+`"}`); got.status != http.StatusUnprocessableEntity {
		t.Errorf("by the API: %d %s", got.status, got.body)
	}
	if got := b.post("/admin/me/password", map[string]string{"old": "wrong", "password": other}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("with a wrong one: %d %s", got.status, got.body)
	}
	if got := b.post("/admin/me/password", map[string]string{"old": passphrase, "password": "short"}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a short new one: %d %s", got.status, got.body)
	}
	if got := b.post("/admin/me/password", map[string]string{"old": passphrase, "password": other}); got.status != http.StatusSeeOther {
		t.Errorf("with the right one: %d %s", got.status, got.body)
	}
	if got := newBrowser(t, s).post("/admin/sign-in", map[string]string{"username": "ada", "password": other}); got.status != http.StatusSeeOther {
		t.Errorf("the new one does not sign in: %d", got.status)
	}
}

// A member enters only the projects that are granted, with the role there.
func TestMembersDoWhatTheirRoleAllows(t *testing.T) {
	t.Parallel()
	s, owner := openPanel(t)
	owner.setUp(s)
	project := s.ready.Project.Slug
	add := func(name, grants string) *browser {
		body := `{"username":"` + name + `","password":"` + passphrase + `","role":"member","grants":[` + grants + `]}`
		if got := owner.send("POST", "/admin/api/users", "application/json", body); got.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
		b := newBrowser(t, s)
		if got := b.post("/admin/sign-in", map[string]string{"username": name, "password": passphrase}); got.status != http.StatusSeeOther {
			t.Fatalf("%s signs in: %d %s", name, got.status, got.body)
		}
		return b
	}
	outsider := add("outsider", "")
	viewer := add("viewer", `{"project_slug":"`+project+`","role":"viewer"}`)
	editor := add("editor", `{"project_slug":"`+project+`","role":"editor"}`)
	api, page := "/admin/api/projects/"+project, "/admin/p/"+project
	for _, test := range []struct {
		who, method, path, body string
		b                       *browser
		want                    int
	}{
		{"outsider", "GET", page, "", outsider, 404},
		{"outsider", "GET", page + "/t/contacts", "", outsider, 404},
		{"outsider", "GET", api + "/records/contacts", "", outsider, 404},
		{"outsider", "GET", "/admin/server/users", "", outsider, 403},
		{"outsider", "GET", "/admin/api/users", "", outsider, 403},
		{"outsider", "POST", "/admin/api/users", `{"username":"x","password":"` + passphrase + `","role":"owner"}`, outsider, 403},
		{"outsider", "POST", "/admin/api/projects", `{"project_slug":"mine","project_name":"Mine"}`, outsider, 403},
		{"viewer", "GET", page + "/t/contacts", "", viewer, 200},
		{"viewer", "POST", api + "/records/contacts", `{}`, viewer, 403},
		{"viewer", "DELETE", api + "/records/contacts/1", "", viewer, 403},
		{"viewer", "DELETE", api, `{"confirm_project_slug":"` + project + `"}`, viewer, 403},
		{"viewer", "GET", api + "/requests", "", viewer, 403},
		{"viewer", "POST", api + "/auth/tokens", `{"token_name":"t"}`, viewer, 403},
		{"editor", "DELETE", api + "/records/contacts/1", "", editor, 200},
		{"editor", "POST", api + "/auth/tokens", `{"token_name":"t"}`, editor, 403},
		{"editor", "GET", "/admin/api/users", "", editor, 403},
	} {
		contentType := ""
		if test.body != "" {
			contentType = "application/json"
		}
		if got := test.b.send(test.method, test.path, contentType, test.body); got.status != test.want {
			t.Errorf("%s: %s %s: %d, want %d: %.300s", test.who, test.method, test.path, got.status, test.want, got.body)
		}
	}
	var list struct{ Sessions []struct{ Username string } }
	for who, want := range map[*browser]int{viewer: 1, owner: 4} {
		var answer struct{ Data json.RawMessage }
		text := who.get("/admin/api/sessions").body
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(answer.Data, &list); err != nil || len(list.Sessions) != want {
			t.Errorf("%d sessions are shown, want %d: %s %v", len(list.Sessions), want, text, err)
		}
	}
	// The journal names the person.
	c := &labeled{t: t, base: s.url + "/projects/" + project, token: s.ready.Token}
	var recorded struct {
		Requests []struct {
			Source  string
			User    *string
			TokenID *int64 `json:"token_id"`
		}
	}
	c.call("GET", "/requests?method=DELETE&route=delete-record&status=200", "", &recorded)
	if len(recorded.Requests) != 1 || recorded.Requests[0].Source != "panel" || recorded.Requests[0].User == nil || *recorded.Requests[0].User != "editor" || recorded.Requests[0].TokenID != nil {
		t.Errorf("the journal says %+v", recorded)
	}
}

func TestThePanelCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s := stopped(t, start(t, Settings{Limits: limits.Defaults()}))
	r, err := http.Get(s.url + "/admin")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusNotFound || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		t.Errorf("/admin answers %d %v", r.StatusCode, r.Header)
	}
}

// A run shows its calls in order, with what failed and what repeats it.
func TestRunsAreShown(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token, key: "order<b>", runID: "oprun_shown"}
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/records/contacts/1", "", 200},
		{"PATCH", "/records/contacts/1", `{"note":{}}`, 422},
		{"PATCH", "/records/contacts/1", `{"note":"called back"}`, 200},
	} {
		if status, _ := c.call(step.method, step.path, step.body, nil); status != step.want {
			t.Fatalf("%s %s: %d", step.method, step.path, status)
		}
	}
	page := "/admin/p/" + s.ready.Project.Slug + "/runs"
	if got := b.get(page); got.status != 200 || !strings.Contains(got.body, page+"/oprun_shown") || !strings.Contains(got.body, "order&lt;b&gt;") || !strings.Contains(got.body, "✗ 1") {
		t.Errorf("the list: %d %s", got.status, got.body)
	}
	if got := b.get(page + "?key=other"); got.status != 200 || strings.Contains(got.body, "oprun_shown") {
		t.Errorf("another key: %d %s", got.status, got.body)
	}
	got := b.get(page + "/oprun_shown")
	for _, want := range []string{"1 failed call", "3 calls", "✗ 422 validation_failed", "repeats a failed call", `class="failed"`, `class="read"`, `class="write"`, "1 changed"} {
		if got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("the run: %d, without %q: %s", got.status, want, got.body)
		}
	}
	if got := b.get(page + "/oprun_unknown"); got.status != http.StatusNotFound {
		t.Errorf("an unknown run: %d", got.status)
	}
}

// What a run changed is shown on its page, and taken back from there.
func TestRunsAreUndone(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	project := "/admin/p/" + s.ready.Project.Slug
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token, key: "campaign", runID: "oprun_campaign"}
	email := func() (record struct{ Row map[string]any }) {
		c.call("GET", "/records/contacts/2?columns=email", "", &record)
		return record
	}
	before := email()
	if status, _ := c.call("GET", "/records/contacts/1", "", nil); status != 200 {
		t.Fatal(status)
	}
	if got := b.get(project + "/runs/oprun_campaign"); got.status != 200 || !strings.Contains(got.body, "Record them from now on") {
		t.Fatalf("before changes are recorded: %d %s", got.status, got.body)
	}
	if got := b.post(project+"/track", map[string]string{"track": "on"}); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"PATCH", "/records/contacts/2", `{"email":"<img src=x onerror=alert(1)>"}`, 200},
		{"POST", "/records/companies", `{"company_name":"Made by a run"}`, 201},
		{"DELETE", "/records/contacts/320", "", 200},
	} {
		if status, _ := c.call(step.method, step.path, step.body, nil); status != step.want {
			t.Fatalf("%s %s: %d", step.method, step.path, status)
		}
	}
	page := b.get(project + "/runs/oprun_campaign")
	for _, want := range []string{"<td>update</td>", "<td>insert</td>", "<td>delete</td>", `<ins>&lt;img src=x onerror=alert(1)&gt;</ins>`, "<ins>Made by a run</ins>", project + "/r/contacts/2", "Undo this run"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the run, without %q: %d %s", want, page.status, page.body)
		}
	}
	_, link, _ := strings.Cut(page.body, `href="`+project+`/runs/oprun_campaign/undo?token=`)
	token, _, _ := strings.Cut(link, `"`)
	if got := b.get(project + "/runs/oprun_campaign/undo?token=" + token); got.status != 200 || !strings.Contains(got.body, "earlier values for 1 record,") || email().Row["email"] == before.Row["email"] {
		t.Errorf("asked before: %d %s", got.status, got.body)
	}
	if got := b.post(project+"/runs/oprun_campaign/undo", map[string]string{"token": token}); got.status != http.StatusSeeOther {
		t.Fatalf("undone: %d %s", got.status, got.body)
	}
	if after := email(); after.Row["email"] != before.Row["email"] {
		t.Errorf("the email is %v, it was %v", after, before)
	}
	if got := b.get(project + "/runs/oprun_campaign/undo?token=" + token); got.status != 200 || !strings.Contains(got.body, "The run cannot be undone") || !strings.Contains(got.body, "The record is no longer there.") {
		t.Errorf("undone twice: %d %s", got.status, got.body)
	}
}
