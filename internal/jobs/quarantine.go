package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Quarantine isolates a suspect, a job that was running when the server crashed, from
// all other jobs of every kind. A suspect begins only while no other job runs, and no
// other begins until it has ended or has survived its probation: if the server crashes
// again, only one job can be to blame. All kinds of jobs of a server share a
// Quarantine. Its methods may be called from many goroutines.
type Quarantine struct {
	// Probation is how long a suspect runs alone: long enough to show what it does to
	// the server, but not so long that others wait for a job that is merely slow.
	Probation time.Duration

	// claiming is held during a claim, so that two suspects cannot begin at once.
	claiming sync.Mutex

	mu          sync.Mutex
	running     int
	suspects    int // how many have begun
	onTrial     int // the one on probation; 0 for none
	dispatchers []*Dispatcher
}

// NewQuarantine returns a Quarantine with a probation of a minute.
func NewQuarantine() *Quarantine { return &Quarantine{Probation: time.Minute} }

// Join registers a dispatcher to be woken whenever its jobs may begin again.
func (q *Quarantine) Join(c *Dispatcher) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dispatchers = append(q.dispatchers, c)
}

// Claim claims the next job of a store, or a suspect if there is nothing else to do.
// Whoever gets a job must call leave when the job has ended.
func Claim[R any](ctx context.Context, q *Quarantine, b Store[R], limits Limits, begin func(c *sqlite.Conn, id string) error) (r *R, leave func(), err error) {
	q.claiming.Lock()
	defer q.claiming.Unlock()
	running, alone := q.state()
	if alone {
		return nil, nil, nil
	}
	r, err = b.Claim(ctx, limits, begin)
	if r == nil && err == nil && running == 0 {
		r, err = b.ClaimSuspect(ctx, begin)
		alone = r != nil
	}
	if r == nil || err != nil {
		return nil, nil, err
	}
	return r, q.enter(alone), nil
}

func (q *Quarantine) state() (running int, alone bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, q.onTrial > 0
}

// enter records that a job is running.
func (q *Quarantine) enter(suspect bool) (leave func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running++
	if !suspect {
		return func() { q.leave(0) }
	}
	q.suspects++
	q.onTrial = q.suspects
	self := q.onTrial
	over := time.AfterFunc(q.Probation, func() { q.acquit(self) })
	return func() {
		over.Stop()
		q.leave(self)
	}
}

// leave records that a job has ended. self is 0 for a job that is not a suspect.
func (q *Quarantine) leave(self int) {
	q.mu.Lock()
	q.running--
	q.mu.Unlock()
	q.acquit(self)
}

// acquit ends the probation of a suspect, unless it is over already, and has all
// dispatchers look for a job.
func (q *Quarantine) acquit(self int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.onTrial == self {
		q.onTrial = 0
	}
	for _, c := range q.dispatchers {
		c.Wake()
	}
}
