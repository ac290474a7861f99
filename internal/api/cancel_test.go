package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/testkit"
)

// endlessSQL is a statement that runs until it is stopped.
const endlessSQL = `WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) AS n FROM r`

// A statement ends when its client cancels it by its id; others cannot, unless they
// administer the project.
func TestQueriesAreCanceled(t *testing.T) {
	t.Parallel()
	h := openHouse(t, clock)
	s := openShop(t, h, Config{})
	reader := h.token(t, "shop", "query:read").Secret
	for _, who := range []struct{ name, runs, cancels string }{{"its client", reader, reader}, {"an admin", reader, s.token}} {
		done := make(chan reply, 1)
		go func() {
			done <- asToken(t, s, who.runs, "POST", "/query", `{"sql":"`+endlessSQL+`","query_id":"slow-1"}`)
		}()
		var got reply
		for !strings.Contains(got.body, `"canceled":true`) {
			select {
			case early := <-done:
				t.Fatalf("%s: ended with %d %s", who.name, early.status, early.body)
			default:
			}
			if who.name == "its client" {
				if other := h.token(t, "shop", "query:read").Secret; !strings.Contains(asToken(t, s, other, "DELETE", "/query/slow-1", "").body, `"canceled":false`) {
					t.Error("another token has canceled the statement")
				}
			}
			got = asToken(t, s, who.cancels, "DELETE", "/query/slow-1", "")
		}
		if ended := <-done; ended.status != http.StatusConflict || !strings.Contains(ended.body, "canceled") {
			t.Errorf("%s: %d %s", who.name, ended.status, ended.body)
		}
		if again := asToken(t, s, who.cancels, "DELETE", "/query/slow-1", ""); !strings.Contains(again.body, `"canceled":false`) {
			t.Errorf("%s: canceled twice: %s", who.name, again.body)
		}
	}
	for _, body := range []string{`{"sql":"SELECT 1 AS n","query_id":"a b"}`, `{"sql":"SELECT 1 AS n","query_id":"` + strings.Repeat("a", 65) + `"}`} {
		if got := s.ask(t, "POST", "/query", body); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", body, got.status)
		}
	}
	for range 2 { // an id is free again once its statement has ended
		if got := s.ask(t, "POST", "/query", `{"sql":"SELECT 1 AS n","query_id":"same"}`); got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// asToken makes a call of the shop with another token.
func asToken(t *testing.T, s *shop, token, method, path, body string) reply {
	r := testkit.Request(t, method, s.URL+"/projects/shop"+path, token, strings.NewReader(body))
	return replyOf(testkit.Send(t, http.DefaultClient.Do, r))
}
