package api

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// endpoint is one line of the list of routes. It is an http.Handler only so
// that the standard mux can match it.
type endpoint struct {
	http.Handler
	method, path string
	id, summary  string
	access       access
	status       int
	others       []int          // further statuses of success
	codes        []problem.Code // beyond those that its shape implies
	bodyLimit    int64          // bytes
	keyUse       keyUse
	mayCall      func(ctx context.Context, ws *Workspace, in any) error
	narrowed     func(ctx context.Context, ws *Workspace, in any, data jsontext.Value) (jsontext.Value, error)
	uploads      bool         // one of the routes of the protocol for resumable uploads
	streams      bool         // its answer is a stream of events
	media        string       // of a body that the handler reads itself; "" for any
	form         reflect.Type // of the options in a form beside such a body; nil for none
	in, out      reflect.Type
	plan         *plan
	further      func(ctx context.Context, ws *Workspace, in any) error
	handle       func(c *call, ws *Workspace) (any, error)
}

// access is what a route asks of the caller.
type access struct {
	open  bool // no token at all
	scope registry.Scope
}

// open is the access of a route that needs no token.
func open() access { return access{open: true} }

// anyToken is the access of a route that every valid token may call.
func anyToken() access { return access{} }

// scope is the access of a route that needs one scope, for one table at least
// where the scope is about tables. Which table is the handler's to ask.
func scope(s registry.Scope) access { return access{scope: s} }

func (a access) permits(ws *Workspace) bool {
	return a.open || a.scope == "" || ws.MaySome(a.scope)
}

// option is what a line may say beyond its usual columns.
type option func(*endpoint)

// created makes 201 the status of success.
func created(ep *endpoint) { ep.status = http.StatusCreated }

// with sets the status of success.
func with(status int) option {
	return func(ep *endpoint) { ep.status = status }
}

// or adds a status of success that the handler decides on.
func or(status int) option {
	return func(ep *endpoint) { ep.others = append(ep.others, status) }
}

// fails names codes that the handler itself may answer with.
func fails(codes ...problem.Code) option {
	return func(ep *endpoint) { ep.codes = append(ep.codes, codes...) }
}

// bodyUpTo sets the limit of the body in MiB; it is 1 without.
func bodyUpTo(mib int64) option {
	return func(ep *endpoint) { ep.bodyLimit = mib << 20 }
}

// further sets a check for faults that decoding cannot find, so that a request
// which has faults of both kinds is told all of them. It is given an input with
// some fields wrong or absent, and must change nothing.
func further[In any](check func(context.Context, *Workspace, *In) error) option {
	return func(ep *endpoint) {
		ep.further = func(ctx context.Context, ws *Workspace, in any) error { return check(ctx, ws, in.(*In)) }
	}
}

// allFaults adds to what decoding has found what the further check finds.
func (ep *endpoint) allFaults(ctx context.Context, ws *Workspace, in any, found error) error {
	if ep.further == nil || !problem.Is(found, problem.CodeValidationFailed) {
		return found
	}
	var faults problem.Faults
	faults.Merge("", found)
	faults.MergeOthers(ep.further(ctx, ws, in))
	return faults.Err()
}

// media names the one type of a body that the handler reads itself.
func media(name string) option {
	return func(ep *endpoint) { ep.media = name }
}

// orForm says that a body which the handler reads itself can also be a form, with
// a file and these options.
func orForm[Options any]() option {
	return func(ep *endpoint) { ep.form = reflect.TypeFor[Options]() }
}

// route makes one line of the list. In is a struct of fields tagged path,
// query or header, and of a field Body where the route has one; Out is the
// data of the answer, an Answer around it, *Download or *Events.
func route[In, Out any](method, path, id, summary string, access access, handler func(context.Context, *Workspace, *In) (Out, error), options ...option) *endpoint {
	ep := &endpoint{
		method: method, path: path, id: id, summary: summary, access: access,
		status: http.StatusOK, bodyLimit: 1 << 20,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
	}
	_, ep.streams = any(*new(Out)).(follows)
	for _, o := range options {
		o(ep)
	}
	ep.handle = func(c *call, ws *Workspace) (any, error) {
		in := new(In)
		if err := c.decode(reflect.ValueOf(in).Elem()); err != nil {
			return nil, ep.allFaults(c.r.Context(), ws, in, err)
		}
		out, err := c.once(ws, in, func(ctx context.Context) (any, error) { return handler(ctx, ws, in) })
		if err == nil {
			err = c.roomForRows(out)
		}
		return out, err
	}
	return ep
}

// rawSegment returns the part of the request's path that stands at {name}, not
// yet decoded, and "" when the route has no such part.
func (ep *endpoint) rawSegment(r *http.Request, name string) string {
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for i, part := range strings.Split(ep.path, "/") {
		if part == "{"+name+"}" && i < len(parts) {
			return parts[i]
		}
	}
	return ""
}

func (ep *endpoint) segment(r *http.Request, name string) (string, error) {
	return url.PathUnescape(ep.rawSegment(r, name))
}
