package server

import (
	"io"
	"net/http"
)

// front is the page at the root, for browsers.
const front = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ZangTable</title>
<h1>ZangTable</h1>
<p>The server is running. Its API is described in the <a href="/docs">reference</a> and in <a href="/openapi.json">openapi.json</a>.</p>
</html>
`

func serveFront(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, front) // a browser that has disconnected needs no answer
}
