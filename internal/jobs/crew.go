package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Crew is the workers of one kind of jobs. Its methods may be called from many
// goroutines.
type Crew struct {
	// Stopped ends when the crew is told to stop.
	Stopped context.Context

	stop    context.CancelFunc
	workers sync.WaitGroup
	wake    chan struct{}

	mu      sync.Mutex
	settled chan struct{} // closed, and replaced, when a job is settled
}

// NewCrew returns a crew without workers.
func NewCrew() *Crew {
	c := &Crew{wake: make(chan struct{}, 1), settled: make(chan struct{})}
	c.Stopped, c.stop = context.WithCancel(context.Background())
	return c
}

// Stop tells the crew to stop, and sends those away who wait for jobs or watch
// them.
func (c *Crew) Stop() { c.stop() }

// Close stops the crew and waits for it.
func (c *Crew) Close() {
	c.stop()
	c.workers.Wait()
}

// Go has a goroutine of the crew run fn.
func (c *Crew) Go(fn func()) { c.workers.Go(fn) }

// Wake tells one idle worker that there may be something to do.
func (c *Crew) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Work begins to run jobs, by so many workers. claim returns what runs the next
// one, or nil when there is none.
func (c *Crew) Work(workers int, log *slog.Logger, claim func() (run func(), err error)) {
	for range workers {
		c.Go(func() { c.work(log, claim) })
	}
	c.Wake()
}

func (c *Crew) work(log *slog.Logger, claim func() (run func(), err error)) {
	for c.Stopped.Err() == nil {
		run, err := claim()
		switch {
		case c.Stopped.Err() != nil && run == nil:
		case err != nil:
			log.Error("claim a job", "error", err)
			c.Rest()
		case run == nil:
			select {
			case <-c.wake:
			case <-c.Stopped.Done():
			}
		default:
			// Where one job was, there may be another for the next worker.
			c.Wake()
			run()
			c.TellSettled()
			// The project may have been at its limit because of this job.
			c.Wake()
		}
	}
}

// Rest waits before something that failed is tried again.
func (c *Crew) Rest() {
	select {
	case <-time.After(time.Second):
	case <-c.Stopped.Done():
	}
}

// TellSettled wakes those who wait for a job.
func (c *Crew) TellSettled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.settled)
	c.settled = make(chan struct{})
}

func (c *Crew) nextSettled() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settled
}

// Earlier is up to when a sweep looks, of the times of the last one and of this
// one. Because what has expired must be so for two sweeps, a clock that jumps
// ahead and back again does no harm.
func Earlier(last, now time.Time) time.Time {
	if last.Before(now) {
		return last
	}
	return now
}
