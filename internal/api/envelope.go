package api

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

// Operation is how a call was grouped with others. Key is nil when the client
// sent a run id without a key.
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
}

func faultOf(p *problem.Error) *fault { return &fault{p.Code, p.Message, p.Details, p.More} }

// Answer is the output of a handler that decides on the status, names the place
// of what it made or tells which preferences it has followed; other handlers
// return their data alone. A zero Status means the one declared with the route.
type Answer[T any] struct {
	Data     T
	Status   int
	Location string
	Applied  string            // of the header Prefer
	Replayed bool              // from an earlier call with the same Idempotency-Key
	Header   map[string]string // further headers
}

// answered is an Answer of any type.
type answered interface{ plain() Answer[any] }

func (a Answer[T]) plain() Answer[any] {
	return Answer[any]{a.Data, a.Status, a.Location, a.Applied, a.Replayed, a.Header}
}

// answerOf returns what a handler has returned as an Answer with its status.
func (ep *endpoint) answerOf(out any) Answer[any] {
	a, ok := out.(answered)
	if !ok {
		return Answer[any]{Data: out, Status: ep.status}
	}
	plain := a.plain()
	plain.Status = cmp.Or(plain.Status, ep.status)
	return plain
}

// newID returns an id such as req_20260602T012345_123456Z_abc123def456.
func (e *edge) newID(prefix string) string {
	var random [6]byte
	if _, err := io.ReadFull(e.Random, random[:]); err != nil {
		panic(fmt.Errorf("read random bytes: %w", err))
	}
	now := e.Now().UTC()
	return fmt.Sprintf("%s%s_%06dZ_%s", prefix, now.Format("20060102T150405"), now.Nanosecond()/1000, hex.EncodeToString(random[:]))
}

// answer writes what a handler returned.
func (c *call) answer(out any) {
	switch out := out.(type) {
	case *Download:
		c.serveDownload(out)
		return
	case follows:
		out.serve(c)
		return
	case *NoContent:
		c.serveNothing(c.ep.status, out.Header)
		return
	}
	a := c.ep.answerOf(out)
	c.giveBackBody(a.Data)
	c.setHeader("Location", a.Location)
	c.setHeader("Preference-Applied", a.Applied)
	if a.Replayed {
		c.setHeader(replayedHeader, "true")
	}
	for name, value := range a.Header {
		c.setHeader(name, value)
	}
	if a.Status == http.StatusNoContent {
		c.serveNothing(a.Status, nil)
		return
	}
	c.write(a.Status, envelope{OK: true, Data: a.Data})
}

// NoContent is the output of a handler whose answer is its headers alone.
type NoContent struct {
	Header map[string]string
}

func (c *call) serveNothing(status int, header map[string]string) {
	for name, value := range header {
		c.setHeader(name, value)
	}
	if c.r.Method == http.MethodOptions {
		c.setHeader("Allow", strings.Join(c.allowed(), ", "))
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
}

func (c *call) setHeader(name, value string) {
	if value != "" {
		c.w.Header().Set(name, value)
	}
}

// writeProblem answers with a problem. The status is the code's own, except
// where a standard header asks for another one.
func (c *call) writeProblem(p *problem.Error, status int) {
	header := c.w.Header()
	if p.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	switch p.Code {
	case problem.CodeMissingAuthorization, problem.CodeInvalidToken:
		header.Set("WWW-Authenticate", "Bearer")
	case problem.CodeBodyTooLarge, problem.CodeRequestTimeout:
		// The rest of the body is not worth reading.
		header.Set("Connection", "close")
	}
	c.write(status, envelope{Error: faultOf(p)})
}

// answerOptions are how answers are encoded. Text that is not valid UTF-8
// becomes U+FFFD. Names are not checked for duplicates: they are ours, and rows
// have many.
var answerOptions = json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
