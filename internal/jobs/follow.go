package jobs

import (
	"context"
	"time"
)

// watchInterval is how often a watcher looks.
const watchInterval = 300 * time.Millisecond

// state is where a job is in its life.
type state[S any] interface {
	Settled() bool  // no work is left to be done
	Differs(S) bool // the job has gone on since
}

// Wait looks until the job is settled, and reports whether it was when ctx or
// the crew ended; then it returns the job as it stands.
func Wait[S state[S]](ctx context.Context, c *Crew, look func(context.Context) (S, error)) (s S, settled bool, err error) {
	looking := context.WithoutCancel(ctx)
	for {
		next := c.nextSettled()
		s, err := look(looking)
		if err != nil || s.Settled() {
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
// fails, and when ctx or the crew ends.
func Watch[S state[S]](ctx context.Context, c *Crew, look func(context.Context) (S, error)) (<-chan S, error) {
	s, err := look(ctx)
	if err != nil {
		return nil, err
	}
	updates := make(chan S, 1)
	updates <- s
	go func() {
		defer close(updates)
		for !s.Settled() && c.pause(ctx) {
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
func (c *Crew) pause(ctx context.Context) bool {
	settled := c.nextSettled()
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-c.Stopped.Done():
		return false
	}
	return true
}
