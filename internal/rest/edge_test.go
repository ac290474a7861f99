package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// Each route under test has one awkward feature.

type columnIn struct {
	Name     string `json:"column_name" alias:"name" maxLength:"63"`
	Type     string `json:"column_type,omitzero" alias:"type" default:"TEXT" enum:"INTEGER,REAL,TEXT,BLOB,ANY"`
	Nullable Flag   `json:"is_nullable,omitzero" alias:"nullable"`
	Default  Value  `json:"default_value,omitzero" alias:"default"`
}

type createTableIn struct {
	Body struct {
		Name        string           `json:"table_name" maxLength:"63"`
		DisplayName string           `json:"display_name,omitzero"`
		Columns     []columnIn       `json:"columns,omitzero" maxItems:"3"`
		Seed        []Values         `json:"seed,omitzero"`
		Options     map[string]pager `json:"options,omitzero"`
	}
}

type pager struct {
	Limit  int64 `json:"limit,omitzero" query:"limit" minimum:"1" maximum:"500" default:"100"`
	Offset int64 `json:"offset,omitzero" query:"offset" minimum:"0"`
}

type columnOut struct {
	Name     string         `json:"column_name"`
	Type     string         `json:"column_type"`
	Nullable bool           `json:"is_nullable"`
	Default  jsontext.Value `json:"default_value,omitzero"`
}

type tableOut struct {
	Table   string           `json:"table_name"`
	Columns []columnOut      `json:"columns"`
	Limits  map[string]int64 `json:"limits,omitempty"`
}

func createTable(_ context.Context, _ *caller, in *createTableIn) (tableOut, error) {
	if in.Body.Name == "taken" {
		return tableOut{}, problem.New(problem.CodeConflict, "The table exists.").With("table_name", "taken")
	}
	out := tableOut{Table: in.Body.Name, Limits: map[string]int64{}}
	for _, c := range in.Body.Columns {
		out.Columns = append(out.Columns, columnOut{c.Name, c.Type, c.Nullable.Or(true), jsontext.Value(c.Default)})
	}
	for name, p := range in.Body.Options {
		out.Limits[name] = p.Limit
	}
	return out, nil
}

// conditions is JSON in the text of a parameter.
type conditions jsontext.Value

func (c *conditions) UnmarshalText(text []byte) error {
	if !IsJSON(text) || jsontext.Value(text).Kind() == jsontext.KindNumber {
		return errors.New("Expected JSON: an object or an array of conditions.")
	}
	*c = append(conditions(nil), strings.TrimSpace(string(text))...)
	return nil
}

func (conditions) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{{Type: huma.TypeObject}, {Type: huma.TypeArray}}}
}

type listIn struct {
	Table Ref `path:"table"`
	pager
	Order   string     `query:"order" enum:"asc,desc" default:"asc"`
	Columns []string   `query:"columns"`
	Count   Flag       `query:"include_count"`
	Filters conditions `query:"filters"`
	Prefer  string     `header:"Prefer"`
}

type listOut struct {
	Table   string         `json:"table"`
	Limit   int64          `json:"limit"`
	Order   string         `json:"order"`
	Columns []string       `json:"columns"`
	Count   bool           `json:"count"`
	Filters jsontext.Value `json:"filters,omitzero"`
}

func listRecords(_ context.Context, _ *caller, in *listIn) (listOut, error) {
	return listOut{string(in.Table), in.Limit, in.Order, in.Columns, in.Count.Or(false), jsontext.Value(in.Filters)}, nil
}

type keyIn struct {
	Table Ref `path:"table"`
	ID    Key `path:"id"`
}

func getRecord(_ context.Context, _ *caller, in *keyIn) ([]string, error) {
	return []string{string(in.ID), in.ID.Plain()}, nil
}

type valuesIn struct{ Body Values }

type valueOut struct {
	Name  string         `json:"name"`
	Value jsontext.Value `json:"value"`
}

func insertRecord(_ context.Context, _ *caller, in *valuesIn) ([]valueOut, error) {
	var out []valueOut
	for _, v := range in.Body {
		out = append(out, valueOut{v.Name, jsontext.Value(v.Value)})
	}
	return out, nil
}

type patchIn struct {
	Body struct {
		Name    Optional[string] `json:"display_name,omitzero" maxLength:"5"`
		Default Optional[Value]  `json:"default_value,omitzero"`
		Unique  Optional[Flag]   `json:"is_unique,omitzero"`
	}
}

type patchOut struct {
	Name, Default, Unique string
}

func patchColumn(_ context.Context, _ *caller, in *patchIn) (patchOut, error) {
	say := func(sent, null bool, value string) string {
		switch {
		case !sent:
			return "absent"
		case null:
			return "null"
		}
		return value
	}
	b := in.Body
	return patchOut{
		say(b.Name.Sent, b.Name.Null, b.Name.Value),
		say(b.Default.Sent, b.Default.Null, string(b.Default.Value)),
		say(b.Unique.Sent, b.Unique.Null, strconv.FormatBool(b.Unique.Value.Or(false))),
	}, nil
}

type deleteIn struct {
	Body struct {
		Confirm string `json:"confirm_project_slug"`
	}
}

func deleteProject(_ context.Context, ws *caller, in *deleteIn) (string, error) {
	if in.Body.Confirm != ws.slug {
		return "", problem.Invalid("confirm_project_slug", "is not the slug")
	}
	return ws.slug, nil
}

// bulk counts the elements of an array without keeping them.
type bulk struct{ n int }

func (b *bulk) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != jsontext.KindBeginArray {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != jsontext.KindEndArray {
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if value.Kind() != jsontext.KindNumber {
			return problem.Invalid("["+strconv.Itoa(b.n)+"]", "Expected a number.")
		}
		b.n++
	}
	_, err := d.ReadToken()
	return err
}

type bulkIn struct{ Body bulk }

func importRows(_ context.Context, _ *caller, in *bulkIn) (int, error) { return in.Body.n, nil }

type fileIn struct {
	Name string `path:"name"`
}

const content = "id,name\n1,Ada\n2,Grace\n"

func download(dir string) func(context.Context, *caller, *fileIn) (*Download, error) {
	return func(_ context.Context, _ *caller, in *fileIn) (*Download, error) {
		switch in.Name {
		case "broken":
			return &Download{Content: brokenFile{strings.NewReader(content)}}, nil
		case "unreadable":
			return &Download{Content: shortFile{strings.NewReader(content), errors.New("input/output error")}}, nil
		case "unseekable":
			return &Download{Content: &unseekable{strings.NewReader(content), 0}}, nil
		case "unseekable-part":
			return &Download{Content: &unseekable{strings.NewReader(content), 2}}, nil
		case "short":
			return &Download{Content: shortFile{strings.NewReader(content), io.EOF}}, nil
		}
		f, err := os.Open(filepath.Join(dir, "artifact"))
		if err != nil || in.Name == "gone" {
			return nil, problem.New(problem.CodeExportExpired, "Export file has expired.")
		}
		return &Download{Disposition: export.ContentDisposition(in.Name, in.Name), ContentType: "text/csv; charset=utf-8", SHA256: sha256.Sum256([]byte(content)), Modified: clock(), Content: f}, nil
	}
}

// brokenFile has a size, but fails when it is read.
type brokenFile struct{ *strings.Reader }

func (brokenFile) Read([]byte) (int, error)         { panic("the disk is on fire") }
func (brokenFile) WriteTo(io.Writer) (int64, error) { panic("the disk is on fire") }

// shortFile ends with an error after each of its bytes.
type shortFile struct {
	*strings.Reader
	err error
}

func (f shortFile) Read(p []byte) (int, error) {
	n, _ := f.Reader.Read(p[:1])
	return n, f.err
}

// unseekable is a file on a failing disk: only the first seeks succeed.
type unseekable struct {
	*strings.Reader
	good int
}

func (f *unseekable) Seek(offset int64, whence int) (int64, error) {
	if f.good--; f.good < 0 {
		return 0, &fs.PathError{Op: "seek", Path: "/var/lib/secret", Err: syscall.EIO}
	}
	return f.Reader.Seek(offset, whence)
}

type nothing struct{}

func testRoutes(dir string) []*Endpoint {
	const p = "/projects/{project}"
	return []*Endpoint{
		Route("POST", "/bootstrap", "bootstrap", "Name no project", Scope("project:admin"), Plain(func(_ context.Context, ws *caller, _ *nothing) (string, error) { return ws.slug, nil }), BodyUpTo(32)),
		Route("DELETE", p, "delete-project", "Delete with a body", Scope("project:admin"), Plain(deleteProject)),
		Route("POST", p+"/table", "create-table", "Create a table", Scope("schema:write"), Plain(createTable), Created, Fails(problem.CodeConflict)),
		Route("GET", p+"/records/{table}", "list-records", "List records", Scope("records:read"), Plain(listRecords)),
		Route("GET", p+"/records/{table}/{id}", "get-record", "Get a record", Scope("records:read"), Plain(getRecord)),
		Route("POST", p+"/records/{table}", "create-record", "Create a record", Scope("records:write"), Plain(insertRecord)),
		Route("PATCH", p+"/column", "patch-column", "Patch a column", Scope("schema:write"), Plain(patchColumn)),
		Route("POST", p+"/bulk", "import-rows", "Stream a body", AnyToken(), Plain(importRows)),
		Route("POST", p+"/export", "create-export", "Answer later", AnyToken(), Plain(func(context.Context, *caller, *nothing) (Answer[string], error) {
			return Answer[string]{"pending", Head{Status: http.StatusAccepted, Location: "/exports/1", Applied: "respond-async"}}, nil
		}), Created),
		Route("GET", p+"/export/download/{name}", "download", "Download", Scope("exports:read"), Plain(download(dir)), Fails(problem.CodeExportExpired)),
		Route("GET", p+"/panic", "panic", "Panic", AnyToken(), Plain(func(context.Context, *caller, *nothing) (string, error) { panic("at the disco") })),
		Route("GET", p+"/fault", "fault", "Fail inside", AnyToken(), Plain(func(context.Context, *caller, *nothing) (string, error) {
			return "", errors.New("secret path /var/lib")
		})),
		Route("GET", p+"/wait", "wait", "Wait for the client to go", AnyToken(), Plain(func(ctx context.Context, _ *caller, _ *nothing) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})),
		Route("GET", p+"/busy", "busy", "Be busy", AnyToken(), Plain(func(context.Context, *caller, *nothing) (string, error) {
			return "", problem.New(problem.CodeBusy, "Busy.").Retry(1500 * time.Millisecond)
		})),
		Route("GET", p+"/nan", "nan", "Answer what JSON cannot say", AnyToken(), Plain(func(context.Context, *caller, *nothing) (Answer[any], error) {
			return Answer[any]{func() {}, Head{Location: "/nowhere", Applied: "wait=1", Replayed: true, Header: map[string]string{"X-Of-The-Answer": "1"}}}, nil
		})),
	}
}

func clock() time.Time { return time.Date(2026, 6, 2, 1, 23, 45, 123456789, time.UTC) }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "\xab\xc1\x23\xde\xf4\x56"[i%6]
	}
	return len(p), nil
}

// caller is whoever has the secret good, which opens everything, or weak.
type caller struct {
	slug string
	weak bool
}

func (*caller) Identity() (projectID ids.Project, tokenID ids.Token) { return 1, 1 }
func (c *caller) Permits(string) bool                                { return !c.weak }
func (*caller) Close()                                               {}

// enter knows only the project shop.
func enter(_ context.Context, slug, secret string) (*caller, error) {
	if slug != "shop" && slug != "" || secret != "good" && secret != "weak" {
		return nil, problem.New(problem.CodeInvalidToken, "Wrong.")
	}
	if slug == "" && secret == "weak" {
		return nil, problem.New(problem.CodePermissionDenied, "Weak.")
	}
	return &caller{"shop", secret == "weak"}, nil
}

var testDocument = Document{Title: "Test", Version: "test", Tag: func(string) string { return "All" }}

type fixture struct {
	*httptest.Server
	edge *Edge
	list []*Endpoint
	log  *bytes.Buffer
}

// start serves the routes under test.
func start(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "artifact"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, testRoutes(dir))
}

// serve serves the given routes.
func serve(t *testing.T, list []*Endpoint) *fixture {
	t.Helper()
	log := new(bytes.Buffer)
	e := New(Config{
		Authenticate: Bearer(enter),
		Join: func(_ context.Context, _ Caller, key, runID string) (*Operation, error) {
			if key == "broken" {
				return nil, errors.New("journal closed")
			}
			op := &Operation{RunID: runID, Status: "accepted_provided_run"}
			if key != "" {
				op.Key = &key
			}
			return op, nil
		},
		Log:         slog.New(slog.NewTextHandler(log, nil)),
		Now:         clock,
		Random:      endless{},
		BodyTimeout: 300 * time.Millisecond,
	}, testDocument, list)
	f := &fixture{httptest.NewServer(e), e, list, log}
	f.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(log, nil), slog.LevelError)
	t.Cleanup(f.Close)
	return f
}

type reply struct {
	status int
	header http.Header
	body   string
}

func replyOf(status int, header http.Header, body string) reply { return reply{status, header, body} }

// ask sends a request, with the token good unless headers say otherwise; headers are
// "Name: value", and "Name:" removes one.
func (f *fixture) ask(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	r := testkit.Request(t, method, f.URL+path, "good", strings.NewReader(body), headers...)
	return replyOf(testkit.Send(t, f.Client().Transport.RoundTrip, r))
}

// failure returns the error of an answer on one line.
func (r reply) failure(t *testing.T) string {
	t.Helper()
	return testkit.Failure(t, r.status, r.header, r.body)
}

const wrapped = `{"ok":true,"data":%,"error":null,"request_id":"req_20260602T012345_123456Z_abc123def456","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`

func (r reply) data(t *testing.T) string {
	t.Helper()
	before, after, _ := strings.Cut(wrapped, "%")
	data, ok := strings.CutPrefix(r.body, before)
	data, ok2 := strings.CutSuffix(data, after)
	if !ok || !ok2 {
		t.Fatalf("not the envelope of a success: %s", r.body)
	}
	return data
}

func TestExactAnswers(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ method, path, body, header, want string }{
		{"GET", "/projects/shop/records/3", "", "", `200 {"ok":true,"data":{"table":"3","limit":100,"order":"asc","columns":[],"count":false},"error":null,"request_id":"req_20260602T012345_123456Z_abc123def456","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`},
		{"GET", "/projects/shop/records/t", "", "X-Operation-Key: nightly <&>", `200 {"ok":true,"data":{"table":"t","limit":100,"order":"asc","columns":[],"count":false},"error":null,"request_id":"req_20260602T012345_123456Z_abc123def456","operation_key":"nightly <&>","operation_run_id":"","operation_grouping_status":"accepted_provided_run","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`},
		{"DELETE", "/projects/shop", `{"confirm_project_slug":"x"}`, "X-Operation-Run-Id: oprun_1", `422 {"ok":false,"data":null,"error":{"code":"validation_failed","message":"confirm_project_slug: is not the slug","details":[{"field":"confirm_project_slug","message":"is not the slug"}]},"request_id":"req_20260602T012345_123456Z_abc123def456","operation_key":null,"operation_run_id":"oprun_1","operation_grouping_status":"accepted_provided_run","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`},
		{"GET", "/projects/shop/busy", "", "X-Operation-Key: broken", `503 {"ok":false,"data":null,"error":{"code":"busy","message":"Busy."},"request_id":"req_20260602T012345_123456Z_abc123def456","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`},
		{"POST", "/projects/shop/export", "", "X-A: b", `202 {"ok":true,"data":"pending","error":null,"request_id":"req_20260602T012345_123456Z_abc123def456","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`},
		{"POST", "/projects/shop/table", `{"table_name":"a"}`, "X-A: b", `201 {"ok":true,"data":{"table_name":"a","columns":[]},"error":null,"request_id":"req_20260602T012345_123456Z_abc123def456","meta":{"generated_at":"2026-06-02T01:23:45Z"}}`},
	} {
		got := f.ask(t, c.method, c.path, c.body, c.header)
		if text := strconv.Itoa(got.status) + " " + got.body; text != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.method, c.path, text, c.want)
		}
		if got.header.Get("X-Request-Id") != "req_20260602T012345_123456Z_abc123def456" || got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
			t.Errorf("%s %s: headers %v", c.method, c.path, got.header)
		}
	}
	if got := f.ask(t, "POST", "/projects/shop/export", "").header; got.Get("Location") != "/exports/1" || got.Get("Preference-Applied") != "respond-async" {
		t.Errorf("%v", got)
	}
	if got := f.ask(t, "GET", "/projects/shop/busy", "").header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q", got)
	}
}

// TestEveryRoute checks on every route what must hold for all of them.
func TestEveryRoute(t *testing.T) {
	var list []testkit.Route
	f := start(t)
	for _, ep := range f.list {
		list = append(list, testkit.Route{
			Method: ep.Method, Path: ep.Path, TakesJSON: ep.TakesJSON(), BodyLimit: ep.BodyLimit,
			Denied: ep.Access.Scope != "" && strings.Contains(ep.Path, "{project}"),
		})
	}
	testkit.WalkRoutes(t, list, func(t *testing.T, method, path, body string, headers ...string) (string, http.Header) {
		got := f.ask(t, method, path, body, headers...)
		return got.failure(t), got.header
	})
}

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestNoSuchRoute(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/", "/projects", "/projects/", "//projects/shop/busy", "/projects/shop/../shop/busy", "/projects/shop/busy/", "/projects/shop/./busy", "/projects//busy", "/%2e%2e/x"} {
		if got := f.ask(t, "GET", path, "", "Authorization:").failure(t); got != "404 not_found" {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := f.ask(t, "PUT", "/projects/shop/records/t", "").header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("Allow %q", got)
	}
}

// TestUnmatchedCallsAreGrouped checks the operation fields where no endpoint answers:
// they are set if the token belongs to the project.
func TestUnmatchedCallsAreGrouped(t *testing.T) {
	f := start(t)
	const grouped = `"operation_key":"nightly","operation_run_id":"oprun_1","operation_grouping_status":"accepted_provided_run"`
	for _, c := range []struct {
		method, path, token string
		want                bool
	}{
		{"GET", "/projects/shop/no/such", "good", true},
		{"PUT", "/projects/shop/busy", "good", true},
		{"PUT", "/projects/shop", "good", true},
		{"PUT", "/projects/shop/busy", "bad", false},
		{"GET", "/projects/other/no/such", "good", false},
		{"GET", "/projects/%FF/no", "good", false},
		{"GET", "/projects//no", "good", false},
		{"GET", "//projects/shop/busy", "good", false},
		{"GET", "/no/such", "good", false},
	} {
		got := f.ask(t, c.method, c.path, "", "Authorization: Bearer "+c.token, "X-Operation-Key: nightly", "X-Operation-Run-Id: oprun_1")
		if strings.Contains(got.body, grouped) != c.want || strings.Contains(got.body, "operation_") != c.want {
			t.Errorf("%s %s with the token %s: %s", c.method, c.path, c.token, got.body)
		}
		if text := got.failure(t); text != "404 not_found" && text != "405 method_not_allowed" {
			t.Errorf("%s %s: %s", c.method, c.path, text)
		}
	}
}

func TestHead(t *testing.T) {
	f := start(t)
	get, head := f.ask(t, "GET", "/projects/shop/records/t", ""), f.ask(t, "HEAD", "/projects/shop/records/t", "")
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
		t.Errorf("%d %q %v", head.status, head.body, head.header)
	}
}

func TestFieldFaults(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/table", `{"tabel_name":"x","columns":[{"name":"ok"},{"column_type":"TXET","nam":1},7],"display_name":5}`,
			`422 validation_failed [tabel_name: There is no field "tabel_name". Did you mean "table_name"?] [columns[1].column_type: Must be one of INTEGER, REAL, TEXT, BLOB, ANY.] [columns[1].nam: There is no field "nam". Did you mean "name"?] [columns[1].column_name: A value is required.] [columns[2]: Expected an object.] [display_name: Expected a string.] [table_name: A value is required.]`},
		{"POST", "/table?x=1&limit=2", `{"table_name":null}`, `422 validation_failed [limit: There is no query parameter "limit".] [x: There is no query parameter "x".] [table_name: A value is required.]`},
		{"POST", "/table", ``, `422 validation_failed [table_name: A value is required.]`},
		{"POST", "/table", ` `, `422 validation_failed [table_name: A value is required.]`},
		{"POST", "/table", `[]`, `422 validation_failed [body: Expected an object.]`},
		{"POST", "/table", `{"table_name":"t","columns":[{"name":"a b"},{"name":"a","column_name":"b"},{"name":"c"},{"name":"d"}]}`,
			`422 validation_failed [columns[1].column_name: Also sent as name, which is the same field.] [columns: Expected at most 3 elements.]`},
		{"POST", "/table", `{"table_name":"t","seed":[{"a":1},{"a":[],"b":{}},3]}`,
			`422 validation_failed [seed[1].a: Expected a string, number, boolean or null.] [seed[1].b: Expected a string, number, boolean or null.] [seed[2]: Expected an object.]`},
		{"POST", "/table", `{"table_name":"t","options":{"a.b":{"limit":501},"c":{"limit":1.5},"d":{"limit":99999999999999999999}}}`,
			`422 validation_failed [options.a.b.limit: Must be from 1 to 500.] [options.c.limit: Expected an integer of at most 64 bits.] [options.d.limit: Expected an integer of at most 64 bits.]`},
		{"GET", "/records/t?limit=0&offset=-1&order=up&filters={&colums=a&offset=1", ``,
			`422 validation_failed [colums: There is no query parameter "colums". Did you mean "columns"?] [offset: Sent 2 times: send it once.] [limit: Must be from 1 to 500.] [order: Must be one of asc, desc.] [filters: Expected JSON: an object or an array of conditions.]`},
		{"GET", "/records/t?limit=9223372036854775808&filters=" + nested(65), ``, `422 validation_failed [limit: Expected an integer of at most 64 bits.] [filters: Expected JSON: an object or an array of conditions.]`},
		{"GET", "/records/%FFt?order=%FE&%FF=1", ``, "422 validation_failed [\uFFFD: There is no query parameter \"\uFFFD\".] [table: Must be percent-encoded UTF-8.] [order: Must be percent-encoded UTF-8.]"},
		{"GET", "/records/t/1,%FF", ``, "422 validation_failed [id: Must be percent-encoded UTF-8.]"},
		{"GET", "/no/%FF", ``, "404 not_found"},
		{"GET", "/records/t?sort=a;b", ``, `422 validation_failed [query: The query string is not well formed: write %3B for a semicolon.]`},
		{"GET", "/records/t?limit=%zz", ``, `422 validation_failed [query: The query string is not well formed.]`},
		{"PATCH", "/column", `{"display_name":"longer","default_value":[]}`, `422 validation_failed [display_name: Must have at most 5 characters.] [default_value: Expected a string, number, boolean or null.]`},
		{"POST", "/bulk", `[1,2,"x",`, `422 validation_failed [[2]: Expected a number.]`},
		{"POST", "/records/t", `[]`, `422 validation_failed [body: Expected an object.]`},
		{"POST", "/table", `{"table_name":"taken"}`, `409 conflict [table_name: taken]`},
		{"GET", "/fault", ``, `500 internal_error`},
		{"GET", "/nan", ``, `500 internal_error`},
		{"GET", "/panic", ``, `500 internal_error`},
	} {
		if got := f.ask(t, c.method, "/projects/shop"+c.path, c.body).failure(t); got != c.want {
			t.Errorf("%s %s %s:\n got %s\nwant %s", c.method, c.path, c.body, got, c.want)
		}
	}
}

func TestInputs(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/table", `{"table_name":"t","columns":[{"name":"a","type":"REAL","nullable":"off","default":9007199254740993},{"column_name":"b","column_type":null,"is_nullable":null,"default_value":null}]}`,
			`{"table_name":"t","columns":[{"column_name":"a","column_type":"REAL","is_nullable":false,"default_value":9007199254740993},{"column_name":"b","column_type":"TEXT","is_nullable":false,"default_value":null}]}`},
		{"POST", "/table", `{"table_name":"t","options":{"b":{},"a":{"limit":7}}}`, `{"table_name":"t","columns":[],"limits":{"a":7,"b":100}}`},
		{"GET", "/records/t?columns=a&columns=b,c&columns=", ``, `{"table":"t","limit":100,"order":"asc","columns":["a","b","c",""],"count":false}`},
		{"GET", "/records/t?limit=&order=&filters=&columns=a,b&include_count=yes", ``, `{"table":"t","limit":100,"order":"asc","columns":["a","b"],"count":true}`},
		{"GET", "/records/t?filters=" + `{"n":9007199254740993}`, ``, `{"table":"t","limit":100,"order":"asc","columns":[],"count":false,"filters":{"n":9007199254740993}}`},
		{"GET", "/records/t/a%2Cb,c%2Fd,%C3%A9", ``, `["a%2Cb,c%2Fd,%C3%A9","a,b,c/d,é"]`},
		{"POST", "/records/t", `{"z":9223372036854775807,"a":1e400,"m":"é","n":null,"b":true}`,
			`[{"name":"z","value":9223372036854775807},{"name":"a","value":1e400},{"name":"m","value":"é"},{"name":"n","value":null},{"name":"b","value":true}]`},
		{"POST", "/records/t", ``, `[]`},
		{"PATCH", "/column", `{}`, `{"Name":"absent","Default":"absent","Unique":"absent"}`},
		{"PATCH", "/column", ``, `{"Name":"absent","Default":"absent","Unique":"absent"}`},
		{"PATCH", "/column", `{"display_name":null,"default_value":null,"is_unique":null}`, `{"Name":"null","Default":"null","Unique":"null"}`},
		{"PATCH", "/column", `{"display_name":"","default_value":0,"is_unique":"ON"}`, `{"Name":"","Default":"0","Unique":"true"}`},
		{"DELETE", "", `{"confirm_project_slug":"shop"}`, `"shop"`},
		{"POST", "/bulk", `[1,2,3]`, `3`},
	} {
		if got := f.ask(t, c.method, "/projects/shop"+c.path, c.body).data(t); got != c.want {
			t.Errorf("%s %s %s:\n got %s\nwant %s", c.method, c.path, c.body, got, c.want)
		}
	}
	for _, contentType := range []string{"Content-Type:", "Content-Type: application/json; charset=UTF-8", "Content-Type: application/json;charset=utf8", "Content-Type: Application/JSON"} {
		if got := f.ask(t, "POST", "/projects/shop/bulk", `[1]`, contentType).data(t); got != "1" {
			t.Errorf("%s: %s", contentType, got)
		}
	}
	if got := f.ask(t, "POST", "/bootstrap", "").data(t); got != `"shop"` {
		t.Errorf("bootstrap: %s", got)
	}
}

func TestFlags(t *testing.T) {
	f := start(t)
	truthy := []string{`true`, `1`, `"1"`, `"true"`, `"yes"`, `"on"`, `"TRUE"`, `"Yes"`, `"\u006fn"`}
	falsy := []string{`false`, `0`, `2`, `1.0`, `null`, `""`, `"no"`, `" true"`, `"y"`, `[]`, `[1]`, `{"a":1}`, `-1`, `1e0`}
	for i, raw := range append(truthy, falsy...) {
		want := i < len(truthy)
		got := f.ask(t, "POST", "/projects/shop/table", `{"table_name":"t","columns":[{"name":"a","nullable":`+raw+`}]}`).data(t)
		if strings.Contains(got, `"is_nullable":true`) != want {
			t.Errorf("body %s: %s", raw, got)
		}
	}
	for query, want := range map[string]string{"true": "true", "1": "true", "ON": "true", "": "false", "0": "false", "null": "false"} {
		got := f.ask(t, "GET", "/projects/shop/records/t?include_count="+query, "").data(t)
		if !strings.Contains(got, `"count":`+want) {
			t.Errorf("query %q: %s", query, got)
		}
	}
}

func TestDownload(t *testing.T) {
	f := start(t)
	const path = "/projects/shop/export/download/Jos%C3%A9's%20%22list%22.csv"
	whole := f.ask(t, "GET", path, "")
	if whole.status != 200 || whole.body != content {
		t.Fatalf("%d %q", whole.status, whole.body)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/csv; charset=utf-8",
		"Content-Length":         strconv.Itoa(len(content)),
		"Content-Disposition":    `attachment; filename="Jos_'s _list_.csv"; filename*=UTF-8''Jos%C3%A9%27s%20%22list%22.csv`,
		"Etag":                   `"` + hexOf(content) + `"`,
		"X-Content-Type-Options": "nosniff",
		"Cache-Control":          "private",
		"Last-Modified":          "Tue, 02 Jun 2026 01:23:45 GMT",
		"Accept-Ranges":          "bytes",
	} {
		if got := whole.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := whole.header.Get("Repr-Digest"); !regexp.MustCompile(`^sha-256=:[A-Za-z0-9+/]{43}=:$`).MatchString(got) {
		t.Errorf("Repr-Digest %s", got)
	}
	etag := whole.header.Get("Etag")
	for _, c := range []struct {
		method, header string
		status         int
		body           string
	}{
		{"HEAD", "X-A: b", 200, ""},
		{"GET", "Range: bytes=8-", 206, content[8:]},
		{"GET", "Range: bytes=0-1", 206, content[:2]},
		{"GET", "Range: lines=1-2", 200, content}, // an unknown unit is ignored
		{"GET", "If-None-Match: " + etag, 304, ""},
		{"GET", "If-Modified-Since: Tue, 02 Jun 2026 01:23:45 GMT", 304, ""},
		{"GET", "If-Match: " + etag, 200, content},
	} {
		got := f.ask(t, c.method, path, "", c.header)
		if got.status != c.status || got.body != c.body || got.header.Get("Etag") != etag {
			t.Errorf("%s %s: %d %q %v", c.method, c.header, got.status, got.body, got.header)
		}
	}
	if got := f.ask(t, "GET", path, "", "Range: bytes=2-", `If-Range: "other"`); got.status != 200 || got.body != content {
		t.Errorf("If-Range of another file: %d %q", got.status, got.body)
	}
}

func TestDownloadFailsInTheEnvelope(t *testing.T) {
	f := start(t)
	const p = "/projects/shop/export/download/"
	if got := f.ask(t, "GET", p+"gone", "").failure(t); got != "410 export_expired" {
		t.Error(got)
	}
	got := f.ask(t, "GET", p+"a.csv", "", "Range: bytes=99-")
	if text := got.failure(t); text != "416 validation_failed [Range: the range is outside the file]" || got.header.Get("Content-Range") != "bytes */"+strconv.Itoa(len(content)) {
		t.Errorf("%s %v", text, got.header)
	}
	if got := f.ask(t, "GET", p+"a.csv", "", `If-Match: "other"`).failure(t); got != "412 validation_failed [If-Match: the file is not the one that the condition names]" {
		t.Error(got)
	}
	for name, header := range map[string]string{"unseekable": "", "unseekable-part": "Range: bytes=8-"} {
		got := f.ask(t, "GET", p+name, "", header)
		if text := got.failure(t); text != "503 busy" || got.header.Get("Retry-After") == "" || got.header.Get("Etag") != "" || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %s %v %s", name, text, got.header, got.body)
		}
		if log := f.log.String(); !strings.Contains(log, "/var/lib/secret") {
			t.Errorf("log of an %s download: %s", name, log)
		}
	}
	// A download that breaks halfway is cut off, so that nobody takes it for complete.
	for name, cause := range map[string]string{"broken": "the disk is on fire", "unreadable": "input/output error", "short": "unexpected EOF"} {
		f := start(t)
		response, err := f.Client().Transport.RoundTrip(f.request(t, "GET", p+name))
		if err == nil {
			_, err = io.ReadAll(response.Body)
		}
		if err == nil {
			t.Errorf("a %s download looks whole", name)
		}
		f.Close() // waits for the handler
		if log := f.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, cause) {
			t.Errorf("log of a %s download: %s", name, log)
		}
	}
}

func (f *fixture) request(t *testing.T, method, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, f.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer good")
	return r
}

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	const digits = "0123456789abcdef"
	var out []byte
	for _, b := range sum {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

func TestCausesAreLoggedAndNeverShown(t *testing.T) {
	f := start(t)
	for path, cause := range map[string]string{"fault": "secret path /var/lib", "panic": "at the disco", "nan": "func()"} {
		f.log.Reset()
		got := f.ask(t, "GET", "/projects/shop/"+path, "")
		if strings.Contains(got.body, cause) {
			t.Errorf("%s shows %s", path, got.body)
		}
		for _, name := range []string{"Location", "Preference-Applied", ReplayedHeader, "X-Of-The-Answer"} {
			if got.header.Get(name) != "" {
				t.Errorf("%s: the error has the header %s of the answer", path, name)
			}
		}
		log := f.log.String()
		if !strings.Contains(log, cause) || !strings.Contains(log, "request_id="+got.header.Get("X-Request-Id")) {
			t.Errorf("%s: log has not the cause under the request id: %s", path, log)
		}
		if path == "panic" && !strings.Contains(log, "edge_test.go") {
			t.Errorf("log has no stack: %s", log)
		}
	}
}

func TestClientsCannotFillTheLog(t *testing.T) {
	f := start(t)
	lines := func(path string, calls int) string {
		f.log.Reset()
		for range calls {
			f.ask(t, "GET", "/projects/shop/"+path, "")
		}
		return f.log.String()
	}
	if log := lines("busy", 100); strings.Count(log, "\n") != maxRepeats || strings.Contains(log, "level=ERROR") || !strings.Contains(log, "level=WARN") {
		t.Errorf("log of 100 busy answers: %s", log)
	}
	if log := lines("fault", 100); strings.Count(log, "level=ERROR") != 100 {
		t.Errorf("internal errors are missing in the log: %d lines", strings.Count(log, "\n"))
	}
}

func TestRepeatedLinesAreLeftOut(t *testing.T) {
	var r repeats
	now := clock()
	kinds := 0
	for i := range 2 * maxKinds {
		if ok, _ := r.admit(strconv.Itoa(i), now); ok {
			kinds++
		}
	}
	for range maxRepeats {
		r.admit("0", now)
	}
	if ok, leftOut := r.admit("0", now); kinds != maxKinds || len(r.lines) != maxKinds || ok || leftOut != 0 {
		t.Errorf("%d kinds of lines are admitted, %d are kept; an eleventh line is: %t", kinds, len(r.lines), ok)
	}
	if ok, leftOut := r.admit("0", now.Add(repeatWindow+1)); !ok || leftOut != maxKinds+2 {
		t.Errorf("in the next window: %t, %d left out", ok, leftOut)
	}
}

func TestClientGoneIsNoFault(t *testing.T) {
	f := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Client().Do(f.request(t, "GET", "/projects/shop/wait").WithContext(ctx)); err == nil {
		t.Fatal("no timeout")
	}
	half := dial(t, f)
	if _, err := io.WriteString(half, "GET /projects/shop/wait HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(half); err == nil && len(answer) > 0 {
		t.Errorf("a client that still reads gets %q", answer)
	}
	f.Close() // waits for the handler
	if log := f.log.String(); !strings.Contains(log, "client gone") || strings.Contains(log, "level=ERROR") {
		t.Errorf("log: %s", log)
	}
}

// dial opens a connection of its own.
func dial(t *testing.T, f *fixture) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	return conn.(*net.TCPConn)
}

// talk sends raw bytes piece by piece and returns the whole answer.
func (f *fixture) talk(t *testing.T, pause time.Duration, pieces ...string) string {
	t.Helper()
	conn := dial(t, f)
	go func() {
		for _, piece := range pieces {
			if _, err := conn.Write([]byte(piece)); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}()
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		t.Fatal(err)
	}
	return string(answer)
}

const head = "POST /projects/shop/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"

func TestSlowBody(t *testing.T) {
	t.Parallel()
	f := start(t)
	for name, pieces := range map[string][]string{
		"stalled": {head + "Content-Length: 100\r\n\r\n[1,"},
		"trickle": append([]string{head + "Content-Length: 100\r\n\r\n[1"}, strings.Split(strings.Repeat(",1|", 30), "|")...),
		// Sending fast at first earns no time to stall later.
		"late":    {head + "Content-Length: 1000000\r\n\r\n[" + strings.Repeat("1,", 300_000)},
		"chunked": {head + "Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n"},
	} {
		began := time.Now()
		answer := f.talk(t, 50*time.Millisecond, pieces...)
		if !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, `"request_timeout"`) || !strings.Contains(answer, "Connection: close") {
			t.Errorf("%s: %s", name, answer)
		}
		if took := time.Since(began); took > testkit.Slack {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestLargeBodyCloses(t *testing.T) {
	t.Parallel()
	f := start(t)
	announced := f.talk(t, 0, head+"Content-Length: 1048577\r\n\r\n")
	crossing := f.talk(t, 0, head+"Transfer-Encoding: chunked\r\n\r\n", "100002\r\n["+strings.Repeat(" ", 1<<20)+"1\r\n")
	for name, answer := range map[string]string{"announced": announced, "crossing": crossing} {
		if !strings.HasPrefix(answer, "HTTP/1.1 413 ") || !strings.Contains(answer, `"body_too_large"`) || !strings.Contains(answer, "Connection: close") {
			t.Errorf("%s: %s", name, answer)
		}
	}
	exact := "[" + strings.Repeat(" ", 1<<20-3) + "1]"
	if got := f.ask(t, "POST", "/projects/shop/bulk", exact).data(t); got != "1" {
		t.Errorf("a body of exactly the limit: %s", got)
	}
}

func TestConnectionOutlivesASlowHandler(t *testing.T) {
	t.Parallel()
	f := start(t)
	// The deadline of one body must not cut off the next request on the connection.
	one := head + "Content-Length: 3\r\n\r\n[1]"
	answer := f.talk(t, 500*time.Millisecond, one, one, strings.Replace(one, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
	if got := strings.Count(answer, "HTTP/1.1 200 OK"); got != 3 {
		t.Errorf("%d answers: %s", got, answer)
	}
}

func TestDocument(t *testing.T) {
	f := start(t)
	got := f.ask(t, "GET", "/openapi.json", "", "Authorization:")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" || got.header.Get("Content-Disposition") != "" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Security    []any
			Parameters  []struct{ Name, In string }
			Responses   map[string]struct{ Description string }
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
				Required   []string
			}
		}
	}
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || strings.Contains(got.body, "$schema") {
		t.Errorf("openapi %s", doc.OpenAPI)
	}
	for _, ep := range testRoutes("") {
		op := doc.Paths[ep.Path][strings.ToLower(ep.Method)]
		if op.OperationID != ep.ID || len(op.Security) != 1 || op.Responses[strconv.Itoa(ep.Status)].Description == "" {
			t.Errorf("%s %s: %+v", ep.Method, ep.Path, op)
		}
		if strings.Contains(ep.Path, "{project}") && (len(op.Parameters) == 0 || !strings.Contains(op.Responses["401"].Description, "invalid_token")) {
			t.Errorf("%s %s: %+v", ep.Method, ep.Path, op)
		}
	}
	column := doc.Components.Schemas["ColumnIn"]
	if len(column.Required) != 0 || column.Properties["name"] == nil || column.Properties["column_name"] == nil {
		t.Errorf("aliases: %+v", column)
	}
}

// bareEdge returns an edge with the routes under test, without a server and a log.
func bareEdge() *Edge {
	return New(Config{Authenticate: Bearer(enter), Log: slog.New(slog.DiscardHandler), Now: clock, Random: endless{}}, testDocument, testRoutes(""))
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"table_name":"t","columns":[{"name":"a","default":1}],"seed":[{"a":1}],"options":{"a":{"limit":1}}}`, `[`, `{"columns":null}`, `{"seed":[[]]}`} {
		f.Add(seed)
	}
	e := bareEdge()
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"POST /projects/shop/table", "POST /projects/shop/records/t", "PATCH /projects/shop/column", "POST /projects/shop/bulk"} {
			method, path, _ := strings.Cut(path, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer good")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s %q: %s", path, body, w.Body)
			}
			if w.Code < 300 && strings.TrimSpace(body) != "" && !json.Valid([]byte(body)) {
				t.Errorf("%s took %q, which is not JSON", path, body)
			}
		}
	})
}

func FuzzRequestLine(f *testing.F) {
	f.Add("t", "1,2", "limit=1&filters={}&columns=a&include_count")
	f.Add("%2F", "%,", "limit=%zz;&&=&order=asc")
	e := bareEdge()
	f.Fuzz(func(t *testing.T, table, id, query string) {
		for _, target := range []string{"/projects/shop/records/" + table + "?" + query, "/projects/shop/records/" + table + "/" + id} {
			at, err := url.ParseRequestURI(target)
			if err != nil {
				continue // refused by the server's own parser
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.URL = at
			r.Header.Set("Authorization", "Bearer good")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code >= 500 || w.Code == 307 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%q: %d %s", target, w.Code, w.Body)
			}
		}
	})
}

func TestTextThatIsNotUTF8(t *testing.T) {
	list := append(testRoutes(""), Route("GET", "/latin", "latin", "Answer Latin-1", Open(), Plain(func(context.Context, *caller, *nothing) (map[string]any, error) {
		return map[string]any{"a": "\xe9", "b": jsontext.Value("\"\xe9\"")}, nil
	})))
	e := New(Config{Log: slog.New(slog.DiscardHandler), Now: clock, Random: endless{}}, testDocument, list)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/latin", nil))
	if got := w.Body.String(); !strings.Contains(got, `{"a":"`+"\uFFFD"+`","b":"`+"\uFFFD"+`"}`) {
		t.Error(got)
	}
}

func BenchmarkEdge(b *testing.B) {
	e := bareEdge()
	for name, c := range map[string]struct{ method, path, body string }{
		"get":  {"GET", "/projects/shop/records/t?limit=10&order=desc", ""},
		"post": {"POST", "/projects/shop/table", `{"table_name":"t","columns":[{"name":"a","type":"TEXT","nullable":true}]}`},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				r.Header.Set("Authorization", "Bearer good")
				e.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
