package export

import (
	"runtime"
	"sync/atomic"
	"time"
)

// pace has a goroutine that reads or encodes rows give way to requests. Alone it
// works without a break. While there are requests, it rests after each piece of
// work so long that it takes a small part of a processor only: a file may be
// ready later, an answer may not.
type throttle struct {
	requests *atomic.Int64 // counts the requests to the server
	seen     int64         // of them, when the piece was begun
	began    time.Time
}

const (
	// giveWay is how many times as long as it has worked a goroutine rests
	// while there are requests.
	giveWay = 7
	// longestRest keeps a piece that took long from stopping the export.
	longestRest = 50 * time.Millisecond
)

// begin notes that a piece of work begins.
func (t *throttle) begin() { t.seen, t.began = t.requests.Load(), time.Now() }

// rest ends the piece and returns when the next may begin. Without requests
// it only lets others go first: to sleep, however shortly, would leave a processor
// idle for a millisecond. A request that comes then is seen after 10 ms at the
// latest, by the monitor of the runtime.
func (t *throttle) rest() {
	if t.requests.Load() == t.seen {
		runtime.Gosched()
		return
	}
	time.Sleep(min(giveWay*time.Since(t.began), longestRest))
}

// NoteRequest tells the exports that are being made of a request to the server, to
// which they give way. It is for requests with a valid token: whoever has none
// must not slow them down.
func (e *Exports) NoteRequest() { e.requests.Add(1) }

// pace returns the pace of one goroutine, at the beginning.
func (e *Exports) throttle() throttle { return throttle{requests: &e.requests} }

const (
	// crowdInterval is how often a job looks how many requests there are.
	crowdInterval = 100 * time.Millisecond
	// crowd is how many of them in that time call for a spare processor.
	crowd = 10
)

// spareProcessor gives Go one processor more than there are while many requests
// come, until it is told to stop: Go looks for requests only when one of its
// processors has nothing to do, and exports keep all busy. Without requests the
// spare one would slow the export down.
func (e *Exports) spareProcessor() (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer setProcessors(processors)
		ticker := time.NewTicker(crowdInterval)
		defer ticker.Stop()
		for seen := e.requests.Load(); ; {
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
			wanted, now := processors, e.requests.Load()
			if now-seen >= crowd {
				wanted++
			}
			seen = now
			setProcessors(wanted)
		}
	}()
	return func() { close(ended) }
}

// setProcessors stops everything for a moment, so only when something changes.
func setProcessors(n int) {
	if runtime.GOMAXPROCS(0) != n {
		runtime.GOMAXPROCS(n)
	}
}
