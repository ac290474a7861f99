package limits

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// Budget is the memory for the bodies and answers of all calls together. One project
// may use a quarter of it, but at least MinBudget, so that it leaves room for others.
type Budget struct {
	max, share int64 // 0 means no limit

	mu      sync.Mutex
	used    int64
	shares  map[ids.Project]int64
	waiting []*wish // first come, first served

	large bool   // a lot has been used since the budget was last empty
	tight bool   // the collector is set to leave little garbage
	tidy  func() // returns memory to the system

	usualGC int // the GC percentage before it was tight
	rests   *time.Timer
}

const (
	// largeUse is how many bytes must have been in use before memory is returned to
	// the system: by itself, Go keeps memory for minutes.
	largeUse = 64 << 20
	// tightGC is the GC percentage while a lot is in use, instead of the usual 100:
	// large answers waiting for their clients would otherwise cost twice what they
	// hold.
	tightGC = 50
	// restTime is how long nothing must be in use before memory is returned, so that
	// this does not happen between consecutive large calls.
	restTime = 10 * time.Second
)

// MinBudget is the smallest allowed budget: room for the largest body and its answer.
const MinBudget = 128 << 20

// NewBudget returns a budget of size bytes. 0 means no limit, but use is still
// counted.
func NewBudget(size int64) *Budget {
	share := max(size/4, min(size, MinBudget))
	return &Budget{max: size, share: share, shares: map[ids.Project]int64{}, tidy: debug.FreeOSMemory}
}

// wish is a call that waits for part of the budget.
type wish struct {
	project ids.Project
	bytes   int64
	granted chan struct{}
}

// Used returns how many bytes are in use.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Max returns the size of the budget, or 0 if there is no limit.
func (b *Budget) Max() int64 { return b.max }

// Part is what one call has taken from the budget. It is not safe for concurrent use.
// Only [Budget.Part] makes one. All calls without a project, which is 0, share the part
// of one project.
type Part struct {
	budget  *Budget
	project ids.Project
	bytes   int64
}

// Part returns an empty part for a call of the project.
func (b *Budget) Part(projectID ids.Project) Part { return Part{budget: b, project: projectID} }

// Take takes more bytes, or returns busy if there are not enough.
func (p *Part) Take(bytes int64) error {
	b := p.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(p.project, bytes) {
		return noMemory()
	}
	b.grant(p.project, bytes)
	p.bytes += bytes
	return nil
}

// Ensure takes what is missing up to the given number of bytes, or returns busy if
// there is no room for it.
func (p *Part) Ensure(bytes int64) error {
	if missing := bytes - p.bytes; missing > 0 {
		return p.Take(missing)
	}
	return nil
}

// Overdraw takes more bytes even if there are not enough, for what cannot be undone.
func (p *Part) Overdraw(bytes int64) {
	b := p.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grant(p.project, bytes)
	p.bytes += bytes
}

// Await takes more bytes, waiting up to patience for them. A call that already holds
// bytes must not wait: two such calls could wait for each other.
func (p *Part) Await(ctx context.Context, bytes int64, patience time.Duration) error {
	b := p.budget
	b.mu.Lock()
	if b.fits(p.project, bytes) {
		b.grant(p.project, bytes)
		b.mu.Unlock()
		p.bytes += bytes
		return nil
	}
	w := &wish{p.project, bytes, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.granted:
	case <-timer.C:
		if b.withdraw(w) {
			return noMemory()
		}
	case <-ctx.Done():
		if b.withdraw(w) {
			return ctx.Err()
		}
	}
	p.bytes += bytes
	return nil
}

func noMemory() error {
	return problem.New(problem.CodeBusy, "The server is handling too many large bodies and answers right now.").Retry(time.Second)
}

// Release returns everything.
func (p *Part) Release() {
	p.Shrink(0)
}

// Shrink returns everything beyond the given number of bytes.
func (p *Part) Shrink(bytes int64) {
	if p.bytes <= bytes {
		return
	}
	b := p.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grant(p.project, bytes-p.bytes)
	p.bytes = bytes
	b.serve()
	if b.used == 0 && b.large {
		b.large = false
		if b.rests != nil {
			b.rests.Stop()
		}
		b.rests = time.AfterFunc(restTime, b.rest)
	}
}

// rest returns memory to the system, unless large calls have started again.
func (b *Budget) rest() {
	b.mu.Lock()
	busy := b.used > 0 || b.large
	if !busy && b.tight {
		b.tight = false
		debug.SetGCPercent(b.usualGC)
	}
	b.mu.Unlock()
	if !busy {
		b.tidy()
	}
}

// Held returns how many bytes the part holds.
func (p *Part) Held() int64 { return p.bytes }

func (b *Budget) fits(project ids.Project, bytes int64) bool {
	return b.max == 0 || b.used+bytes <= b.max && b.shares[project]+bytes <= b.share
}

func (b *Budget) grant(project ids.Project, bytes int64) {
	b.used += bytes
	if b.used >= largeUse {
		b.large = true
		if !b.tight {
			b.tight, b.usualGC = true, debug.SetGCPercent(tightGC)
		}
	}
	if b.shares[project] += bytes; b.shares[project] == 0 {
		delete(b.shares, project)
	}
}

// serve grants the wishes that fit now, in the order of arrival. A wish that does not
// fit lets others pass: it may only be waiting for the share of its project.
func (b *Budget) serve() {
	b.waiting = slices.DeleteFunc(b.waiting, func(w *wish) bool {
		if !b.fits(w.project, w.bytes) {
			return false
		}
		b.grant(w.project, w.bytes)
		close(w.granted)
		return true
	})
}

// withdraw removes a wish. It reports false if the wish has already been granted.
func (b *Budget) withdraw(w *wish) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.waiting, w)
	if i < 0 {
		return false
	}
	b.waiting = slices.Delete(b.waiting, i, i+1)
	return true
}
