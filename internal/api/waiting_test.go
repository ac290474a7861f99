package api

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestWhoWaitsKeepsNoProjectFromBeingDeleted deletes a project during each kind of call
// that waits for a job or for its client. The deletion does not wait for the call, and
// the call ends.
func TestWhoWaitsKeepsNoProjectFromBeingDeleted(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, s *shop) (request string){
		"an order of an export": func(*testing.T, *shop) string { return "POST /export/table/contacts HTTP/1.1\r\n" },
		"an order of a query":   func(*testing.T, *shop) string { return sized("POST /export/query HTTP/1.1\r\n", `{"sql":"SELECT 1"}`) },
		"a repeated order": func(t *testing.T, s *shop) string {
			const header = "Idempotency-Key: k\r\n"
			s.ask(t, "POST", "/export/schema", "", "Idempotency-Key: k", "Prefer: respond-async")
			return "POST /export/schema HTTP/1.1\r\n" + header
		},
		"a look at an export": func(t *testing.T, s *shop) string {
			s.ask(t, "POST", "/export/schema", "", "Prefer: respond-async")
			return "GET /exports/" + s.ordered(t) + "?wait=60 HTTP/1.1\r\n"
		},
		"the events of an export": func(t *testing.T, s *shop) string {
			s.ask(t, "POST", "/export/schema", "", "Prefer: respond-async")
			return "GET /exports/" + s.ordered(t) + "/events HTTP/1.1\r\n"
		},
		"a file on its way": func(*testing.T, *shop) string {
			return "POST /imports?options=%7B%22table%22:%22c%22%7D HTTP/1.1\r\nContent-Length: 1000\r\n\r\na,b\n1,2\n"
		},
		"a form on its way": func(*testing.T, *shop) string {
			return "POST /imports HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n" +
				"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"c.csv\"\r\n\r\na,b\n"
		},
		"a form whose options are on their way": func(*testing.T, *shop) string {
			return "POST /imports HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n" +
				"--b\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{"
		},
		"a part on its way": func(t *testing.T, s *shop) string {
			path := s.begin(t, 1000, `{"table":"c"}`)
			return "PATCH " + path[strings.Index(path, "/imports"):] + " HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n" +
				"Content-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\na,b\n"
		},
		"rows on their way": func(*testing.T, *shop) string {
			return "POST /records/contacts HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{\"data\":["
		},
		"an import": func(*testing.T, *shop) string {
			return sized("POST /imports?options=%7B%22table%22:%22c%22%7D HTTP/1.1\r\n", "a,b\n1,2\n")
		},
		"a look at an import": func(t *testing.T, s *shop) string {
			return "GET " + s.pendingImport(t) + "?wait=60 HTTP/1.1\r\n"
		},
		"the events of an import": func(t *testing.T, s *shop) string {
			return "GET " + s.pendingImport(t) + "/events HTTP/1.1\r\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := limits.New(limits.Settings{CallsPerProject: 10}, nil)
			s := openShop(t, openIdleHouse(t, clock), Config{HTTP: rest.Config{Limits: l, BodyTimeout: 20 * time.Second}})
			request := begin(t, s)
			conn := s.open(t, request)
			time.Sleep(150 * time.Millisecond)
			if !strings.Contains(request, "/events ") && l.Calls.Running() != 1 {
				t.Fatal("the call does not wait")
			}
			began := time.Now()
			if got := s.ask(t, "DELETE", "", `{"confirm_project_slug":"shop"}`); got.status != http.StatusOK {
				t.Errorf("the deletion: %d %s", got.status, got.body)
			}
			if took := time.Since(began); took > testkit.Slack {
				t.Errorf("the deletion took %v", took)
			}
			if strings.Contains(request, "Content-Length: 1000") {
				return // it waits for its client
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if answer, err := io.ReadAll(conn); err != nil || len(answer) == 0 {
				t.Errorf("the call goes on: %v, %s", err, answer)
			}
		})
	}
}

// sized is a request with a body.
func sized(head, body string) string {
	return head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// pendingImport creates an import that no worker runs, and returns its path.
func (s *shop) pendingImport(t *testing.T) string {
	t.Helper()
	got := s.ask(t, "POST", "/imports?options=%7B%22table%22:%22c%22%7D", "a,b\n1,2\n", "Prefer: respond-async")
	if got.status != http.StatusAccepted {
		t.Fatal(got.body)
	}
	return strings.TrimPrefix(got.header.Get("Location"), "/projects/shop")
}

// open sends a request, or only its beginning, to a path of the project.
func (s *shop) open(t *testing.T, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	method, rest, _ := strings.Cut(request, " ")
	target, rest, _ := strings.Cut(rest, "\r\n")
	if !strings.Contains(rest, "\r\n\r\n") {
		rest += "\r\n"
	}
	head := method + " /projects/shop" + target + "\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + s.token + "\r\n"
	if _, err := io.WriteString(conn, head+rest); err != nil {
		t.Fatal(err)
	}
	return conn
}
