package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// operation is one operation of the document.
type operation struct {
	method, path string
	described    map[string]any
}

// generated is one request, byte for byte.
type generated struct {
	method string
	text   []byte
}

// String returns the request, with a long body shortened.
func (q generated) String() string {
	const most = 800
	if len(q.text) > most {
		return fmt.Sprintf("%q … (%d bytes)", q.text[:most], len(q.text))
	}
	return fmt.Sprintf("%q", q.text)
}

// request makes a request for an operation: usually valid, and always so that something
// about it can be wrong.
func (g *generator) request(op operation, project string, tokens []string) generated {
	g.table, g.wrong = g.tables[g.IntN(len(g.tables))], g.chance(50)
	method := op.method
	if g.slip(4) {
		method = g.one("GET", "PUT", "TRACE", "HEAD", "get", "POST", "OPTIONS")
	}
	parameters, _ := op.described["parameters"].([]any)
	header := []string{"Host: " + g.one("localhost", "127.0.0.1", "evil.example")}
	header = append(header, g.authorization(tokens)...)
	target := g.target(op.path, project)
	var query []string
	for _, p := range parameters {
		p := g.schema(p)
		name, _ := p["name"].(string)
		switch p["in"] {
		case "query":
			if g.chance(25) {
				query = append(query, g.queryParameter(name, p["schema"]))
			}
		case "header":
			if g.chance(20) {
				header = append(header, name+": "+g.headerValue(name))
			}
		}
	}
	if g.slip(8) {
		query = append(query, g.one("nowhere=1", "a;b", "%zz", "&", "limit=1&limit=2", "=", "limit", "%00=%00", "sort=%ff"))
	}
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	if g.chance(6) {
		header = append(header, g.one("X-HTTP-Method-Override: DELETE", "Accept: text/html", "Range: bytes=0-1", "Range: bytes=9-2,x", "If-None-Match: *", "If-Match: \"x\"", "Accept-Encoding: gzip", "Content-Encoding: gzip", "Expect: 100-continue", "X-Api-Key: 1", "Tus-Resumable: 1.0.0", "Connection: close", "Upgrade: websocket"))
	}
	body, contentType := g.body(op)
	return g.assemble(method, target, append(header, contentType...), body)
}

// assemble writes the request, with its body whole or in chunks.
func (g *generator) assemble(method, target string, header []string, body []byte) generated {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	chunked := len(body) > 0 && g.chance(15)
	switch {
	case chunked:
		header = append(header, "Transfer-Encoding: chunked")
	case len(body) > 0 || method != "GET" && method != "HEAD":
		header = append(header, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	if !chunked {
		b.Write(body)
		return generated{method, b.Bytes()}
	}
	for len(body) > 0 {
		n := min(len(body), 1+g.IntN(4096))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return generated{method, b.Bytes()}
}

// authorization returns the header for one of the tokens: the first has full power.
func (g *generator) authorization(tokens []string) []string {
	switch n := g.IntN(100); {
	case n < 60, !g.wrong && n < 96:
		return []string{"Authorization: Bearer " + tokens[0]}
	case n < 90:
		return []string{"authorization: bearer " + tokens[g.IntN(len(tokens))]}
	case n < 92:
		return nil
	case n < 94:
		return []string{"Authorization: Bearer " + tokens[0], "Authorization: Bearer " + tokens[1]}
	}
	return []string{"Authorization: " + g.one("Bearer", "Bearer ", "Basic YTpi", "Bearer pat_x", "Bearer pat_"+strings.Repeat("a", 36), "Bearer "+tokens[0]+"x", "Bearer \xff", "Bearer "+strings.Repeat("p", 8000), tokens[0])}
}

// target fills in the segments of a path.
func (g *generator) target(path, project string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = g.pathValue(strings.Trim(part, "{}"), project)
		}
	}
	target := strings.Join(parts, "/")
	if g.slip(2) {
		target = g.one("//", "/..", "/%2e%2e", "/x", "/\xff", "*") + target
	}
	return target
}

func (g *generator) pathValue(name, project string) string {
	if g.slip(8) {
		return g.one("", ".", "..", "%2e%2e", "%2F", "%00", "%ff", "%zz", "%", "a%2Cb", "%C3%A9", "é", "%F0%9F%98%80", "0", "-1", "9223372036854775808", "1,2,3", ",", strings.Repeat("a", 3000), "nowhere", "sqlite_schema", "_tables", "%22", "+", "~", "*", "(x)", "a;b")
	}
	switch name {
	case "project":
		return g.one(project, project, project, project, project, project, strings.ToUpper(project))
	case "table", "table_id_or_name":
		if !g.wrong {
			return g.table.name
		}
		return g.one(g.table.name, g.table.name, g.table.name, strings.ToUpper(g.table.name), fmt.Sprint(1+g.IntN(14)), fmt.Sprint("made", g.IntN(50)))
	case "column_id_or_name":
		return g.one(url.PathEscape(g.columnName()), fmt.Sprint(1+g.IntN(60)), fmt.Sprint("col", g.IntN(50)))
	case "id":
		if !g.wrong {
			return g.table.ids[g.IntN(len(g.table.ids))]
		}
		return g.one(g.table.ids[g.IntN(len(g.table.ids))], g.table.ids[g.IntN(len(g.table.ids))], url.PathEscape(g.one(awkward...)), "1", "2")
	case "export_id":
		return g.known("export", "exp_20260601_182345_a1b2c3d4e5")
	case "import_id":
		return g.known("import", "imp_20260601_182345_a1b2c3d4e5")
	case "token_id":
		return g.known("token", "999999")
	case "index":
		return g.one("by_name", "idx_contacts_name", "nowhere", fmt.Sprint("idx", g.IntN(20)))
	}
	return url.PathEscape(g.one(awkward...))
}

func (g *generator) queryParameter(name string, s any) string {
	var value string
	switch name {
	case "filters":
		value = g.filters(0)
	case "columns":
		value = g.columnName() + "," + g.columnName()
	case "options":
		value = g.value("", map[string]any{"$ref": "#/components/schemas/ImportOptions"}, 0)
	case "after":
		value = g.known("cursor", "x")
	case "wait":
		value = g.one("0", "1", "x", "-1")
	default:
		value = strings.Trim(g.value(name, s, 3), `"`)
	}
	if len(value) > 20_000 {
		value = value[:20_000]
	}
	return name + "=" + url.QueryEscape(value)
}

func (g *generator) headerValue(name string) string {
	if !g.wrong {
		switch name {
		case "Upload-Offset", "Upload-Length":
			return g.one("0", "5")
		case "Tus-Resumable":
			return "1.0.0"
		case "Upload-Defer-Length":
			return "1"
		}
	}
	switch name {
	case "Idempotency-Key":
		return g.one("k1", "k2", fmt.Sprint("k", g.IntN(1000)), "", strings.Repeat("k", 300), "é")
	case "Prefer":
		return g.one("respond-async", "wait=1", "wait=2", "wait=0", "wait=x", "wait=99999999999999999999", "return=minimal", "respond-async, wait=1")
	case "Tus-Resumable":
		return g.one("1.0.0", "1.0.0", "0.2.2", "")
	case "Upload-Offset", "Upload-Length":
		return g.one("0", "5", "10", "-1", "x", "9223372036854775808", "99999999999")
	case "Upload-Defer-Length":
		return g.one("1", "0", "")
	case "Upload-Metadata":
		return g.one("filename eC5jc3Y=", "options e30=", "options bm90IGpzb24=", "x", "a b c", "filename ====,")
	case "X-File-Name":
		return g.one("x.csv", "x", "../x.csv", "%00.csv", "x.sqlite", strings.Repeat("n", 400))
	case "Repr-Digest", "Content-Digest":
		return g.one("sha-256=:AAAA:", "sha-256=x", "md5=:AA==:", "")
	case "X-Operation-Run-Id":
		return g.one("oprun_a", "x", strings.Repeat("o", 500))
	}
	return g.one("a", "", "é", strings.Repeat("x", 300), "\t x")
}

// body returns a body for an operation, and its Content-Type header lines.
func (g *generator) body(op operation) (body []byte, contentType []string) {
	described := g.schema(op.described["requestBody"])
	content, _ := described["content"].(map[string]any)
	if len(content) == 0 {
		if g.chance(8) {
			return []byte(g.anything(0)), []string{"Content-Type: application/json"}
		}
		return nil, nil
	}
	types := sortedKeys(content)
	media := types[g.IntN(len(types))]
	contentType = []string{"Content-Type: " + media}
	switch media {
	case "application/json":
		body = []byte(g.value("", content[media].(map[string]any)["schema"], 0))
	case "multipart/form-data":
		body = []byte("--b\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n" +
			g.value("", map[string]any{"$ref": "#/components/schemas/ImportOptions"}, 0) +
			"\r\n--b\r\nContent-Disposition: form-data; name=\"" + g.one("file", "file", "files") + "\"; filename=\"x.csv\"\r\n\r\n" + string(g.file()) + "\r\n--b--\r\n")
		contentType = []string{"Content-Type: multipart/form-data; boundary=" + g.one("b", "b", "b", "", "c")}
	default:
		body = g.file()
		if media == "*/*" {
			contentType = []string{"Content-Type: " + g.one("text/csv", "application/octet-stream", "application/json", "application/vnd.sqlite3")}
		}
	}
	if !g.wrong {
		return body, contentType
	}
	switch n := g.IntN(100); {
	case n < 2:
		contentType = []string{"Content-Type: " + g.one("text/plain", "application/json; charset=utf-16", "application/json;charset=utf8", "", "x", "multipart/form-data", "application/x-www-form-urlencoded")}
	case n < 3:
		contentType = append(contentType, "Content-Type: application/json")
	case n < 5:
		contentType = nil
	case n < 6 && len(body) > 1:
		body = body[:g.IntN(len(body))]
	case n < 8 && len(body) > 0:
		body[g.IntN(len(body))] = byte(g.IntN(256))
	}
	return body, contentType
}

// file returns a file to import.
func (g *generator) file() []byte {
	text := g.one("a,b\n1,2\n", "id,name\n1,Ada\n2,\n", "\"open\n", "", "{\"a\":1}\n{\"a\":2}\n", `[{"a":1},{"b":"x"}]`, `{"tables":{"t":{"columns":[],"rows":[]}}}`, "CREATE TABLE t (a); INSERT INTO t VALUES (1);", "SQLite format 3\x00", "PK\x03\x04", "PAR1", "\x1f\x8b\x08", "a\xffb,c\n1,2\n",
		strings.Repeat("x,", 2100)+"\n", "name,email\n"+strings.Repeat("n,e\n", 500))
	if g.chance(10) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(text))
		w.Close()
		return b.Bytes()
	}
	return []byte(text)
}

// wire is a connection to the server, reopened when necessary.
type wire struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// exchange sends bytes and reads one answer to a request of the given method. A stream
// of events is abandoned after its first bytes.
func (w *wire) exchange(q generated, patience time.Duration) (response *http.Response, body []byte, err error) {
	if w.conn == nil {
		if w.conn, err = net.Dial("tcp", w.address); err != nil {
			return nil, nil, err
		}
		w.reader = bufio.NewReader(w.conn)
	}
	w.conn.SetDeadline(time.Now().Add(patience))
	if _, err := w.conn.Write(q.text); err != nil {
		// The server may have answered before it read everything.
		defer w.close()
	}
	response, err = http.ReadResponse(w.reader, &http.Request{Method: q.method})
	if err != nil {
		w.close()
		return nil, nil, err
	}
	if response.StatusCode == http.StatusContinue {
		if response, err = http.ReadResponse(w.reader, &http.Request{Method: q.method}); err != nil {
			w.close()
			return nil, nil, err
		}
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		w.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		body, _ = io.ReadAll(response.Body)
		w.close()
		return response, body, nil
	}
	body, err = io.ReadAll(response.Body)
	if err == nil && response.Header.Get("Content-Encoding") == "gzip" && len(body) > 0 {
		var r io.Reader
		if r, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(r)
		}
	}
	if err != nil || response.Close || strings.Contains(string(q.text), "Connection: close") {
		w.close()
	}
	return response, body, err
}
