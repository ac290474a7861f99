package export

import (
	"runtime"
	"sync/atomic"
	"time"
)

// throttle makes a goroutine that reads or encodes rows yield to requests. Alone, the
// goroutine works without a break. Beside requests, it rests after each piece of
// work for so long that it uses only a small part of a processor: a file may be ready
// later, an answer may not.
type throttle struct {
	requests *atomic.Int64 // counts the requests to the server
	seen     int64         // of them, when the piece was begun
	began    time.Time
}

const (
	// restFactor is how many times as long as it has worked a goroutine rests while
	// there are requests.
	restFactor = 7
	// maxRest keeps a piece that took long from stopping the export.
	maxRest = 50 * time.Millisecond
)

// begin notes that a piece of work begins.
func (t *throttle) begin() { t.seen, t.began = t.requests.Load(), time.Now() }

// rest ends the piece and returns when the next may begin. Without requests it only
// lets others go first: to sleep, however briefly, would leave a processor idle for a
// millisecond. The monitor of Go's runtime sees a request that comes then after 10 ms
// at the latest.
func (t *throttle) rest() {
	if t.requests.Load() == t.seen {
		runtime.Gosched()
		return
	}
	time.Sleep(min(restFactor*time.Since(t.began), maxRest))
}

// NoteRequest tells running exports of a request to the server, to which they yield.
// It is for requests with a valid token: others must not slow exports down.
func (e *Exports) NoteRequest() { e.requests.Add(1) }

// Requests returns how many requests have been noted.
func (e *Exports) Requests() int64 { return e.requests.Load() }

// throttle returns the throttle of one goroutine.
func (e *Exports) throttle() throttle { return throttle{requests: &e.requests} }
