package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// openOffice serves the API for the project shop, whose table notes has the unique
// column email and the column secret, and whose table other is empty.
func openOffice(t *testing.T) (*fixture, *house) {
	t.Helper()
	h := openHouse(t, clock)
	f := serve(t, h, routes(h.handlers()))
	for _, table := range []projectdb.NewTable{
		{Name: "notes", Columns: []projectdb.NewColumn{{Name: "email", Unique: true}, {Name: "secret", Default: []byte(`"hush"`)}}},
		{Name: "other", Columns: []projectdb.NewColumn{{Name: "v"}}},
	} {
		h.inside(t, "shop", func(db *projectdb.DB) error {
			_, err := db.CreateTable(t.Context(), new(problem.Faults), table)
			return err
		})
	}
	return f, h
}

// told makes a call with a token, and with a key unless it is empty, and returns the
// status with the data or the code of the answer.
func (f *fixture) told(t *testing.T, token, key, method, path, body string) string {
	t.Helper()
	headers := []string{"Authorization: Bearer " + token}
	if key != "" {
		headers = append(headers, rest.KeyHeader+": "+key)
	}
	got := f.ask(t, method, "/projects/shop"+path, body, headers...)
	_, text, _ := strings.Cut(got.body, `"data":`)
	text, _, _ = strings.Cut(text, `,"error":null`)
	if got.status >= 400 {
		_, text, _ = strings.Cut(text, `"code":"`)
		text, _, _ = strings.Cut(text, `"`)
	}
	return fmt.Sprint(got.status, " ", text)
}

func TestWritersDoNotRead(t *testing.T) {
	f, h := openOffice(t)
	writer, reader := h.token(t, "shop", "records:write:notes").Secret, h.token(t, "shop", "records:write", "records:read").Secret
	for _, test := range []struct{ token, method, path, body, want string }{
		{writer, "POST", "/records/notes", `{"email":"a"}`, `201 {"table":"notes","row":{"id":1,"email":"a"}}`},
		{writer, "POST", "/records/notes", `{"data":[{"email":"b"},{"secret":"x"}]}`, `201 {"table":"notes","inserted":2,"rows":[{"id":2,"email":"b"},{"id":3,"secret":"x"}]}`},
		{writer, "POST", "/records/notes", `{"data":{"email":"a"},"on_conflict":{"columns":["email"],"action":"update"}}`, `200 {"table":"notes","row":{"id":1,"email":"a"}}`},
		{writer, "POST", "/records/notes", `{"data":{"email":"a"},"on_conflict":{"columns":["email"],"action":"ignore"}}`, `200 {"table":"notes","row":null}`},
		{writer, "POST", "/records/notes", `{"email":"a"}`, `409 conflict`},
		{writer, "PATCH", "/records/notes/1", `{"email":"z"}`, `200 {"table":"notes","row":{"id":1,"email":"z"}}`},
		{writer, "PATCH", "/records/notes", `{"data":{"email":"y"},"where":{"secret":"hush"}}`, `403 permission_denied`},
		{writer, "DELETE", "/records/notes", `{"where":[{"column":"secret","op":"like","value":"h%"}]}`, `403 permission_denied`},
		{writer, "PATCH", "/records/notes", `{"data":{"secret":"all"},"where":{},"allow_all":true}`, `200 {"table":"notes","affected_rows":3}`},
		{writer, "GET", "/records/notes", ``, `403 permission_denied`},
		{reader, "PATCH", "/records/notes/1", `{"email":"a"}`, `200 {"table":"notes","row":{"id":1,"email":"a","secret":"all"}}`},
		{reader, "DELETE", "/records/notes", `{"where":{"secret":"all"}}`, `200 {"table":"notes","affected_rows":3}`},
	} {
		if got := f.told(t, test.token, "", test.method, test.path, test.body); got != test.want {
			t.Errorf("%s %s %s: %s, want %s", test.method, test.path, test.body, got, test.want)
		}
	}
}

// TestLargeAnswersToWriters requests an answer that is encoded while it is sent, with
// rows of several shapes.
func TestLargeAnswersToWriters(t *testing.T) {
	f, h := openOffice(t)
	writer := h.token(t, "shop", "records:write:notes").Secret
	long := strings.Repeat("x", 256<<10)
	body := `{"data":[{"email":"` + long + `"},{"email":"b"},{"secret":"` + long + `"},{}]}`
	want := `201 {"table":"notes","inserted":4,"rows":[{"id":1,"email":"` + long + `"},{"id":2,"email":"b"},{"id":3,"secret":"` + long + `"},{"id":4}]}`
	if got := f.told(t, writer, "", "POST", "/records/notes", body); got != want {
		t.Errorf("%.200s …", got)
	}
}

// TestKeysAfterRights uses keys on tables that the token may not write to.
func TestKeysAfterRights(t *testing.T) {
	f, h := openOffice(t)
	token := h.token(t, "shop", "records:write:notes", "records:read:notes", "exports:create:notes", "exports:read", "query:read").Secret
	for _, test := range []struct{ key, path, body, want string }{
		{"k", "/records/notes", `{"email":"a"}`, `201 {"table":"notes","row":{"id":1,"email":"a","secret":"hush"}}`},
		{"k", "/records/notes", `{"email":"b"}`, `422 validation_failed`},
		{"k", "/records/other", `{"v":"b"}`, `403 permission_denied`},
		{"new", "/records/other", `{"v":"b"}`, `403 permission_denied`},
		{"k", "/records/nowhere", `{"v":"b"}`, `404 not_found`},
		{"k", "/export/table/other", `{}`, `403 permission_denied`},
		{"k", "/export/query", `{"sql":"SELECT 1 AS one"}`, `403 permission_denied`},
	} {
		if got := f.told(t, token, test.key, "POST", test.path, test.body); got != test.want {
			t.Errorf("%s %s with the key %s: %s, want %s", test.path, test.body, test.key, got, test.want)
		}
	}
}

// TestReplaysShowNoMoreThanTheTokenMayRead repeats calls after the token has lost the
// right to read.
func TestReplaysShowNoMoreThanTheTokenMayRead(t *testing.T) {
	f, h := openOffice(t)
	full, narrow := h.token(t, "shop", "records:write", "records:read"), h.token(t, "shop", "records:write")
	enter := f.enter
	f.enter = func(ctx context.Context, slug, secret string) (*Workspace, error) {
		ws, err := enter(ctx, slug, secret)
		if err == nil && secret == narrow.Secret {
			ws.Token.ID = full.ID // the same token, later
		}
		return ws, err
	}
	for i, call := range []struct{ body, full, narrow string }{
		{`{"email":"a"}`, `201 {"table":"notes","row":{"id":1,"email":"a","secret":"hush"}}`, `201 {"table":"notes","row":{"id":1,"email":"a"}}`},
		{`{"data":[{"email":"b"},{"EMAIL":"c","secret":"x"}]}`, `201 {"table":"notes","inserted":2,"rows":[{"id":2,"email":"b","secret":"hush"},{"id":3,"email":"c","secret":"x"}]}`,
			`201 {"table":"notes","inserted":2,"rows":[{"id":2,"email":"b"},{"id":3,"email":"c"}]}`},
		{`{"data":[],"return":"rows"}`, `200 {"table":"notes","inserted":0,"rows":[]}`, `200 {"table":"notes","inserted":0,"rows":[]}`},
		{`{"data":[{"email":"d"}],"return":"none"}`, `201 {"table":"notes","inserted":1}`, `201 {"table":"notes","inserted":1}`},
		{`{"data":{"email":"a"},"on_conflict":{"columns":["email"],"action":"ignore"}}`, `200 {"table":"notes","row":null}`, `200 {"table":"notes","row":null}`},
	} {
		key := fmt.Sprint("k", i)
		for what, want := range map[string]string{"the first time": call.full, "again": call.full} {
			if got := f.told(t, full.Secret, key, "POST", "/records/notes", call.body); got != want {
				t.Errorf("%s, %s: %s, want %s", call.body, what, got, want)
			}
		}
		if got := f.told(t, narrow.Secret, key, "POST", "/records/notes", call.body); got != call.narrow {
			t.Errorf("%s, with the right to write alone: %s, want %s", call.body, got, call.narrow)
		}
	}
}
