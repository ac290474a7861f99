package sqlite

import (
	"context"
	"errors"
	"sync"
)

// group holds the writes that wait for the next transaction.
type group struct {
	mu      sync.Mutex
	waiting []*member
}

// member is one write in a group commit.
type member struct {
	fn    func(*Conn) error
	err   error
	panic any           // what fn panicked with, raised again where it belongs
	done  chan struct{} // closed when err and panic are final
}

// maxGroup bounds how many writes share a transaction, and so how long the
// first of them waits for the last.
const maxGroup = 256

// Write runs fn in a write transaction that it may share with other callers'
// writes, each in a savepoint of its own; it returns after the commit. fn may
// run more than once and must have no effect outside the connection. The end of
// ctx gives up waiting, and never stops a write that has begun.
func (db *DB) Write(ctx context.Context, fn func(*Conn) error) error {
	m := &member{fn: fn, done: make(chan struct{})}
	db.group.add(m)
	// Whoever gets hold of the writer commits for everybody who waits. A full
	// group may leave its own member for the next round.
	for !m.finished() {
		select {
		case <-m.done:
		case c := <-db.writer:
			db.commitWaiting(c)
		case <-ctx.Done():
			return db.abandon(m, ctx.Err())
		case <-db.closed:
			return db.abandon(m, ErrClosed)
		}
	}
	return m.answer()
}

func (m *member) finished() bool {
	select {
	case <-m.done:
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

// take removes up to maxGroup members from the queue.
func (g *group) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	members := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return members
}

// commitWaiting commits for those who wait and hands the writer back.
func (db *DB) commitWaiting(c *Conn) {
	members := db.group.take()
	c, err := db.writerOf(c)
	if err != nil {
		refuse(members, err)
		return
	}
	defer func() {
		if err != nil {
			db.returnWriter(c, err)
		} else {
			db.writer <- c // small writes need not look at the log
		}
	}()
	err = db.commitGroup(c, members)
}

// refuse answers members that are not carried out.
func refuse(members []*member, err error) {
	for _, m := range members {
		m.err = err
		close(m.done)
	}
}

// abandon takes m out of the queue and returns why. A write that has begun is
// waited for: its answer must be the truth.
func (db *DB) abandon(m *member, why error) error {
	db.group.mu.Lock()
	for i, w := range db.group.waiting {
		if w == m {
			db.group.waiting = append(db.group.waiting[:i:i], db.group.waiting[i+1:]...)
			db.group.mu.Unlock()
			return why
		}
	}
	db.group.mu.Unlock()
	<-m.done
	return m.answer()
}

// commitGroup runs the members in one transaction. When something undoes the
// whole of it, each runs again in a transaction of its own; but not after a sync
// has failed, when nobody knows whether the transaction is on the disk. It
// returns why the last of the transactions that failed did so.
func (db *DB) commitGroup(c *Conn, members []*member) (failure error) {
	if len(members) > 1 {
		err := db.commitTogether(c, members)
		if SyncFailed(err) {
			refuse(members, err)
		}
		if err == nil || SyncFailed(err) {
			return err
		}
	}
	for i, m := range members {
		if m.err = db.commit(c, m.run); m.err != nil {
			failure = m.err
		}
		close(m.done)
		if SyncFailed(failure) {
			refuse(members[i+1:], failure)
			break
		}
	}
	return failure
}

// errGroupLost says that the transaction of a group ended early, by a full
// disk or a conflict clause that rolls back.
var errGroupLost = errors.New("the shared transaction was rolled back")

// commitTogether answers the members when it succeeds.
func (db *DB) commitTogether(c *Conn, members []*member) error {
	err := db.commit(c, func(c *Conn) error {
		for _, m := range members {
			if m.err = c.Savepoint(func() error { return m.run(c) }); !c.inTransaction() {
				return errGroupLost
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range members {
		close(m.done)
	}
	return nil
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
	if err := c.Exec("SAVEPOINT member"); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		return c.Exec("RELEASE member")
	}
	if !c.inTransaction() {
		return err
	}
	// The error of fn goes back as it is, so that callers may compare it.
	for _, undo := range [...]string{"ROLLBACK TO member", "RELEASE member"} {
		if undoErr := c.Exec(undo); undoErr != nil {
			return errors.Join(err, undoErr)
		}
	}
	return err
}
