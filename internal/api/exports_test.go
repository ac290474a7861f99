package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

// shop is a server for a house, with the project shop and one table.
type shop struct {
	*house
	*httptest.Server
	token string
}

func openShop(t *testing.T, h *house, config Config) *shop {
	t.Helper()
	h.project(t, "shop")
	config.Registry, config.Exports, config.Imports, config.Rehearsals, config.Journal = h.registry, h.exports, h.imports, h.rehearsals, h.journal
	config.HTTP.Log, config.HTTP.Now, config.HTTP.Random = slog.New(slog.DiscardHandler), h.now, &counting{}
	s := &shop{h, httptest.NewServer(New(config)), h.token(t, "shop").Secret}
	t.Cleanup(s.Close)
	if got := s.ask(t, "POST", "/table", `{"table_name":"contacts","columns":[{"name":"name"}]}`); got.status != http.StatusCreated {
		t.Fatal(got.body)
	}
	return s
}

func (s *shop) ask(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	return s.askAt(t, method, "/projects/shop"+path, body, headers...)
}

// askAt is ask for any path, also outside the project.
func (s *shop) askAt(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	r := testkit.Request(t, method, s.URL+path, s.token, strings.NewReader(body), headers...)
	return replyOf(testkit.Send(t, http.DefaultClient.Do, r))
}

// ordered waits until an export has been created and returns its id.
func (s *shop) ordered(t *testing.T) string {
	t.Helper()
	for range 500 {
		list, _, err := s.exports.List(t.Context(), 1, export.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 {
			return list[0].ID
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no export was ordered")
	return ""
}

func TestExportThatTakesLong(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{WaitLimit: 50 * time.Millisecond})
	for _, c := range []struct {
		prefer, applied string
		least           time.Duration
	}{{"", "", 50 * time.Millisecond}, {"respond-async", "respond-async", 0}, {"wait=0", "wait=0", 0}, {"wait=9", "wait=0", 50 * time.Millisecond}} {
		began := time.Now()
		got := s.ask(t, "POST", "/export/table/contacts", "", "Prefer: "+c.prefer)
		took := time.Since(began)
		if got.status != 202 || !strings.HasPrefix(got.header.Get("Location"), "/projects/shop/exports/exp_") || got.header.Get("Preference-Applied") != c.applied {
			t.Errorf("%q: %d %v %s", c.prefer, got.status, got.header, got.body)
		}
		if took < c.least || took > 8*time.Second {
			t.Errorf("%q took %v", c.prefer, took)
		}
	}
	id := s.ordered(t)
	if got := s.ask(t, "GET", "/export/download/"+id, "").failure(t); got != "409 export_not_ready" {
		t.Error(got)
	}
	if got := s.ask(t, "DELETE", "/exports/"+id, ""); got.status != 200 {
		t.Error(got.body)
	}
	if got := s.ask(t, "GET", "/export/download/"+id, "").failure(t); got != "409 export_failed [export_id: "+id+"]" {
		t.Error(got)
	}
	if got := s.ask(t, "GET", "/exports/"+id, ""); !strings.Contains(got.body, `"status":"canceled"`) {
		t.Error(got.body)
	}
}

func TestExportThatIsCanceledWhileItsCreationWaits(t *testing.T) {
	s := openShop(t, openIdleHouse(t, clock), Config{})
	answer := make(chan reply)
	go func() { answer <- s.ask(t, "POST", "/export/database", "") }()
	id := s.ordered(t)
	s.ask(t, "DELETE", "/exports/"+id, "")
	got := <-answer
	if text := got.failure(t); text != "409 export_failed [export_id: "+id+"]" {
		t.Error(text)
	}
}

// TestWaitingKeepsNoProject deletes a project while the creation of an export waits for
// a worker that never comes.
func TestWaitingKeepsNoProject(t *testing.T) {
	s := openShop(t, openIdleHouse(t, clock), Config{})
	answer := make(chan reply)
	go func() { answer <- s.ask(t, "POST", "/export/database", "") }()
	s.ordered(t)
	began := time.Now()
	if got := s.ask(t, "DELETE", "", `{"confirm_project_slug":"shop"}`); got.status != 200 {
		t.Error(got.body)
	}
	if took := time.Since(began); took > testkit.Slack {
		t.Errorf("the deletion took %v", took)
	}
	if got := (<-answer).failure(t); got != "404 not_found" {
		t.Error(got)
	}
}

func TestWaitForExport(t *testing.T) {
	t.Parallel()
	s := openShop(t, openIdleHouse(t, clock), Config{})
	s.ask(t, "POST", "/export/database", "", "Prefer: respond-async")
	path := "/exports/" + s.ordered(t)
	began := time.Now()
	got := s.ask(t, "GET", path+"?wait=1", "")
	if took := time.Since(began); took < time.Second || took > testkit.Slack || !strings.Contains(got.body, `"status":"pending"`) {
		t.Errorf("after %v: %s", took, got.body)
	}
	began = time.Now()
	answer := make(chan reply)
	go func() { answer <- s.ask(t, "GET", path+"?wait=60", "") }()
	s.ask(t, "DELETE", path, "")
	got = <-answer
	if took := time.Since(began); took > testkit.Slack || got.status != 200 || !strings.Contains(got.body, `"status":"canceled"`) {
		t.Errorf("after %v: %d %s", took, got.status, got.body)
	}
}

func TestExportRemembersItsOperation(t *testing.T) {
	run := "oprun_x"
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{Join: func(context.Context, rest.Caller, string, string) (*rest.Operation, error) {
		return &rest.Operation{RunID: run, Status: "generated_run"}, nil
	}}})
	got := s.ask(t, "POST", "/export/schema", "", "X-Operation-Key: nightly")
	if !strings.Contains(got.body, `"operation_run_id":"oprun_x"}},"error":null`) {
		t.Error(got.body)
	}
	if got := s.ask(t, "POST", "/export/schema", ""); !strings.Contains(got.body, `"operation_run_id":null`) {
		t.Error(got.body)
	}
}

func TestConditionalDownload(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/export/table/contacts", "")
	path := "/export/download/" + s.ordered(t)
	whole := s.ask(t, "GET", path, "")
	etag, modified := whole.header.Get("Etag"), whole.header.Get("Last-Modified")
	if whole.body != "id,name\n" || etag != fmt.Sprintf("\"%x\"", sha256.Sum256([]byte(whole.body))) || modified != "Tue, 02 Jun 2026 01:23:45 GMT" || whole.header.Get("Repr-Digest") == "" {
		t.Fatalf("%q %v", whole.body, whole.header)
	}
	for header, status := range map[string]int{
		"If-None-Match: " + etag: 304, `If-None-Match: "x", ` + etag: 304, `If-None-Match: "x"`: 200,
		"If-Modified-Since: " + modified: 304, "If-Match: " + etag: 200, `If-Match: "x"`: 412, "Range: bytes=-1": 206,
	} {
		if got := s.ask(t, "GET", path, "", header); got.status != status {
			t.Errorf("%s: %d", header, got.status)
		}
	}
	if got := s.ask(t, "GET", path, "", "Range: bytes=1-", `If-Range: "x"`); got.status != 200 || got.body != whole.body {
		t.Errorf("If-Range of another file: %d %q", got.status, got.body)
	}
}

func TestReadSum(t *testing.T) {
	long := strings.Repeat("0a", 32)
	for _, text := range []*string{nil, new(""), new("0a"), new(long + "0a"), new(long[1:] + "x"), &long} {
		if got := readSum(make([]byte, 32), text); got != (text == &long) {
			t.Errorf("the sum %v is read: %t", text, got)
		}
	}
}
