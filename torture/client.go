//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client is a client of one project on a server.
type client struct {
	ctx     context.Context
	url     string
	project string
	token   string
	http    *http.Client
}

// reply is a response of the server.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// open returns a client with its own connections.
func (s *server) open(project, token string) *client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}
	context.AfterFunc(s.t.ctx, transport.CloseIdleConnections)
	return &client{ctx: s.t.ctx, url: s.url, project: project, token: token, http: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}
}

// at returns the same client for another server, or for the same one after a restart.
func (c *client) at(s *server) *client { return s.open(c.project, c.token) }

// path returns a path below the project.
func (c *client) path(path string) string { return "/projects/" + c.project + path }

func (c *client) get(path string, header ...string) (reply, error) {
	return c.send("GET", path, nil, header...)
}

// post posts a value as JSON to a path of the project.
func (c *client) post(path string, body any, header ...string) (reply, error) {
	return c.call("POST", c.path(path), body, header...)
}

// call sends a value as JSON.
func (c *client) call(method, path string, body any, header ...string) (reply, error) {
	if body == nil {
		return c.send(method, path, nil, header...)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return reply{}, err
	}
	return c.send(method, path, bytes.NewReader(text), append(header, "Content-Type", "application/json")...)
}

// send makes a request. A returned error is that of the connection.
func (c *client) send(method, path string, body io.Reader, header ...string) (reply, error) {
	request, err := http.NewRequestWithContext(c.ctx, method, c.url+path, body)
	if err != nil {
		return reply{}, err
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, text}, err
}

// failure is the error in a response.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// failure returns the error in the envelope.
func (r reply) failure() failure {
	var envelope struct {
		Error failure `json:"error"`
	}
	_ = json.Unmarshal(r.body, &envelope)
	return envelope.Error
}

// String describes a response in the report of a fault.
func (r reply) String() string {
	if f := r.failure(); f.Code != "" {
		return fmt.Sprintf("%d %s %q", r.status, f.Code, f.Message)
	}
	return fmt.Sprintf("%d %s", r.status, r.body[:min(len(r.body), 200)])
}

// data decodes the data of a response.
func (r reply) data(into any) error {
	envelope := struct {
		Data any `json:"data"`
	}{into}
	if err := json.Unmarshal(r.body, &envelope); err != nil {
		return fmt.Errorf("status %d: %w: %.200s", r.status, err, r.body)
	}
	return nil
}

// expect makes a call that must succeed and decodes its data if into is not nil.
func (t *trial) expect(c *client, method, path string, body, into any, header ...string) {
	r, err := c.call(method, path, body, header...)
	if err == nil && (r.status < 200 || r.status > 299) {
		err = fmt.Errorf("answered %s", r)
	}
	if err == nil && into != nil {
		err = r.data(into)
	}
	t.must(err, method+" "+path)
}

// table creates a table; each column is a name, optionally followed by a type.
func (t *trial) table(c *client, name string, columns ...string) {
	var list []map[string]any
	for _, column := range columns {
		name, kind, typed := strings.Cut(column, " ")
		item := map[string]any{"name": name}
		if typed {
			item["type"] = kind
		}
		list = append(list, item)
	}
	t.expect(c, "POST", c.path("/table"), map[string]any{"table_name": name, "columns": list}, nil)
}

// query runs SQL and returns its rows.
func (c *client) query(sql string) (rows []map[string]any, r reply, err error) {
	r, err = c.post("/query", map[string]any{"sql": sql, "limit": 1000})
	if err != nil || r.status != 200 {
		return nil, r, err
	}
	var answer struct {
		Rows []map[string]any `json:"rows"`
	}
	err = r.data(&answer)
	return answer.Rows, r, err
}

// count returns how many rows a table has.
func (c *client) count(table string) (int, error) {
	r, err := c.get(c.path("/records/" + table + "?limit=1&count=1"))
	if err != nil {
		return 0, err
	}
	if r.status != 200 {
		return 0, fmt.Errorf("%s", r)
	}
	var page struct {
		Total int `json:"total"`
	}
	err = r.data(&page)
	return page.Total, err
}

// manifest is the manifest of an export or an import.
type manifest struct {
	ID          string `json:"id"`
	Status      string `json:"status"`
	DownloadURL string `json:"download_url"`
	SizeBytes   int64  `json:"size_bytes"`
	SHA256      string `json:"sha256"`
	Error       string `json:"error"`
	ErrorCode   string `json:"error_code"`
}

func (m manifest) settled() bool {
	switch m.Status {
	case "pending", "running", "uploading", "":
		return false
	}
	return true
}

// job fetches one export or import; kind is "export" or "import".
func (c *client) job(kind, id string) (manifest, error) {
	r, err := c.get(c.path("/" + kind + "s/" + id))
	if err != nil {
		return manifest{}, err
	}
	if r.status != 200 {
		return manifest{}, fmt.Errorf("%s %s: %s", kind, id, r)
	}
	return r.manifest(kind)
}

func (r reply) manifest(kind string) (manifest, error) {
	answer := map[string]manifest{}
	err := r.data(&answer)
	return answer[kind], err
}

// upload uploads a file to be imported.
func (c *client) upload(name, options string, content io.Reader, header ...string) (reply, error) {
	path := c.path("/imports")
	if options != "" {
		path += "?options=" + url.QueryEscape(options)
	}
	return c.send("POST", path, content, append([]string{"X-File-Name", name}, header...)...)
}
