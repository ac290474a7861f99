package testkit

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Request makes a request with a token. Headers are "Name: value", and "Name:" removes
// one.
func Request(t testing.TB, method, url, token string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if r.Header.Set(name, strings.TrimSpace(value)); value == "" {
			r.Header.Del(name)
		}
	}
	return r
}

// Send sends a request and reads the whole answer.
func Send(t testing.TB, send func(*http.Request) (*http.Response, error), r *http.Request) (status int, header http.Header, body string) {
	t.Helper()
	response, err := send(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// Failure checks that an answer is the envelope of a failure, and returns its status
// with the code and the details of the error, on one line.
func Failure(t testing.TB, status int, header http.Header, body string) string {
	t.Helper()
	var env struct {
		OK    *bool
		Data  any
		Error struct {
			Code    string
			Details []struct{ Field, Message string }
		}
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(body), &env); err != nil {
		t.Fatalf("answer is not the envelope: %v\n%s", err, body)
	}
	if env.OK == nil || *env.OK || env.Data != nil || env.RequestID != header.Get("X-Request-Id") || header.Get("Content-Type") != "application/json" {
		t.Errorf("not the envelope of a failure: %s %v", body, header)
	}
	text := strconv.Itoa(status) + " " + env.Error.Code
	for _, d := range env.Error.Details {
		text += " [" + d.Field + ": " + d.Message + "]"
	}
	return text
}
