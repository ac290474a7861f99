package server

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

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
