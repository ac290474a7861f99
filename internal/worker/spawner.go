package worker

import (
	"errors"
	"runtime"
	"sync"
)

// spawner starts children from a single thread that lives as long as the spawner:
// Linux kills a child when the thread that started it ends.
type spawner struct {
	mu     sync.Mutex // serializes starts
	closed bool
	starts chan func() error // nil before the first start
	errs   chan error
}

func (s *spawner) run() {
	defer close(s.errs)
	// It is never unlocked: the thread ends with this goroutine, together with its
	// settings.
	runtime.LockOSThread()
	err := prepareSpawner()
	for start := range s.starts {
		if err != nil {
			s.errs <- err
			continue
		}
		s.errs <- start()
	}
}

// do runs start in the spawner's thread.
func (s *spawner) do(start func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the pool of workers is closed")
	}
	if s.starts == nil {
		s.starts, s.errs = make(chan func() error), make(chan error)
		go s.run()
	}
	s.starts <- start
	return <-s.errs
}

func (s *spawner) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.starts != nil {
		close(s.starts)
		<-s.errs
	}
}
