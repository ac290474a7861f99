package registry

import (
	"sync"
)

// maxKnown bounds the tokens remembered. A full cache starts anew.
const maxKnown = 10_000

// cache remembers valid tokens by the hash of their secret, so that a request
// does not wait for the disk. Whatever takes power away from a token forgets
// all of it after its commit.
type cache struct {
	mu         sync.RWMutex
	grants     map[hash]*grant
	generation uint64 // counts how often all was forgotten
}

func (c *cache) get(h hash) (g *grant, generation uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.grants[h], c.generation
}

// put remembers what was read at the given generation. If something was
// forgotten since, the reading may be out of date and is not kept.
func (c *cache) put(h hash, g *grant, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if c.grants == nil || len(c.grants) >= maxKnown {
		c.grants = map[hash]*grant{}
	}
	c.grants[h] = g
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants = nil
	c.generation++
}
