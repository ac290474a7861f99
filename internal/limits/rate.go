package limits

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate limits how often each key does something: a token bucket per key. A nil Rate
// has no limit.
//
// Keys are kept in two generations. A key that is used moves to the younger one; when
// that is full, the older one is dropped. So memory is bounded whatever keys are used,
// and a bucket is forgotten only after maxKeys other keys have been used since.
type Rate[K comparable] struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu         sync.Mutex
	young, old map[K]*rate.Limiter
}

// maxKeys is the number of keys in a generation: about 5 MB.
const maxKeys = 1 << 15

// NewRate returns a limit of one use per interval, with bursts of up to burst uses
// after a rest. It returns nil, meaning no limit, if the interval is 0. A nil clock
// means the system's.
func NewRate[K comparable](interval time.Duration, burst int, now func() time.Time) *Rate[K] {
	if interval == 0 {
		return nil
	}
	if now == nil {
		now = time.Now
	}
	return &Rate[K]{limit: rate.Every(interval), burst: burst, now: now, young: map[K]*rate.Limiter{}}
}

// NewRatePerSecond returns a limit of n uses in any second, or nil if n is 0.
func NewRatePerSecond[K comparable](n int, now func() time.Time) *Rate[K] {
	if n == 0 {
		return nil
	}
	return NewRate[K](time.Second/time.Duration(n), n, now)
}

// Standing is the state of a key after a use.
type Standing struct {
	Allowed   bool
	Remaining int           // uses left now
	Reset     time.Duration // until all uses are available again
	Retry     time.Duration // until one use is available
}

// Use consumes one use of the key, if one is available.
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

// Burst returns how many uses are available after a rest.
func (r *Rate[K]) Burst() int { return r.burst }

// lasts returns how long it takes until the given number of uses is available.
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

// AddressKey returns what counts as one address: an IPv4 address, or an IPv6 network,
// because a host there has as many addresses as it wants.
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
