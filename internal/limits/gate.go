// Package limits bounds how much of the server strangers can use: concurrent calls,
// calls per second, and bytes of memory. Everything here is shared by the whole
// server, safe for concurrent use, and itself needs a bounded amount of memory,
// whatever keys it is used with.
package limits

import (
	"context"
	"slices"
	"sync"
)

// Gate limits how many calls of one key run at once. Further calls queue. A nil Gate
// lets every call in.
type Gate[K comparable] struct {
	max int

	mu      sync.Mutex
	running map[K]int
	waiting map[K][]chan struct{} // first come, first served
	total   int
}

// NewGate returns a gate that lets in max calls of each key, or nil, meaning no limit,
// if max is 0.
func NewGate[K comparable](max int) *Gate[K] {
	if max == 0 {
		return nil
	}
	return &Gate[K]{max: max, running: map[K]int{}, waiting: map[K][]chan struct{}{}}
}

// TryEnter lets a call in, unless it would have to wait.
func (g *Gate[K]) TryEnter(key K) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[key] >= g.max {
		return false
	}
	g.running[key]++
	g.total++
	return true
}

// Enter lets a call in, waiting until it can enter. It reports false if ctx ended
// before that.
func (g *Gate[K]) Enter(ctx context.Context, key K) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	if g.running[key] < g.max {
		g.running[key]++
		g.total++
		g.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	g.waiting[key] = append(g.waiting[key], turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
		return !g.giveUp(key, turn)
	}
}

// giveUp removes a call from the queue. It reports false if its turn has come in the
// meantime.
func (g *Gate[K]) giveUp(key K, turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := g.waiting[key]
	i := slices.Index(line, turn)
	if i < 0 {
		return false
	}
	g.setLine(key, slices.Delete(line, i, i+1))
	return true
}

func (g *Gate[K]) setLine(key K, line []chan struct{}) {
	if len(line) == 0 {
		delete(g.waiting, key)
		return
	}
	g.waiting[key] = line
}

// Leave ends a call that was let in. The first call in the queue takes its place.
func (g *Gate[K]) Leave(key K) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if line := g.waiting[key]; len(line) > 0 {
		close(line[0])
		g.setLine(key, line[1:])
		return
	}
	g.total--
	if g.running[key]--; g.running[key] == 0 {
		delete(g.running, key)
	}
}

// Running returns how many calls are inside.
func (g *Gate[K]) Running() int {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total
}
