package sqlite

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// group holds the writes that wait for the next transaction.
type group struct {
	mu      sync.Mutex
	waiting []*member
}

// member is one write in a group commit.
type member struct {
	fn      func(*Conn) error
	err     error
	panic   any           // what fn panicked with, raised again where it belongs
	alone   bool          // it was taken back, and is to run again by itself
	lost    bool          // a shared transaction with it was lost already
	givenUp bool          // its caller does not wait for another try; guarded by the group
	settled chan struct{} // closed when the others are final
}

// maxGroup bounds how many writes share a transaction, and so how long the
// first of them waits for the last.
const maxGroup = 256

// A write that takes longer than maxShare leaves its group, which is committed
// without it, and no write joins a group that is older than maxGroupTime. So those
// who are in a group wait for a moment only, whatever the others do.
const (
	maxShare     = 100 * time.Millisecond
	maxGroupTime = 250 * time.Millisecond
)

// Write is WriteWithin without bounds.
func (db *DB) Write(ctx context.Context, fn func(*Conn) error) error {
	return db.WriteWithin(ctx, Deadlines{}, fn)
}

// WriteWithin runs fn in a write transaction that it may share with other callers'
// writes, each in a savepoint of its own; it returns after the commit. fn may
// run more than once and must have no effect outside the connection. The end of
// ctx gives up waiting, and never stops a write that has begun.
func (db *DB) WriteWithin(ctx context.Context, b Deadlines, fn func(*Conn) error) error {
	m := &member{fn: fn, settled: make(chan struct{})}
	db.group.add(m)
	// The caller that gets the writer commits for everyone waiting. A full group may
	// leave its own member for the next round.
	select {
	case c := <-db.writer:
		db.commitWaiting(c, m, b.Run)
	default:
	}
	return db.await(ctx, b, m)
}

// await returns when m is settled, or given up.
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

// follow waits until m is settled, and commits whenever the writer is free. An
// error says why it does not wait any longer.
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

// writeAlone runs a write again that could not share a transaction.
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

// next takes the first member from the queue, nil when it is empty, and returns
// how many are left.
func (g *group) next() (m *member, left int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return nil, 0
	}
	m = g.waiting[0]
	g.waiting[0] = nil // the array may live on
	g.waiting = g.waiting[1:]
	return m, len(g.waiting)
}

// putBack puts members at the head of the queue, but those whose callers have
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

// giveUp takes m out of the queue, or sees to it that it does not come back there.
// It reports whether it was in the queue.
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

// abandon takes m out of the queue and returns why. A write that has begun is
// waited for: its answer must be the truth.
func (db *DB) abandon(m *member, why error) error {
	if db.group.giveUp(m) {
		return why
	}
	<-m.settled
	if m.alone { // it was taken back
		return why
	}
	return m.answer()
}

// commitWaiting commits for everyone waiting and hands the writer back. own is the
// caller's write; it may run for as long as limit when nobody else is waiting.
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
			db.writer <- c // small writes need not look at the log
		}
	}()
	switch first, left := db.group.next(); {
	case first == nil:
	case first == own && left == 0: // there is no need for a savepoint
		err = c.within(limit, func() error { return db.commit(c, own.run) })
		own.err = err
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

// errGroupLost says that the transaction of a group ended early, by a full
// disk, a conflict clause that rolls back or an interrupted statement.
var errGroupLost = errors.New("the shared transaction was rolled back")

// commitGroup commits the write first and those that wait behind it, and answers
// them. It returns why the transaction failed, if it did.
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
	db.group.settle(members, err)
	return err
}

// settle answers the members of a transaction that ended with err. When nothing of
// it has happened, who took too long in it, or was in such a transaction before, is
// to run again alone, and the others together. After a sync has failed nobody knows
// whether it has happened.
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

// run calls fn and keeps a panic for the goroutine that asked for the write.
func (m *member) run(c *Conn) (err error) {
	m.panic = nil
	defer func() {
		if m.panic = recover(); m.panic != nil {
			err = errors.New("the write panicked")
		}
	}()
	return m.fn(c)
}

// Savepoint runs fn inside the open transaction and takes back its changes when
// it fails.
func (c *Conn) Savepoint(fn func() error) error {
	if err := c.Exec("SAVEPOINT nested"); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		return c.Exec("RELEASE nested")
	}
	if !c.inTransaction() {
		return err
	}
	// The error of fn goes back as it is, so that callers may compare it.
	for _, undo := range [...]string{"ROLLBACK TO nested", "RELEASE nested"} {
		if undoErr := c.Exec(undo); undoErr != nil {
			return errors.Join(err, undoErr)
		}
	}
	return err
}
