package sqlite

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Deadlines bound how long a transaction may wait for its connection, and how long it
// may then run. Zero means as long as its context lasts.
type Deadlines struct {
	Wait time.Duration // after it the transaction fails with ErrWaited
	Run  time.Duration // after it the transaction is interrupted and fails with ErrTooLong
}

// ErrWaited is returned if all suitable connections were busy for too long. Nothing
// has been done.
var ErrWaited = errors.New("the connections of the database were busy for too long")

// ErrTooLong is returned if something ran longer than allowed, and was interrupted and
// rolled back.
var ErrTooLong = errors.New("it took too long and was interrupted")

// watchdog interrupts whatever runs on a connection for too long. It costs less than a
// context with a deadline, for which the driver needs a goroutine.
type watchdog struct {
	interrupt func()

	mu    sync.Mutex
	timer *time.Timer
	armed bool
	until time.Time // when it interrupts, while it is armed
	late  bool      // it has interrupted something since it was armed
}

// barkInterval is how soon the watchdog interrupts again: SQLite forgets an interrupt
// that arrives between two statements.
const barkInterval = 2 * time.Millisecond

func newWatchdog(thread *libc.TLS, db uintptr) *watchdog {
	w := &watchdog{interrupt: func() { lib.Xsqlite3_interrupt(thread, db) }}
	w.timer = time.AfterFunc(time.Hour, w.bark)
	w.timer.Stop()
	return w
}

func (w *watchdog) bark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed { // it was stopped just before it fired
		return
	}
	w.late = true
	w.interrupt()
	w.timer.Reset(barkInterval)
}

func (w *watchdog) arm(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.late, w.until = true, false, time.Now().Add(limit)
	w.timer.Reset(limit)
}

// remaining returns how long it still waits, and whether it is armed.
func (w *watchdog) remaining() (left time.Duration, armed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.until), w.armed
}

// disarm makes sure that nothing is interrupted any more, and reports whether
// something was.
func (w *watchdog) disarm() (late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.timer.Stop()
	return w.late
}

// within runs fn and interrupts it if it takes longer than limit, in which case it
// fails with ErrTooLong; 0 means no limit.
func (c *Conn) within(limit time.Duration, fn func() error) (err error) {
	if limit <= 0 {
		return fn()
	}
	c.watchdog.arm(limit)
	defer func() {
		if c.watchdog.disarm() && FaultOf(err) == Interrupted {
			err = fmt.Errorf("%w: %w", ErrTooLong, err)
		}
	}()
	return fn()
}

// Briefly runs fn, which only reads, within a deadline of the connection's, and
// interrupts it after a shorter one: late reports that this has happened. No statement
// may be running meanwhile. The transaction goes on.
func (c *Conn) Briefly(limit time.Duration, fn func() error) (late bool, err error) {
	left, bounded := c.watchdog.remaining()
	if bounded && left <= limit {
		return false, fn() // the deadline comes first
	}
	began := time.Now()
	c.watchdog.arm(limit)
	err = fn()
	late = c.watchdog.disarm() && FaultOf(err) == Interrupted
	if bounded {
		c.watchdog.arm(max(left-time.Since(began), time.Nanosecond))
	}
	if late {
		err = nil
	}
	return late, err
}
