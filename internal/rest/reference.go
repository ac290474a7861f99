package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
)

// referenceFiles are the files of the interactive reference. A script builds it from
// the OpenAPI document, so that it never has to be updated by hand.
//
//go:embed reference
var referenceFiles embed.FS

const referencePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// reference returns the endpoints of the reference pages, which are not themselves
// described.
func reference() []*Endpoint {
	list := []*Endpoint{
		Route("GET", "/docs", "docs", "Show the reference", Open(), Plain(referencePage("index.html", "text/html; charset=utf-8"))),
		Route("GET", "/docs/{$}", "docs-folder", "Show the reference", Open(), Plain(referencePage("index.html", "text/html; charset=utf-8"))),
		Route("GET", "/docs/reference.js", "docs-script", "Its script", Open(), Plain(referencePage("reference.js", "text/javascript; charset=utf-8"))),
		Route("GET", "/docs/reference.css", "docs-style", "Its style", Open(), Plain(referencePage("reference.css", "text/css; charset=utf-8"))),
	}
	for _, ep := range list {
		ep.plan = newPlan(newSchemas(nil), ep)
	}
	return list
}

func referencePage(name, contentType string) func(context.Context, Caller, *struct{}) (*Download, error) {
	text, err := referenceFiles.ReadFile("reference/" + name)
	if err != nil {
		panic(fmt.Errorf("read what is compiled in: %w", err))
	}
	page := pageOf(contentType, text)
	return func(context.Context, Caller, *struct{}) (*Download, error) { return page(), nil }
}

// pageOf returns a function that returns a text of the server's own, to be shown. It is
// compressed and hashed once.
func pageOf(contentType string, text []byte) func() *Download {
	compressed := packed(text)
	plainSum, packedSum := sha256.Sum256(text), sha256.Sum256(compressed)
	return func() *Download {
		d := &Download{ContentType: contentType, SHA256: plainSum, Content: bytes.NewReader(text), Policy: referencePolicy}
		d.Gzip = &Download{ContentType: contentType, SHA256: packedSum, Content: bytes.NewReader(compressed), Policy: referencePolicy}
		return d
	}
}

// packed returns a text as gzip.
func packed(text []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(text)
	_ = w.Close() // writes to a buffer cannot fail
	return out.Bytes()
}
