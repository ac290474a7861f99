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
	maxChecks    = 2 // at once: each takes 19 MiB and a processor
	maxKept      = 1 << 15
)

// throttle slows down guessing, by the address that guesses, and by the name that is
// guessed at from any address.
type throttle struct {
	now    func() time.Time
	names  *limits.Rate[string]
	checks chan struct{}

	mu        sync.Mutex
	addresses map[netip.Addr]failures
}

type failures struct {
	count int
	last  time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now: now, names: limits.NewRate[string](firstPause, freeFailures, now), checks: make(chan struct{}, maxChecks),
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
	key := limits.AddressKey(address)
	t.mu.Lock()
	wait = t.addresses[key].pause(t.now())
	t.mu.Unlock()
	if wait > 0 {
		return false, wait, nil
	}
	if use := t.names.Use(strings.ToLower(name)); !use.Allowed {
		return false, use.Retry, nil
	}
	t.checks <- struct{}{}
	defer func() { <-t.checks }()
	right, err = check()
	if err == nil {
		t.note(key, right)
	}
	return right, 0, err
}

// note counts a failure, or forgets those of an address that was right.
func (t *throttle) note(key netip.Addr, right bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if right {
		delete(t.addresses, key)
		return
	}
	now := t.now()
	if len(t.addresses) >= maxKept {
		t.addresses = map[netip.Addr]failures{}
	}
	f := t.addresses[key]
	if now.Sub(f.last) > 2*longestPause {
		f.count = 0
	}
	t.addresses[key] = failures{f.count + 1, now}
}
