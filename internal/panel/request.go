package panel

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// request is a request for a page.
type request struct {
	*Panel
	w     http.ResponseWriter
	r     *http.Request
	visit *registry.Visit // nil on pages for people who have not signed in

	preference string // sent to the API with the header Prefer
}

// prefer returns the request with a preference for its calls of the API.
func (q *request) prefer(preference string) *request {
	preferring := *q
	preferring.preference = preference
	return &preferring
}

// open returns the handler of a page for everybody.
func (p *Panel) open(handle func(*request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{Panel: p, w: w, r: r}
		if err := handle(q); err != nil {
			q.fail(err)
		}
	})
}

// signedIn returns the handler of a page for people who have signed in. Others are sent
// to where they can.
func (p *Panel) signedIn(handle func(*request) error) http.Handler {
	return p.open(func(q *request) (err error) {
		q.visit, err = p.visit(q.r)
		if err != nil && !problem.Is(err, problem.CodeInvalidToken) {
			return err
		}
		if q.visit == nil {
			q.redirect(signInPath(q.r))
			return nil
		}
		return handle(q)
	})
}

// redirect sends the browser to another page of the panel, which it asks for by GET.
func (q *request) redirect(target string) {
	q.w.Header().Set("Location", target)
	q.w.WriteHeader(http.StatusSeeOther)
}

// failure is an answer of the API that is not ok.
type failure struct {
	Code    string           `json:"code"`
	Message string           `json:"message"`
	Details []problem.Detail `json:"details"`

	status    int
	requestID string
}

func (f *failure) Error() string { return f.Message }

// hasCode reports whether an error is a failure of the API with the given code.
func hasCode(err error, code problem.Code) bool {
	var f *failure
	return errors.As(err, &f) && f.Code == string(code)
}

// pick returns those of the named parameters that have a value.
func pick(query url.Values, names ...string) url.Values {
	picked := url.Values{}
	for _, name := range names {
		if text := query.Get(name); text != "" {
			picked.Set(name, text)
		}
	}
	return picked
}

// get reads a resource of the API.
func (q *request) get(out any, format string, segments ...any) error {
	return q.call(http.MethodGet, apiPath(format, segments...), nil, out)
}

// apiPath fills escaped segments into a path.
func apiPath(format string, segments ...any) string {
	for i, s := range segments {
		segments[i] = url.PathEscape(fmt.Sprint(s))
	}
	return fmt.Sprintf(format, segments...)
}

// call makes a call of the API, in this process, as the person of the session. The body
// is sent as JSON; nil sends none.
func (q *request) call(method, path string, body, out any) error {
	content := io.Reader(http.NoBody)
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the body for %s %s: %w", method, path, err)
		}
		content = bytes.NewReader(text)
	}
	return q.send(method, path, "application/json", content, out)
}

// send is call for any body.
func (q *request) send(method, path, contentType string, body io.Reader, out any) error {
	inner, err := http.NewRequestWithContext(api.WithVisit(q.r.Context(), q.visit, nil), method, path, body)
	if err != nil {
		return fmt.Errorf("call %s %s: %w", method, path, err)
	}
	inner.RemoteAddr, inner.RequestURI = q.r.RemoteAddr, path
	if body != http.NoBody {
		inner.Header.Set("Content-Type", contentType)
	}
	if q.preference != "" {
		inner.Header.Set("Prefer", q.preference)
	}
	answer := recorder{header: http.Header{}}
	q.API.ServeHTTP(&answer, inner)
	return answer.read(out)
}

// recorder keeps an answer of the API.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(status int) { a.status = cmp.Or(a.status, status) }

func (a *recorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// read decodes the data of the answer, or returns its failure.
func (a *recorder) read(out any) error {
	envelope := struct {
		OK        bool            `json:"ok"`
		Data      json.RawMessage `json:"data"`
		Error     *failure        `json:"error"`
		RequestID string          `json:"request_id"`
	}{}
	if err := json.Unmarshal(a.body.Bytes(), &envelope); err != nil {
		return fmt.Errorf("read an answer of the API with status %d: %w", a.status, err)
	}
	if !envelope.OK {
		f := cmp.Or(envelope.Error, &failure{Message: "The API did not answer."})
		f.status, f.requestID = a.status, envelope.RequestID
		return f
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(envelope.Data, out)
}

// fail shows an error as a page.
func (q *request) fail(err error) {
	var f *failure
	var p *problem.Error
	switch {
	case context.Cause(q.r.Context()) != nil:
		panic(http.ErrAbortHandler) // nobody waits for the answer
	case errors.As(err, &f):
	case errors.As(err, &p):
		f = &failure{Code: string(p.Code), Message: p.Message, Details: p.Told(), status: p.Code.Status()}
	default:
		q.Log.Error("page failed", "method", q.r.Method, "path", q.r.URL.Path, "error", err)
		f = &failure{Message: "The server could not answer. Its log says why.", status: http.StatusInternalServerError}
	}
	if f.status == http.StatusUnauthorized && q.visit != nil {
		q.redirect(signInPath(q.r))
		return
	}
	title := map[int]string{http.StatusNotFound: "Not found", http.StatusForbidden: "Not allowed", http.StatusConflict: "Not possible now", http.StatusServiceUnavailable: "Busy"}[f.status]
	q.show(f.status, "error", page{Title: cmp.Or(title, "That did not work"), Data: f})
}

// RequestID returns the id by which the log knows the failed call.
func (f *failure) RequestID() string { return f.requestID }

// refuse shows a refusal to somebody who may not have signed in.
func (p *Panel) refuse(w http.ResponseWriter, r *http.Request, status int, title, message string) {
	q := &request{Panel: p, w: w, r: r}
	q.show(status, "error", page{Title: title, Data: &failure{Message: message, status: status}})
}

// field returns a field of the form without surrounding space.
func (q *request) field(name string) string { return strings.TrimSpace(q.r.PostFormValue(name)) }
