package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/limits"
)

// visitor is a client connection under the control of the test.
type visitor struct {
	net.Conn
	r *bufio.Reader
}

func visit(t *testing.T, url string) *visitor {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &visitor{conn, bufio.NewReader(conn)}
}

// asks sends a request for the path, or the beginning of one.
func (v *visitor) asks(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(v, text); err != nil {
		t.Fatal(err)
	}
}

// answered reports whether an answer arrives within the time.
func (v *visitor) answered(t *testing.T, within time.Duration) bool {
	t.Helper()
	if err := v.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// TestConnectionsBeyondTheLimitWait fills the server with idle connections, which make
// room, and with busy ones, which do not.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	t.Parallel()
	s := start(t, Settings{Limits: limits.Settings{Connections: 3}})
	defer func() {
		s.stop()
		if err := <-s.served; err != nil {
			t.Error(err)
		}
	}()
	const probe = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	for i := range 10 { // each stays open
		v := visit(t, s.url)
		v.asks(t, probe)
		if !v.answered(t, 5*time.Second) {
			t.Fatalf("connection %d has to wait for idle ones", i)
		}
	}
	if n := s.app.conns.open.Load(); n > 3 {
		t.Errorf("%d connections are open, want 3", n)
	}

	// A call whose body never arrives holds its connection for 10 seconds.
	const slow = "POST /projects/example_project/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nAuthorization: Bearer "
	var busy []*visitor
	for range 3 {
		v := visit(t, s.url)
		v.asks(t, slow+s.ready.Token+"\r\n\r\n{")
		busy = append(busy, v)
		for s.app.limits.Calls.Running() < len(busy) {
			time.Sleep(time.Millisecond)
		}
	}
	late := visit(t, s.url)
	late.asks(t, probe)
	if late.answered(t, 300*time.Millisecond) {
		t.Fatal("a fourth connection is served")
	}
	busy[0].Close()
	if late.r = bufio.NewReader(late); !late.answered(t, 5*time.Second) {
		t.Error("a connection waits although one has ended")
	}
	for _, v := range busy {
		v.Close()
	}
}
