package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// faultsOf returns the faulty fields that an answer names, and whether there are more.
func faultsOf(t *testing.T, got reply) (fields []string, more bool) {
	t.Helper()
	var answer struct {
		Error struct {
			Code    problem.Code
			Details []problem.Detail
			More    bool
		}
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatalf("%v in %q", err, got.body)
	}
	if answer.Error.Code != problem.CodeValidationFailed {
		t.Errorf("got %s", got.body)
	}
	for _, d := range answer.Error.Details {
		fields = append(fields, d.Field)
	}
	return fields, answer.Error.More
}

// TestFormAndMeaningAreToldTogether sends requests that are wrong in both form and
// meaning.
func TestFormAndMeaningAreToldTogether(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/table", `{"table_name":"t","columns":[{"name":"n","type":"INTEGER","nullable":false}]}`)
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/export/table/t", `{"format":"csvv","expires_in":0,"columns":["zz"],"compression":"lzma"}`, "columns[0] compression expires_in format"},
		{"POST", "/query", `{"sql":"select :a","params":{},"limt":3}`, "limt params.a"},
		{"POST", "/records/t", `{"data":[{"zz":1}],"retrun":"none"}`, "data[0].n data[0].zz retrun"},
		{"POST", "/records/t", `{"data":[{"zz":1},{"n":"x"}],"on_conflict":{"columns":["q"],"actoin":"update"}}`,
			"data[0].n data[0].zz data[1].n on_conflict.action on_conflict.actoin on_conflict.columns[0]"},
		{"POST", "/indexes/t", `{"columns":["zz"],"uniqu":true,"index_name":"1"}`, "columns[0] index_name uniqu"},
		{"POST", "/column/t", `{"name":"1bad","type":"FOO","nulable":true}`, "column_name column_type nulable"},
		{"POST", "/auth/tokens", `{"scopes":["bogus"],"expires_in":-1,"nme":"x"}`, "expires_in nme scopes[0]"},
		{"PATCH", "/records/t", `{"data":{"zz":1},"wher":{"q":1}}`, "data.zz wher where"},
		{"POST", "/imports?options=" + url.QueryEscape(`{"mode":"x","key":["a"],"types":{"q":"INT"}}`), "", "mode types.q"},
		// An invalid field counts as absent, with everything in it.
		{"POST", "/table", `{"table_name":5,"columns":[{"name":"a"},7,{"name":"a","type":[]}]}`, "columns[1] columns[2].column_name columns[2].type table_name"},
		{"POST", "/records/t", `{"data":[{"n":1},5]}`, "data[1]"},
		{"GET", "/records/t?order=up&limit=0&after=xx&sort=q&columns=n,n,q", "", "after columns[1] columns[2] limit order sort"},
		{"PATCH", "/column/t", `{"columns":[{"name":"n","new_column_name":"m","nulable":1},{"name":"m","type":"FOO"},{"type":"TEXT"}]}`, "columns[0].nulable columns[1].column_type columns[2]"},
		{"POST", "/export/database", `{"formt":1,"table_options":{"t":{"columns":["q"],"quote":"x"},"u":{}},"include_tables":["v"]}`, "formt include_tables[0] table_options.t.columns[0] table_options.t.quote table_options.u"},
	} {
		fields, more := faultsOf(t, s.ask(t, test.method, test.path, test.body))
		slices.Sort(fields)
		if got := strings.Join(fields, " "); got != test.want || more {
			t.Errorf("%s %s %s\n got %s\nwant %s", test.method, test.path, test.body, got, test.want)
		}
	}
}

// wrong is a request with a semantic fault.
type wrong struct {
	body   string // an object, to which an unknown field is added
	query  string
	path   map[string]string // path segments that differ from the defaults
	header []string
	field  string // the faulty field
}

// meaningless is for routes where a well-formed request cannot have a semantic fault.
var meaningless = wrong{}

// wrongRequests has an entry for every route: a new route must say here what can be
// wrong with its requests besides their form.
var wrongRequests = map[string]wrong{
	"bootstrap":      {body: `{"project_slug":"No slug","project_name":"x","initial_project_user":{"username":"u","password":"p"}}`, field: "project_slug"},
	"get-project":    meaningless,
	"follow-project": {query: "topics=weather", field: "topics[0]"},
	"rename-project": {body: `{"project_name":" "}`, field: "project_name"},
	"delete-project": {body: `{"confirm_project_slug":"another"}`, field: "confirm_project_slug"},

	"get-settings":    meaningless,
	"change-settings": {body: `{"stage":"live"}`, field: "stage"},

	"show-token":   meaningless,
	"list-tokens":  meaningless,
	"mint-token":   {body: `{"scopes":["records:red"]}`, field: "scopes[0]"},
	"test-token":   {body: `{"token_name":"\u0001"}`, field: "token_name"},
	"change-token": {body: `{"scopes":["records:red"]}`, field: "scopes[0]"},
	"rotate-token": meaningless,
	"revoke-token": meaningless,

	"list-saved-filters":  meaningless,
	"save-filter":         {body: `{"name":"x","state":{},"table":"nowhere"}`, field: "table"},
	"get-saved-filter":    meaningless,
	"change-saved-filter": {body: `{"name":" "}`, field: "name"},
	"delete-saved-filter": meaningless,
	"list-saved-queries":  meaningless,
	"save-query":          {body: `{"name":"x","state":{},"table":"nowhere"}`, field: "table"},
	"get-saved-query":     meaningless,
	"change-saved-query":  {body: `{"name":" "}`, field: "name"},
	"delete-saved-query":  meaningless,

	"list-users":  meaningless,
	"add-user":    {body: `{"username":"vera","password":"short","role":"viewer"}`, field: "password"},
	"change-user": {body: `{"password":"short"}`, field: "password"},
	"remove-user": meaningless,

	"list-tables":  meaningless,
	"create-table": {body: `{"table_name":"1bad"}`, field: "table_name"},
	"get-table":    meaningless,
	"update-table": {body: `{"new_table_name":"1bad"}`, field: "new_table_name"},
	"delete-table": meaningless,

	"list-columns":   meaningless,
	"add-column":     {body: `{"name":"1bad"}`, field: "column_name"},
	"update-columns": {body: `{"columns":[{"name":"nowhere"}]}`, field: "columns[0]"},
	"update-column":  {body: `{"type":"FOO"}`, field: "column_type"},
	"delete-column":  {body: `{}`, path: map[string]string{"column_id_or_name": "id"}, field: "column"},

	"list-records":      {query: "sort=nowhere", field: "sort"},
	"search-records":    {body: `{"filters":{"nowhere":1}}`, field: "filters.nowhere"},
	"aggregate-records": {body: `{"group_by":["nowhere"]}`, field: "group_by[0]"},
	"batch":             {body: `{"operations":[{"op":"insert","table":"contacts","data":{"nowhere":1}}]}`, field: "operations[0].data.nowhere"},
	"insert-records":    {body: `{"data":[{"nowhere":1}]}`, field: "data[0].nowhere"},
	"update-records":    {body: `{"data":{"nowhere":1},"where":{"name":"Ada"}}`, field: "data.nowhere"},
	"delete-records":    {body: `{"where":{"nowhere":1}}`, field: "where.nowhere"},
	"get-record":        {query: "columns=nowhere", field: "columns[0]"},
	"update-record":     {body: `{"data":{"nowhere":1}}`, field: "nowhere"},
	"delete-record":     meaningless,
	"list-values":       {query: "filters=" + url.QueryEscape(`{"nowhere":1}`), field: "filters.nowhere"},
	"summarize-column":  {query: "filters=" + url.QueryEscape(`{"nowhere":1}`), field: "filters.nowhere"},

	"list-requests":    {query: "from=yesterday", field: "from"},
	"follow-requests":  {query: "to=yesterday", field: "to"},
	"get-request":      meaningless,
	"list-operations":  {query: "from=yesterday", field: "from"},
	"list-runs":        {query: "after=x", field: "after"},
	"get-run":          meaningless,
	"follow-run":       meaningless,
	"list-changes":     {query: "after=1", field: "after"},
	"erase-changes":    meaningless,
	"list-history":     {query: "after=x.1", field: "after"},
	"list-run-changes": {query: "after=-1.1", field: "after"},
	"revert-run":       meaningless,
	"revert-request":   meaningless,
	"get-usage":        {query: "from=1969-01-01T00:00:00Z", field: "from"},
	"get-cell":         meaningless,
	"put-cell":         {header: []string{"If-Match: unquoted"}, field: "If-Match"},

	"query":               {body: `{"sql":"SELECT :a AS a","params":{}}`, field: "params.a"},
	"cancel-query":        meaningless,
	"get-search-index":    meaningless,
	"create-search-index": {body: `{"columns":["nowhere"]}`, field: "columns[0]"},
	"delete-search-index": meaningless,

	"list-indexes": meaningless,
	"create-index": {body: `{"columns":["nowhere"]}`, field: "columns[0]"},
	"delete-index": {body: `{}`, path: map[string]string{"index": "sqlite_autoindex_contacts_1"}, field: "index"},

	"export-table":     {body: `{"columns":["nowhere"]}`, field: "columns[0]"},
	"export-query":     {body: `{"sql":"DELETE FROM contacts"}`, field: "sql"},
	"export-database":  {body: `{"include_tables":["nowhere"]}`, field: "include_tables[0]"},
	"export-schema":    {body: `{"format":"csv"}`, field: "format"},
	"export-requests":  {query: "from=yesterday", field: "from"},
	"export-runs":      {query: "from=yesterday", field: "from"},
	"export-usage":     {query: "from=yesterday", field: "from"},
	"export-run":       {body: `{"format":"csv"}`, field: "format"},
	"list-exports":     meaningless,
	"get-export":       meaningless,
	"follow-export":    meaningless,
	"verify-export":    meaningless,
	"rehearse-restore": {body: `{}`, field: "export_id"},
	"delete-export":    meaningless,
	"download-export":  meaningless,

	"create-import":    {query: "options=" + url.QueryEscape(`{"types":{"a":"FOO"}}`), field: "types.a"},
	"show-tus":         meaningless,
	"show-upload":      meaningless,
	"continue-upload":  {header: []string{"Tus-Resumable: 1.0.0", "Upload-Offset: some", "Content-Type: " + partType}, field: "Upload-Offset"},
	"list-imports":     meaningless,
	"get-import":       meaningless,
	"follow-import":    meaningless,
	"import-rejects":   meaningless,
	"run-import":       {body: `{"types":{"a":"FOO"}}`, field: "types.a"},
	"delete-import":    meaningless,
	"show-project-tus": meaningless,
	"import-project":   {query: "options=" + url.QueryEscape(`{"project_slug":"No slug"}`), field: "project_slug"},
}

// TestEveryRouteTellsAllFaults sends each route a request with an unknown field and,
// where possible, a semantic fault. All faults must be reported, and nothing may be
// done.
func TestEveryRouteTellsAllFaults(t *testing.T) {
	h := openHouse(t, clock)
	s := openShop(t, h, Config{})
	s.ask(t, "POST", "/column/contacts", `{"name":"email","unique":true}`)
	s.ask(t, "POST", "/records/contacts", `{"name":"Ada"}`)
	s.ask(t, "POST", "/export/schema", ``)
	parts := map[string]string{
		"query_id": "none", "project": "shop", "table": "contacts", "table_id_or_name": "contacts", "column_id_or_name": "name", "id": "1", "index": "none",
		"token_id": "1", "user_id": "1", "saved_id": "1", "run_id": "oprun_a", "request_id": "none", "export_id": s.ordered(t), "import_id": s.begin(t, 5, `{"table":"c"}`),
	}
	parts["import_id"] = parts["import_id"][strings.LastIndex(parts["import_id"], "/")+1:]
	before := s.state(t)
	for _, ep := range routes(h.handlers()) {
		test, known := wrongRequests[ep.ID]
		if !known {
			t.Errorf("%s: say in wrongRequests what can be wrong with its requests", ep.ID)
			continue
		}
		path := regexp.MustCompile(`\{\w+\}`).ReplaceAllStringFunc(ep.Path, func(part string) string {
			name := strings.Trim(part, "{}")
			if other := test.path[name]; other != "" {
				return other
			}
			return parts[name]
		}) + "?zzz=1&" + test.query
		want := []string{"zzz"}
		body := test.body
		if body != "" {
			body, want = `{"yyy":1,`+strings.TrimPrefix(body, "{"), append(want, "yyy")
			body = strings.Replace(body, ",}", "}", 1)
		}
		if test.field != "" {
			want = append(want, test.field)
		}
		got := s.askAt(t, ep.Method, path, body, test.header...)
		if ep.Method == http.MethodHead { // its answer has no body
			if got.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: status %d", ep.ID, got.status)
			}
			continue
		}
		if fields, _ := faultsOf(t, got); !slices.Equal(slices.Sorted(slices.Values(fields)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: told %q, want %q", ep.ID, fields, want)
		}
		if after := s.state(t); after != before {
			t.Fatalf("%s has changed\n%s\nto\n%s", ep.ID, before, after)
		}
	}
	if n := len(routes(h.handlers())); len(wrongRequests) != n {
		t.Errorf("wrongRequests has %d routes of %d", len(wrongRequests), n)
	}
}

// state returns everything that the project holds.
func (s *shop) state(t *testing.T) string {
	var text strings.Builder
	for _, path := range []string{"", "/tables", "/column/contacts", "/indexes/contacts", "/records/contacts", "/auth/tokens", "/exports", "/imports"} {
		var answer struct{ Data json.RawMessage }
		if err := json.Unmarshal([]byte(s.ask(t, "GET", path, "").body), &answer); err != nil {
			t.Fatal(err)
		}
		text.Write(answer.Data)
	}
	return regexp.MustCompile(`"(last_used_at|size_bytes)":[^,}]*`).ReplaceAllString(text.String(), "")
}

// TestHostileRequestsCostLittle sends bodies of megabytes in which everything is wrong,
// or that have far too much of something. Each is answered with a short list.
func TestHostileRequestsCostLittle(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	many := func(element string, n int) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	numbered := func(format string, n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, format, i)
		}
		return strings.TrimSuffix(text.String(), ",")
	}
	long := strings.Repeat("n", 1<<18)
	for name, test := range map[string]struct {
		method, path, body string
		first              string // the faulty field
		more               bool
	}{
		"empty columns":       {"POST", "/table", `{"table_name":"q","columns":[` + many("{}", 60_000) + `]}`, "columns[0].column_name", true},
		"many columns":        {"POST", "/table", `{"table_name":"q","columns":[` + numbered(`{"name":"c%d"},`, 2001) + `]}`, "columns", false},
		"wrong columns":       {"POST", "/table", `{"table_name":"q","columns":[` + many(`{"name":"c"}`, 2000) + `]}`, "columns[1].column_name", true},
		"unknown fields":      {"POST", "/table", `{` + numbered(`"k%d":1,`, 60_000) + `}`, "k0", true},
		"a long name":         {"POST", "/table", `{"` + long + `":1,"table_name":"` + long + `"}`, long[:197] + "…", false},
		"unknown conditions":  {"PATCH", "/records/contacts", `{"data":{"name":"x"},"where":[` + many(`{"column":"x"}`, 500_000) + `]}`, "where", false},
		"wrong conditions":    {"PATCH", "/records/contacts", `{"data":{"name":"x"},"where":[` + many(`{"column":"x"}`, 9000) + `]}`, "where[0].column", true},
		"values of in":        {"PATCH", "/records/contacts", `{"data":{"name":"x"},"where":[{"column":"name","op":"in","value":[` + many("1", 4_000_000) + `]}]}`, "where", false},
		"values of in, just":  {"PATCH", "/records/contacts", `{"data":{"name":"x"},"where":[{"column":"name","op":"in","value":[` + many("1", 10_000) + `]}]}`, "where", false},
		"groups":              {"DELETE", "/records/contacts", `{"where":[` + many(`{"or":[]}`, 10_001) + `]}`, "where", false},
		"a wide object":       {"DELETE", "/records/contacts", `{"where":{` + numbered(`"k%d":1,`, 10_001) + `}}`, "where.k0", true},
		"members of a patch":  {"PATCH", "/records/contacts", `{"where":{"name":"x"},"data":{` + numbered(`"k%d":1,`, 500_000) + `}}`, "data", false},
		"members of a row":    {"POST", "/records/contacts", `{` + numbered(`"k%d":1,`, 500_000) + `}`, "k0", true},
		"wrong rows":          {"POST", "/records/contacts", `{"data":[` + many("1", 4_000_000) + `]}`, "data[0]", true},
		"many rows":           {"POST", "/records/contacts", `{"data":[` + many("{}", 10_001) + `]}`, "data", false},
		"parameters":          {"POST", "/query", `{"sql":"SELECT :a AS a","params":{` + numbered(`"k%d":1,`, 500_000) + `}}`, "params", false},
		"a list of them":      {"POST", "/query", `{"sql":"SELECT ? AS a","params":[` + many("[]", 4_000_000) + `]}`, "params", false},
		"options of tables":   {"POST", "/export/database", `{"table_options":{` + numbered(`"k%d":{},`, 15_000) + `}}`, "table_options.k0", true},
		"more than there are": {"POST", "/export/database", `{"table_options":{` + numbered(`"k%d":{},`, 20_001) + `}}`, "table_options", false},
		"tables":              {"POST", "/export/database", `{"include_tables":[` + many(`"nowhere"`, 20_000) + `]}`, "include_tables[0]", true},
		"scopes":              {"POST", "/auth/tokens", `{"scopes":[` + many(`"all"`, 20_000) + `]}`, "scopes[0]", true},
		"options of imports":  {"POST", "/imports?options=" + url.QueryEscape(`{"types":{`+numbered(`"k%d":"FOO",`, 10_000)+`}}`), ``, "types.k0", true},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got := s.ask(t, test.method, test.path, test.body)
			fields, more := faultsOf(t, got)
			if len(fields) == 0 || fields[0] != test.first || more != test.more || len(fields) > problem.MaxDetails || more && len(fields) < problem.MaxDetails {
				t.Errorf("%d fields, the first %.80q, more %v", len(fields), append(fields, "")[0], more)
			}
			if len(got.body) > 32<<10 {
				t.Errorf("an answer of %d bytes", len(got.body))
			}
			if took := time.Since(began); took > testkit.Slack { // most took minutes
				t.Errorf("took %v", took)
			}
		})
	}
	t.Run("tables of bootstrap", func(t *testing.T) {
		body := `{"project_slug":"zz","project_name":"x","initial_project_user":{"username":"u","password":"p"},"tables":[%s]}`
		for tables, first := range map[string]string{many("{}", 100_000): "tables[0].table_name", numbered(`{"table_name":"t%d"},`, 20_001): "tables"} {
			if fields, _ := faultsOf(t, s.askAt(t, "POST", "/bootstrap", fmt.Sprintf(body, tables))); len(fields) == 0 || fields[0] != first {
				t.Errorf("%.60s: %d fields, the first %.80q", tables, len(fields), append(fields, "")[0])
			}
		}
		wide := fmt.Sprintf(`{"table_name":"t%%d","columns":[%s]},`, strings.ReplaceAll(numbered(`{"name":"c%d"},`, 2000), "%", "%%"))
		if fields, _ := faultsOf(t, s.askAt(t, "POST", "/bootstrap", fmt.Sprintf(body, numbered(wide, 260)))); !slices.Equal(fields, []string{"body"}) {
			t.Errorf("half a million columns: %.80q", fields)
		}
	})
}
