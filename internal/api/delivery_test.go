package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// deaf sends a request and reads nothing of the answer.
func deaf(t *testing.T, url, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// eventually waits for a condition that must soon become true.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for range 500 {
		if check() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("never %s", what)
}

// wide fills the table contacts with rows of size characters, each of which takes six
// bytes in an answer.
func (s *shop) wide(t *testing.T, rows, size int) {
	t.Helper()
	row := `{"name":"` + strings.Repeat(`\u0001`, size) + `"}`
	for range rows {
		if got := s.ask(t, "POST", "/records/contacts?", row, "Content-Type: application/json"); got.status != http.StatusCreated {
			t.Fatalf("%d %.200s", got.status, got.body)
		}
	}
}

// TestClientsThatDoNotReadAreLeft requests large answers of each kind and reads none of
// them. The resources that the answers hold are released when the clients' time is up,
// although their connections are still open.
func TestClientsThatDoNotReadAreLeft(t *testing.T) {
	t.Parallel()
	l := limits.New(limits.Defaults(), nil)
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{Limits: l, AnswerTimeout: 300 * time.Millisecond}})
	s.wide(t, 6, 1<<20)
	request := func(path string) string {
		return "GET /projects/shop" + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.token + "\r\n\r\n"
	}
	for range 4 {
		deaf(t, s.URL, request("/records/contacts?limit=6"))
		deaf(t, s.URL, request("/records/contacts/1"))
	}
	eventually(t, "are all answers under way", func() bool { return l.Calls.Running() == 8 && l.Budget.Used() > 8<<20 })
	eventually(t, "is all given back", func() bool { return l.Calls.Running() == 0 && l.Budget.Used() == 0 })
	if got := s.ask(t, "GET", "/records/contacts/1", ""); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

// TestDownloadsThatNobodyReadsAreLeft checks that the file descriptor is closed.
func TestDownloadsThatNobodyReadsAreLeft(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(name, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	h := openHouse(t, clock)
	closed := make(chan struct{})
	list := []*rest.Endpoint{rest.Route("GET", "/projects/{project}/file", "file", "Download", rest.AnyToken(), rest.Plain(func(_ context.Context, _ *Workspace, _ *noInput) (*rest.Download, error) {
		f, err := os.Open(name)
		return &rest.Download{ContentType: "text/plain", Modified: clock(), Content: &watchedFile{f, closed}}, err
	}))}
	f := serve(t, h, list)
	f.edge.AnswerTimeout = 100 * time.Millisecond
	deaf(t, f.URL, "GET /projects/shop/file HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n")
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the file is still open")
	}
	// A client that reads, even slowly, gets all of it.
	response, err := http.DefaultClient.Do(authorized(t, f.URL+"/projects/shop/file"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	piece, got := make([]byte, 4<<20), int64(0)
	for range 8 {
		n, err := io.ReadFull(response.Body, piece)
		got += int64(n)
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	last, err := io.Copy(io.Discard, response.Body)
	if err != nil || got+last != 64<<20 {
		t.Errorf("%d bytes came: %v", got+last, err)
	}
}

type watchedFile struct {
	*os.File
	closed chan struct{}
}

func (f *watchedFile) Close() error {
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return f.File.Close()
}

func authorized(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer good")
	return r
}

// TestStreamsThatNobodyReadsAreLeft sends events until the client's buffers are full.
func TestStreamsThatNobodyReadsAreLeft(t *testing.T) {
	t.Parallel()
	h := openHouse(t, clock)
	ended := make(chan struct{})
	list := []*rest.Endpoint{rest.Route("GET", "/projects/{project}/follow", "follow", "Follow", rest.AnyToken(), rest.Plain(func(ctx context.Context, _ *Workspace, _ *noInput) (*rest.Events[string], error) {
		updates := make(chan string)
		go func() {
			defer close(ended)
			for {
				select {
				case updates <- strings.Repeat("x", 1<<20):
				case <-ctx.Done():
					return
				}
			}
		}()
		return &rest.Events[string]{Updates: updates}, nil
	}))}
	f := serve(t, h, list)
	f.edge.AnswerTimeout = 200 * time.Millisecond
	deaf(t, f.URL, "GET /projects/shop/follow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
}

// TestLargeAnswersAreTheSame compares answers encoded while they are sent with answers
// encoded in advance.
func TestLargeAnswersAreTheSame(t *testing.T) {
	columns := []format.Column{{Name: "id", Type: "INTEGER"}, {Name: "a", Type: "TEXT"}, {Name: "b", Type: "ANY"}}
	batch := new(sqlite.Batch)
	batch.Reset(3)
	for i := range 300 {
		text := strings.Repeat("ü\x01\"x\xff", 1+i*7)
		batch.Append(sqlite.IntValue(int64(i)), sqlite.Value{Kind: sqlite.Text, Bytes: []byte(text)}, sqlite.Value{Kind: sqlite.Blob, Bytes: []byte(text)})
	}
	rows := recordRows{rows: projectdb.Rows{Table: "t", Columns: columns, Batch: batch}}
	cursor := "next"
	for name, data := range map[string]any{
		"list": recordsOut{Table: "t", Rows: rows, NextCursor: &cursor}, "one": recordOut{Table: "t", Row: recordRow(rows)},
		"inserted": recordsInserted{Table: "t", Rows: &rows}, "inserted one": recordsInserted{Table: "t", Row: (*recordRow)(&rows)},
		"query": queryOut{Rows: rows, Columns: []string{"id"}},
	} {
		answer := rest.Plain(func(context.Context, rest.Caller, *noInput) (any, error) { return data, nil })
		e := rest.New(rest.Config{Now: clock, Random: endless{}}, document("test"), []*rest.Endpoint{
			rest.Route("GET", "/data", "get", "Answer", rest.Open(), answer), rest.Route("POST", "/data", "post", "Answer", rest.Open(), answer),
		})
		text, err := json.Marshal(data, json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "HEAD", "POST"} {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(method, "/data", nil))
			want := fmt.Appendf(nil, `{"ok":true,"data":%s,"error":null,"request_id":%q,"meta":{"generated_at":"2026-06-02T01:23:45Z"}}`, text, w.Header().Get("X-Request-Id"))
			if method == "HEAD" {
				want = nil
			}
			if !bytes.Equal(w.Body.Bytes(), want) {
				t.Errorf("%s %s: %d bytes are sent, want %d", method, name, w.Body.Len(), len(want))
			}
			if w.Header().Get("Content-Length") != "" {
				t.Errorf("%s %s has a length before it is encoded", method, name)
			}
		}
	}
}

// TestLargeValueIsNotEncodedWhole measures the memory of an answer whose encoded form
// is six times as long as the value.
func TestLargeValueIsNotEncodedWhole(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	const size = 5 << 20 // 30 MiB as JSON
	s.wide(t, 1, size)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	response, err := http.DefaultClient.Do(func() *http.Request {
		r := authorized(t, s.URL+"/projects/shop/records/contacts/1")
		r.Header.Set("Authorization", "Bearer "+s.token)
		return r
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	runtime.ReadMemStats(&after)
	if err != nil || n < 6*size {
		t.Fatalf("%d bytes came: %v", n, err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 4*size {
		t.Errorf("%d MB were allocated for a value of %d MB", taken>>20, size>>20)
	}
}

// TestFullBudget fills the budget and sends what no longer fits. Refused requests
// change nothing, and small ones still succeed.
func TestFullBudget(t *testing.T) {
	l := limits.New(limits.Settings{MemoryBudget: limits.MinBudget}, nil)
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{Limits: l}})
	s.wide(t, 1, 1<<20)
	hog := l.Budget.Part(99)
	if err := hog.Take(limits.MinBudget); err != nil {
		t.Fatal(err)
	}
	large := `{"name":"` + strings.Repeat("x", 100<<10) + `"}`
	s.ask(t, "GET", "/records/contacts/1", "").wants503(t, "a large answer")
	s.ask(t, "POST", "/records/contacts/search", `{}`).wants503(t, "a large answer to a search")
	s.ask(t, "POST", "/query", `{"sql":"SELECT * FROM contacts"}`).wants503(t, "a large answer to a statement")
	chunked, err := http.NewRequest("POST", s.URL+"/projects/shop/records/contacts", io.MultiReader(strings.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	chunked.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(chunked)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 503 {
		t.Errorf("a large body without a length: %d", response.StatusCode)
	}
	if got := s.ask(t, "POST", "/records/contacts", `{"name":"small"}`); got.status != 201 {
		t.Errorf("a small call: %d %s", got.status, got.body)
	}
	done := make(chan reply)
	go func() { done <- s.ask(t, "POST", "/records/contacts", large) }()
	eventually(t, "does the large body wait", func() bool { return l.Calls.Running() == 1 })
	hog.Release()
	if got := <-done; got.status != 201 {
		t.Errorf("a large body whose turn comes: %d %.200s", got.status, got.body)
	}
	eventually(t, "is all given back", func() bool { return l.Budget.Used() == 0 })
	if got := s.ask(t, "GET", "/records/contacts?limit=500&columns=id&count=true", ""); !strings.Contains(got.body, `"total":3`) {
		t.Errorf("of what was refused something is there: %s", got.body)
	}
}

// TestAnnouncedBodiesTakeNothing announces large bodies that never arrive, beside one
// that does.
func TestAnnouncedBodiesTakeNothing(t *testing.T) {
	t.Parallel()
	l := limits.New(limits.Settings{MemoryBudget: limits.MinBudget}, nil)
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{Limits: l, BodyTimeout: 2 * time.Second}})
	for range 10 {
		deaf(t, s.URL, "POST /projects/shop/records/contacts HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\nAuthorization: Bearer "+s.token+"\r\n\r\n{")
	}
	eventually(t, "do the bodies begin", func() bool { return l.Calls.Running() == 10 })
	if used := l.Budget.Used(); used != 0 {
		t.Errorf("%d bytes are taken by bodies that have not come", used)
	}
	if got := s.ask(t, "POST", "/records/contacts", `{"name":"`+strings.Repeat("x", 20<<20)+`"}`); got.status != 201 {
		t.Errorf("a body that comes: %d %.100s", got.status, got.body)
	}
	eventually(t, "are the others left", func() bool { return l.Calls.Running() == 0 })
}

func (r reply) wants503(t *testing.T, what string) {
	t.Helper()
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, `"busy"`) {
		t.Errorf("%s: %d %.200s", what, r.status, r.body)
	}
}

// TestWritesWithoutRoomAreNotMade updates a row that is too large to be returned, with
// and without a key.
func TestWritesWithoutRoomAreNotMade(t *testing.T) {
	l := limits.New(limits.Settings{MemoryBudget: limits.MinBudget}, nil)
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{Limits: l}})
	if got := s.ask(t, "POST", "/column/contacts", `{"name":"n","type":"INTEGER"}`); got.status != 201 {
		t.Fatal(got.body)
	}
	s.wide(t, 1, 1<<20)
	hog := l.Budget.Part(99)
	if err := hog.Take(limits.MinBudget); err != nil {
		t.Fatal(err)
	}
	s.ask(t, "PATCH", "/records/contacts/1", `{"n":1}`).wants503(t, "a patch")
	if got := s.ask(t, "POST", "/records/contacts", `{"data":[{"id":1,"n":2}],"on_conflict":{"columns":["id"],"action":"update"}}`, "Idempotency-Key: k"); got.status != 503 {
		t.Errorf("an upsert with a key: %d %.100s", got.status, got.body)
	}
	hog.Release()
	if got := s.ask(t, "GET", "/records/contacts?columns=n", ""); !strings.Contains(got.body, `"n":null`) {
		t.Errorf("a write that was refused is there: %s", got.body)
	}
	for i := range 2 {
		got := s.ask(t, "POST", "/records/contacts", `{"data":[{"id":1,"n":3}],"on_conflict":{"columns":["id"],"action":"update"}}`, "Idempotency-Key: k")
		if got.status != 201 && got.status != 200 || len(got.body) < 6<<20 || (got.header.Get("Idempotent-Replayed") != "") != (i > 0) {
			t.Errorf("the same key, time %d: %d with %d bytes, replayed %q", i, got.status, len(got.body), got.header.Get("Idempotent-Replayed"))
		}
	}
	eventually(t, "is all given back", func() bool { return l.Budget.Used() == 0 })
}

// TestStaleDeadlineDoesNotEndTheNextRequest sends a second request on the same
// connection long after the first was answered.
func TestStaleDeadlineDoesNotEndTheNextRequest(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{HTTP: rest.Config{AnswerTimeout: 50 * time.Millisecond}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for i := range 3 {
		body := `{"name":"` + strconv.Itoa(i) + `"}`
		fmt.Fprintf(conn, "POST /projects/shop/records/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", s.token, len(body))
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("round %d: %q, %v", i, line, err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, body)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != 201 {
			t.Fatalf("round %d: %v, %v", i, response, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		time.Sleep(120 * time.Millisecond)
	}
}
