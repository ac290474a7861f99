package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/testkit"
)

// received is one event of a stream.
type received struct {
	name, id string
	data     map[string]any
}

// events follows the project with a token until ctx ends. The stream is open when it
// returns.
func (s *shop) events(t *testing.T, ctx context.Context, secret, query, lastID string) <-chan received {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/projects/shop/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 200 {
		t.Fatalf("the stream is answered %d", response.StatusCode)
	}
	events := make(chan received, 2000)
	go func() {
		defer close(events)
		defer response.Body.Close()
		var e received
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			name, value, _ := strings.Cut(scanner.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				_ = json.Unmarshal([]byte(value), &e.data)
				events <- e
				e = received{}
			}
		}
	}()
	return events
}

// await returns the next event, which must have the given name.
func await(t *testing.T, events <-chan received, name string) received {
	t.Helper()
	select {
	case e, more := <-events:
		if !more {
			t.Fatalf("the stream has ended before an event %s", name)
		}
		if e.name != name {
			t.Fatalf("the event %s %v, want %s", e.name, e.data, name)
		}
		return e
	case <-time.After(testkit.Slack):
		t.Fatalf("no event %s came", name)
	}
	return received{}
}

// tablesOf returns the names in a list of tables of an event.
func tablesOf(e received, list string) string {
	names := []string{}
	for _, table := range e.data[list].([]any) {
		names = append(names, fmt.Sprint(table.(map[string]any)["table_name"]))
	}
	return strings.Join(names, " ")
}

func (s *shop) must(t *testing.T, method, path, body string) {
	t.Helper()
	if got := s.ask(t, method, path, body); got.status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
}

// TestCommitsAreFollowed changes a project in many ways while it is followed.
func TestCommitsAreFollowed(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	s.must(t, "POST", "/table", `{"table_name":"firms","columns":[{"name":"name"}]}`)
	s.must(t, "POST", "/table", `{"table_name":"people","columns":[{"name":"name"},{"name":"firm_id","type":"INTEGER","references":{"table":"firms","on_delete":"CASCADE"}}]}`)
	s.must(t, "POST", "/table", `{"table_name":"notes","columns":[{"name":"person_id","type":"INTEGER","references":{"table":"people","on_delete":"SET NULL"}}]}`)
	s.must(t, "POST", "/records/firms", `{"data":[{"name":"a"},{"name":"b"}]}`)
	s.must(t, "POST", "/records/people", `{"data":[{"name":"Ada","firm_id":1}]}`)
	s.must(t, "POST", "/records/notes", `{"person_id":1}`)

	events := s.events(t, t.Context(), s.token, "?topics=commits", "")
	state := await(t, events, "state")
	if state.data["missed"] != false || state.id != fmt.Sprint(state.data["commit"]) {
		t.Errorf("the stream begins with %v", state)
	}
	place := state.data["commit"].(float64)
	for _, step := range []struct{ method, path, body, tables, altered string }{
		{"POST", "/records/firms", `{"name":"c"}`, "firms", ""},
		{"PATCH", "/records/people/1", `{"name":"Eve"}`, "people", ""},
		{"DELETE", "/records/firms/2", ``, "firms", ""}, // nobody refers to it
		{"DELETE", "/records/firms/1", ``, "firms people notes", ""},
		{"POST", "/batch", `{"operations":[{"op":"insert","table":"contacts","data":{"name":"x"}},{"op":"insert","table":"notes","data":{}}]}`, "contacts notes", ""},
		{"PATCH", "/records/firms", `{"data":{"name":"z"},"where":{"name":"c"}}`, "firms", ""},
		{"POST", "/table", `{"table_name":"more"}`, "", "more"},
		{"POST", "/column/contacts", `{"name":"email"}`, "", "contacts"},
		{"POST", "/indexes/contacts", `{"columns":["email"]}`, "", "contacts"},
		{"PATCH", "/table/more", `{"new_table_name":"fewer"}`, "", "fewer"},
		{"DELETE", "/table/fewer", ``, "", "<nil>"},
	} {
		s.must(t, step.method, step.path, step.body)
		e := await(t, events, "commit")
		if got := tablesOf(e, "tables"); got != step.tables {
			t.Errorf("%s %s touched %q, want %q", step.method, step.path, got, step.tables)
		}
		if got := tablesOf(e, "altered_tables"); got != step.altered || e.data["schema_changed"] != (step.altered != "") {
			t.Errorf("%s %s altered %q, want %q: %v", step.method, step.path, got, step.altered, e.data)
		}
		if at := e.data["commit"].(float64); at <= place || e.id != fmt.Sprint(at) {
			t.Errorf("the commit %v comes after %v", e, place)
		} else {
			place = at
		}
	}
	// What changes nothing is not told: the next event is that of a later commit.
	for _, quiet := range []struct{ method, path, body string }{
		{"GET", "/records/firms", ""}, {"DELETE", "/records/firms/99", ""}, {"POST", "/records/firms", `{"nowhere":1}`},
		{"POST", "/batch", `{"dry_run":true,"operations":[{"op":"insert","table":"contacts","data":{"name":"x"}}]}`},
		{"POST", "/records/notes", `{"person_id":77}`}, // refused by the foreign key
	} {
		s.ask(t, quiet.method, quiet.path, quiet.body)
	}
	s.must(t, "POST", "/records/people", `{"name":"last"}`)
	if e := await(t, events, "commit"); tablesOf(e, "tables") != "people" {
		t.Errorf("something else is told: %v", e)
	}
}

// TestCommitsNameOnlyReadableTables follows with tokens that may read less.
func TestCommitsNameOnlyReadableTables(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	s.must(t, "POST", "/table", `{"table_name":"secrets"}`)
	reader := s.events(t, t.Context(), s.house.token(t, "shop", "records:read:contacts").Secret, "?topics=commits", "")
	designer := s.events(t, t.Context(), s.house.token(t, "shop", "schema:read").Secret, "?topics=commits", "")
	blind := s.events(t, t.Context(), s.house.token(t, "shop", "exports:read").Secret, "?topics=commits", "")
	for _, events := range []<-chan received{reader, designer, blind} {
		await(t, events, "state")
	}
	s.must(t, "POST", "/records/secrets", `{}`)
	s.must(t, "POST", "/column/secrets", `{"name":"more"}`)
	s.must(t, "POST", "/batch", `{"operations":[{"op":"insert","table":"contacts","data":{}},{"op":"insert","table":"secrets","data":{}}]}`)
	s.must(t, "POST", "/column/contacts", `{"name":"email"}`)
	if e := await(t, reader, "commit"); tablesOf(e, "tables") != "contacts" || e.data["schema_changed"] == true {
		t.Errorf("the reader of contacts is told %v", e.data)
	}
	if e := await(t, reader, "commit"); tablesOf(e, "altered_tables") != "contacts" {
		t.Errorf("the reader of contacts is told %v", e.data)
	}
	for _, altered := range []string{"secrets", "contacts"} {
		if e := await(t, designer, "commit"); tablesOf(e, "tables") != "" || tablesOf(e, "altered_tables") != altered {
			t.Errorf("who may only see the schema is told %v", e.data)
		}
	}
	select {
	case e := <-blind:
		t.Errorf("who may read nothing is told %v", e)
	default:
	}
	if got := s.ask(t, "GET", "/events?topics=commits,all", ""); got.status != 422 || !strings.Contains(got.body, "topics[1]") {
		t.Errorf("an unknown topic is answered %d %s", got.status, got.body)
	}
	r := testkit.Request(t, "GET", s.URL+"/projects/shop/events?topics=requests", s.house.token(t, "shop", "records:read").Secret, nil)
	if got := replyOf(testkit.Send(t, http.DefaultClient.Do, r)); got.status != 403 {
		t.Errorf("requests without journal:read are answered %d", got.status)
	}
}

// TestCommitsAreResumed continues streams from places that are known, and from others.
func TestCommitsAreResumed(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	began := await(t, s.events(t, t.Context(), s.token, "?topics=commits", ""), "state").id
	for i := range 5 {
		s.must(t, "POST", "/records/contacts", fmt.Sprintf(`{"name":"%d"}`, i))
	}
	resumed := s.events(t, t.Context(), s.token, "?topics=commits", began)
	if state := await(t, resumed, "state"); state.data["missed"] != false || state.id != began {
		t.Errorf("resumed with %v", state)
	}
	var ids []string
	for range 5 {
		ids = append(ids, await(t, resumed, "commit").id)
	}
	again := s.events(t, t.Context(), s.token, "?topics=commits", ids[2])
	await(t, again, "state")
	if got := []string{await(t, again, "commit").id, await(t, again, "commit").id}; !slices.Equal(got, ids[3:]) {
		t.Errorf("resumed after %s with %v of %v", ids[2], got, ids)
	}
	for _, unknown := range []string{"999999", "-5", "x", "99999999999999999999"} {
		if state := await(t, s.events(t, t.Context(), s.token, "?topics=commits", unknown), "state"); state.data["missed"] != true || state.id != ids[4] {
			t.Errorf("resumed after %s with %v", unknown, state)
		}
	}
}

// TestEventsEnd takes from those who follow a project what they need for it.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, s *shop, id registry.MintedToken) error{
		"revoked": func(t *testing.T, s *shop, token registry.MintedToken) error {
			return s.operator(t).Revoke(t.Context(), token.ID)
		},
		"narrowed": func(t *testing.T, s *shop, token registry.MintedToken) error {
			_, err := s.operator(t).ChangeToken(t.Context(), new(problem.Faults), token.ID, registry.TokenPatch{Scopes: []string{"schema:read"}})
			return err
		},
		"deleted": func(t *testing.T, s *shop, _ registry.MintedToken) error {
			return s.registry.DeleteProject(t.Context(), s.operator(t).Project)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(t, openIdleHouse(t, clock), Config{})
			token := s.house.token(t, "shop")
			events := s.events(t, t.Context(), token.Secret, "", "")
			await(t, events, "state")
			if err := test(t, s, token); err != nil {
				t.Fatal(err)
			}
			select {
			case e, more := <-events:
				if more {
					t.Errorf("the stream goes on with %v", e)
				}
			case <-time.After(testkit.Slack):
				t.Error("the stream goes on")
			}
		})
	}
}

func (s *shop) operator(t *testing.T) *registry.Workspace {
	t.Helper()
	ws, err := s.registry.Operator(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// TestJobsAreFollowed orders exports while the project is followed by those who may and
// may not see them.
func TestJobsAreFollowed(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{})
	s.must(t, "POST", "/export/table/contacts", `{}`) // finished before anybody follows
	events := s.events(t, t.Context(), s.token, "?topics=jobs", "")
	blind := s.events(t, t.Context(), s.house.token(t, "shop", "records:read").Secret, "?topics=jobs", "")
	for _, kind := range []string{"export", "import"} {
		if kind == "export" {
			s.must(t, "POST", "/export/database", `{}`)
		} else {
			s.must(t, "POST", "/imports?options="+`{"table":"new"}`, "a,b\n1,2\n")
		}
		for {
			e := await(t, events, "job")
			job, isOne := e.data[kind].(map[string]any)
			if e.data["kind"] != kind || !isOne {
				t.Fatalf("told of %v", e.data)
			}
			if status := job["status"]; status == "ready" {
				break
			} else if status == "failed" {
				t.Fatalf("the job has failed: %v", job)
			}
		}
	}
	select {
	case e := <-blind:
		t.Errorf("who may see no job is told %v", e)
	default:
	}
}

// TestSlowFollowersMissCommits makes more commits than are remembered while nobody
// reads.
func TestSlowFollowersMissCommits(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	ws := s.operator(t)
	f, now, err := ws.Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	insert := func() {
		s.inside(t, "shop", func(db *projectdb.DB) error {
			_, err := db.InsertRecord(t.Context(), new(problem.Faults), "contacts", []byte(`{}`), projectdb.InsertOptions{})
			return err
		})
	}
	for range 256 {
		insert()
	}
	if list, missed, _ := f.Next(t.Context()); len(list) != 256 || missed != nil || list[0].Number != now.Commit+1 || list[255].Number != now.Commit+256 {
		t.Fatalf("%d commits from %+v, missed %v", len(list), now, missed)
	}
	for range 257 {
		insert()
	}
	if list, missed, more := f.Next(t.Context()); len(list) != 0 || missed == nil || missed.Commit != now.Commit+513 || !more {
		t.Fatalf("%d commits, missed %v", len(list), missed)
	}
	if insert(); !f.From(now.Commit+514-256) || f.From(now.Commit+514-257) {
		t.Error("the wrong places are known")
	}
}
