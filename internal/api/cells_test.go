package api

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// The bytes of a value come as they are stored, and never as anything that a browser
// would run.
func TestRawCells(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/table", `{"table_name":"files","columns":[{"name":"name"},{"name":"data","type":"BLOB"},{"name":"any","type":"ANY"},{"name":"size","type":"INTEGER"},{"name":"summary"}]}`)
	insert := func(data, name string) string {
		t.Helper()
		text, _ := jsonText(name)
		got := s.ask(t, "POST", "/records/files", fmt.Sprintf(`{"name":%s,"data":%q,"size":5,"any":1.5}`, text, base64.StdEncoding.EncodeToString([]byte(data))))
		if got.status != 201 {
			t.Fatal(got)
		}
		return got.header.Get("ETag")
	}
	for i, test := range []struct{ data, mediaType string }{
		{"\x89PNG\r\n\x1a\nrest", "image/png"}, {"\xff\xd8\xff\xe0", "image/jpeg"}, {"GIF89a<script>", "image/gif"}, {"RIFF\x00\x00\x00\x00WEBPx", "image/webp"},
		{"\x00\x00\x00\x20ftypavif", "image/avif"}, {"<svg xmlns='http://www.w3.org/2000/svg'/>", ""}, {"<html>", ""}, {"%PDF-1.7", ""}, {"<?xml version='1.0'?>", ""}, {"\x89PNG", ""}, {"", ""}, {"plain text", ""},
	} {
		etag := insert(test.data, test.data)
		path := fmt.Sprintf("/cells/files/%d/", i+1)
		got := s.ask(t, "GET", path+"data", "")
		want, disposition := test.mediaType, ""
		if want == "" {
			want, disposition = "application/octet-stream", "attachment"
		}
		if got.status != 200 || got.body != test.data || got.header.Get("Content-Type") != want || got.header.Get("Content-Disposition") != disposition || got.header.Get("ETag") != etag {
			t.Errorf("%q: %d %v", test.data, got.status, got.header)
		}
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "private, no-store",
		} {
			if got.header.Get(name) != value {
				t.Errorf("%q: %s is %q", test.data, name, got.header.Get(name))
			}
		}
		if got := s.ask(t, "GET", path+"name", ""); got.header.Get("Content-Type") != "text/plain; charset=utf-8" || got.header.Get("Content-Disposition") != "attachment" {
			t.Errorf("%q as a text: %v", test.data, got.header)
		}
	}
	for _, test := range []struct {
		path   string
		header string
		status int
		body   string
	}{
		{"/cells/files/1/data", "Range: bytes=1-3", 206, "PNG"}, {"/cells/files/1/data", "Range: bytes=999-", 416, ""}, {"/cells/files/1/data", "Range: lines=1", 200, "\x89PNG\r\n\x1a\nrest"},
		{"/cells/files/1/size", "Accept: */*", 200, "5"}, {"/cells/files/1/any", "Accept: */*", 200, "1.5"}, {"/cells/files/1/summary", "Accept: */*", 404, ""},
		{"/cells/files/99/data", "Accept: */*", 404, ""}, {"/cells/files/1/nowhere", "Accept: */*", 404, ""}, {"/cells/nowhere/1/data", "Accept: */*", 404, ""},
	} {
		if got := s.ask(t, "GET", test.path, "", test.header); got.status != test.status || test.body != "" && got.body != test.body {
			t.Errorf("%s, %s: %d %q", test.path, test.header, got.status, got.body)
		}
	}
}

func jsonText(text string) (string, error) {
	valid := strings.ToValidUTF8(text, "?")
	return fmt.Sprintf("%q", strings.Map(func(r rune) rune {
		if r < ' ' {
			return '.'
		}
		return r
	}, valid)), nil
}

// Bytes are stored only into the state of the record that the client has seen.
func TestPutCells(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/table", `{"table_name":"files","columns":[{"name":"name"},{"name":"data","type":"BLOB"},{"name":"any","type":"ANY"},{"name":"size","type":"INTEGER"}]}`)
	etag := s.ask(t, "POST", "/records/files", `{"name":"x"}`).header.Get("ETag")
	put := func(column, body string, headers ...string) reply {
		t.Helper()
		return s.ask(t, "PUT", "/cells/files/1/"+column, body, headers...)
	}
	for _, test := range []struct {
		column, body string
		headers      []string
		status       int
	}{
		{"data", "x", nil, 422},
		{"data", "x", []string{`If-Match: "other"`}, 412},
		{"size", "many", []string{"If-Match: " + etag}, 422},
		{"name", "\xff", []string{"If-Match: " + etag}, 422},
		{"any", "\x00\xff", []string{"If-Match: " + etag, "Content-Type: application/octet-stream"}, 422},
		{"nowhere", "x", []string{"If-Match: " + etag}, 404},
		{"data", strings.Repeat("x", maxCell+1), []string{"If-Match: " + etag}, 413},
	} {
		if got := put(test.column, test.body, test.headers...); got.status != test.status {
			t.Errorf("%s %.20q %v: %d %s", test.column, test.body, test.headers, got.status, got.body)
		}
	}
	for column, body := range map[string]string{"data": "\x00\x01\xffbytes", "name": "a name \x00 with <b>\n", "any": "word", "size": "42"} {
		got := put(column, body, "If-Match: "+etag, "Content-Type: text/plain")
		next := got.header.Get("ETag")
		if got.status != 204 || next == etag || next == "" {
			t.Fatalf("%s: %d %s", column, got.status, got.body)
		}
		if again := put(column, body, "If-Match: "+etag, "Content-Type: text/plain"); again.status != 412 {
			t.Errorf("%s, with the old ETag: %d", column, again.status)
		}
		if got := s.ask(t, "GET", "/cells/files/1/"+column, ""); got.body != body || got.header.Get("ETag") != next {
			t.Errorf("%s is %q, %s", column, got.body, got.header.Get("ETag"))
		}
		etag = next
	}
}
