package rest

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// Operation is how a call was grouped with others. Key is nil if the client sent a run
// id without a key.
type Operation struct {
	Key    *string `json:"operation_key"`
	RunID  string  `json:"operation_run_id"`
	Status string  `json:"operation_grouping_status"`
}

// envelope is around every JSON answer; the order of its fields is part of the
// contract.
type envelope struct {
	OK        bool   `json:"ok"`
	Data      any    `json:"data"`
	Error     *fault `json:"error"`
	RequestID string `json:"request_id"`
	*Operation
	Meta meta `json:"meta"`
}

type meta struct {
	GeneratedAt string `json:"generated_at"`
}

type fault struct {
	Code    problem.Code     `json:"code"`
	Message string           `json:"message"`
	Details []problem.Detail `json:"details,omitempty"`
	More    bool             `json:"more,omitzero"` // there are further details
	Record  any              `json:"record,omitzero"`
	ETag    string           `json:"etag,omitzero"`
}

func faultOf(p *problem.Error) *fault {
	return &fault{p.Code, p.Message, p.Told(), p.More, p.Record, p.ETag}
}

// output is a handler's result in the form in which it is sent.
type output interface{ send(c *call) }

// outputOf returns a function that turns the result of a handler into an output. Plain
// data becomes an [Answer] without a head.
func outputOf[Out any]() func(Out) output {
	if _, ok := any(*new(Out)).(output); ok {
		return func(out Out) output { return any(out).(output) }
	}
	return func(out Out) output { return Answer[Out]{Data: out} }
}

// Answer is the output of a handler that sets more than the data of its answer. Other
// handlers return their data alone.
type Answer[T any] struct {
	Data T
	Head
}

// Head is what an answer has besides its data.
type Head struct {
	Status   int               // 0 means the status declared with the route
	Location string            // of a created resource
	Applied  string            // the followed preferences of the header Prefer
	Replayed bool              // from an earlier call with the same Idempotency-Key
	Header   map[string]string // further headers
}

// answered is an [Answer] of any type.
type answered interface {
	data() any
	head() Head
}

func (a Answer[T]) data() any  { return a.Data }
func (a Answer[T]) head() Head { return a.Head }

// keptAnswer returns the answer in the form in which it is kept for replay.
func (ep *Endpoint) keptAnswer(r output) keptAnswer[any] {
	a := r.(answered) // keys are accepted only where data is answered
	return keptAnswer[any]{cmp.Or(a.head().Status, ep.Status), a.data()}
}

// newID returns an id such as req_20260602T012345_123456Z_abc123def456.
func (e *Edge) newID(prefix string) string {
	var random [6]byte
	if _, err := io.ReadFull(e.Random, random[:]); err != nil {
		panic(fmt.Errorf("read random bytes: %w", err))
	}
	now := e.Now().UTC()
	return fmt.Sprintf("%s%s_%06dZ_%s", prefix, now.Format("20060102T150405"), now.Nanosecond()/1000, hex.EncodeToString(random[:]))
}

func (a Answer[T]) send(c *call) {
	c.giveBackBody(a.Data)
	status := cmp.Or(a.Status, c.ep.Status)
	if status == http.StatusNoContent || status == http.StatusNotModified {
		c.setHead(a.Head)
		c.sendNothing(status, nil)
		return
	}
	c.write(status, envelope{OK: true, Data: a.Data}, a.Head)
}

// setHead sets the headers of an answer.
func (c *call) setHead(h Head) {
	c.setHeader("Location", h.Location)
	c.setHeader("Preference-Applied", h.Applied)
	if h.Replayed {
		c.setHeader(ReplayedHeader, "true")
	}
	c.setHeaders(h.Header)
}

// NoContent is the output of a handler whose answer consists of headers alone.
type NoContent struct {
	Header map[string]string
}

func (n *NoContent) send(c *call) { c.sendNothing(c.ep.Status, n.Header) }

func (c *call) sendNothing(status int, header map[string]string) {
	c.setHeaders(header)
	if c.r.Method == http.MethodOptions {
		c.setHeader("Allow", strings.Join(c.allowed(), ", "))
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
}

func (c *call) setHeaders(header map[string]string) {
	for name, value := range header {
		c.setHeader(name, value)
	}
}

func (c *call) setHeader(name, value string) {
	if value != "" {
		c.w.Header().Set(name, value)
	}
}

// writeProblem answers with a problem. The status is that of the code, except where a
// standard header requires another one.
func (c *call) writeProblem(p *problem.Error, status int) {
	c.problem = p
	header := c.w.Header()
	c.setRetryAfter(p)
	switch p.Code {
	case problem.CodeMissingAuthorization, problem.CodeInvalidToken:
		header.Set("WWW-Authenticate", "Bearer")
	case problem.CodeBodyTooLarge, problem.CodeRequestTimeout:
		// The rest of the body is not worth reading.
		header.Set("Connection", "close")
	}
	c.write(status, envelope{Error: faultOf(p)}, Head{})
}

// setRetryAfter sets the header Retry-After if the problem says when to try again.
func (c *call) setRetryAfter(p *problem.Error) {
	if p.RetryAfter > 0 {
		c.setHeader("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
}

// answerOptions say how answers are encoded. Text that is not valid UTF-8 becomes
// U+FFFD. Names are not checked for duplicates: they are ours, and rows have many.
var answerOptions = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
