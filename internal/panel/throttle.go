package panel

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/limits"
)

// How fast passwords can be guessed: after five failures there is a pause, and each
// further one doubles it. Pauses end by themselves: nobody can lock an account for long.
const (
	freeFailures = 5
	firstPause   = 30 * time.Second
	longestPause = 15 * time.Minute
	maxKept      = 1 << 15 // addresses
	maxName      = 100     // bytes of a name that are told apart
)

// throttle slows down guessing, by the address that guesses, and by the name that is
// guessed at from any address.
type throttle struct {
	now   func() time.Time
	names *limits.Rate[string]

	mu        sync.Mutex
	addresses map[netip.Addr]failures
}

type failures struct {
	count int
	last  time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now: now, names: limits.NewRate[string](firstPause, freeFailures, now),
		addresses: map[netip.Addr]failures{},
	}
}

// pause returns how long the address has to wait before it may try again.
func (f failures) pause(now time.Time) time.Duration {
	if f.count < freeFailures {
		return 0
	}
	pause := min(firstPause<<min(f.count-freeFailures, 10), longestPause)
	return max(0, f.last.Add(pause).Sub(now))
}

// try runs check, which reports whether a password is right, unless the address or the
// name has failed too often; then it returns how long to wait.
func (t *throttle) try(address netip.Addr, name string, check func() (bool, error)) (right bool, wait time.Duration, err error) {
	if use := t.names.Use(strings.ToLower(name[:min(len(name), maxName)])); !use.Allowed {
		return false, use.Retry, nil
	}
	key := limits.AddressKey(address)
	before, wait := t.begin(key)
	if wait > 0 {
		return false, wait, nil
	}
	if right, err = check(); right || err != nil {
		t.forgive(key, before)
	}
	return right, 0, err
}

// begin counts an attempt as a failure until it turns out not to be one, so that many
// at once are no way around the pauses. It returns the failures before, and how long
// the address has to wait.
func (t *throttle) begin(key netip.Addr) (before failures, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	f := t.addresses[key]
	if wait = f.pause(now); wait > 0 {
		return f, wait
	}
	if len(t.addresses) >= maxKept {
		t.addresses = map[netip.Addr]failures{}
	}
	if now.Sub(f.last) > 2*longestPause {
		f.count = 0
	}
	t.addresses[key] = failures{f.count + 1, now}
	return f, 0
}

// forgive takes back one attempt. Earlier failures of the address stay: whoever has a
// password cannot guess others without pauses.
func (t *throttle) forgive(key netip.Addr, before failures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.addresses[key]
	f.count = max(f.count-1, 0)
	if f.count == before.count { // nobody has failed meanwhile
		f = before
	}
	if t.addresses[key] = f; f.count == 0 {
		delete(t.addresses, key)
	}
}
