package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

// follow opens the event stream of an export, and returns its lines as they arrive.
func (s *shop) follow(t *testing.T, ctx context.Context, id string) <-chan string {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/projects/shop/exports/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); response.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("%d %s", response.StatusCode, kind)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer response.Body.Close()
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// next returns the next line, or false if there are no more.
func next(t *testing.T, lines <-chan string) (string, bool) {
	t.Helper()
	select {
	case line, ok := <-lines:
		return line, ok
	case <-time.After(10 * time.Second):
		t.Fatal("no line came")
	}
	return "", false
}

func TestEvents(t *testing.T) {
	s := openShop(t, openIdleHouse(t, clock), Config{HTTP: rest.Config{Heartbeat: 20 * time.Millisecond}})
	s.ask(t, "POST", "/export/database", "", "Prefer: respond-async")
	id := s.ordered(t)
	lines := s.follow(t, t.Context(), id)
	var statuses []string
	beats := 0
	for {
		line, ok := next(t, lines)
		if !ok {
			break
		}
		switch data, isData := strings.CutPrefix(line, "data: "); {
		case isData:
			var m struct{ ID, Status string }
			if err := json.Unmarshal([]byte(data), &m); err != nil || m.ID != id {
				t.Fatalf("%v in %s", err, line)
			}
			statuses = append(statuses, m.Status)
		case strings.HasPrefix(line, ":"):
			if beats++; beats == 3 {
				s.ask(t, "DELETE", "/exports/"+id, "")
			}
		case line != "" && line != "event: manifest":
			t.Errorf("the line %q", line)
		}
	}
	if got := strings.Join(statuses, " "); got != "pending canceled" || beats < 3 {
		t.Errorf("%s, %d heartbeats", got, beats)
	}
}

// TestEventsOfClientsThatLeave closes the server after clients have disconnected from
// endless streams: closing waits for every call.
func TestEventsOfClientsThatLeave(t *testing.T) {
	s := openShop(t, openIdleHouse(t, clock), Config{})
	s.ask(t, "POST", "/export/database", "", "Prefer: respond-async")
	id := s.ordered(t)
	for range 5 {
		ctx, leave := context.WithCancel(t.Context())
		if line, _ := next(t, s.follow(t, ctx, id)); line != "event: manifest" {
			t.Error(line)
		}
		leave()
	}
	began := time.Now()
	s.Close()
	if took := time.Since(began); took > testkit.Slack {
		t.Errorf("the server closed after %v", took)
	}
}

// TestWhoWaitsIsSentAway revokes the token of clients that follow an export and wait
// for it, and deletes the project of others.
func TestWhoWaitsIsSentAway(t *testing.T) {
	for name, shut := range map[string]func(t *testing.T, s *shop){
		"token revoked": func(t *testing.T, s *shop) {
			ws, err := s.registry.Authenticate(t.Context(), "shop", s.token)
			if err != nil {
				t.Fatal(err)
			}
			if err := ws.Revoke(t.Context(), ws.Token.ID); err != nil {
				t.Fatal(err)
			}
		},
		"project deleted": func(t *testing.T, s *shop) {
			project, err := s.registry.Project(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.registry.DeleteProject(t.Context(), project); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(t, openIdleHouse(t, clock), Config{})
			s.ask(t, "POST", "/export/database", "", "Prefer: respond-async")
			id := s.ordered(t)
			lines := s.follow(t, t.Context(), id)
			for range 3 { // the current manifest
				next(t, lines)
			}
			waited := make(chan reply)
			go func() { waited <- s.ask(t, "GET", "/exports/"+id+"?wait=30", "") }()
			time.Sleep(100 * time.Millisecond) // now both are waiting
			shut(t, s)
			if line, more := next(t, lines); more {
				t.Errorf("the stream goes on with %q", line)
			}
			select {
			case got := <-waited:
				if got.status != 401 || !strings.Contains(got.body, `"invalid_token"`) {
					t.Errorf("the long poll is answered %d %s", got.status, got.body)
				}
			case <-time.After(10 * time.Second):
				t.Error("the long poll goes on")
			}
		})
	}
}
