package api

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/rest"
)

// Only somebody without a session is told to sign in: if it cannot be read, signing in
// again would not help.
func TestSessionsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	edge := NewForSessions(Config{HTTP: rest.Config{Now: clock, Random: endless{}, Log: slog.New(slog.DiscardHandler), ClientAddress: func(*http.Request) netip.Addr { return netip.Addr{} }}})
	for want, err := range map[string]error{
		"401 missing_authorization": nil,
		"401 invalid_token":         problem.New(problem.CodeInvalidToken, "The session has ended."),
		"503 busy":                  problem.New(problem.CodeBusy, "The disk does not answer."),
		"500 internal_error":        errors.New("the database is damaged"),
	} {
		r := httptest.NewRequest(http.MethodGet, "/projects", nil)
		w := httptest.NewRecorder()
		edge.ServeHTTP(w, r.WithContext(WithVisit(r.Context(), nil, err)))
		status, code, _ := strings.Cut(want, " ")
		if got := w.Result().Status; !strings.HasPrefix(got, status) || !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
			t.Errorf("%v: %s %s, want %s", err, got, w.Body, want)
		}
	}
}
