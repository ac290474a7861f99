package limits

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate bounds how often each key does something: a token bucket per key. A nil
// Rate has no limit.
//
// The keys are held in two generations. A key that is used moves to the younger
// one; when that is full, the older one is forgotten. So memory is bounded
// whatever is asked, and a bucket is forgotten only after maxKeys others were
// used since.
type Rate[K comparable] struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu         sync.Mutex
	young, old map[K]*rate.Limiter
}

// maxKeys is how many keys a generation has: about 5 MB.
const maxKeys = 1 << 15

// NewRate returns a bound of one use per interval, with so many at once after a
// rest. It returns nil, for no limit, when the interval is 0. A nil clock is the
// system's.
func NewRate[K comparable](interval time.Duration, burst int, now func() time.Time) *Rate[K] {
	if interval == 0 {
		return nil
	}
	if now == nil {
		now = time.Now
	}
	return &Rate[K]{limit: rate.Every(interval), burst: burst, now: now, young: map[K]*rate.Limiter{}}
}

// NewRatePerSecond returns a bound of n uses in any second, or nil when n is 0.
func NewRatePerSecond[K comparable](n int, now func() time.Time) *Rate[K] {
	if n == 0 {
		return nil
	}
	return NewRate[K](time.Second/time.Duration(n), n, now)
}

// Standing is how a key stands after a use.
type Standing struct {
	Allowed   bool
	Remaining int           // uses that are left now
	Reset     time.Duration // until all of them are there again
	Retry     time.Duration // until there is one
}

// Use takes one use of the key, if there is one.
func (r *Rate[K]) Use(key K) Standing {
	if r == nil {
		return Standing{Allowed: true}
	}
	now := r.now()
	bucket := r.bucket(key)
	s := Standing{Allowed: bucket.AllowN(now, 1)}
	left := bucket.TokensAt(now)
	s.Remaining = int(max(left, 0))
	s.Reset = r.lasts(float64(r.burst) - left)
	s.Retry = r.lasts(1 - left)
	return s
}

// Burst returns how many uses there are after a rest.
func (r *Rate[K]) Burst() int { return r.burst }

// lasts returns how long it takes until so many uses are there.
func (r *Rate[K]) lasts(uses float64) time.Duration {
	return time.Duration(math.Ceil(max(uses, 0) / float64(r.limit) * float64(time.Second)))
}

func (r *Rate[K]) bucket(key K) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bucket := r.young[key]; bucket != nil {
		return bucket
	}
	bucket := r.old[key]
	if bucket == nil {
		bucket = rate.NewLimiter(r.limit, r.burst)
	}
	if len(r.young) >= maxKeys {
		r.young, r.old = make(map[K]*rate.Limiter, maxKeys), r.young
	}
	r.young[key] = bucket
	return bucket
}

// AddressKey returns what counts as one address: that of IPv4, and the network
// of IPv6, because a host there has as many addresses as it wants.
func AddressKey(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		network, err := address.Prefix(64)
		if err == nil {
			return network.Addr()
		}
	}
	return address
}
