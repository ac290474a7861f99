package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Dispatcher is the workers of one kind of jobs. Its methods may be called from many
// goroutines.
type Dispatcher struct {
	// Stopped ends when the dispatcher is told to stop.
	Stopped context.Context

	stop    context.CancelFunc
	workers sync.WaitGroup
	wake    chan struct{}

	mu       sync.Mutex
	finished chan struct{} // closed, and replaced, when a job is settled
}

// NewDispatcher returns a dispatcher without workers.
func NewDispatcher() *Dispatcher {
	c := &Dispatcher{wake: make(chan struct{}, 1), finished: make(chan struct{})}
	c.Stopped, c.stop = context.WithCancel(context.Background())
	return c
}

// Stop tells the dispatcher to stop, and sends those away who wait for jobs or watch
// them.
func (c *Dispatcher) Stop() { c.stop() }

// Close stops the dispatcher and waits for it.
func (c *Dispatcher) Close() {
	c.stop()
	c.workers.Wait()
}

// Go has a goroutine of the dispatcher run fn.
func (c *Dispatcher) Go(fn func()) { c.workers.Go(fn) }

// Wake tells one idle worker that there may be something to do.
func (c *Dispatcher) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Dispatch begins to run jobs, by so many workers. claim returns what runs the next
// one, or nil when there is none.
func (c *Dispatcher) Dispatch(workers int, log *slog.Logger, claim func() (run func(), err error)) {
	for range workers {
		c.Go(func() { c.work(log, claim) })
	}
	c.Wake()
}

func (c *Dispatcher) work(log *slog.Logger, claim func() (run func(), err error)) {
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
			c.NotifyFinished()
			// The project may have been at its limit because of this job.
			c.Wake()
		}
	}
}

// Rest waits before something that failed is tried again.
func (c *Dispatcher) Rest() {
	select {
	case <-time.After(time.Second):
	case <-c.Stopped.Done():
	}
}

// NotifyFinished wakes those who wait for a job.
func (c *Dispatcher) NotifyFinished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.finished)
	c.finished = make(chan struct{})
}

func (c *Dispatcher) nextFinished() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// SweepCutoff is up to when a sweep looks, of the times of the last one and of this
// one. Because what has expired must be so for two sweeps, a clock that jumps
// ahead and back again does no harm.
func SweepCutoff(last, now time.Time) time.Time {
	if last.Before(now) {
		return last
	}
	return now
}
