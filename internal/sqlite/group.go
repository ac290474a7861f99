package sqlite

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/meter"
)

// group holds the writes that wait for the next shared transaction.
type group struct {
	mu      sync.Mutex
	waiting []*member
}

// member is one write in a group commit.
type member struct {
	fn      func(*Conn) error
	began   time.Time // when fn ran first
	err     error
	panic   any           // the value that fn panicked with, raised again in the caller's goroutine
	alone   bool          // it was rolled back, and must run again alone
	lost    bool          // a shared transaction with it has already been lost
	givenUp bool          // its caller does not wait for another attempt; guarded by the group
	settled chan struct{} // closed when the other fields are final
}

// maxGroup bounds how many writes share a transaction, and thereby how long the first
// of them waits for the last.
const maxGroup = 256

// A write that takes longer than maxShare leaves its group, which is committed without
// it, and no write joins a group that is older than maxGroupTime. So a write in a
// group only waits briefly, whatever the others do.
const (
	maxShare     = 100 * time.Millisecond
	maxGroupTime = 250 * time.Millisecond
)

// Write is WriteWithin without deadlines.
func (db *DB) Write(ctx context.Context, fn func(*Conn) error) error {
	return db.WriteWithin(ctx, Deadlines{}, fn)
}

// WriteWithin runs fn in a write transaction that it may share with other callers'
// writes, each in a savepoint of its own; it returns after the commit. fn may run more
// than once and must have no effects outside the connection. Canceling ctx ends the
// wait, but never stops a write that has begun.
func (db *DB) WriteWithin(ctx context.Context, b Deadlines, fn func(*Conn) error) error {
	m := &member{fn: noted(ctx, fn), settled: make(chan struct{})}
	watch := meter.Start(ctx)
	defer func() {
		watch.GotAt(m.began)
		watch.Stop()
	}()
	db.group.add(m)
	// The caller that gets the writer commits for everyone waiting. With a full group,
	// its own write may be left for the next round.
	select {
	case c := <-db.writer:
		db.commitWaiting(c, m, b.Run)
	default:
	}
	return db.await(ctx, b, m)
}

// await returns when m is settled or given up.
func (db *DB) await(ctx context.Context, b Deadlines, m *member) error {
	if !m.isSettled() {
		waited, stop := after(b.Wait)
		defer stop()
		if err := db.follow(ctx, waited, b.Run, m); err != nil {
			return db.abandon(m, err)
		}
	}
	if m.alone {
		return db.writeAlone(ctx, b, m.fn)
	}
	return m.answer()
}

// follow waits until m is settled, and commits the group whenever the writer is free.
// An error says why it stopped waiting.
func (db *DB) follow(ctx context.Context, waited <-chan time.Time, limit time.Duration, m *member) error {
	for !m.isSettled() {
		select {
		case <-m.settled:
		case c := <-db.writer:
			db.commitWaiting(c, m, limit)
		case <-ctx.Done():
			return ctx.Err()
		case <-waited:
			return ErrWaited
		case <-db.closed:
			return ErrClosed
		}
	}
	return nil
}

// writeAlone reruns a write that could not share a transaction.
func (db *DB) writeAlone(ctx context.Context, b Deadlines, fn func(*Conn) error) (err error) {
	c, err := db.leaseWriter(ctx, b.Wait)
	if err != nil {
		return err
	}
	defer func() { db.returnWriter(c, err) }()
	return c.within(b.Run, func() error { return db.commit(c, fn) })
}

func (m *member) isSettled() bool {
	select {
	case <-m.settled:
		return true
	default:
		return false
	}
}

func (m *member) answer() error {
	if m.panic != nil {
		panic(m.panic)
	}
	return m.err
}

func (g *group) add(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
}

// next removes and returns the first member of the queue, nil if it is empty, and the
// number of members left.
func (g *group) next() (m *member, left int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return nil, 0
	}
	m = g.waiting[0]
	g.waiting[0] = nil // the array may stay in use
	g.waiting = g.waiting[1:]
	return m, len(g.waiting)
}

// putBack puts members back at the head of the queue, except those whose callers have
// given up.
func (g *group) putBack(members []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	members = slices.DeleteFunc(members, func(m *member) bool {
		if m.givenUp {
			m.alone = true
			close(m.settled)
		}
		return m.givenUp
	})
	g.waiting = slices.Concat(members, g.waiting)
}

// giveUp removes m from the queue, or makes sure that it is not put back there. It
// reports whether it was in the queue.
func (g *group) giveUp(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, m)
	if i < 0 {
		m.givenUp = true
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	return true
}

// abandon removes m from the queue and returns why. A write that has begun is waited
// for, so that the caller learns its real outcome.
func (db *DB) abandon(m *member, why error) error {
	if db.group.giveUp(m) {
		return why
	}
	<-m.settled
	if m.alone { // it was rolled back
		return why
	}
	return m.answer()
}

// commitWaiting commits for everyone waiting and returns the writer. own is the
// caller's write; it may run for up to limit if nobody else is waiting.
func (db *DB) commitWaiting(c *Conn, own *member, limit time.Duration) {
	c, err := db.writerOf(c)
	if err != nil {
		db.group.refuse(err)
		return
	}
	defer func() {
		if err != nil {
			db.returnWriter(c, err)
		} else {
			db.writer <- c // small writes need not check the log
		}
	}()
	switch first, left := db.group.next(); {
	case first == nil:
	case first == own && left == 0: // no savepoint is needed
		err = c.within(limit, func() error { return db.commit(c, own.run) })
		own.err = err
		if err == nil {
			db.committed(1)
		}
		close(own.settled)
	default:
		err = db.commitGroup(c, first)
	}
}

// refuse answers everyone waiting with err.
func (g *group) refuse(err error) {
	for m, _ := g.next(); m != nil; m, _ = g.next() {
		m.err = err
		close(m.settled)
	}
}

// errGroupLost reports that the transaction of a group ended early, because of a full
// disk, a conflict clause that rolls back or an interrupted statement.
var errGroupLost = errors.New("the shared transaction was rolled back")

// commitGroup commits the write first and those queued behind it, and answers them. If
// the transaction failed, it returns why.
func (db *DB) commitGroup(c *Conn, first *member) error {
	var members []*member
	began := time.Now()
	err := db.commit(c, func(c *Conn) error {
		for m := first; m != nil; m, _ = db.group.next() {
			members = append(members, m)
			m.err = c.Savepoint(func() error {
				return c.within(maxShare, func() error { return m.run(c) })
			})
			switch {
			case !c.inTransaction():
				return errors.Join(errGroupLost, m.err)
			case len(members) == maxGroup, time.Since(began) > maxGroupTime:
				return nil
			}
		}
		return nil
	})
	if err == nil {
		db.committed(len(members))
	}
	db.group.settle(members, err)
	return err
}

// settle answers the members of a transaction that ended with err. If it was rolled
// back, members that took too long, or had lost a shared transaction before, rerun
// alone, and the others together. After a failed sync nobody knows whether the
// transaction was committed, so nothing is rerun.
func (g *group) settle(members []*member, err error) {
	var again []*member
	for _, m := range members {
		switch {
		case SyncFailed(err):
			m.err = err
		case errors.Is(m.err, ErrTooLong), err != nil && m.lost:
			m.alone = true
		case err != nil:
			m.lost = true
			again = append(again, m)
			continue
		}
		close(m.settled)
	}
	g.putBack(again)
}

// run calls fn and saves a panic for the goroutine that requested the write.
func (m *member) run(c *Conn) (err error) {
	m.panic = nil
	if m.began.IsZero() {
		m.began = time.Now()
	}
	defer func() {
		if m.panic = recover(); m.panic != nil {
			err = errors.New("the write panicked")
		}
	}()
	return m.fn(c)
}

// Savepoint runs fn inside the open transaction and rolls back its changes if it
// fails.
func (c *Conn) Savepoint(fn func() error) error {
	if err := c.Exec("SAVEPOINT nested"); err != nil {
		return err
	}
	before := c.recording.mark()
	err := fn()
	if err == nil {
		return c.Exec("RELEASE nested")
	}
	c.recording.cut(before)
	if !c.inTransaction() {
		return err
	}
	// The error of fn is returned unchanged, so that callers may compare it.
	for _, undo := range [...]string{"ROLLBACK TO nested", "RELEASE nested"} {
		if undoErr := c.Exec(undo); undoErr != nil {
			return errors.Join(err, undoErr)
		}
	}
	return err
}
