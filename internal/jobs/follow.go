package jobs

import (
	"context"
	"time"
)

// watchInterval is how often a watcher looks.
const watchInterval = 300 * time.Millisecond

// state is where a job is in its life.
type state[S any] interface {
	Finished() bool // no work is left to be done
	Differs(S) bool // the job has gone on since
}

// Wait looks until the job is settled, and reports whether it was when ctx or
// the dispatcher ended; then it returns the job as it stands.
func Wait[S state[S]](ctx context.Context, c *Dispatcher, look func(context.Context) (S, error)) (s S, finished bool, err error) {
	looking := context.WithoutCancel(ctx)
	for {
		next := c.nextFinished()
		s, err := look(looking)
		if err != nil || s.Finished() {
			return s, err == nil, err
		}
		select {
		case <-next:
		case <-c.Stopped.Done():
			return s, false, nil
		case <-ctx.Done():
			s, err = look(looking)
			return s, false, err
		}
	}
}

// Watch returns the job as it is, and again whenever it has gone on, a few times
// a second at most. The channel is closed after a settled state, when look
// fails, and when ctx or the dispatcher ends.
func Watch[S state[S]](ctx context.Context, c *Dispatcher, look func(context.Context) (S, error)) (<-chan S, error) {
	s, err := look(ctx)
	if err != nil {
		return nil, err
	}
	updates := make(chan S, 1)
	updates <- s
	go func() {
		defer close(updates)
		for !s.Finished() && c.pause(ctx) {
			next, err := look(ctx)
			if err != nil {
				return
			}
			if !s.Differs(next) {
				continue
			}
			s = next
			select {
			case updates <- s:
			case <-ctx.Done():
				return
			case <-c.Stopped.Done():
				return
			}
		}
	}()
	return updates, nil
}

// pause waits until there may be news, and reports false when nobody waits for
// them any more.
func (c *Dispatcher) pause(ctx context.Context) bool {
	finished := c.nextFinished()
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-c.Stopped.Done():
		return false
	}
	return true
}
