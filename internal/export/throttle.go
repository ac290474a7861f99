package export

import (
	"runtime"
	"sync/atomic"
	"time"
)

// throttle makes a goroutine that reads or encodes rows yield to requests. While there
// are no requests, the goroutine works without a break. While there are, it rests after
// each piece of work long enough to use only a small part of a processor: a file may be
// late, an answer may not.
type throttle struct {
	requests *atomic.Int64 // counts the requests to the server
	seen     int64         // their count when the piece began
	began    time.Time
}

const (
	// restFactor is how many times as long as it worked a goroutine then rests, while
	// there are requests.
	restFactor = 7
	// maxRest keeps a slow piece from stalling the export.
	maxRest = 50 * time.Millisecond
)

// begin marks the beginning of a piece of work.
func (t *throttle) begin() { t.seen, t.began = t.requests.Load(), time.Now() }

// rest ends the piece and returns when the next one may begin. Without requests it only
// yields to other goroutines: even a brief sleep would leave a processor idle for a
// millisecond. A request that arrives then is noticed by the monitor of Go's runtime
// within 10 ms.
func (t *throttle) rest() {
	if t.requests.Load() == t.seen {
		runtime.Gosched()
		return
	}
	time.Sleep(min(restFactor*time.Since(t.began), maxRest))
}

// NoteRequest tells running exports about a request to the server, so that they yield
// to it. Call it only for requests with a valid token: others must not slow exports
// down.
func (e *Exports) NoteRequest() { e.requests.Add(1) }

// Requests returns how many requests have been noted.
func (e *Exports) Requests() int64 { return e.requests.Load() }

// throttle returns the throttle of one goroutine.
func (e *Exports) throttle() throttle { return throttle{requests: &e.requests} }
