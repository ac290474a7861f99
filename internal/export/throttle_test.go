package export

import (
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// TestThrottle compares how long a reader rests with and without requests.
func TestThrottle(t *testing.T) {
	var e Exports
	p := e.throttle()
	rest := func(during func()) time.Duration {
		p.begin()
		p.began = p.began.Add(-5 * time.Millisecond)
		during()
		began := time.Now()
		p.rest()
		return time.Since(began)
	}
	if got := rest(e.NoteRequest); got < restFactor*5*time.Millisecond {
		t.Errorf("beside a request: %v", got)
	}
	p.requests.Add(1)
	// Take the shortest of several: a busy machine wakes a sleeper late.
	alone := time.Hour
	for range 20 {
		alone = min(alone, rest(func() {}))
	}
	if alone >= restFactor*5*time.Millisecond {
		t.Errorf("alone: %v", alone)
	}
	p.began = time.Now().Add(-time.Hour)
	e.NoteRequest()
	began := time.Now()
	if p.rest(); time.Since(began) > testkit.Slack {
		t.Error("the rest after a long piece is as long as the piece")
	}
}
