package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/limits"
)

// answer returns the server's answer to a request with the given Host and headers.
func (r *running) answer(t *testing.T, path, host string, header ...string) string {
	t.Helper()
	request := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
	for _, h := range header {
		request += h + "\r\n"
	}
	return askRaw(t, strings.TrimPrefix(r.url, "http://"), request+"\r\n")
}

// stopped stops the server at the end of the test.
func stopped(t *testing.T, s *running) *running {
	t.Helper()
	t.Cleanup(func() {
		s.stop()
		if err := <-s.served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func TestWhoMayReadMetrics(t *testing.T) {
	t.Parallel()
	const denied, misdirected, given = "404 not_found", "421 validation_failed", "# HELP go_gc"
	public := origin(t, "https://data.example.com")
	for _, setting := range []struct {
		metrics Metrics
		public  Origin
		// By caller: with the Host of the listener, forwarded by a proxy, and so on.
		own, proxied, evil, named, withToken, weakToken string
	}{
		{MetricsLoopback, Origin{}, given, denied, misdirected, misdirected, given, given},
		{MetricsLoopback, public, given, denied, misdirected, denied, given, given},
		{MetricsToken, Origin{}, denied, denied, misdirected, misdirected, given, denied},
		{MetricsToken, public, denied, denied, misdirected, denied, given, denied},
		{MetricsOff, Origin{}, denied, denied, denied, denied, denied, denied},
		{"", Origin{}, denied, denied, denied, denied, denied, denied},
		{"127.0.0.1:0", Origin{}, denied, denied, denied, denied, denied, denied},
	} {
		s := start(t, Settings{Metrics: setting.metrics, PublicURL: setting.public, Limits: limits.Defaults()})
		own := strings.TrimPrefix(s.url, "http://")
		weak, err := CreateToken.run(t.Context(), s.app, NewToken{Project: s.ready.Project.Slug, Scopes: []string{"records:read"}})
		if err != nil {
			t.Fatal(err)
		}
		check := func(what, got, want string) {
			t.Helper()
			if !strings.HasPrefix(got, want) {
				t.Errorf("--metrics %q, public URL %q, %s: %.60q, want %q", setting.metrics, setting.public.host, what, got, want)
			}
		}
		check("own Host", s.answer(t, "/metrics", own), setting.own)
		for _, header := range []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", "Forwarded: for=127.0.0.1", "Via: 1.1 x"} {
			check(header, s.answer(t, "/metrics", own, header), setting.proxied)
		}
		check("evil Host", s.answer(t, "/metrics", "evil.example"), setting.evil)
		check("public Host", s.answer(t, "/metrics", "data.example.com"), setting.named)
		check("token", s.answer(t, "/metrics", own, "Authorization: Bearer "+s.ready.Token), setting.withToken)
		check("weak token", s.answer(t, "/metrics", own, "Authorization: Bearer "+weak.Secret), setting.weakToken)
		check("another path", s.answer(t, "/metrics/", own), denied)
		check("the API has no such rule", s.answer(t, "/projects/x", "evil.example"), "401 missing_authorization")
		s.stop()
		if err := <-s.served; err != nil {
			t.Error(err)
		}
	}
}

// TestMetricsDoNotGrowWithTheirInput sends many kinds of requests and counts the
// series.
func TestMetricsDoNotGrowWithTheirInput(t *testing.T) {
	t.Parallel()
	s := stopped(t, start(t, Settings{Metrics: MetricsLoopback, Limits: limits.Defaults()}))
	project := s.url + "/projects/example_project"
	auth := []string{"Authorization", "Bearer " + s.ready.Token}
	series := func() map[string]bool {
		_, body := get(t, s.url+"/metrics")
		found := map[string]bool{}
		for line := range strings.Lines(string(body)) {
			if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "zangtable_") {
				found[name] = true
			}
		}
		return found
	}
	round := func(word string) {
		for _, path := range []string{"/records/" + word, "/table/" + word, "/" + word, "/exports/" + word, "/records/companies/" + word} {
			get(t, project+path, auth...)
			get(t, s.url+path)
		}
		get(t, s.url+"/projects/"+word+"/tables", auth...)
	}
	round("aardvark")
	before := series()
	for _, want := range []string{
		`zangtable_http_requests_total{code="404",route="get-table"}`, `zangtable_http_requests_total{code="404",route="unmatched"}`,
		`zangtable_http_requests_total{code="401",route="list-tables"}`, `zangtable_http_request_duration_seconds_count{route="get-table"}`,
		"zangtable_calls_running", "zangtable_connections", "zangtable_event_streams", "zangtable_memory_budget_bytes", "zangtable_memory_budget_used_bytes",
		"zangtable_projects_open", `zangtable_workers{state="busy"}`, `zangtable_wal_bytes{database="projects"}`, `zangtable_database_bytes{database="journal"}`, "zangtable_journal_dropped_total",
		"zangtable_database_wait_seconds_count", "zangtable_disk_reserve_bytes", "zangtable_disk_free_bytes", `zangtable_jobs{kind="export",status="pending"}`, `zangtable_jobs{kind="import",status="running"}`,
		`zangtable_build_info{version="test"}`,
	} {
		if !before[want] {
			t.Errorf("there is no %s", want)
		}
	}
	for _, word := range []string{"zebra", "yak", "a%22b", "%0a", "x%ff"} {
		round(word)
	}
	after := series()
	for name := range after {
		// A status seen for the first time is a new series; a word from a client is
		// not.
		if !before[name] && !regexp.MustCompile(`^zangtable_http_requests_total\{code="4\d\d",route="[a-z-]+"\}$`).MatchString(name) {
			t.Errorf("%s was not there before", name)
		}
		if strings.Contains(name, "zebra") {
			t.Errorf("%s has a word of a client", name)
		}
	}
}

func TestMetricsOnAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s := stopped(t, start(t, Settings{Metrics: Metrics(address)}))
	get(t, s.url+"/healthz") // the server is listening
	if status, body := get(t, "http://"+address+"/metrics"); status != 200 || !strings.Contains(string(body), "zangtable_calls_running") {
		t.Errorf("%d %.100s", status, body)
	}
	for _, path := range []string{"/", "/projects/x", "/debug/pprof/"} {
		if status, _ := get(t, "http://"+address+path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestProfilesAreTheOperatorsAlone(t *testing.T) {
	t.Parallel()
	s := stopped(t, start(t))
	if status, body := get(t, s.url+"/debug/pprof/"); status != 404 || !strings.Contains(string(body), "not_found") {
		t.Errorf("over HTTP: %d %s", status, body)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return net.Dial("unix", s.app.path("admin.sock"))
	}}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://admin/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(text), "goroutine profile") {
		t.Errorf("over the socket: %v %.100s", err, text)
	}
}

func TestRootPage(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	status, body := get(t, url+"/")
	if status != 200 || !strings.Contains(string(body), `href="/docs"`) {
		t.Errorf("%d %s", status, body)
	}
	for _, path := range []string{"/index.html", "/?", "//"} {
		status, body := get(t, url+path)
		if want := map[bool]int{true: 200, false: 404}[path == "/?"]; status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
