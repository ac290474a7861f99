package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

func clock() time.Time { return time.Date(2026, 6, 2, 1, 23, 45, 123456789, time.UTC) }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "\xab\xc1\x23\xde\xf4\x56"[i%6]
	}
	return len(p), nil
}

// fixture is a server with some routes, for the project shop.
type fixture struct {
	*httptest.Server
	edge  *rest.Edge
	enter func(ctx context.Context, slug, secret string) (*Workspace, error)
}

// serve serves the given routes for a house with the project shop. The secret good
// opens everything, and weak may only query.
func serve(t *testing.T, h *house, list []*rest.Endpoint) *fixture {
	t.Helper()
	h.project(t, "shop")
	weak := h.token(t, "shop", "query:read").Secret
	f := new(fixture)
	f.enter = func(ctx context.Context, slug, secret string) (*Workspace, error) {
		switch {
		case secret == "good" && (slug == "shop" || slug == ""):
			return h.registry.Operator(ctx, "shop")
		case secret == "weak":
			secret = weak
		}
		return h.handlers().authenticate(ctx, slug, secret)
	}
	f.edge = rest.New(rest.Config{
		Authenticate: rest.Bearer(func(ctx context.Context, slug, secret string) (*Workspace, error) { return f.enter(ctx, slug, secret) }),
		WithRoom:     projectdb.WithRoom,
		Log:          slog.New(slog.DiscardHandler),
		Now:          clock,
		Random:       endless{},
		BodyTimeout:  300 * time.Millisecond,
	}, document("test"), list)
	f.Server = httptest.NewServer(f.edge)
	t.Cleanup(f.Close)
	return f
}

type reply struct {
	status int
	header http.Header
	body   string
}

func replyOf(status int, header http.Header, body string) reply { return reply{status, header, body} }

// ask sends a request, with the token good unless headers say otherwise; headers are
// "Name: value", and "Name:" removes one.
func (f *fixture) ask(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	r := testkit.Request(t, method, f.URL+path, "good", strings.NewReader(body), headers...)
	return replyOf(testkit.Send(t, f.Client().Transport.RoundTrip, r))
}

// failure returns the error of an answer on one line.
func (r reply) failure(t *testing.T) string {
	t.Helper()
	return testkit.Failure(t, r.status, r.header, r.body)
}

// TestEveryRoute checks on every route what must hold for all of them.
func TestEveryRoute(t *testing.T) {
	h := openHouse(t, clock)
	endpoints := routes(h.handlers())
	f := serve(t, h, endpoints)
	var list []testkit.Route
	for _, ep := range endpoints {
		scope := registry.Scope(ep.Access.Scope)
		list = append(list, testkit.Route{
			Method: ep.Method, Path: ep.Path, TakesJSON: ep.TakesJSON(), BodyLimit: ep.BodyLimit,
			Denied: scope != "" && scope != registry.QueryRead && strings.Contains(ep.Path, "{project}"),
		})
	}
	testkit.WalkRoutes(t, list, func(t *testing.T, method, path, body string, headers ...string) (string, http.Header) {
		got := f.ask(t, method, path, body, headers...)
		return got.failure(t), got.header
	})
}

// TestAdmittedCountsValidTokensOnly sends requests with and without a valid token: only
// the valid ones may slow exports down.
func TestAdmittedCountsValidTokensOnly(t *testing.T) {
	h := openHouse(t, clock)
	h.project(t, "shop")
	good := h.token(t, "shop").Secret
	admitted := 0
	e := New(Config{
		Registry: h.registry, Exports: h.exports, Imports: h.imports, Rehearsals: h.rehearsals, Journal: h.journal,
		HTTP: rest.Config{Admitted: func() { admitted++ }, Log: slog.New(slog.DiscardHandler), Now: clock, Random: endless{}},
	})
	for _, test := range []struct {
		secret string
		status int
		want   int
	}{{"", 401, 0}, {"pat_wrong", 401, 0}, {good[:len(good)-1] + "x", 401, 0}, {good, 200, 1}, {good, 200, 2}} {
		r := httptest.NewRequest("GET", "/projects/shop/auth/me", nil)
		if test.secret != "" {
			r.Header.Set("Authorization", "Bearer "+test.secret)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != test.status || admitted != test.want {
			t.Errorf("with %q: status %d, want %d; admitted %d, want %d", test.secret, w.Code, test.status, admitted, test.want)
		}
	}
}
