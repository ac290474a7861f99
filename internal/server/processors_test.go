package server

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestSpareProcessor runs two exports during a crowd of requests, and then none.
func TestSpareProcessor(t *testing.T) {
	for _, env := range []string{"", "3"} {
		if env != "" {
			t.Setenv("GOMAXPROCS", env)
			defer runtime.SetDefaultGOMAXPROCS()
			runtime.GOMAXPROCS(3)
		}
		usual := runtime.GOMAXPROCS(0)
		reaches := func(want int) {
			t.Helper()
			deadline := time.Now().Add(20 * time.Second)
			for runtime.GOMAXPROCS(0) != want {
				if time.Now().After(deadline) {
					t.Fatalf("there are %d processors, want %d", runtime.GOMAXPROCS(0), want)
				}
				time.Sleep(time.Millisecond)
			}
		}
		var requests, rate atomic.Int64
		s := &spareProcessor{requests: func() int64 { return requests.Add(rate.Load()) }}
		first, second := s.begin(), s.begin()
		time.Sleep(3 * crowdInterval)
		reaches(usual)
		rate.Store(crowd)
		reaches(usual + 1)
		rate.Store(crowd - 1)
		reaches(usual)
		rate.Store(crowd)
		reaches(usual + 1)
		first()
		first() // calling end twice counts once
		time.Sleep(3 * crowdInterval)
		reaches(usual + 1)
		second()
		reaches(usual)
	}
}
