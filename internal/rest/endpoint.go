package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// Caller is who makes a call. Holding one proves that its credential was checked.
type Caller interface {
	// Identity returns the project that the call is about and the token that it is made
	// with. Limits and keys are counted per identity.
	Identity() (projectID ids.Project, tokenID ids.Token)
	// Permits reports whether the caller has the scope for at least one table.
	Permits(scope string) bool
}

// Endpoint is one line of the list of routes, made by [Route].
type Endpoint struct {
	http.Handler // only so that the standard mux can match it
	Method, Path string
	ID, Summary  string
	Access       Access
	Status       int   // on success
	BodyLimit    int64 // in bytes

	others   []int          // further success statuses
	codes    []problem.Code // beyond those implied by its shape
	keyUse   keyUse
	keep     func(ctx context.Context, who Caller, key *Keyed, do func(Caller) ([]byte, error)) (answer []byte, replayed bool, err error)
	mayCall  func(ctx context.Context, who Caller, in any) error
	narrowed func(ctx context.Context, who Caller, in any, data jsontext.Value) (jsontext.Value, error)
	reads    bool         // it changes nothing
	uploads  bool         // a route of the protocol for resumable uploads
	audited  bool         // its calls belong in the audit log
	streams  bool         // its answer is a stream of events
	media    string       // of a body that the handler reads itself; "" for any
	form     reflect.Type // options in a form beside such a body; nil for none
	in, out  reflect.Type
	plan     *plan
	handle   func(c *call, who Caller) (output, error)
}

// Access is what a route requires of the caller.
type Access struct {
	Open  bool   // no credential needed
	Scope string // "" for any valid credential
}

// Open is the access of a route that needs no credential.
func Open() Access { return Access{Open: true} }

// AnyToken is the access of a route that every valid credential may call.
func AnyToken() Access { return Access{} }

// Scope is the access of a route that requires one scope, for at least one table if the
// scope is about tables. Whether the token has it for a particular table is checked
// further down: by projectdb for records, otherwise by the handler.
func Scope[S ~string](scope S) Access { return Access{Scope: string(scope)} }

func (a Access) permits(who Caller) bool {
	return a.Open || a.Scope == "" || who.Permits(a.Scope)
}

// Option sets a property of a route beyond the usual columns of its line.
type Option func(*Endpoint)

// Options combines several options into one.
func Options(list ...Option) Option {
	return func(ep *Endpoint) {
		for _, o := range list {
			o(ep)
		}
	}
}

// Created makes 201 the success status.
func Created(ep *Endpoint) { ep.Status = http.StatusCreated }

// Reads is for POST routes that change nothing: such a call can still fail if there is
// no room for its answer.
func Reads(ep *Endpoint) { ep.reads, ep.audited = true, false }

// Audited puts the calls of a route that only reads into the audit log, where those of
// others are anyway.
func Audited(ep *Endpoint) { ep.audited = true }

// NotAudited keeps the calls of a route that changes only rows, or nothing that lasts,
// out of the audit log.
func NotAudited(ep *Endpoint) { ep.audited = false }

// Status sets the success status; the default is 200.
func Status(status int) Option {
	return func(ep *Endpoint) { ep.Status = status }
}

// Or adds a success status that the handler may choose.
func Or(status int) Option {
	return func(ep *Endpoint) { ep.others = append(ep.others, status) }
}

// Fails declares codes that the handler itself may answer with.
func Fails(codes ...problem.Code) Option {
	return func(ep *Endpoint) { ep.codes = append(ep.codes, codes...) }
}

// BodyUpTo sets the limit of the body in MiB; the default is 1.
func BodyUpTo(mib int64) Option {
	return func(ep *Endpoint) { ep.BodyLimit = mib << 20 }
}

// Media sets the only accepted type of a body that the handler reads itself.
func Media(name string) Option {
	return func(ep *Endpoint) { ep.media = name }
}

// OrForm says that a body read by the handler itself may also be a form, with a file
// and these options.
func OrForm[T any]() Option {
	return func(ep *Endpoint) { ep.form = reflect.TypeFor[T]() }
}

// Handler makes the output of an endpoint. faults holds the faults found by decoding; a
// field with a fault is absent from the input. The handler adds any other faults, so
// that a client learns about all of them at once, and changes nothing while there are
// any. C is the type of the caller that [Config.Authenticate] returns.
type Handler[C Caller, In, Out any] func(ctx context.Context, who C, in *In, faults *problem.Faults) (Out, error)

// Plain makes a handler from a function that finds no faults of its own: it does not
// run if decoding has found any.
func Plain[C Caller, In, Out any](do func(context.Context, C, *In) (Out, error)) Handler[C, In, Out] {
	return func(ctx context.Context, who C, in *In, faults *problem.Faults) (out Out, err error) {
		if err := faults.Err(); err != nil {
			return out, err
		}
		return do(ctx, who, in)
	}
}

// Route makes one line of the list. In is a struct of fields tagged path, query or
// header, of a field Body if the route has one, and of a field of type [Call] if the
// handler needs it; Out is the data of the answer, an [Answer] around it, *[Download],
// *[NoContent] or *[Events].
func Route[C Caller, In, Out any](method, path, id, summary string, access Access, handle Handler[C, In, Out], options ...Option) *Endpoint {
	ep := &Endpoint{
		Method: method, Path: path, ID: id, Summary: summary, Access: access,
		Status: http.StatusOK, BodyLimit: 1 << 20,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
		reads: method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions,
	}
	_, ep.streams = any(*new(Out)).(follows)
	ep.audited = !ep.reads
	Options(options...)(ep)
	toOutput := outputOf[Out]()
	ep.handle = func(c *call, who Caller) (output, error) {
		caller, _ := who.(C) // nil on an open route
		in, faults := new(In), new(problem.Faults)
		if err := c.decode(reflect.ValueOf(in).Elem(), faults); err != nil {
			return nil, err
		}
		c.in = in
		if faults.Any() {
			return nil, handle.judge(c.r.Context(), caller, in, faults)
		}
		out, err := c.once(who, in, func(ctx context.Context, who Caller) (output, error) {
			caller, _ := who.(C)
			out, err := handle(ctx, caller, in, faults)
			if err != nil {
				return nil, err
			}
			made := toOutput(out)
			c.noteEffect(made)
			return made, nil
		})
		if err == nil {
			err = c.roomForRows(out)
		}
		return out, err
	}
	return ep
}

// judge returns the faults found by decoding together with those found by the handler.
// Any other failure does not concern the client yet: the call would not be made in this
// form anyway.
func (handle Handler[C, In, Out]) judge(ctx context.Context, who C, in *In, faults *problem.Faults) error {
	_, err := handle(ctx, who, in, faults)
	if err == nil {
		return errors.New("the handler acted in spite of faults")
	}
	faults.Merge("", err)
	return faults.Err()
}

// TakesJSON reports whether the machinery reads the body of the route, which is then
// JSON or empty.
func (ep *Endpoint) TakesJSON() bool { return ep.plan.body != nil }

// rawSegment returns the segment of the request's path at {name}, not yet decoded, or
// "" if the route has none.
func (ep *Endpoint) rawSegment(r *http.Request, name string) string {
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for i, part := range strings.Split(ep.Path, "/") {
		if part == "{"+name+"}" && i < len(parts) {
			return parts[i]
		}
	}
	return ""
}

func (ep *Endpoint) segment(r *http.Request, name string) (string, error) {
	return url.PathUnescape(ep.rawSegment(r, name))
}
