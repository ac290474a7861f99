package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/problem"
)

// running is a running server with the example project.
type running struct {
	app    *App
	ready  Ready
	url    string
	stop   func()
	served chan error // the result of Serve
}

// start runs a server; the test stops it and receives the result of Serve.
func start(t testing.TB, settings ...Settings) *running {
	t.Helper()
	return startIn(t, t.TempDir(), append(settings, Settings{Limits: limits.Defaults()})[0])
}

// startIn is start with a data folder.
func startIn(t testing.TB, folder string, settings Settings) *running {
	t.Helper()
	return startLogging(t, folder, settings, slog.New(slog.DiscardHandler))
}

// startLogging is startIn with a log.
func startLogging(t testing.TB, folder string, settings Settings, log *slog.Logger) *running {
	t.Helper()
	app, err := Open(folder, settings, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	ready, err := Prepare(t.Context(), app, "")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{app, ready, "http://" + listener.Addr().String(), stop, make(chan error, 1)}
	go func() { r.served <- app.Serve(ctx, listener, "test") }()
	return r
}

// serve runs a server with the example project and returns its address and a token. It
// is shut down gracefully at the end of the test.
func serve(t *testing.T) (url, token string) {
	t.Helper()
	r := start(t)
	t.Cleanup(func() {
		r.stop()
		if err := <-r.served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r.url, r.ready.Token
}

func get(t *testing.T, url string, header ...string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

func TestProbes(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if status, body := get(t, url+path); status != 200 || string(body) != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

// TestUnusualRequests sends requests that clients rarely make. Whatever can be parsed
// as HTTP is answered in the envelope.
func TestUnusualRequests(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	address := strings.TrimPrefix(url, "http://")
	const host = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for request, want := range map[string]string{
		"OPTIONS *" + host:                                      "404 not_found",
		"GET *" + host:                                          "404 not_found",
		"OPTIONS /openapi.json" + host:                          "405 method_not_allowed",
		"TRACE /openapi.json" + host:                            "405 method_not_allowed",
		"get /openapi.json" + host:                              "405 method_not_allowed",
		"CONNECT other:443" + host:                              "404 not_found",
		"GET //openapi.json" + host:                             "404 not_found",
		"GET /docs/../openapi.json" + host:                      "404 not_found",
		"GET /openapi.json/" + host:                             "404 not_found",
		"GET http://other" + host:                               "404 not_found",
		"POST /healthz" + host:                                  "404 not_found",
		"GET /projects/x\xff" + host:                            "401 missing_authorization",
		"GET /projects/x HTTP/1.0\r\n\r\n":                      "401 missing_authorization",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                      "404 not_found",
		"GET /projects/x HTTP/1.1\r\nConnection: close\r\n\r\n": "400 Bad Request: missing required Host header",
		"GET /projects/%zz" + host:                              "400 Bad Request",
	} {
		if got := askRaw(t, address, request); got != want {
			t.Errorf("%q: %s, want %s", request, got, want)
		}
	}
}

// TestUnreadableRequests provokes the answers given before the API sees a request.
// docs/errors.md lists them.
func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	address := strings.TrimPrefix(url, "http://")
	const host = "Host: x\r\n"
	for name, c := range map[string]struct{ request, want string }{
		"no request":        {"what\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"broken header":     {"GET / HTTP/1.1\r\n" + host + "a b: c\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"lengths differ":    {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"expectation":       {"POST / HTTP/1.1\r\n" + host + "Expect: tea\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 417 Expectation Failed"},
		"large headers":     {"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
		"transfer encoding": {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 Not Implemented"},
		"version":           {"GET / HTTP/3.0\r\n" + host + "\r\n", "HTTP/1.1 505 HTTP Version Not Supported"},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		// The server may answer and close the connection before it has read everything.
		_, _ = io.WriteString(conn, c.request)
		line, _, err := bufio.NewReader(conn).ReadLine()
		if !strings.HasPrefix(string(line), c.want) {
			t.Errorf("%s: %q (%v), want %q", name, line, err, c.want)
		}
		conn.Close()
	}
}

// TestChunkedBodiesEndTheirConnection sends a request that a proxy could take for two:
// its Content-Length and its chunks disagree. What follows it must not be read as a
// request.
func TestChunkedBodiesEndTheirConnection(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+
		"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answers, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(answers), "HTTP/1.1 "); n != 1 || !strings.Contains(string(answers), "Connection: close") {
		t.Errorf("%d answers: %s", n, answers)
	}
}

// askRaw sends the bytes of a request and returns the status of the answer with its
// error code, or with its text if it is not in the envelope.
func askRaw(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct{ Error struct{ Code string } }
	if json.Unmarshal(body, &envelope) != nil {
		return string(body)
	}
	return strconv.Itoa(response.StatusCode) + " " + envelope.Error.Code
}

// TestCallsAreGrouped checks the journal behind the API: two calls with the same label
// belong to one run.
func TestCallsAreGrouped(t *testing.T) {
	url, token := serve(t)
	var runs, statuses [2]string
	for i := range runs {
		status, body := get(t, url+"/projects/example_project/auth/me", "Authorization", "Bearer "+token, "X-Operation-Key", "nightly")
		var answer struct {
			Key    string `json:"operation_key"`
			Run    string `json:"operation_run_id"`
			Status string `json:"operation_grouping_status"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || status != 200 || answer.Key != "nightly" {
			t.Fatalf("%d %s", status, body)
		}
		runs[i], statuses[i] = answer.Run, answer.Status
	}
	if runs[0] != runs[1] || statuses != [2]string{"generated_run", "continued_run"} {
		t.Errorf("runs %v, statuses %v", runs, statuses)
	}
}

// TestWatchersDoNotHoldTheServerUp stops the server while a client follows an export
// that never ends.
func TestWatchersDoNotHoldTheServerUp(t *testing.T) {
	t.Parallel()
	server := start(t)
	ready := server.ready
	m, err := server.app.Exports.Create(t.Context(), new(problem.Faults), export.Request{
		Project: export.ProjectRef{ID: ready.Project.ID, Slug: ready.Project.Slug},
		Kind:    export.QueryExport,
		SQL:     "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("GET", server.url+"/projects/example_project/exports/"+m.ID+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+ready.Token)
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("events: %v, %v", response, err)
	}
	defer response.Body.Close()
	server.stop()
	select {
	case err := <-server.served:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(drainTime / 2):
		t.Error("the server waits for somebody who watches an export")
	}
}

// TestRunningRequestsEndInGoodOrder stops the server while an answer is being sent.
func TestRunningRequestsEndInGoodOrder(t *testing.T) {
	t.Parallel()
	server := start(t)
	ready := server.ready
	url := server.url + "/projects/example_project/export/database"
	r, err := http.NewRequest("POST", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+ready.Token)
	time.AfterFunc(5*time.Millisecond, server.stop)
	// The connection may be refused if the server stopped first; an answer that arrives
	// must be complete.
	response, err := http.DefaultClient.Do(r)
	if err == nil {
		var answer struct{ OK bool }
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || !answer.OK {
			t.Errorf("the answer was cut: %v", err)
		}
		response.Body.Close()
	}
	if err := <-server.served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
