package rest

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

	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/meter"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/storage"
)

// Config is what the machinery needs from outside.
type Config struct {
	// Authenticate checks the credential of a request and returns the caller. slug is
	// the project in the path, or "" on routes without one. See [Bearer].
	Authenticate func(r *http.Request, slug string) (Caller, error)

	// Join groups the call with others, by the operation headers as sent (at least one
	// is not empty). An error is logged and otherwise ignored. A nil Join groups
	// nothing.
	Join func(ctx context.Context, who Caller, key, runID string) (*Operation, error)

	// Admitted is called for each request with a valid credential; nil for nothing.
	Admitted func()

	// WithRoom returns a handler's context that makes its writes ask for room for the
	// rows that they return; nil if no handler writes rows.
	WithRoom func(ctx context.Context, ask func(bytes int64) error) context.Context

	// WithOrigin returns a handler's context that says which call it is; nil if nobody
	// wants to know.
	WithOrigin func(ctx context.Context, who Caller, requestID string, operation *Operation) context.Context

	Log    *slog.Logger
	Now    func() time.Time // the clock for request ids and generated_at
	Random io.Reader        // the random part of request ids

	// BodyTimeout is how long a client may take for each 64 KiB of a body; 10
	// seconds when zero.
	BodyTimeout time.Duration

	// AnswerTimeout is how long a client may take for each 64 KiB of an answer; 10
	// seconds when zero.
	AnswerTimeout time.Duration

	// Limits limits what one token, project or address can take of the server; nil for
	// no limits.
	Limits *limits.Limits

	// ClientAddress returns the address that a request comes from; nil means that of
	// the connected peer.
	ClientAddress func(*http.Request) netip.Addr

	// AllowOrigin returns the value of the header Access-Control-Allow-Origin for a page
	// of the given origin, or "" if it may not read the answer. who is nil as long as the
	// caller is not known. A nil AllowOrigin sends no headers for other origins.
	AllowOrigin func(who Caller, origin string) string

	// SlowCall is how long the databases of a call may take, with waiting for them,
	// before it is logged with a plan; 0 logs none.
	SlowCall time.Duration

	// Observe is called at the end of every call; nil for nothing.
	Observe func(Observation)

	// Audit is called for each call of an audited route that did something, may have done
	// something or was not permitted, before the first byte of its answer is sent: nobody
	// is told of a success that is not in the audit log. nil for nothing.
	Audit func(context.Context, Observation)

	// KnownColumn reports whether the table with the given name or id has a column of
	// the given name; nil for never. Only names of known fields are observed.
	KnownColumn func(ctx context.Context, who Caller, table, name string) bool

	// Heartbeat is how often a stream of events shows that it is alive; 15 seconds when
	// zero.
	Heartbeat time.Duration
}

// Edge answers requests. It answers every path that it is given, even unknown ones, in
// the envelope.
type Edge struct {
	Config
	mux      *http.ServeMux
	areas    map[string]bool // the first segments of all paths
	texts    sync.Pool       // of *answerText
	underway underway        // calls that must not run twice at once
	repeats  repeats         // log lines that clients can repeat
}

// standardTimeout is how long a client may take to send or receive 64 KiB.
const standardTimeout = 10 * time.Second

// New returns an edge with the given routes, and those of the document that describes
// them.
func New(config Config, doc Document, list []*Endpoint) *Edge {
	e := &Edge{Config: config, mux: http.NewServeMux(), areas: map[string]bool{}}
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
	if e.WithOrigin == nil {
		e.WithOrigin = func(ctx context.Context, _ Caller, _ string, _ *Operation) context.Context { return ctx }
	}
	if e.WithRoom == nil {
		e.WithRoom = func(ctx context.Context, _ func(int64) error) context.Context { return ctx }
	}
	for _, ep := range withDocument(doc, list) {
		e.mux.Handle(ep.Method+" "+ep.Path, ep)
		e.areas[area(ep.Path)] = true
	}
	return e
}

// call is one request on its way through the edge.
type call struct {
	*Edge
	w         *delivery
	r         *http.Request
	ep        *Endpoint // nil if nothing matched
	id        string
	operation *Operation
	keyed     *Keyed // nil without an Idempotency-Key
	began     time.Time
	at        time.Time // when it began, by the clock of the server
	leave     func()    // ends an admitted call
	part      limits.Part
	bodyBytes int64     // length of a body whose room part holds
	unpacker  io.Closer // of a compressed body; nil without one
	meter     meter.Meter
	received  int64          // bytes of the body, as sent
	who       Caller         // nil without a valid credential
	in        any            // the decoded input; nil if there is none
	effect    Effect         // of the handler
	problem   *problem.Error // that the call ended with; nil for none
	sending   time.Time      // when sending the answer began
	audited   bool           // Audit has been called
	streaming bool           // a file or events are being sent: the answer can only be cut off
}

// begin starts a call; end must follow.
func (e *Edge) begin(w http.ResponseWriter, r *http.Request) *call {
	c := &call{
		Edge: e, w: deliver(w, e.AnswerTimeout), r: r, id: e.newID("req_"), began: time.Now(),
		leave: func() {}, part: e.Limits.Budget.Part(0),
	}
	c.at, c.meter.Slow = e.Now(), e.SlowCall
	c.r = r.WithContext(meter.With(r.Context(), &c.meter))
	c.w.Header().Set("X-Request-Id", c.id)
	if len(r.TransferEncoding) > 0 {
		// The request may have had a Content-Length too, and a proxy may have relied on
		// it: what follows on the connection cannot be trusted.
		c.w.Header().Set("Connection", "close")
	}
	c.guardBody()
	return c
}

// end releases what the call holds, and counts it.
func (c *call) end() {
	if c.unpacker != nil {
		_ = c.unpacker.Close() // nothing was written
	}
	c.audit(cmp.Or(c.w.status, StatusGone))
	c.part.Release()
	c.leave()
	if c.Observe != nil || c.SlowCall > 0 {
		c.observe()
	}
}

// ServeHTTP takes a request through all steps of a call.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := e.begin(w, r)
	defer c.end()
	defer c.rescue()
	c.allowOrigin(nil)
	if c.isPreflight() {
		c.answerPreflight()
		return
	}
	out, err := c.run()
	c.sending = time.Now()
	if err != nil {
		c.fail(err)
		return
	}
	out.send(c)
}

// Refuse answers a request outside the routes.
func (e *Edge) Refuse(w http.ResponseWriter, r *http.Request, p *problem.Error, status int) {
	c := e.begin(w, r)
	defer c.end()
	c.writeProblem(p, status)
}

func (c *call) run() (output, error) {
	if err := c.match(); err != nil {
		return nil, cmp.Or(c.joinUnmatched(), err)
	}
	if c.ep.audited {
		c.w.beforeHeader = c.audit
	}
	ws, err := c.open()
	if err != nil {
		return nil, err
	}
	if ws != nil {
		if err := c.admit(ws); err != nil {
			return nil, err
		}
	}
	c.join(ws)
	if !c.ep.Access.permits(ws) {
		return nil, problem.MissingScope(string(c.ep.Access.Scope))
	}
	if err := c.speaksTus(); err != nil {
		return nil, err
	}
	return c.ep.handle(c, ws)
}

// match finds the endpoint. The mux is used only for matching: its own answers,
// including redirects to cleaned paths, would not be in the envelope.
func (c *call) match() error {
	if c.matchUpload() {
		return nil
	}
	handler, _ := c.mux.Handler(c.r)
	if ep, ok := handler.(*Endpoint); ok {
		c.ep = ep
		return nil
	}
	if allowed := c.allowed(); len(allowed) > 0 {
		list := strings.Join(allowed, ", ")
		c.w.Header().Set("Allow", list)
		return problem.New(problem.CodeMethodNotAllowed, "This route does not support %s, only %s.", c.r.Method, list)
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
	_, ok := h.(*Endpoint)
	return ok
}

// open checks the token before anything in the request is decoded, so that a client
// without a token learns nothing else.
func (c *call) open() (Caller, error) {
	if c.ep.Access.Open {
		return nil, nil
	}
	slug, err := c.ep.segment(c.r, "project")
	if err != nil {
		return nil, fmt.Errorf("read the slug in the path: %w", err)
	}
	return c.enter(slug)
}

// enter checks the credential of the call for the project with the given slug, or for
// no project if the slug is empty.
func (c *call) enter(slug string) (Caller, error) {
	who, err := c.Authenticate(c.r, slug)
	switch {
	case err == nil:
		c.who = who
		c.allowOrigin(who)
		c.Admitted()
	case problem.Is(err, problem.CodeInvalidToken):
		err = c.countWrongToken(err)
	}
	return who, err
}

// Bearer returns an Authenticate function that reads the token in the header
// Authorization. enter returns the caller that a secret stands for in the project with
// the given slug.
func Bearer[C Caller](enter func(ctx context.Context, slug, secret string) (C, error)) func(*http.Request, string) (Caller, error) {
	return func(r *http.Request, slug string) (Caller, error) {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		secret = strings.TrimSpace(secret)
		if !strings.EqualFold(scheme, "Bearer") || secret == "" {
			return nil, problem.New(problem.CodeMissingAuthorization, "The request needs the header Authorization: Bearer <token>.")
		}
		who, err := enter(r.Context(), slug, secret)
		if err != nil {
			return nil, err
		}
		return who, nil
	}
}

// joinUnmatched joins a call without an endpoint to its operation, if its token belongs
// to the project in its path. Like any other call, it fails beyond the token's limits.
func (c *call) joinUnmatched() error {
	rest, inProject := strings.CutPrefix(c.r.URL.EscapedPath(), "/projects/")
	key, runID := c.operationSent()
	if !inProject || key == "" && runID == "" {
		return nil
	}
	segment, _, _ := strings.Cut(rest, "/")
	slug, err := url.PathUnescape(segment)
	if err != nil || slug == "" {
		return nil
	}
	ws, err := c.enter(slug)
	if err != nil {
		return nil
	}
	if err := c.admit(ws); err != nil {
		return err
	}
	c.join(ws)
	return nil
}

// operationSent returns the headers that say which operation the call belongs to.
func (c *call) operationSent() (key, runID string) {
	return c.r.Header.Get("X-Operation-Key"), c.r.Header.Get("X-Operation-Run-Id")
}

func (c *call) join(ws Caller) {
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
	if operation.Key != nil {
		c.w.Header().Set("X-Operation-Key", *operation.Key)
	}
	c.w.Header().Set("X-Operation-Run-Id", operation.RunID)
	c.w.Header().Set("X-Operation-Grouping-Status", operation.Status)
}

// fail answers with a problem. A call that was canceled is not a fault of the server.
// Its connection is closed: net/http would send 200 with an empty body, and a client
// that has only stopped sending would read it.
func (c *call) fail(err error) {
	if c.r.Context().Err() != nil && !isProblem(err) {
		c.logRepeatable(slog.LevelInfo, "client gone", "")
		panic(http.ErrAbortHandler)
	}
	p := problem.From(storage.Explain(err))
	status := p.Code.Status()
	if status >= 500 {
		c.logFailure(p, err)
	}
	if other := (*tusProblem)(nil); errors.As(err, &other) {
		status = other.status
		c.setHeader("Tus-Version", TusVersion)
	}
	c.writeProblem(p, status)
}

// logFailure logs why the call failed. A busy server is doing what it should, and a
// client can ask a busy one, a full disk or a damaged project again and again. An
// internal error is always logged, because its answer refers to the log.
func (c *call) logFailure(p *problem.Error, err error) {
	const message = "request failed"
	level, cause := slog.LevelError, p.Message
	switch p.Code {
	case problem.CodeInternal:
		c.Log.Error(message, "request_id", c.id, "address", c.ClientAddress(c.r), "method", c.r.Method, "path", c.loggedPath(), "code", p.Code, "error", err)
		return
	case problem.CodeBusy:
		level = slog.LevelWarn
	case problem.CodeProjectDamaged:
		cause = err.Error() // names the project's file
	}
	c.logRepeatable(level, message, cause, "code", p.Code, "error", err)
}

func isProblem(err error) bool {
	var p *problem.Error
	return errors.As(err, &p)
}

// rescue turns a panic into internal_error. An answer already being sent is cut off
// instead, so that the client notices that it is incomplete.
func (c *call) rescue() {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	c.Log.Error("panic", "request_id", c.id, "address", c.ClientAddress(c.r), "method", c.r.Method, "path", c.loggedPath(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if c.streaming {
		panic(http.ErrAbortHandler)
	}
	p := problem.From(fmt.Errorf("panic: %v", cause))
	c.writeProblem(p, p.Code.Status())
}
