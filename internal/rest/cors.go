package rest

import (
	"net/http"
	"strings"
)

// Web pages of other origins may call the API as far as Config.AllowOrigin allows
// (https://fetch.spec.whatwg.org/#http-cors-protocol). Credentials that browsers send
// by themselves are never allowed: a page has to have a token of its own.

// The headers of the protocol, beside Access-Control-Allow-Origin.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

	corsRequestHeaders = "Authorization, Content-Type, Content-Encoding, Content-Digest, Idempotency-Key, If-Match, If-None-Match, If-Range, Prefer, Range, Last-Event-ID, " +
		"X-File-Name, X-Operation-Key, X-Operation-Run-Id, X-HTTP-Method-Override, " +
		"Tus-Resumable, Upload-Checksum, Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset"

	corsExposedHeaders = "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, Content-Disposition, Content-Range, Repr-Digest, Preference-Applied, Idempotent-Replayed, " +
		"X-Request-Id, X-Operation-Key, X-Operation-Run-Id, " +
		"Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset"

	corsMaxAge = "600" // seconds for which browsers need not ask again
)

// area returns the first segment of a path.
func area(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// isOfAPI reports whether the path may be open to other origins. What else the server
// has at its address is for its own pages and for other programs.
func (c *call) isOfAPI() bool { return c.AllowOrigin != nil && c.areas[area(c.r.URL.Path)] }

// allowOrigin sets the headers that let the page that makes the call read its answer.
// who is nil while the caller is not known.
func (c *call) allowOrigin(who Caller) {
	if !c.isOfAPI() {
		return
	}
	header := c.w.Header()
	if who == nil { // for the first time
		header.Add("Vary", "Origin")
	}
	origin := c.r.Header.Get("Origin")
	if origin == "" {
		return
	}
	allowed := c.AllowOrigin(who, origin)
	if allowed == "" {
		header.Del("Access-Control-Allow-Origin")
		header.Del("Access-Control-Expose-Headers")
		return
	}
	header.Set("Access-Control-Allow-Origin", allowed)
	header.Set("Access-Control-Expose-Headers", corsExposedHeaders)
}

// isPreflight reports whether a browser asks if a page may make a call. It asks without
// a token, and about every path in the same way.
func (c *call) isPreflight() bool {
	header := c.r.Header
	return c.isOfAPI() && c.r.Method == http.MethodOptions && header.Get("Origin") != "" && header.Get("Access-Control-Request-Method") != ""
}

// answerPreflight tells the browser what a page may send. A page whose origin is not
// allowed is refused by the absence of Access-Control-Allow-Origin.
func (c *call) answerPreflight() {
	header := c.w.Header()
	if header.Get("Access-Control-Allow-Origin") != "" {
		header.Del("Access-Control-Expose-Headers") // only of use in the answer to the call itself
		header.Set("Access-Control-Allow-Methods", corsMethods)
		header.Set("Access-Control-Allow-Headers", corsRequestHeaders)
		header.Set("Access-Control-Max-Age", corsMaxAge)
	}
	header.Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusNoContent)
}
