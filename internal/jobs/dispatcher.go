package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Dispatcher hands jobs of one kind to goroutines, and wakes callers that wait for a
// job to finish. Its methods may be called from many goroutines.
type Dispatcher struct {
	// Stopped ends when the dispatcher is told to stop.
	Stopped context.Context

	stop       context.CancelFunc
	goroutines sync.WaitGroup
	wake       chan struct{}

	mu       sync.Mutex
	finished chan struct{} // closed, and replaced, when a job finishes
}

// NewDispatcher returns a dispatcher that runs nothing yet.
func NewDispatcher() *Dispatcher {
	d := &Dispatcher{wake: make(chan struct{}, 1), finished: make(chan struct{})}
	d.Stopped, d.stop = context.WithCancel(context.Background())
	return d
}

// Stop tells the goroutines to stop, and releases all callers waiting for or watching
// jobs.
func (d *Dispatcher) Stop() { d.stop() }

// Close stops the goroutines and waits for them.
func (d *Dispatcher) Close() {
	d.stop()
	d.goroutines.Wait()
}

// Go runs fn in a goroutine that Close waits for.
func (d *Dispatcher) Go(fn func()) { d.goroutines.Go(fn) }

// Wake tells one idle goroutine that there may be a job to run.
func (d *Dispatcher) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Dispatch starts n goroutines that run jobs. claim returns a function that runs the
// next job, or nil if there is none.
func (d *Dispatcher) Dispatch(n int, log *slog.Logger, claim func() (run func(), err error)) {
	for range n {
		d.Go(func() { d.work(log, claim) })
	}
	d.Wake()
}

func (d *Dispatcher) work(log *slog.Logger, claim func() (run func(), err error)) {
	for d.Stopped.Err() == nil {
		run, err := claim()
		switch {
		case d.Stopped.Err() != nil && run == nil:
		case err != nil:
			log.Error("claim a job", "error", err)
			d.Rest()
		case run == nil:
			select {
			case <-d.wake:
			case <-d.Stopped.Done():
			}
		default:
			// There may be another job for the next goroutine.
			d.Wake()
			run()
			d.NotifyFinished()
			// The project may have been at its limit because of this job.
			d.Wake()
		}
	}
}

// Rest waits before a failed operation is retried.
func (d *Dispatcher) Rest() {
	select {
	case <-time.After(time.Second):
	case <-d.Stopped.Done():
	}
}

// NotifyFinished wakes all callers that wait for a job.
func (d *Dispatcher) NotifyFinished() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.finished)
	d.finished = make(chan struct{})
}

func (d *Dispatcher) nextFinished() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.finished
}
