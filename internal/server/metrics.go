package server

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/rest"
)

// Metrics says who may read the metrics: one of the constants below, or the address of
// a separate listener. "" means off.
type Metrics string

// Who may read the metrics.
const (
	MetricsOff      Metrics = "off"
	MetricsLoopback Metrics = "loopback" // programs on this machine
	MetricsToken    Metrics = "token"    // tokens with project:admin
)

// UnmarshalText reads the setting.
func (m *Metrics) UnmarshalText(text []byte) error {
	*m = Metrics(text)
	if m.address() == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(m.address()); err != nil {
		return fmt.Errorf("%q is not off, loopback, token or an address such as 127.0.0.1:9100", text)
	}
	return nil
}

// withAPI reports whether the metrics are served on the API's listener.
func (m Metrics) withAPI() bool { return m == MetricsLoopback || m == MetricsToken }

// address returns the address of the separate listener for metrics, or "" if there is
// none.
func (m Metrics) address() string {
	switch m {
	case "", MetricsOff, MetricsLoopback, MetricsToken:
		return ""
	}
	return string(m)
}

// metrics counts the calls and collects the state of the server when scraped. No label
// has a value chosen by clients: the number of series stays bounded.
type metrics struct {
	http.Handler
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
}

// jobCountsTimeout limits the time for counting the jobs.
const jobCountsTimeout = 2 * time.Second

func (app *App) newMetrics(version string) *metrics {
	registry := prometheus.NewRegistry()
	m := &metrics{
		Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zangtable_http_requests_total", Help: "Requests by route and status.",
		}, []string{"route", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "zangtable_http_request_duration_seconds", Help: "How long requests took, including their answers, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"route"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "zangtable_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	registry.MustRegister(m.requests, m.durations, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), (*jobCollector)(app))
	for _, g := range app.gauges() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "zangtable_" + g.name, Help: g.help}, g.read))
	}
	return m
}

// observe counts one call.
func (m *metrics) observe(o rest.Observation) {
	m.requests.WithLabelValues(o.Route, strconv.Itoa(o.Status)).Inc()
	m.durations.WithLabelValues(o.Route).Observe(o.Took.Seconds())
}

type gauge struct {
	name, help string
	read       func() float64
}

func (app *App) gauges() []gauge {
	return []gauge{
		{"calls_running", "Calls with a valid token that are running.", func() float64 { return float64(app.limits.Calls.Running()) }},
		{"event_streams", "Event streams that are open.", func() float64 { return float64(app.limits.Streams.Running()) }},
		{"connections", "Connections that are open.", func() float64 { return float64(app.conns.open.Load()) }},
		{"memory_budget_bytes", "Memory budget for bodies and answers; 0 means no limit.", func() float64 { return float64(app.limits.Budget.Max()) }},
		{"memory_budget_used_bytes", "How much of the budget is in use.", func() float64 { return float64(app.limits.Budget.Used()) }},
		{"projects_open", "Projects whose database is open.", func() float64 { return float64(app.Projects.Opened()) }},
		{"journal_waiting", "Calls that wait to be recorded in the journal.", func() float64 { waiting, _ := app.Journal.Lag(); return float64(waiting) }},
		{"journal_dropped", "Calls since the start that were not recorded, because they came too fast or could not be stored.", func() float64 { _, dropped := app.Journal.Lag(); return float64(dropped) }},
		{"disk_free_bytes", "Free bytes on the disk of the data folder; NaN when that cannot be read.", app.diskFree},
	}
}

func (app *App) diskFree() float64 {
	free, _, err := disk.Space(app.folder)
	if err != nil {
		return math.NaN()
	}
	return float64(free)
}

// jobCollector collects how many exports and imports are pending and running.
type jobCollector App

var jobsDesc = prometheus.NewDesc("zangtable_jobs", "Exports and imports that are pending or running.", []string{"kind", "status"}, nil)

// Describe implements prometheus.Collector.
func (*jobCollector) Describe(descs chan<- *prometheus.Desc) { descs <- jobsDesc }

// Collect implements prometheus.Collector. Values that cannot be read are left out.
func (app *jobCollector) Collect(found chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), jobCountsTimeout)
	defer cancel()
	for kind, read := range map[string]func(context.Context) (jobs.Counts, error){"export": app.Exports.Counts, "import": app.Imports.Counts} {
		counts, err := read(ctx)
		if err != nil {
			app.log.Warn("count jobs for the metrics", "kind", kind, "error", err)
			continue
		}
		found <- prometheus.MustNewConstMetric(jobsDesc, prometheus.GaugeValue, float64(counts.Pending), kind, "pending")
		found <- prometheus.MustNewConstMetric(jobsDesc, prometheus.GaugeValue, float64(counts.Running), kind, "running")
	}
}

// serveMetrics answers GET /metrics on the API's listener. To anyone who may not read
// them, the route does not exist.
func (app *App) serveMetrics(w http.ResponseWriter, r *http.Request, published *rest.Edge, m *metrics) {
	switch host, _ := splitHost(r.Host); {
	case !app.settings.PublicURL.AllowsHost(r) && !isLoopbackName(host):
		misdirected(w, r, published)
	case app.mayReadMetrics(r):
		m.ServeHTTP(rest.Deliver(w, r), r)
	default:
		published.ServeHTTP(w, r)
	}
}

// misdirected answers a request whose Host is not this server's.
func misdirected(w http.ResponseWriter, r *http.Request, published *rest.Edge) {
	p := problem.Invalid("Host", "This is not a name that the server knows itself by: set --public-url to the address at which people reach it.")
	published.Refuse(w, r, p, http.StatusMisdirectedRequest)
}

func (app *App) mayReadMetrics(r *http.Request) bool {
	switch app.settings.Metrics {
	case MetricsLoopback:
		host, _ := splitHost(r.Host)
		return peerOf(r).IsLoopback() && !forwarded(r.Header) && isLoopbackName(host)
	case MetricsToken:
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		_, err := app.Registry.AuthenticateAccount(r.Context(), strings.TrimSpace(secret))
		return err == nil && strings.EqualFold(scheme, "Bearer")
	}
	return false
}

// forwarded reports whether the request came through a proxy.
func forwarded(header http.Header) bool {
	for name := range header {
		if slices.Contains([]string{"Forwarded", "Via"}, name) || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// listenMetrics serves the metrics on a separate listener, if so configured.
func (app *App) listenMetrics(m *metrics) (stop func() error, err error) {
	address := app.settings.Metrics.address()
	if address == "" {
		return func() error { return nil }, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second, MaxHeaderBytes: 32 << 10}
	app.log.Info("metrics", "address", "http://"+listener.Addr().String()+"/metrics")
	go srv.Serve(listener)
	return srv.Close, nil
}
