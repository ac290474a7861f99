package rest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// TestHumaAtTheEdge pins what huma itself does with awkward requests, the reasons for
// decision 0002. If one of these changes, read the note again.
func TestHumaAtTheEdge(t *testing.T) {
	type input struct {
		Limit int  `query:"limit" minimum:"1"`
		Count bool `query:"count"`
		Body  struct {
			Name string `json:"name"`
			Size int64  `json:"size,omitempty"`
		}
	}
	type output struct{ Body string }
	var saw input
	mux := http.NewServeMux()
	config := huma.DefaultConfig("spike", "1")
	config.RejectUnknownQueryParameters = true
	huma.Register(humago.New(mux, config), huma.Operation{Method: "POST", Path: "/x", MaxBodyBytes: 40}, func(_ context.Context, in *input) (*output, error) {
		saw = *in
		return &output{"fine"}, nil
	})
	for _, c := range []struct{ what, query, body, want, not string }{
		{"an unknown parameter hides the other faults", "?zzz=1&limit=0", `{}`, "query.zzz", "limit"},
		{"a missing field is a fault of its parent", "", `{}`, `"location":"body"`, "body.name"},
		{"a flag that is no Go boolean is a fault", "?count=yes", `{"name":"a"}`, "invalid boolean", ""},
		{"a body of exactly the limit is too large", "", `{"name":"` + strings.Repeat("a", 29) + `"}`, "too large", ""},
		{"the failure echoes what was sent", "", `{"name":`, `"value":"{\"name\":"`, ""},
		{"duplicate names are taken", "", `{"name":"a","name":"b"}`, "fine", ""},
		{"names are matched in any letter case", "", `{"NAME":"c"}`, "fine", ""},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("POST", "/x"+c.query, strings.NewReader(c.body)))
		got := w.Body.String()
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("no longer true that %s: %d %s", c.what, w.Code, got)
		}
	}
	if saw.Body.Name != "c" {
		t.Errorf("the handler saw %+v", saw.Body)
	}
}
