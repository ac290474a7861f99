package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/rest"
)

// gated is a server with three routes: one that blocks until released, one that streams
// until released, and one that answers at once.
type gated struct {
	*httptest.Server
	house   *house
	began   chan struct{}
	release chan struct{}
	replies chan reply
}

// openGated serves the projects shop and bar.
func openGated(t *testing.T, settings limits.Settings) *gated {
	t.Helper()
	g := &gated{house: openHouse(t, clock), began: make(chan struct{}, 100), release: make(chan struct{}), replies: make(chan reply, 100)}
	g.house.project(t, "shop")
	g.house.project(t, "bar")
	hold := func(ctx context.Context, _ *Workspace, _ *noInput) (map[string]string, error) {
		g.began <- struct{}{}
		<-g.release
		return map[string]string{}, nil
	}
	follow := func(ctx context.Context, _ *Workspace, _ *noInput) (*rest.Events[map[string]string], error) {
		updates := make(chan map[string]string)
		go func() {
			defer close(updates)
			<-g.release
		}()
		g.began <- struct{}{}
		return &rest.Events[map[string]string]{Updates: updates}, nil
	}
	quick := func(context.Context, *Workspace, *noInput) (map[string]string, error) {
		return map[string]string{}, nil
	}
	e := rest.New(rest.Config{
		Authenticate: rest.Bearer(g.house.handlers().authenticate), Now: clock, Random: endless{}, Log: slog.New(slog.DiscardHandler),
		Limits: limits.New(settings, nil),
		ClientAddress: func(r *http.Request) netip.Addr {
			address, err := netip.ParseAddr(r.Header.Get("X-Test-Address"))
			if err != nil {
				return netip.MustParseAddrPort(r.RemoteAddr).Addr()
			}
			return address
		},
	}, document("test"), []*rest.Endpoint{
		rest.Route("GET", "/projects/{project}/hold", "hold", "Hold", rest.AnyToken(), rest.Plain(hold)),
		rest.Route("GET", "/projects/{project}/follow", "follow", "Follow", rest.AnyToken(), rest.Plain(follow)),
		rest.Route("GET", "/projects/{project}/quick", "quick", "Answer", rest.AnyToken(), rest.Plain(quick)),
	})
	g.Server = httptest.NewServer(e)
	t.Cleanup(g.Close)
	return g
}

func (g *gated) ask(t *testing.T, path, secret string, header ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", g.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return reply{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return reply{response.StatusCode, response.Header, string(body)}
}

// begin makes a call that blocks.
func (g *gated) begin(t *testing.T, path, secret string) {
	t.Helper()
	go func() { g.replies <- g.ask(t, path, secret) }()
	<-g.began
}

// end lets n blocked calls succeed.
func (g *gated) end(t *testing.T, n int) {
	t.Helper()
	close(g.release)
	for range n {
		if got := <-g.replies; got.status != http.StatusOK {
			t.Errorf("a call that was let in: %d %s", got.status, got.body)
		}
	}
}

func (r reply) wants(t *testing.T, what string, status int, text string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, text) {
		t.Errorf("%s: %d %s, want %d with %q", what, r.status, r.body, status, text)
	}
	if limited := status == http.StatusTooManyRequests; limited != (r.header.Get("Retry-After") != "") {
		t.Errorf("%s: Retry-After is %q", what, r.header.Get("Retry-After"))
	}
}

func TestCallsInFlight(t *testing.T) {
	t.Parallel()
	g := openGated(t, limits.Settings{CallsPerToken: 2, CallsPerProject: 3})
	one, two := g.house.token(t, "shop").Secret, g.house.token(t, "shop").Secret
	stranger := g.house.token(t, "bar").Secret
	g.begin(t, "/projects/shop/hold", one)
	g.begin(t, "/projects/shop/hold", one)
	g.ask(t, "/projects/shop/quick", one).wants(t, "a third of the token", 429, "This token already has 2 calls running")
	g.ask(t, "/projects/shop/quick", two).wants(t, "another token", 200, "")
	g.ask(t, "/projects/shop/none", one, "X-Operation-Key", "k").wants(t, "a grouped call of an unknown path", 429, "This token already has 2 calls running")
	g.ask(t, "/projects/shop/none", two, "X-Operation-Key", "k").wants(t, "one that is let in", 404, "")
	g.begin(t, "/projects/shop/hold", two)
	g.ask(t, "/projects/shop/quick", two).wants(t, "a fourth of the project", 429, "The project already has 3 calls running")
	g.ask(t, "/projects/bar/quick", stranger).wants(t, "another project", 200, "")
	g.ask(t, "/projects/shop/follow", "pat_wrong").wants(t, "a wrong token", 401, "invalid_token")
	waiting := make(chan reply)
	go func() { waiting <- g.ask(t, "/projects/shop/quick", one) }()
	time.Sleep(100 * time.Millisecond)
	g.end(t, 3)
	(<-waiting).wants(t, "a call whose turn comes", 200, "")
	g.ask(t, "/projects/shop/quick", one).wants(t, "afterwards", 200, "")
}

func TestStreamsOfAToken(t *testing.T) {
	g := openGated(t, limits.Settings{CallsPerToken: 1, StreamsPerToken: 2})
	one, two := g.house.token(t, "shop").Secret, g.house.token(t, "shop").Secret
	g.begin(t, "/projects/shop/follow", one)
	g.begin(t, "/projects/shop/follow", one)
	g.ask(t, "/projects/shop/follow", one).wants(t, "a third stream", 429, "2 event streams")
	g.ask(t, "/projects/shop/quick", one).wants(t, "a call beside streams", 200, "")
	g.begin(t, "/projects/shop/follow", two)
	g.end(t, 3)
	g.ask(t, "/projects/shop/follow", one).wants(t, "afterwards", 200, "")
}

// TestWrongTokens sends invalid tokens in all forms until they are refused by rate.
// Callers with a valid token do not notice.
func TestWrongTokens(t *testing.T) {
	g := openGated(t, limits.Settings{WrongTokens: 5})
	valid, other := g.house.token(t, "shop").Secret, g.house.token(t, "bar").Secret
	unknown := valid[:10] + "x" + valid[11:]
	if unknown == valid {
		unknown = valid[:10] + "y" + valid[11:]
	}
	limited := 0
	for i, secret := range []string{"pat_x", unknown, other, "pat_x", unknown, other, "pat_x", unknown, other} {
		got := g.ask(t, "/projects/shop/quick", secret)
		if got.status == 429 {
			limited++
			got.wants(t, "one too many", 429, "rate_limited")
		} else if got.status != 401 || i >= 6 {
			t.Errorf("wrong token %d: %d %s", i, got.status, got.body)
		}
		g.ask(t, "/projects/shop/quick", valid).wants(t, "a valid token", 200, "")
	}
	if limited < 3 {
		t.Errorf("%d of 9 wrong tokens were refused for their number, want 3 or 4", limited)
	}
	g.ask(t, "/projects/shop/quick", "pat_x", "X-Test-Address", "192.0.2.7").wants(t, "another address", 401, "invalid_token")
	g.ask(t, "/projects/shop/quick", "").wants(t, "no token", 401, "missing_authorization")
}

func TestRateOfAToken(t *testing.T) {
	t.Parallel()
	g := openGated(t, limits.Settings{TokenRate: 3})
	one, two := g.house.token(t, "shop").Secret, g.house.token(t, "shop").Secret
	for i := range 3 {
		got := g.ask(t, "/projects/shop/quick", one)
		got.wants(t, "within the rate", 200, "")
		if policy := got.header.Get("RateLimit-Policy"); policy != `"token";q=3;w=1` {
			t.Errorf("RateLimit-Policy: %s", policy)
		}
		if rate := got.header.Get("RateLimit"); i == 0 && rate != `"token";r=2;t=1` {
			t.Errorf("RateLimit: %s", rate)
		}
	}
	refused := g.ask(t, "/projects/shop/quick", one)
	if refused.status == 200 { // the machine took a third of a second
		refused = g.ask(t, "/projects/shop/quick", one)
	}
	refused.wants(t, "beyond the rate", 429, "3 calls per second")
	g.ask(t, "/projects/shop/quick", two).wants(t, "another token", 200, "")
	time.Sleep(400 * time.Millisecond)
	g.ask(t, "/projects/shop/quick", one).wants(t, "after a rest", 200, "")
}
