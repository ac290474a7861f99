package server

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/zangtable/zangtable/internal/limits"
)

// exported is an export of the journal with its file.
type exported struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	RowCount int64  `json:"row_count"`
	Members  []struct{ Name string }
	Options  struct{ Parameters map[string]string }
	file     []byte
}

func (c *labeled) export(path, body string) (e exported) {
	c.t.Helper()
	var made struct{ Export exported }
	if status, _ := c.call("POST", "/export/"+path, body, &made); status != http.StatusCreated || made.Export.Status != "ready" {
		c.t.Fatalf("%s: %d %+v", path, status, made.Export)
	}
	e = made.Export
	var status int
	status, e.file = get(c.t, c.base+"/export/download/"+e.ID, "Authorization", "Bearer "+c.token)
	if status != 200 {
		c.t.Fatalf("%s: the download answers %d", path, status)
	}
	return e
}

// recorded runs a server with a few recorded calls of a run, and returns an
// administrator and a token that may read the journal but no records.
func recorded(t *testing.T) (admin, reader *labeled, exportID string) {
	t.Helper()
	s := stopped(t, start(t, Settings{Limits: limits.Defaults()}))
	base := s.url + "/projects/" + s.ready.Project.Slug
	admin = &labeled{t: t, base: base, token: s.ready.Token, key: "checkout", runID: "oprun_1"}
	admin.call("GET", "/records/companies/1", "", nil)
	admin.call("POST", "/records/companies", `{"company_name":"Ink, Pen & Co","employees":"many"}`, nil)
	admin.call("POST", "/records/companies", `{"company_name":"Ink","country":"AT"}`, nil)
	exportID = admin.export("table/companies", `{"format":"csv","filters":{"company_name":"canary"}}`).ID
	admin.key, admin.runID = "", ""
	token, err := CreateToken.run(t.Context(), s.app, NewToken{Project: s.ready.Project.Slug, Scopes: []string{"journal:read", "exports:create", "exports:read"}})
	if err != nil {
		t.Fatal(err)
	}
	return admin, &labeled{t: t, base: base, token: token.Secret}, exportID
}

func TestTheJournalIsExported(t *testing.T) {
	t.Parallel()
	admin, reader, _ := recorded(t)
	calls := admin.export("requests?run=oprun_1", `{"format":"csv"}`)
	rows, err := csv.NewReader(bytes.NewReader(calls.file)).ReadAll()
	if err != nil || len(rows) != 5 || calls.RowCount != 4 || calls.Options.Parameters["run"] != "oprun_1" {
		t.Fatalf("%d rows, %v, %+v", len(rows), err, calls)
	}
	column := func(name string, row int) string {
		for i, head := range rows[0] {
			if head == name {
				return rows[row][i]
			}
		}
		t.Fatalf("there is no column %s in %v", name, rows[0])
		return ""
	}
	if column("route", 4) != "get-record" || column("object", 4) != "1" || column("error_fields", 3) != "employees" || column("status", 3) != "422" {
		t.Errorf("the rows are %v", rows)
	}
	hidden := reader.export("requests?run=oprun_1&route=get-record", `{"format":"ndjson"}`)
	var call struct {
		Object *string
		Route  string
	}
	if err := json.Unmarshal(hidden.file, &call); err != nil || call.Route != "get-record" || call.Object != nil {
		t.Errorf("without a right to records: %s, %v", hidden.file, err)
	}
	failed := admin.export("requests?failed=true&run=oprun_1", `{"format":"csv"}`)
	if failed.RowCount != 1 || failed.Options.Parameters["failed"] != "true" {
		t.Errorf("failed calls: %+v", failed)
	}
	if keyless := admin.export("runs?keyless=true", `{"format":"csv"}`); keyless.RowCount != 0 {
		t.Errorf("runs without a key: %d", keyless.RowCount)
	}
	var list struct{ Returned int }
	for path, want := range map[string]int{"/requests?failed=true": 1, "/operations/runs?failing=yes": 1, "/operations/runs?keyless=1": 0} {
		if admin.call("GET", path, "", &list); list.Returned != want {
			t.Errorf("%s: %d are returned, want %d", path, list.Returned, want)
		}
	}
	runs := admin.export("runs", `{"format":"parquet"}`)
	table, err := parquet.OpenFile(bytes.NewReader(runs.file), int64(len(runs.file)))
	if err != nil || table.NumRows() != 1 || runs.RowCount != 1 {
		t.Errorf("runs: %v, %d rows", err, runs.RowCount)
	}
	usage := admin.export("usage?by=route&interval=day", `{"format":"ndjson","compression":"none"}`)
	if !bytes.Contains(usage.file, []byte(`"route":"get-record","table":"","calls":1`)) {
		t.Errorf("usage: %s", usage.file)
	}
	var tried struct {
		Preflight struct{ Tables []struct{ Lines []string } }
	}
	admin.call("POST", "/export/runs", `{"format":"csv","dry_run":true}`, &tried)
	if got := tried.Preflight.Tables; len(got) != 1 || len(got[0].Lines) != 2 || !strings.Contains(got[0].Lines[1], "oprun_1") {
		t.Errorf("a dry run: %+v", got)
	}
	for _, of := range []string{calls.ID, runs.ID} {
		if status, _ := reader.call("GET", "/export/download/"+of, "", nil); status != http.StatusForbidden {
			t.Errorf("another token downloads with %d", status)
		}
		var verified struct{ Verification struct{ OK bool } }
		if admin.call("POST", "/exports/"+of+"/verify", "", &verified); !verified.Verification.OK {
			t.Errorf("%s is not what its manifest says", of)
		}
	}
}

func TestARunIsExportedAsABundle(t *testing.T) {
	t.Parallel()
	admin, reader, exportID := recorded(t)
	for _, test := range []struct {
		who  *labeled
		want string
	}{
		{admin, "run.json calls.ndjson artifacts/" + exportID + ".json README.txt"},
		{reader, "run.json calls.ndjson README.txt"},
	} {
		bundle := test.who.export("runs/oprun_1", `{}`)
		z, err := zip.NewReader(bytes.NewReader(bundle.file), int64(len(bundle.file)))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		content := map[string]string{}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, f.Name)
			content[f.Name] = string(text)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("the members are %s, want %s", got, test.want)
		}
		var routes []string
		for line := range strings.Lines(content["calls.ndjson"]) {
			var call shownCall
			if err := json.Unmarshal([]byte(line), &call); err != nil {
				t.Fatal(err)
			}
			routes = append(routes, fmt.Sprint(call.Route, " ", call.Object != nil))
		}
		seesRecords := test.who == admin
		if got := fmt.Sprint(routes); got != fmt.Sprintf("[get-record %t insert-records false insert-records false export-table true]", seesRecords) {
			t.Errorf("the calls are %s", got)
		}
		if !strings.Contains(content["README.txt"], exportID) || strings.Contains(content["calls.ndjson"]+content["run.json"]+content["README.txt"], "canary") {
			t.Errorf("the description is %s", content["README.txt"])
		}
		var refused struct{}
		if status, _ := admin.call("POST", "/exports/"+bundle.ID+"/rehearse-restore", "", &refused); status != http.StatusUnprocessableEntity {
			t.Errorf("restoring it on trial answers %d", status)
		}
	}
}
