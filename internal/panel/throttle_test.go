package panel

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Attempts at the same time count as those one after the other.
func TestManyGuessesAtOnceAreSlowedDown(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(1e9)
	slow := newThrottle(func() time.Time { return time.Unix(now.Load(), 0) })
	address := netip.MustParseAddr("192.0.2.7")
	guess := func(name string, right bool) (tried bool) {
		got, wait, err := slow.try(address, name, func() (bool, error) { tried = true; return right, nil })
		if err != nil || tried == (wait > 0) || got != (tried && right) {
			t.Errorf("%s: %v, %v, %v", name, got, wait, err)
		}
		return tried
	}
	var tried atomic.Int64
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if guess(fmt.Sprint("name", i), false) {
				tried.Add(1)
			}
		})
	}
	if all.Wait(); tried.Load() != freeFailures {
		t.Errorf("%d of 60 guesses were tried", tried.Load())
	}
	if guess("right", true) {
		t.Error("there is no pause")
	}
	now.Add(int64(firstPause/time.Second) + 1)
	if !guess("right", true) {
		t.Error("the pause does not end")
	}
	// Being right once does not allow five more guesses.
	if !guess("wrong", false) || guess("wrong too", false) {
		t.Error("earlier failures are forgotten")
	}
	now.Add(int64(2*firstPause/time.Second) + 1)
	if !guess("after the longer pause", false) {
		t.Error("the second pause does not end")
	}
}
