package rest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestAcceptedCoding(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "gzip": "gzip", "zstd": "zstd", "gzip, zstd": "zstd", "GZIP;q=0.5, zstd;q=0.4": "gzip", "gzip;q=0": "", "gzip;q=x": "",
		"*": "zstd", "*;q=0.1, zstd;q=0": "gzip", "br, deflate, identity": "", " gzip ; Q = 1 ,": "gzip",
	} {
		if got := acceptedCoding(header, codings...); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

// unpacked returns a text with its coding undone.
func unpacked(t *testing.T, coding string, text io.Reader) string {
	t.Helper()
	var err error
	switch coding {
	case "gzip":
		text, err = gzip.NewReader(text)
	case "zstd":
		text, err = zstd.NewReader(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestAnswersAreCompressed(t *testing.T) {
	long := strings.Repeat("long ", 1000)
	answer := Plain(func(context.Context, *caller, *nothing) (string, error) { return long, nil })
	e := New(Config{Authenticate: Bearer(enter), Log: slog.New(slog.DiscardHandler), Now: clock, Random: endless{}}, testDocument, []*Endpoint{
		Route("GET", "/long", "long", "Long", Open(), answer), Route("POST", "/secret", "secret", "Secret", Open(), answer, RefuseKey),
		Route("GET", "/short", "short", "Short", Open(), Plain(func(context.Context, *caller, *nothing) (string, error) { return "x", nil })),
	})
	for _, test := range []struct{ method, path, accept, want string }{
		{"GET", "/long", "gzip", "gzip"}, {"GET", "/long", "gzip, zstd", "zstd"}, {"GET", "/long", "", ""}, {"GET", "/long", "br", ""},
		{"GET", "/short", "gzip", ""}, {"POST", "/secret", "gzip, zstd", ""},
		{"GET", "/openapi.json", "gzip", "gzip"}, {"GET", "/openapi.json", "zstd", ""}, {"GET", "/docs", "gzip", "gzip"},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		r.Header.Set("Accept-Encoding", test.accept)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		header := w.Header()
		if got := header.Get("Content-Encoding"); w.Code != 200 || got != test.want || (header.Get("Vary") == "") != (test.path == "/secret") {
			t.Errorf("%v: %d %v", test, w.Code, header)
			continue
		}
		plain := httptest.NewRecorder()
		e.ServeHTTP(plain, httptest.NewRequest(test.method, test.path, nil))
		if got := unpacked(t, test.want, w.Body); got != plain.Body.String() {
			t.Errorf("%v: another answer, %.100q", test, got)
		}
	}
}

func TestBodiesMayBeCompressed(t *testing.T) {
	f := start(t)
	pack := func(coding, text string) string {
		var out bytes.Buffer
		w := packers[coding].New().(packer)
		w.Reset(&out)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	wide := new(bytes.Buffer) // needs a window of 16 MiB
	z, err := zstd.NewWriter(wide, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false))
	if err == nil {
		_, err = z.Write(bytes.Repeat([]byte(" "), 1<<19))
	}
	if err == nil {
		err = z.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := "[" + strings.Repeat("1,", 200_000) + "1]"
	for _, coding := range codings {
		encoding := "Content-Encoding: " + strings.ToUpper(coding)
		for _, body := range []string{"[1]", rows} {
			if got := f.ask(t, "POST", "/projects/shop/bulk", pack(coding, body), encoding).data(t); got != fmt.Sprint(strings.Count(body, "1")) {
				t.Errorf("%s of %d bytes: %s", coding, len(body), got)
			}
		}
		for body, want := range map[string]string{
			pack(coding, "["+strings.Repeat(" ", 1<<20)+"]"): "413 body_too_large", // more than a thousand times the size sent
			pack(coding, rows)[:100]:                         "400 invalid_json",
			"[1]":                                            "400 invalid_json",
			pack(coding, "[1"):                               "400 invalid_json",
			pack(coding, nested(65)):                         "400 invalid_json",
		} {
			if got := f.ask(t, "POST", "/projects/shop/bulk", body, encoding).failure(t); got != want {
				t.Errorf("%s, %.20q: %s, want %s", coding, body, got, want)
			}
		}
	}
	if got := f.ask(t, "POST", "/projects/shop/bulk", wide.String(), "Content-Encoding: zstd").failure(t); got != "400 invalid_json" {
		t.Errorf("a large window: %s", got)
	}
	for _, other := range []string{"br", "gzip, gzip", "deflate"} {
		if got := f.ask(t, "POST", "/projects/shop/bulk", "[1]", "Content-Encoding: "+other).failure(t); got != "415 unsupported_media_type" {
			t.Errorf("%s: %s", other, got)
		}
	}
	if used := f.edge.Limits.Budget.Used(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}
