package export

import (
	"sync/atomic"
	"time"
)

// pace has a goroutine that reads or encodes rows give way to requests. Alone it
// works without a break. While there are requests, it rests after each piece of
// work so long that it takes a small part of a processor only: a file may be
// ready later, an answer may not.
type pace struct {
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
	// shortestRest is for requests that wait in the network: the runtime looks
	// for them only when a processor is idle.
	shortestRest = 20 * time.Microsecond
)

// begin notes that a piece of work begins.
func (p *pace) begin() { p.seen, p.began = p.requests.Load(), time.Now() }

// rest ends the piece and returns when the next may begin.
func (p *pace) rest() {
	rest := shortestRest
	if p.requests.Load() != p.seen {
		rest = min(giveWay*time.Since(p.began), longestRest)
	}
	time.Sleep(rest)
}

// GiveWay tells the exports that are being made of a request to the server.
func (e *Exports) GiveWay() { e.requests.Add(1) }

// pace returns the pace of one goroutine, at the beginning.
func (e *Exports) pace() pace { return pace{requests: &e.requests} }
