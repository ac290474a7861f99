package api

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/registry"
)

// TestTokenOfAFailedTestIsRevoked tests a token that expires before it can be used,
// because the clock leaps ahead whenever it is read.
func TestTokenOfAFailedTestIsRevoked(t *testing.T) {
	var leaps atomic.Int64
	leaping := new(atomic.Bool)
	s := openShop(t, openHouse(t, func() time.Time {
		if leaping.Load() {
			leaps.Add(1)
		}
		return clock().Add(time.Duration(leaps.Load()) * testTokenLife * 2 / 3)
	}), Config{})
	leaping.Store(true)
	got := s.ask(t, "POST", "/auth/tokens/test", `{"table_name":"contacts"}`)
	leaping.Store(false)
	if got.status != 401 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var list struct {
		Data struct{ Tokens []registry.Token }
	}
	if err := json.Unmarshal([]byte(s.ask(t, "GET", "/auth/tokens", "").body), &list); err != nil {
		t.Fatal(err)
	}
	if tokens := list.Data.Tokens; len(tokens) != 2 || tokens[0].RevokedAt == nil {
		t.Errorf("the client does not know the first of these tokens: %+v", tokens)
	}
}
