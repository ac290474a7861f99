// Package api is the HTTP contract: the list of routes, their inputs and
// outputs, the envelope around every answer, and the OpenAPI document. It owns
// everything that is true of HTTP (headers, statuses, limits, deadlines,
// decoding, downloads) and refuses to know how anything is stored: a handler
// makes an output of a context, a workspace and an input, and never sees the
// request or the answer.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
	"github.com/zangtable/zangtable/internal/storage"
)

// Config is what the API needs from outside.
type Config struct {
	Registry   *registry.Registry
	Exports    *export.Exports
	Imports    *imports.Imports
	Rehearsals *rehearsal.Stage

	// WaitLimit is how long the creation of an export waits for the artifact; 30
	// seconds when zero.
	WaitLimit time.Duration

	// Join groups the call with others, by the operation headers as sent (at
	// least one is not empty). Its failure is logged and changes nothing else.
	// A nil Join groups nothing.
	Join func(ctx context.Context, ws *Workspace, key, runID string) (*Operation, error)

	// Admitted is called for each request whose token is valid; nil calls nothing.
	Admitted func()

	Log    *slog.Logger
	Now    func() time.Time // the clock of request ids and of generated_at
	Random io.Reader        // the random part of request ids

	// BodyTimeout is how long a client may take for each 64 KiB of a body; 10
	// seconds when zero.
	BodyTimeout time.Duration

	// AnswerTimeout is how long a client may take for each 64 KiB of an answer; 10
	// seconds when zero.
	AnswerTimeout time.Duration

	// Limits are what one token, project or address can take of the server; nil is
	// no limits.
	Limits *limits.Limits

	// ClientAddress returns where a request comes from; nil is the address of
	// whoever has connected.
	ClientAddress func(*http.Request) netip.Addr

	// Observe is told of every call when it has ended; nil for nobody.
	Observe func(Observation)

	// Heartbeat is how often a stream of events shows that it goes on; 15 seconds
	// when zero.
	Heartbeat time.Duration

	Version string // of the server, for the OpenAPI document
}

// Observation is what is counted of a call.
type Observation struct {
	Route  string // the id of the endpoint, or "unmatched"
	Status int
	Took   time.Duration // with the answer
}

// Handler is the whole API.
type Handler interface {
	http.Handler
	// Refuse answers a request outside the routes, in the envelope.
	Refuse(w http.ResponseWriter, r *http.Request, p *problem.Error, status int)
}

// New returns the handler of the whole API. It answers every path that it is
// given, unknown ones included, in the envelope.
func New(config Config) Handler {
	config.WaitLimit = cmp.Or(config.WaitLimit, 30*time.Second)
	return newEdge(config, routes(&handlers{config.Registry, config.Exports, config.Imports, config.Rehearsals, config.WaitLimit, config.Now}))
}

// edge holds the matched routes and what every call shares.
type edge struct {
	Config
	mux   *http.ServeMux
	texts sync.Pool // of *answerText
	// underway is the calls that must not run twice at once.
	underway underway
	// enter returns what a secret opens in the project with the given slug,
	// which is empty on the routes that name no project.
	enter func(ctx context.Context, slug, secret string) (*Workspace, error)
}

// standardTimeout is how long a client may take to send or take 64 KiB.
const standardTimeout = 10 * time.Second

func newEdge(config Config, list []*endpoint) *edge {
	e := &edge{Config: config, mux: http.NewServeMux()}
	e.enter = e.authenticate
	if e.Admitted == nil {
		e.Admitted = func() {}
	}
	e.BodyTimeout = cmp.Or(config.BodyTimeout, standardTimeout)
	e.AnswerTimeout = cmp.Or(config.AnswerTimeout, standardTimeout)
	e.Heartbeat = cmp.Or(e.Heartbeat, 15*time.Second)
	if e.Limits == nil {
		e.Limits = limits.New(limits.Settings{}, nil)
	}
	if e.ClientAddress == nil {
		e.ClientAddress = peerAddress
	}
	for _, ep := range withDocument(config.Version, list) {
		e.mux.Handle(ep.method+" "+ep.path, ep)
	}
	return e
}

// call is one request on its way through the edge.
type call struct {
	*edge
	w         *delivery
	r         *http.Request
	ep        *endpoint // nil when nothing matched
	id        string
	operation *Operation
	keyed     *keyed // nil without an Idempotency-Key
	began     time.Time
	leave     func() // ends the call that was let in
	part      limits.Part
	bodyBytes int64 // of a body that has room in part
	streaming bool  // a file or events are under way: the answer can only be cut off
}

// begin takes a request, which end ends.
func (e *edge) begin(w http.ResponseWriter, r *http.Request) *call {
	c := &call{
		edge: e, w: deliver(w, e.AnswerTimeout), r: r, id: e.newID("req_"), began: time.Now(),
		leave: func() {}, part: e.Limits.Budget.Part(0),
	}
	c.w.Header().Set("X-Request-Id", c.id)
	if len(r.TransferEncoding) > 0 {
		// It may have had a Content-Length too, which a proxy in front may have
		// believed: what follows on the connection is not to be trusted.
		c.w.Header().Set("Connection", "close")
	}
	c.guardBody()
	return c
}

// end gives back what the call has taken, and counts it.
func (c *call) end() {
	c.part.Release()
	c.leave()
	if c.Observe == nil {
		return
	}
	route := "unmatched"
	if c.ep != nil {
		route = c.ep.id
	}
	c.Observe(Observation{route, cmp.Or(c.w.status, statusGone), time.Since(c.began)})
}

// statusGone is counted for a call whose client has gone before it was answered.
const statusGone = 499

// ServeHTTP is the life of a request.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := e.begin(w, r)
	defer c.end()
	defer c.rescue()
	out, err := c.run()
	if err != nil {
		c.fail(err)
		return
	}
	c.answer(out)
}

// Refuse answers a request outside the routes.
func (e *edge) Refuse(w http.ResponseWriter, r *http.Request, p *problem.Error, status int) {
	c := e.begin(w, r)
	defer c.end()
	c.writeProblem(p, status)
}

func (c *call) run() (any, error) {
	if err := c.match(); err != nil {
		c.joinUnmatched()
		return nil, err
	}
	ws, err := c.open()
	if err != nil {
		return nil, err
	}
	if ws != nil {
		defer ws.Close() // before the answer is sent: a slow client keeps no project open
		if err := c.admit(ws); err != nil {
			return nil, err
		}
	}
	c.join(ws)
	if !c.ep.access.permits(ws) {
		return nil, problem.New(problem.CodePermissionDenied, "This token may not do this: the call needs the scope %s.", c.ep.access.scope)
	}
	if err := c.speaksTus(); err != nil {
		return nil, err
	}
	return c.ep.handle(c, ws)
}

// match finds the endpoint. The mux only matches: its own answers, the
// redirects to cleaned paths included, would not be in the envelope.
func (c *call) match() error {
	if c.matchUpload() {
		return nil
	}
	handler, _ := c.mux.Handler(c.r)
	if ep, ok := handler.(*endpoint); ok {
		c.ep = ep
		return nil
	}
	if allowed := c.allowed(); len(allowed) > 0 {
		list := strings.Join(allowed, ", ")
		c.w.Header().Set("Allow", list)
		return problem.New(problem.CodeMethodNotAllowed, "This route does not have the method %s, but %s.", c.r.Method, list)
	}
	return problem.New(problem.CodeNotFound, "There is no route %s.", c.r.URL.Path)
}

func (c *call) allowed() []string {
	var allowed []string
	probe := c.r.WithContext(c.r.Context())
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		probe.Method = method
		if handler, _ := c.mux.Handler(probe); isEndpoint(handler) {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

func isEndpoint(h http.Handler) bool {
	_, ok := h.(*endpoint)
	return ok
}

// open checks the token before anything of the request is decoded, so that a
// client without one learns nothing but that.
func (c *call) open() (*Workspace, error) {
	if c.ep.access.open {
		return nil, nil
	}
	slug, err := c.ep.segment(c.r, "project")
	if err != nil {
		return nil, fmt.Errorf("read the slug in the path: %w", err)
	}
	return c.enterWith(slug)
}

// enterWith opens a project with the token that was sent.
func (c *call) enterWith(slug string) (*Workspace, error) {
	scheme, secret, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return nil, problem.New(problem.CodeMissingAuthorization, "The request needs the header Authorization: Bearer <token>.")
	}
	ws, err := c.enter(c.r.Context(), slug, secret)
	switch {
	case err == nil:
		c.Admitted()
	case problem.Is(err, problem.CodeInvalidToken):
		err = c.countWrongToken(err)
	}
	return ws, err
}

func (e *edge) authenticate(ctx context.Context, slug, secret string) (*Workspace, error) {
	if slug == "" {
		return e.Registry.AuthenticateAccount(ctx, secret)
	}
	return e.Registry.Authenticate(ctx, slug, secret)
}

// joinUnmatched joins a call that no endpoint answers to its operation, when
// its token is one of the project in its path.
func (c *call) joinUnmatched() {
	rest, inProject := strings.CutPrefix(c.r.URL.EscapedPath(), "/projects/")
	key, runID := c.operationSent()
	if !inProject || key == "" && runID == "" {
		return
	}
	segment, _, _ := strings.Cut(rest, "/")
	slug, err := url.PathUnescape(segment)
	if err != nil || slug == "" {
		return
	}
	ws, err := c.enterWith(slug)
	if err != nil {
		return
	}
	defer ws.Close()
	c.join(ws)
}

// operationSent returns the headers that say to which operation the call
// belongs.
func (c *call) operationSent() (key, runID string) {
	return c.r.Header.Get("X-Operation-Key"), c.r.Header.Get("X-Operation-Run-Id")
}

func (c *call) join(ws *Workspace) {
	key, runID := c.operationSent()
	if ws == nil || c.Join == nil || key == "" && runID == "" {
		return
	}
	operation, err := c.Join(c.r.Context(), ws, key, runID)
	if err != nil {
		c.Log.Error("join operation", "request_id", c.id, "error", err)
		return
	}
	c.operation = operation
	c.r = c.r.WithContext(context.WithValue(c.r.Context(), operationKey{}, operation))
}

// operationKey is where a context holds the operation of its call.
type operationKey struct{}

// runIDOf returns the run id of the operation that a call belongs to, or nil.
func runIDOf(ctx context.Context) *string {
	operation, ok := ctx.Value(operationKey{}).(*Operation)
	if !ok {
		return nil
	}
	return &operation.RunID
}

// fail answers with a problem. Nobody reads the answer of a client that has
// gone, and its leaving is not a fault of the server.
func (c *call) fail(err error) {
	if c.r.Context().Err() != nil && !isProblem(err) {
		c.Log.Info("client gone", "request_id", c.id, "address", c.ClientAddress(c.r), "method", c.r.Method, "path", c.r.URL.Path)
		return
	}
	p := problem.From(storage.Explain(err))
	if p.Code.Status() >= 500 {
		c.Log.Error("request failed", "request_id", c.id, "address", c.ClientAddress(c.r), "method", c.r.Method, "path", c.r.URL.Path, "code", p.Code, "error", err)
	}
	status := p.Code.Status()
	if other := (*otherStatus)(nil); errors.As(err, &other) {
		status = other.status
		if c.ep.uploads {
			c.setHeader("Tus-Version", tusVersion)
		}
	}
	c.writeProblem(p, status)
}

func isProblem(err error) bool {
	var p *problem.Error
	return errors.As(err, &p)
}

// rescue turns a panic into internal_error. An answer that is already under
// way is cut off instead, so that the client sees it is not whole.
func (c *call) rescue() {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	c.Log.Error("panic", "request_id", c.id, "address", c.ClientAddress(c.r), "method", c.r.Method, "path", c.r.URL.Path, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if c.streaming {
		panic(http.ErrAbortHandler)
	}
	p := problem.From(fmt.Errorf("panic: %v", cause))
	c.writeProblem(p, p.Code.Status())
}
