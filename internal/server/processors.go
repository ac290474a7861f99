package server

import (
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// crowdInterval is how often requests are counted while exports run.
	crowdInterval = 100 * time.Millisecond
	// crowd is how many requests per crowdInterval call for a spare processor.
	crowd = 10
)

// spareProcessor gives Go one processor more than the machine has while exports run
// beside many requests. Go looks for requests only when one of its processors is idle,
// and exports keep all of them busy. Without requests, the spare one would only slow
// the exports down. There is one spareProcessor per process, because GOMAXPROCS is a
// setting of the process; see decision 31.
type spareProcessor struct {
	requests func() int64 // their count so far

	mu    sync.Mutex
	jobs  int           // running jobs
	ended chan struct{} // closed when the last job ends

	watching sync.Mutex // held by the only goroutine that may change GOMAXPROCS
}

// begin records that a job is running until end is called.
func (s *spareProcessor) begin() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs++; s.jobs == 1 {
		s.ended = make(chan struct{})
		go s.watch(s.ended)
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.jobs--; s.jobs == 0 {
			close(s.ended)
		}
	})
}

// watch counts requests, and adds and removes the spare processor.
func (s *spareProcessor) watch(ended <-chan struct{}) {
	s.watching.Lock()
	defer s.watching.Unlock()
	spare := false
	// Changing the number stops the world for a moment.
	set := func(wanted bool) {
		switch {
		case wanted == spare:
		case wanted:
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
		case os.Getenv("GOMAXPROCS") != "":
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1)
		default:
			// Let Go follow changes of the CPU limit again.
			runtime.SetDefaultGOMAXPROCS()
		}
		spare = wanted
	}
	defer set(false)
	ticker := time.NewTicker(crowdInterval)
	defer ticker.Stop()
	for before := s.requests(); ; {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		now := s.requests()
		set(now-before >= crowd)
		before = now
	}
}
