package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/limits"
)

// labeled is a client whose calls carry operation headers and are decoded.
type labeled struct {
	t          *testing.T
	base       string
	token      string
	key, runID string
}

func (c *labeled) call(method, path, body string, out any) (int, http.Header) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		r.Header.Set("X-Operation-Key", c.key)
	}
	if c.runID != "" {
		r.Header.Set("X-Operation-Run-Id", c.runID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if out != nil {
		var answer struct{ Data json.RawMessage }
		if err := json.Unmarshal(text, &answer); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
		if err := json.Unmarshal(answer.Data, out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return response.StatusCode, response.Header
}

type shownCall struct {
	Route       string   `json:"route"`
	Status      int      `json:"status"`
	RequestID   string   `json:"request_id"`
	RetryOf     *string  `json:"retry_of"`
	Object      *string  `json:"object"`
	Fields      []string `json:"error_fields"`
	OffsetMS    float64  `json:"offset_ms"`
	GapMS       float64  `json:"gap_ms"`
	TookMS      float64  `json:"took_ms"`
	RowsChanged int64    `json:"rows_changed"`
	RowsRead    int64    `json:"rows_read"`
}

type shownRun struct {
	Run struct {
		Calls, Failures int64
		RowsChanged     int64 `json:"rows_changed"`
		Artifacts       []string
		Tables          []string
		TookMS          float64 `json:"took_ms"`
	}
	Calls []shownCall
}

// A checkout of eight calls, one of which fails and is repeated, and a download.
func TestACheckoutIsOneRun(t *testing.T) {
	t.Parallel()
	s := stopped(t, start(t, Settings{Limits: limits.Defaults()}))
	for _, grouping := range []struct{ name, key, runID string }{{"by run id", "checkout", "oprun_order_1"}, {"by key", "checkout-by-key", ""}} {
		t.Run(grouping.name, func(t *testing.T) {
			c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}
			orders := "orders_" + fmt.Sprint(len(grouping.runID))
			if status, _ := c.call("POST", "/table", `{"table_name":"`+orders+`","columns":[{"column_name":"item"},{"column_name":"amount","column_type":"INTEGER"}]}`, nil); status != http.StatusCreated {
				t.Fatal(status)
			}
			c.key, c.runID = grouping.key, grouping.runID
			var made struct{ Export struct{ ID string } }
			steps := []struct {
				method, path, body string
				out                any
				want               int
			}{
				{"GET", "/records/" + orders, "", nil, 200},
				{"POST", "/records/" + orders, `{"item":"pen","amount":"many"}`, nil, 422},
				{"POST", "/records/" + orders, `{"item":"pen","amount":2}`, nil, 201},
				{"POST", "/records/" + orders, `{"data":[{"item":"ink"},{"item":"nib"}]}`, nil, 201},
				{"PATCH", "/records/" + orders + "/1", `{"amount":3}`, nil, 200},
				{"POST", "/query", `{"sql":"SELECT count(*) FROM ` + orders + ` WHERE item = 'pen'"}`, nil, 200},
				{"POST", "/export/table/" + orders, `{"format":"csv"}`, &made, 201},
			}
			var header http.Header
			for i, step := range steps {
				var status int
				if status, header = c.call(step.method, step.path, step.body, step.out); status != step.want {
					t.Fatalf("step %d: %d", i, status)
				}
			}
			status, headerOfFile := c.call("GET", "/export/download/"+made.Export.ID, "", nil)
			for _, name := range []string{"X-Operation-Key", "X-Operation-Run-Id"} {
				if got := headerOfFile.Get(name); status != 200 || got == "" || got != header.Get(name) {
					t.Errorf("the download says %s %q, the call before %q", name, got, header.Get(name))
				}
			}
			runID := headerOfFile.Get("X-Operation-Run-Id")
			c.key, c.runID = "", ""
			var shown shownRun
			c.call("GET", "/operations/runs/"+runID, "", &shown)
			checkCheckout(t, shown, made.Export.ID, orders)
		})
	}
}

func checkCheckout(t *testing.T, shown shownRun, exportID, table string) {
	t.Helper()
	run := shown.Run
	if run.Calls != 8 || run.Failures != 1 || run.RowsChanged != 4 || fmt.Sprint(run.Artifacts) != "["+exportID+"]" || fmt.Sprint(run.Tables) != "["+table+"]" {
		t.Errorf("run: %+v", run)
	}
	var routes []string
	for i, call := range shown.Calls {
		routes = append(routes, call.Route)
		if i > 0 {
			before := shown.Calls[i-1]
			if gap := call.OffsetMS - before.OffsetMS - before.TookMS; call.OffsetMS < before.OffsetMS || call.GapMS-max(gap, 0) > 0.01 || max(gap, 0)-call.GapMS > 0.01 {
				t.Errorf("call %d begins at %v with a gap of %v, the one before at %v and took %v", i, call.OffsetMS, call.GapMS, before.OffsetMS, before.TookMS)
			}
		}
	}
	if got, want := strings.Join(routes, " "), "list-records insert-records insert-records insert-records update-record query export-table download-export"; got != want {
		t.Fatalf("got the calls %s, want %s", got, want)
	}
	refused, repeated := shown.Calls[1], shown.Calls[2]
	if refused.Status != 422 || fmt.Sprint(refused.Fields) != "[amount]" || repeated.RetryOf == nil || *repeated.RetryOf != refused.RequestID || shown.Calls[3].RetryOf != nil {
		t.Errorf("refused %+v, repeated %+v, then %+v", refused, repeated, shown.Calls[3])
	}
	if last := shown.Calls[7]; last.Object == nil || *last.Object != exportID || last.OffsetMS > run.TookMS {
		t.Errorf("the download: %+v", last)
	}
}

func TestABatchCountsTheRowsThatItChanged(t *testing.T) {
	t.Parallel()
	s := stopped(t, start(t, Settings{Limits: limits.Defaults()}))
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token, runID: "oprun_batch"}
	if status, _ := c.call("POST", "/table", `{"table_name":"counted","columns":[{"column_name":"n","column_type":"INTEGER"}]}`, nil); status != http.StatusCreated {
		t.Fatal(status)
	}
	const operations = `{"operations":[{"op":"insert","table":"counted","data":{"n":1}},{"op":"insert","table":"counted","data":{"n":2}},{"op":"update","table":"counted","where":[{"column":"n","op":">","value":0}],"data":{"n":3}}]`
	for _, end := range []string{`,"dry_run":true}`, `}`} {
		if status, _ := c.call("POST", "/batch", operations+end, nil); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	var shown shownRun
	c.call("GET", "/operations/runs/"+c.runID, "", &shown)
	if shown.Run.RowsChanged != 4 || len(shown.Calls) != 3 || shown.Calls[1].RowsChanged != 0 || shown.Calls[2].RowsChanged != 4 {
		t.Errorf("%+v", shown)
	}
}

// Who may see the id of a record depends on the table that the call was about, whatever
// has its name now.
func TestIDsOfRecordsFollowTheirTable(t *testing.T) {
	t.Parallel()
	s := stopped(t, start(t, Settings{Limits: limits.Defaults()}))
	project := s.url + "/projects/" + s.ready.Project.Slug
	admin := &labeled{t: t, base: project, token: s.ready.Token}
	table := func(name string) string {
		t.Helper()
		if status, _ := admin.call("POST", "/table", `{"table_name":"`+name+`","columns":[{"column_name":"n"}]}`, nil); status != http.StatusCreated {
			t.Fatal(status)
		}
		reader, err := CreateToken.run(t.Context(), s.app, NewToken{Project: s.ready.Project.Slug, Scopes: []string{"journal:read", "records:read:" + name}})
		if err != nil {
			t.Fatal(err)
		}
		return reader.Secret
	}
	admin.runID = "oprun_birds"
	older := table("kites")
	admin.call("GET", "/records/kites/1", "", nil)
	admin.call("PATCH", "/table/kites", `{"new_table_name":"eagles"}`, nil)
	newer := table("kites")
	admin.call("PATCH", "/records/kites/2", `{"n":"x"}`, nil)
	admin.call("GET", "/records/nowhere/3", "", nil)
	for _, reader := range []struct{ token, want string }{
		{older, "1"}, {newer, "2"}, {s.ready.Token, "1 2 3"},
	} {
		c := &labeled{t: t, base: project, token: reader.token}
		var run shownRun
		if status, _ := c.call("GET", "/operations/runs/oprun_birds", "", &run); status != 200 {
			t.Fatal(status)
		}
		var shown []string
		for _, call := range run.Calls {
			if call.Object != nil && strings.HasSuffix(call.Route, "-record") {
				shown = append(shown, *call.Object)
			}
		}
		if got := strings.Join(shown, " "); got != reader.want {
			t.Errorf("ids %q are shown, want %q", got, reader.want)
		}
	}
}
