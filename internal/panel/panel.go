package panel

import (
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// Prefix is the path of the panel; the session's API is below Prefix + "/api".
const (
	Prefix    = "/admin"
	apiPrefix = Prefix + "/api"
)

// Config is what the panel needs from outside.
type Config struct {
	Registry *registry.Registry
	API      http.Handler // see [api.NewForSessions]

	// Allows reports whether a request names this server as its host.
	Allows func(*http.Request) bool
	// Secure says that people reach the server over TLS.
	Secure bool
	// ClientAddress returns the address that a request comes from.
	ClientAddress func(*http.Request) netip.Addr

	Log *slog.Logger
	Now func() time.Time
}

// Panel answers every path from /admin on.
type Panel struct {
	Config
	origins  *http.CrossOriginProtection
	mux      *http.ServeMux
	views    views
	throttle *throttle
}

// New returns the panel.
func New(config Config) *Panel {
	p := &Panel{Config: config, origins: http.NewCrossOriginProtection(), mux: http.NewServeMux(), views: parseViews(), throttle: newThrottle(config.Now)}
	p.routes()
	return p
}

// routes is the list of pages. A page that changes something answers a POST with a
// redirect to a page that shows the result.
func (p *Panel) routes() {
	const project = Prefix + "/p/{project}"
	p.mux.HandleFunc("GET "+assetPrefix+"{name}", p.serveAsset)
	for pattern, handle := range map[string]func(*request) error{
		"GET " + Prefix + "/setup": showSetup, "POST " + Prefix + "/setup": setUp,
		"GET " + Prefix + "/sign-in": showSignIn, "POST " + Prefix + "/sign-in": signIn,
		"GET " + project + "/sign-in": showSignIn, "POST " + project + "/sign-in": signIn,
	} {
		p.mux.Handle(pattern, limited(p.open(handle)))
	}
	for pattern, handle := range map[string]func(*request) error{
		"GET " + Prefix: showProjects, "POST " + Prefix + "/sign-out": signOut,
		"GET " + Prefix + "/new": showNewProject, "POST " + Prefix + "/new": createProject,
		"GET " + Prefix + "/me": showMe, "POST " + Prefix + "/me/password": changePassword, "POST " + Prefix + "/me/theme": changeTheme,
		"POST " + Prefix + "/me/sessions/{id}/end": endSession,
		"GET " + Prefix + "/server/users":          showUsers, "POST " + Prefix + "/server/users": addUser,
		"POST " + Prefix + "/server/users/{id}/remove": removeUser,
		"GET " + Prefix + "/server/audit":              showAudit,

		"GET " + project:                        showProject,
		"POST " + project + "/delete":           deleteProject,
		"GET " + project + "/t/{table}":         showTable,
		"GET " + project + "/r/{table}/{id...}": showRecord,

		"GET " + project + "/tokens": showTokens, "POST " + project + "/tokens": createToken,
		"POST " + project + "/tokens/{id}/rotate": rotateToken, "POST " + project + "/tokens/{id}/revoke": revokeToken,
		"GET " + project + "/runs": showRuns, "GET " + project + "/runs/{id}": showRun,
		"GET " + project + "/runs/{id}/undo": showUndo, "POST " + project + "/runs/{id}/undo": undoRun,
		"POST " + project + "/track":  trackChanges,
		"GET " + project + "/exports": showExports, "POST " + project + "/exports": orderExport,
		"POST " + project + "/exports/{id}/delete": deleteExport, "POST " + project + "/exports/{id}/verify": verifyExport,
		"GET " + project + "/imports": showImports, "GET " + project + "/imports/{id}": showImport,
		"POST " + project + "/imports/{id}/run": runImport, "POST " + project + "/imports/{id}/delete": deleteImport,
	} {
		p.mux.Handle(pattern, limited(p.signedIn(handle)))
	}
	// The API limits the size of files itself.
	p.mux.Handle("POST "+project+"/imports", p.signedIn(receiveFile))
}

// limited limits the body of a form without a file.
func limited(h http.Handler) http.Handler { return http.MaxBytesHandler(h, maxForm) }

// policy allows the panel's own files and nothing else. Strings never become markup or
// script: Trusted Types refuse it, and no policy can be created.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ServeHTTP answers requests for this server's host from its own pages.
func (p *Panel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, value := range map[string]string{
		"Content-Security-Policy":      policy,
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "same-origin",
		"Cache-Control":                "no-store",
	} {
		header.Set(name, value)
	}
	if p.Secure {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
	inAPI := r.URL.Path == apiPrefix || strings.HasPrefix(r.URL.Path, apiPrefix+"/")
	switch {
	case !p.Allows(r):
		p.refuse(w, r, http.StatusMisdirectedRequest, "This is not the address of the panel", "The panel answers only at the address that the server knows as its own: a name of this machine, or the one that zangtable serve --public-url (or ZANGTABLE_PUBLIC_URL) gives. Set it to the address that people type.")
	case p.origins.Check(r) != nil || inAPI && isForeign(r):
		p.refuse(w, r, http.StatusForbidden, "Sent from another site", "The request was sent by a page of another site and has been refused.")
	case inAPI:
		p.serveAPI(w, r)
	case path.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath():
		// The mux would redirect.
		p.refuse(w, r, http.StatusNotFound, "There is no such page", "Check the address.")
	default:
		p.servePage(w, r)
	}
}

// isForeign reports whether a browser says that another site's page makes the request.
func isForeign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

// serveAPI passes a call on to the API, with the session of the cookie as its
// credential.
func (p *Panel) serveAPI(w http.ResponseWriter, r *http.Request) {
	cut := *r.URL
	cut.Path = strings.TrimPrefix(cut.Path, apiPrefix)
	raw, ok := strings.CutPrefix(cut.EscapedPath(), apiPrefix)
	if cut.RawPath != "" && !ok {
		p.refuse(w, r, http.StatusNotFound, "There is no such page", "Check the address.")
		return
	}
	if cut.RawPath != "" {
		cut.RawPath = raw
	}
	visit, err := p.visit(r)
	inner := r.Clone(api.WithVisit(r.Context(), visit, err))
	inner.URL = &cut
	inner.Header.Del("Authorization")
	p.API.ServeHTTP(w, inner)
}

// maxForm limits the body of a form without a file.
const maxForm = 1 << 20

func (p *Panel) servePage(w http.ResponseWriter, r *http.Request) {
	w = rest.Deliver(w, r)
	if _, pattern := p.mux.Handler(r); pattern == "" {
		p.refuse(w, r, http.StatusNotFound, "There is no such page", "Check the address.")
		return
	}
	p.mux.ServeHTTP(w, r)
}
