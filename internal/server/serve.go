package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/panel"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/storage"
)

// drainTime is how long requests may continue after the server was told to stop.
const drainTime = 25 * time.Second

// Serve answers requests on the listener and the operator's commands on the
// data folder's socket until ctx ends; then it lets running requests finish.
func (app *App) Serve(ctx context.Context, listener net.Listener, version string) error {
	admin, err := app.listenAdmin()
	if err != nil {
		return err
	}
	defer admin.Close()
	counted := app.newMetrics(version)
	stopMetrics, err := app.listenMetrics(counted)
	if err != nil {
		return err
	}
	defer stopMetrics()
	app.Workers.Warm()
	app.Exports.Start()
	app.Imports.Start()
	var stopping atomic.Bool
	calls, cancel := context.WithCancel(context.Background())
	defer cancel()
	srv := &http.Server{
		BaseContext:       func(net.Listener) context.Context { return calls },
		Handler:           app.handler(version, &stopping, counted),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       50 * time.Second, // a client that receives nothing is gone within a minute
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(app.log.Handler(), slog.LevelWarn),
		// OPTIONS * would otherwise be answered outside the envelope.
		DisableGeneralOptionsHandler: true,
	}
	// Clients that wait for or watch a job would delay the shutdown.
	srv.RegisterOnShutdown(app.Exports.Stop)
	srv.RegisterOnShutdown(app.Imports.Stop)
	srv.RegisterOnShutdown(app.Journal.StopFollowing)
	srv.RegisterOnShutdown(app.Projects.StopFollowing)
	// Starting takes twice the memory that is needed from here on.
	debug.FreeOSMemory()
	app.log.Info("listening", "url", "http://"+listener.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(app.connections(srv, listener)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stopping.Store(true)
	app.log.Info("stopping")
	time.Sleep(lingerTime)
	return drain(srv, cancel)
}

// lingerTime is how long a server that was told to stop still accepts requests, closing
// each connection after its answer. Shutdown closes connections that look idle to it,
// even those on which a request has just arrived.
const lingerTime = 300 * time.Millisecond

// drain lets running calls finish, and cancels those whose time is up.
func drain(srv *http.Server, cancelCalls func()) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	cancelCalls()
	return srv.Close()
}

// handler routes the few paths outside the published API. It is not a mux, because a
// mux redirects to cleaned paths outside the envelope.
func (app *App) handler(version string, stopping *atomic.Bool, counted *metrics) http.Handler {
	config := api.Config{
		Registry:   app.Registry,
		Exports:    app.Exports,
		Imports:    app.Imports,
		Rehearsals: app.Rehearsals,
		Journal:    app.Journal,
		Version:    version,
		Origins:    app.settings.Origins,
		HTTP: rest.Config{
			Join:     app.join,
			Admitted: app.Exports.NoteRequest,
			Limits:   app.limits,
			SlowCall: app.settings.SlowCall,
			Observe: func(o rest.Observation) {
				counted.observe(o)
				app.record(o)
			},

			Audit: app.auditCall,

			ClientAddress: app.settings.TrustedProxies.ClientAddress,

			Log:    app.log,
			Now:    time.Now,
			Random: rand.Reader,
		},
	}
	published := api.New(config)
	pages := app.newPanel(config)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		asks := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case pages != nil && (r.URL.Path == panel.Prefix || strings.HasPrefix(r.URL.Path, panel.Prefix+"/")):
			pages.ServeHTTP(w, r)
		case asks && r.URL.Path == "/" && pages != nil:
			w = rest.Deliver(w, r)
			w.Header().Set("Location", panel.Prefix)
			w.WriteHeader(http.StatusFound)
		case asks && r.URL.Path == "/":
			serveFront(rest.Deliver(w, r))
		case asks && r.URL.Path == "/metrics" && app.settings.Metrics.withAPI():
			app.serveMetrics(w, r, published, counted)
		case asks && r.URL.Path == "/healthz":
			plain(rest.Deliver(w, r), http.StatusOK, "ok")
		case asks && r.URL.Path == "/readyz":
			app.readiness(rest.Deliver(w, r), r, stopping.Load())
		default:
			published.ServeHTTP(w, r)
		}
	})
}

// readyTimeout limits how long a probe waits for the server's database.
const readyTimeout = 5 * time.Second

// readiness tells a probe whether the server can take requests, and if not, why. A
// server that can do so only in part is ready, and says what it cannot do.
func (app *App) readiness(w http.ResponseWriter, r *http.Request, stopping bool) {
	if stopping {
		plain(w, http.StatusServiceUnavailable, "not ready: the server is stopping")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := app.Registry.Ping(ctx); err != nil {
		app.log.Error("not ready", "error", err)
		plain(w, http.StatusServiceUnavailable, "not ready: server.db cannot be read: "+whyUnreadable(ctx, err))
		return
	}
	lines := []string{"ready"}
	for _, reason := range app.degradedBy() {
		lines = append(lines, "degraded: "+reason)
	}
	plain(w, http.StatusOK, strings.Join(lines, "\n"))
}

// whyUnreadable says why a database cannot be read without naming anything that is
// none of a stranger's business, such as a path.
func whyUnreadable(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return fmt.Sprintf("it did not answer within %s", readyTimeout)
	}
	var known *problem.Error
	if errors.As(storage.Explain(err), &known) {
		return known.Message
	}
	return "the log has the reason"
}

// degradedBy returns everything that the server cannot do right now, though it takes
// requests.
func (app *App) degradedBy() []string {
	reasons := app.degraded.list()
	if app.room.Low() {
		reasons = append(reasons, "the disk is nearly full; calls that need more space are refused")
	}
	if app.Journal.Failing() {
		reasons = append(reasons, "calls are not being recorded in the journal, which cannot be written; the log has the reason")
	}
	return reasons
}

// join groups a call with others of the same token.
func (app *App) join(ctx context.Context, who rest.Caller, key, runID string) (*rest.Operation, error) {
	projectID, tokenID := who.Identity()
	caller := journal.Caller{ProjectID: projectID, TokenID: tokenID}
	op, err := app.Journal.Join(ctx, caller, key, runID)
	if err != nil {
		return nil, err
	}
	return &rest.Operation{Key: op.Key, RunID: op.RunID, Status: string(op.Status)}, nil
}

// plain answers a probe, which expects a status and a word.
func plain(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A probe that has disconnected needs no answer.
	_, _ = io.WriteString(w, word+"\n")
}
