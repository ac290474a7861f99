package rest

import (
	"net/http"

	"github.com/zangtable/zangtable/internal/problem"
)

// What is supported of the protocol for resumable uploads,
// https://tus.io/protocols/resumable-upload.
const (
	TusHeader  = "Tus-Resumable"
	TusVersion = "1.0.0"
)

// Uploads marks a route as part of the protocol for resumable uploads. The headers of
// the protocol have no meaning on other routes.
func Uploads(ep *Endpoint) { ep.uploads = true }

// matchUpload finds the endpoint of a request that uses the protocol, and reports
// whether there is one. A client that cannot send PATCH or DELETE sends POST and names
// the method in a header. GET and HEAD never change anything.
func (c *call) matchUpload() bool {
	if c.r.Header.Get(TusHeader) == "" {
		return false
	}
	r := c.r
	if method := r.Header.Get("X-HTTP-Method-Override"); method != "" && r.Method == http.MethodPost {
		r = r.WithContext(r.Context())
		r.Method = method
	}
	handler, _ := c.mux.Handler(r)
	ep, ok := handler.(*Endpoint)
	if !ok || !ep.uploads {
		return false
	}
	c.r, c.ep = r, ep
	c.w.Header().Set(TusHeader, TusVersion) // in every answer, as the protocol requires
	return true
}

// speaksTus returns an error if the request asks for another version of the protocol.
// OPTIONS is allowed, because clients use it to find the version.
func (c *call) speaksTus() error {
	version := c.r.Header.Get(TusHeader)
	if !c.ep.uploads || version == "" || version == TusVersion || c.r.Method == http.MethodOptions {
		return nil
	}
	return TusProblem(http.StatusPreconditionFailed, problem.Invalid(TusHeader, "Must be %s.", TusVersion))
}

// TusProblem returns a problem that is answered with another status than that of its
// code, because the protocol for resumable uploads requires it.
func TusProblem(status int, p *problem.Error) error { return &tusProblem{p, status} }

type tusProblem struct {
	problem *problem.Error
	status  int
}

func (e *tusProblem) Error() string { return e.problem.Error() }
func (e *tusProblem) Unwrap() error { return e.problem }
