package api

import (
	"net/http"
	"testing"
)

// TestUploadHeadersMeanNothingElsewhere sends the headers of the protocol for resumable
// uploads to unrelated routes: they neither change the method nor come back.
func TestUploadHeadersMeanNothingElsewhere(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	if got := s.ask(t, "POST", "/table", `{"table_name":"kept"}`); got.status != http.StatusCreated {
		t.Fatalf("create: %d %s", got.status, got.body)
	}
	const version = "Tus-Resumable: 1.0.0"
	for _, c := range []struct {
		method, path string
		status       int
		header       []string
	}{
		{"POST", "/table/kept", 405, []string{version, "X-HTTP-Method-Override: DELETE"}},
		{"GET", "/table/kept", 200, []string{version, "X-HTTP-Method-Override: DELETE"}},
		{"GET", "/table/kept", 200, []string{"Tus-Resumable: 0.2.2"}},
		{"POST", "/query", 422, []string{"Tus-Resumable: 0.2.2"}},
		{"GET", "/nowhere", 404, []string{version, "X-HTTP-Method-Override: DELETE"}},
		{"POST", "/imports/imp_none/run", 404, []string{version, "X-HTTP-Method-Override: DELETE"}},
	} {
		got := s.ask(t, c.method, c.path, "", c.header...)
		if got.status != c.status {
			t.Errorf("%s %s with %v: %d %s", c.method, c.path, c.header, got.status, got.body)
		}
		for _, name := range []string{"Tus-Resumable", "Tus-Version", "Tus-Extension"} {
			if value := got.header.Get(name); value != "" {
				t.Errorf("%s %s answers %s: %s", c.method, c.path, name, value)
			}
		}
	}
	if got := s.ask(t, "GET", "/table/kept", ""); got.status != http.StatusOK {
		t.Errorf("the table is gone: %d %s", got.status, got.body)
	}
}
