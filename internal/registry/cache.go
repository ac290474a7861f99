package registry

import (
	"sync"
)

// maxKnown bounds the number of cached tokens. A full cache is cleared.
const maxKnown = 10_000

// cache remembers valid tokens by the hash of their secret, so that a request does not
// wait for the disk. Whatever reduces the power of a token clears the cache after its
// commit.
type cache struct {
	mu         sync.RWMutex
	grants     map[hash]*grant
	generation uint64 // counts how often the cache was cleared
}

func (c *cache) get(h hash) (g *grant, generation uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.grants[h], c.generation
}

// put caches what was read at the given generation. If the cache was cleared since,
// the grant may be out of date and is not kept.
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
