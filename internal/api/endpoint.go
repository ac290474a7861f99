package api

import (
	"context"
	"errors"
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

// media names the one type of a body that the handler reads itself.
func media(name string) option {
	return func(ep *endpoint) { ep.media = name }
}

// orForm says that a body which the handler reads itself can also be a form, with
// a file and these options.
func orForm[Options any]() option {
	return func(ep *endpoint) { ep.form = reflect.TypeFor[Options]() }
}

// A handler makes the output of an endpoint. The faults are those that decoding
// has found; a field that has one is absent from the input. The handler adds
// what else is wrong, so that a client learns all of it at once, and changes
// nothing while there are any.
type handler[In, Out any] func(ctx context.Context, ws *Workspace, in *In, faults *problem.Faults) (Out, error)

// plain makes a handler of a function that finds no faults of its own: it does
// not run when decoding has found any.
func plain[In, Out any](do func(context.Context, *Workspace, *In) (Out, error)) handler[In, Out] {
	return func(ctx context.Context, ws *Workspace, in *In, faults *problem.Faults) (out Out, err error) {
		if err := faults.Err(); err != nil {
			return out, err
		}
		return do(ctx, ws, in)
	}
}

// route makes one line of the list. In is a struct of fields tagged path,
// query or header, and of a field Body where the route has one; Out is the
// data of the answer, an Answer around it, *Download or *Events.
func route[In, Out any](method, path, id, summary string, access access, handle handler[In, Out], options ...option) *endpoint {
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
		in, faults := new(In), new(problem.Faults)
		if err := c.decode(reflect.ValueOf(in).Elem(), faults); err != nil {
			return nil, err
		}
		if faults.Any() {
			return nil, handle.judge(c.r.Context(), ws, in, faults)
		}
		out, err := c.once(ws, in, func(ctx context.Context) (any, error) { return handle(ctx, ws, in, faults) })
		if err == nil {
			err = c.roomForRows(out)
		}
		return out, err
	}
	return ep
}

// judge returns the faults that decoding has found with those that the handler
// finds. Any other failure is none of the client's business yet: the call would
// not be made as it is.
func (handle handler[In, Out]) judge(ctx context.Context, ws *Workspace, in *In, faults *problem.Faults) error {
	_, err := handle(ctx, ws, in, faults)
	if err == nil {
		return errors.New("the handler acted in spite of faults")
	}
	faults.Merge("", err)
	return faults.Err()
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
