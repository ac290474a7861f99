package worker

import (
	"context"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// place is what calls are counted by: their project, and the group of projects that
// share places.
type place struct {
	key   string
	group ids.Project
}

// waiter is a call that waits for a place.
type waiter struct {
	place
	ready chan struct{} // closed when it has one
}

// takePlace waits until a call may start.
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

// giveUp removes a waiter from the queue. It may have received its place meanwhile.
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

// hasPlace reports whether a call could start now.
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

// running returns how many calls of a group are in progress.
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

// admit lets in the waiters that now have a place. The group with the fewest calls in
// progress goes first; among several, the one that has waited longest.
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
