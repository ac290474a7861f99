package worker

import (
	"context"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// place is what a call is counted by: the project that it is about, and the group
// of projects that share their places.
type place struct {
	key   string
	group ids.Project
}

// waiter is a call that waits for a place.
type waiter struct {
	place
	ready chan struct{} // closed when it has one
}

// takePlace waits until a call may begin.
func (p *Pool) takePlace(ctx context.Context, at place) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return problem.Stopping()
	}
	if p.hasPlace(at) && !p.isWaiting(at) {
		p.used[at]++
		p.mu.Unlock()
		return nil
	}
	waits := &waiter{place: at, ready: make(chan struct{})}
	p.waiting = append(p.waiting, waits)
	p.mu.Unlock()
	late := time.NewTimer(p.options.Wait)
	defer late.Stop()
	var err error
	select {
	case <-waits.ready:
		return p.ifOpen()
	case <-ctx.Done():
		err = ctx.Err()
	case <-late.C:
		err = busy("Too many statements are running. This one waited %s for its turn and was not started.", p.options.Wait)
	}
	return p.giveUp(waits, err)
}

func (p *Pool) ifOpen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return problem.Stopping()
	}
	return nil
}

// giveUp takes a waiter out of the line. It may have got its place meanwhile.
func (p *Pool) giveUp(waits *waiter, err error) error {
	p.mu.Lock()
	i := slices.Index(p.waiting, waits)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		p.returnPlace(waits.place, nil)
	}
	return err
}

// hasPlace reports whether a call could begin now.
func (p *Pool) hasPlace(at place) bool {
	all, ofKey, ofGroup := 0, 0, 0
	for taken, n := range p.used {
		all += n
		if taken.key == at.key {
			ofKey += n
		}
		if taken.group == at.group {
			ofGroup += n
		}
	}
	return all < p.options.Max && ofKey < p.options.PerKey && ofGroup < max(1, p.options.Max*3/4)
}

// running returns how many calls of a group are under way.
func (p *Pool) running(group ids.Project) (n int) {
	for taken, calls := range p.used {
		if taken.group == group {
			n += calls
		}
	}
	return n
}

func (p *Pool) isWaiting(at place) bool {
	return slices.ContainsFunc(p.waiting, func(w *waiter) bool { return w.place == at })
}

// admit lets those in who wait and now have a place. The group with the fewest
// calls under way goes first, of several the one that has waited longest.
func (p *Pool) admit() {
	for {
		next := -1
		for i, waits := range p.waiting {
			if p.hasPlace(waits.place) && (next < 0 || p.running(waits.group) < p.running(p.waiting[next].group)) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		p.used[p.waiting[next].place]++
		close(p.waiting[next].ready)
		p.waiting = slices.Delete(p.waiting, next, next+1)
	}
}
