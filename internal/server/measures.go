package server

import (
	"context"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/rest"
)

// metrics counts the calls and collects the state of the server when scraped. No label
// has a value chosen by clients: the number of series stays bounded.
type metrics struct {
	http.Handler
	requests  *prometheus.CounterVec
	slow      prometheus.Counter
	durations *prometheus.HistogramVec
	waits     prometheus.Histogram
	work      prometheus.Histogram
}

// The buckets of durations, in seconds.
var (
	callBuckets     = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}
	databaseBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// newCommitSizes returns the histogram of how many writes share a commit. Databases
// count in it before the server listens.
func newCommitSizes() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "zangtable_commit_writes", Help: "Small writes that shared one commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
	})
}

func (app *App) newMetrics(version string) *metrics {
	registry := prometheus.NewRegistry()
	m := &metrics{
		Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zangtable_http_requests_total", Help: "Requests by route and status.",
		}, []string{"route", "code"}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zangtable_slow_calls_total", Help: "Calls whose databases took longer than --slow-call.",
		}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "zangtable_http_request_duration_seconds", Help: "How long requests took, including their answers, by route; event streams are left out.", Buckets: callBuckets,
		}, []string{"route"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "zangtable_database_wait_seconds", Help: "How long a call waited for the writer, a reader or a worker process.", Buckets: databaseBuckets,
		}),
		work: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "zangtable_database_work_seconds", Help: "How long a call had databases work for it, with the commit.", Buckets: databaseBuckets,
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "zangtable_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	registry.MustRegister(m.requests, m.slow, m.durations, m.waits, m.work, app.commits, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), stateCollector{app})
	for _, g := range app.gauges() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "zangtable_" + g.name, Help: g.help}, g.read))
	}
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "zangtable_journal_dropped_total", Help: "Calls that were not recorded, because they came too fast or could not be stored.",
	}, func() float64 { _, dropped := app.Journal.Lag(); return float64(dropped) }))
	return m
}

// observe counts one call.
func (m *metrics) observe(o rest.Observation) {
	m.requests.WithLabelValues(o.Route, strconv.Itoa(o.Status)).Inc()
	if !o.Stream { // it lasts as long as its client likes
		m.durations.WithLabelValues(o.Route).Observe(o.Took.Seconds())
	}
	if o.Slow {
		m.slow.Inc()
	}
	if o.Waited+o.Worked > 0 {
		m.waits.Observe(o.Waited.Seconds())
		m.work.Observe(o.Worked.Seconds())
	}
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
		{"disk_free_bytes", "Free bytes on the disk of the data folder; NaN when that cannot be read.", app.diskFree},
		{"disk_reserve_bytes", "Size of the reserve file; 0 while there is none.", func() float64 { return float64(app.room.Held()) }},
		{"disk_full", "1 while so little space is left that nothing may grow, else 0.", app.diskFull},
		{"degraded", "How many reasons GET /readyz gives why the server is degraded.", func() float64 { return float64(len(app.degradedBy())) }},
	}
}

func (app *App) diskFree() float64 {
	free, _, err := disk.Space(app.folder)
	if err != nil {
		return math.NaN()
	}
	return float64(free)
}

func (app *App) diskFull() float64 {
	if app.room.Low() {
		return 1
	}
	return 0
}

// stateCollector collects gauges that have labels. Those that cannot be read are left
// out.
type stateCollector struct{ app *App }

var (
	jobsDesc       = prometheus.NewDesc("zangtable_jobs", "Exports and imports that are pending or running.", []string{"kind", "status"}, nil)
	workersDesc    = prometheus.NewDesc("zangtable_workers", "Processes for the SQL of clients.", []string{"state"}, nil)
	waitingDesc    = prometheus.NewDesc("zangtable_workers_waiting", "Calls that wait for a worker process.", nil, nil)
	databaseDesc   = prometheus.NewDesc("zangtable_database_bytes", "Size of the server's own databases.", []string{"database"}, nil)
	walDesc        = prometheus.NewDesc("zangtable_wal_bytes", "Size of write-ahead logs: of the server's databases, and of all open projects together.", []string{"database"}, nil)
	largestWALDesc = prometheus.NewDesc("zangtable_wal_largest_bytes", "Size of the largest write-ahead log of an open project.", nil, nil)
)

// serverDatabases are the databases in the data folder, besides those of projects.
var serverDatabases = [...]string{"server", "exports", "imports", "journal"}

// Describe implements prometheus.Collector.
func (stateCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{jobsDesc, workersDesc, waitingDesc, databaseDesc, walDesc, largestWALDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (s stateCollector) Collect(found chan<- prometheus.Metric) {
	tell := func(desc *prometheus.Desc, value int64, labels ...string) {
		found <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	s.collectJobs(tell)
	workers := s.app.Workers.Counts()
	tell(workersDesc, int64(workers.Busy), "busy")
	tell(workersDesc, int64(workers.Idle), "idle")
	tell(workersDesc, int64(workers.Fresh), "fresh")
	tell(waitingDesc, int64(workers.Waiting))
	for _, name := range serverDatabases {
		tell(databaseDesc, fileSize(s.app.path(name+".db")), name)
		tell(walDesc, fileSize(s.app.path(name+".db-wal")), name)
	}
	total, largest := s.app.Projects.Logs()
	tell(walDesc, total, "projects")
	tell(largestWALDesc, largest)
}

// jobCountsTimeout limits the time for counting the jobs.
const jobCountsTimeout = 2 * time.Second

func (s stateCollector) collectJobs(tell func(desc *prometheus.Desc, value int64, labels ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), jobCountsTimeout)
	defer cancel()
	for kind, read := range map[string]func(context.Context) (jobs.Counts, error){"export": s.app.Exports.Counts, "import": s.app.Imports.Counts} {
		counts, err := read(ctx)
		if err != nil {
			s.app.log.Warn("count jobs for the metrics", "kind", kind, "error", err)
			continue
		}
		tell(jobsDesc, counts.Pending, kind, "pending")
		tell(jobsDesc, counts.Running, kind, "running")
	}
}

// fileSize returns the size of a file, 0 if there is none.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
