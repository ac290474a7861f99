package api

import (
	"encoding/binary"
	"flag"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite what is generated or recorded, instead of comparing")

// counting is a source of bytes that differ on each read, but not between runs.
type counting struct {
	mu sync.Mutex
	n  uint64
}

func (c *counting) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	clear(p)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], c.n)
	copy(p[max(0, len(p)-8):], number[max(0, 8-len(p)):])
	return len(p), nil
}

// TestConversations plays the stories in testdata, each on a data folder of its own
// with the empty project shop and a token of full power.
func TestConversations(t *testing.T) {
	t.Parallel()
	judge := newJudge(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			watch := testkit.NewClock(clock().Truncate(time.Second))
			h := openHouse(t, watch.Now)
			h.project(t, "shop")
			server := httptest.NewServer(New(Config{
				Registry: h.registry, Exports: h.exports, Imports: h.imports, Rehearsals: h.rehearsals, Journal: h.journal, HTTP: rest.Config{Log: slog.New(slog.DiscardHandler), Now: watch.Now, Random: &counting{}},
			}))
			defer server.Close()
			testkit.Conversation{
				Server:  server.URL,
				Headers: []string{"Location", "Preference-Applied", "Allow", "Content-Disposition", "Content-Range", "Etag", "Idempotent-Replayed", "Retry-After"},
				Vars:    map[string]string{"token": h.token(t, "shop").Secret},
				Hide:    regexp.MustCompile(`pat_[0-9A-Za-z]{36}|"token_hint": ?"[0-9A-Za-z]{4}"|"(estimated_seconds|duration_ms)": ?[0-9.]+`), // tokens and their hints, estimates, and how long statements took
				Wait:    watch.Add,
				Check:   judge.check,
				Update:  *update,
			}.Play(t, file)
		})
	}
}
