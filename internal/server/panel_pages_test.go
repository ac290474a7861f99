package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// follow asks for the page that an answer leads to.
func (b *browser) follow(answer seen) seen {
	b.t.Helper()
	if answer.status != http.StatusSeeOther {
		b.t.Fatalf("%d %s", answer.status, answer.body)
	}
	return b.get(answer.header.Get("Location"))
}

func TestFiltersAreChips(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	page := "/admin/p/" + s.ready.Project.Slug + "/t/contacts"
	add := func(here, column, op, value string) seen {
		address, err := url.Parse(here)
		if err != nil {
			t.Fatal(err)
		}
		query := address.Query()
		query.Set("column", column)
		query.Set("op", op)
		query.Set("value", value)
		return b.get(page + "?" + query.Encode())
	}
	first := add(page+"?sort=-id", "id", "<=", "4")
	where := first.header.Get("Location")
	one := b.follow(first)
	for _, want := range []string{`<span class="cut">id ≤ 4</span>`, `--data-urlencode &#39;filters=[{&#34;column&#34;:&#34;id&#34;,&#34;op&#34;:&#34;\u003c=&#34;,&#34;value&#34;:&#34;4&#34;}]&#39;`, `--data-urlencode &#39;sort=-id&#39;`} {
		if !strings.Contains(one.body, want) {
			t.Errorf("%s is not in %s", want, one.body)
		}
	}
	if rows := strings.Count(one.body, "<tr>") - 1; rows != 4 {
		t.Errorf("%d rows", rows)
	}
	second := add(where, "id", "in", "2,3,77")
	two := b.follow(second)
	if rows := strings.Count(two.body, "<tr>") - 1; rows != 2 || !strings.Contains(two.body, ">id in ") {
		t.Errorf("%d rows in %s", rows, two.body)
	}
	// Each chip can be taken away; the other one and the order stay.
	_, rest, _ := strings.Cut(two.body, `<a href="`+page+"?filters=")
	query, _, _ := strings.Cut(rest, `"`)
	left := b.get(page + "?filters=" + strings.ReplaceAll(query, "&amp;", "&"))
	if rows := strings.Count(left.body, "<tr>") - 1; rows != 3 || !strings.Contains(left.body, `aria-sort="descending"`) {
		t.Errorf("%d rows without the first chip", rows)
	}
	// Without a value, as an object, as a group, and with what makes no sense.
	for filters, want := range map[string]string{
		`[{"column":"note","op":"is_null"}]`:               "note is NULL",
		`{"note":null}`:                                    "note is NULL",
		`{"or":[{"column":"id","value":1}]}`:               "{&#34;or&#34;",
		`[{"column":"id","op":"between","value":[1,2]}]`:   "id between 1,2",
		`[{"column":"` + `<script>` + `","op":"is_null"}]`: "✗ ",
		`[{"column":"id","op":"=","value":"x"}]`:           "✗ ",
		`[}`:                                               "✗ ",
	} {
		got := b.get(page + "?filters=" + url.QueryEscape(filters))
		if !strings.Contains(got.body, want) || strings.Contains(got.body, "<script>") || got.status == http.StatusInternalServerError {
			t.Errorf("%s: %d, no %q in %s", filters, got.status, want, got.body)
		}
	}
}

func TestTokensAreMadeForAPurpose(t *testing.T) {
	t.Parallel()
	s, b := openPanel(t)
	b.setUp(s)
	page := "/admin/p/" + s.ready.Project.Slug + "/tokens"
	before := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}
	form := map[string]string{"token_name": hostile, "preset": "form", "table": "contacts", "life": "90"}
	made := b.post(page, form)
	_, rest, _ := strings.Cut(made.body, `<code id="secret">`)
	secret, _, _ := strings.Cut(rest, "<")
	if made.status != http.StatusOK || !strings.HasPrefix(secret, "pat_") || strings.Contains(made.body, "<img src=x") {
		t.Fatalf("%d %s", made.status, made.body)
	}
	c := &labeled{t: t, base: before.base, token: secret}
	for path, want := range map[string]int{"/records/contacts": 200, "/records/companies": 403, "/auth/tokens": 403} {
		if status, _ := c.call("GET", path, "", nil); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if status, _ := before.call("GET", "/auth/me", "", nil); status != http.StatusOK {
		t.Errorf("a token that was there before has ended: %d", status)
	}
	listed := b.get(page)
	if strings.Contains(listed.body, secret) || !strings.Contains(listed.body, "records:write:contacts") {
		t.Errorf("the list of tokens: %s", listed.body)
	}
	for name, change := range map[string][2]string{"name": {"token_name", ""}, "preset": {"preset", "?"}, "table": {"table", ""}, "life": {"life", ""}, "no such table": {"table", "nowhere"}} {
		wrong := map[string]string{}
		for key, value := range form {
			wrong[key] = value
		}
		wrong[change[0]] = change[1]
		if got := b.post(page, wrong); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `class="fault"`) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	// The newest token is the first of the list.
	_, rest, _ = strings.Cut(listed.body, page+"/")
	id, _, _ := strings.Cut(rest, "/")
	rotated := b.post(page+"/"+id+"/rotate", nil)
	if _, rest, _ = strings.Cut(rotated.body, `<code id="secret">`); !strings.HasPrefix(rest, "pat_") || strings.HasPrefix(rest, secret) {
		t.Errorf("rotated: %d %s", rotated.status, rotated.body)
	}
	if gone := b.follow(b.post(page+"/"+id+"/revoke", nil)); !strings.Contains(gone.body, "Tokens that have ended (1)") {
		t.Errorf("revoked: %s", gone.body)
	}
	if status, _ := c.call("GET", "/records/contacts", "", nil); status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", status)
	}
}
