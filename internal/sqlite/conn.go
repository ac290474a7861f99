package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	zs "zombiezen.com/go/sqlite"
)

// Conn is one connection. It must be used by one goroutine at a time.
type Conn struct {
	c             *zs.Conn
	idle          map[string]idleStmt // prepared statements not in use, by SQL text
	clock         uint64              // counts uses, to find the least recently used statement
	guarded       bool                // statements belong to a stranger and are not kept
	objects       objects             // as last read for the guard
	held          []byte              // see hold: library memory
	stopReadAhead func()              // set if it belongs to a snapshot
	matchers      []*matcher          // of LikeFunction and others: see addFunctions
	watchdog      *watchdog
	files         *Files     // that counts its descriptors; nil for none
	generation    uint64     // of its DB's connections when it was opened: see renew
	maxPages      int64      // as set by LimitPages
	recording     *Recording // nil while nobody wants one
	slowest       *slowest   // nil while nobody wants to know
}

type idleStmt struct {
	stmt *zs.Stmt
	used uint64
}

// maxIdleStmts bounds the prepared statements kept per connection: SQL generated from
// filters has endless variants.
const maxIdleStmts = 64

// busyTimeout is how long a connection waits for a lock. Within one process DB hands
// the writer around, so only another process holds locks for long.
const busyTimeout = 5 * time.Second

// pragmas are set on every connection. Each runs separately: inside a transaction or
// savepoint, several of them silently do nothing.
var pragmas = [...]string{
	"PRAGMA foreign_keys = ON",
	"PRAGMA trusted_schema = OFF",
	"PRAGMA cell_size_check = ON",
	"PRAGMA recursive_triggers = OFF",
	"PRAGMA mmap_size = 0",
}

// openConn opens path and sets the pragmas. flags must include read-only or
// read-write.
func openConn(path string, flags zs.OpenFlags, extra ...string) (*Conn, error) {
	lockByDescription()
	c, err := zs.OpenConn(path, flags)
	if err != nil {
		return nil, err
	}
	conn := &Conn{c: c, idle: map[string]idleStmt{}}
	// This comes first: without it, a wait for a lock never ends.
	c.SetBusyTimeout(busyTimeout)
	if err := conn.configure(extra); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Conn) configure(extra []string) error {
	if err := setDefensive(c.c); err != nil {
		return err
	}
	thread, db, err := handles(c.c)
	if err != nil {
		return err
	}
	c.watchdog = newWatchdog(thread, db)
	if err := c.addFunctions(); err != nil {
		return err
	}
	for _, list := range [][]string{pragmas[:], extra} {
		for _, pragma := range list {
			if err := c.Exec(pragma); err != nil {
				return fmt.Errorf("%s: %w", pragma, err)
			}
		}
	}
	return nil
}

// OpenFile opens a file owned by others, read-only and without trusting its content:
// its views, triggers and functions never run by themselves. The caller closes the
// connection.
func OpenFile(path string) (*Conn, error) {
	c, err := openConn(path, zs.OpenReadOnly, "PRAGMA query_only = ON")
	if err != nil {
		return nil, err
	}
	// A generated column of a malicious file could build a value of any size.
	c.c.Limit(zs.LimitLength, maxForeignValue)
	return c, nil
}

// maxForeignValue is the largest value, in bytes, read from a file owned by others.
const maxForeignValue = 256 << 20

// Close closes the connection and its statements.
func (c *Conn) Close() error {
	if c.stopReadAhead != nil {
		c.stopReadAhead()
	}
	for _, idle := range c.idle {
		idle.stmt.Finalize()
	}
	c.idle = nil
	c.files.count(-filesPerConn)
	return errors.Join(c.makeRoom(0), c.c.Close())
}

// bound lets ctx interrupt whatever runs on the connection until the returned function
// is called.
func (c *Conn) bound(ctx context.Context) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	c.c.SetInterrupt(ctx.Done())
	return func() { c.c.SetInterrupt(nil) }
}

// Interrupt lets canceling ctx stop whatever runs on the connection, until the
// returned function is called.
func (c *Conn) Interrupt(ctx context.Context) (release func()) { return c.bound(ctx) }

// Exec runs one statement to completion and discards any rows.
func (c *Conn) Exec(query string, args ...any) error {
	return c.Query(query, args, nil)
}

// Query runs one statement and calls row for each row, if row is not nil. An error of
// row ends the statement and is returned unchanged.
func (c *Conn) Query(query string, args []any, row func(*Stmt) error) error {
	s, err := c.Prepare(query)
	if err != nil {
		return err
	}
	defer s.Close()
	s.Bind(args...)
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		if row == nil {
			continue
		}
		if err := row(s); err != nil {
			return err
		}
	}
}

// Int runs a statement that returns one integer: 0 if there is no row or the value is
// NULL.
func (c *Conn) Int(query string, args ...any) (n int64, err error) {
	err = c.Query(query, args, func(s *Stmt) error {
		n = s.Int(0)
		return nil
	})
	return n, err
}

// Text runs a statement that returns one text: "" if there is no row or the value is
// NULL.
func (c *Conn) Text(query string, args ...any) (text string, err error) {
	err = c.Query(query, args, func(s *Stmt) error {
		text = s.Text(0)
		return nil
	})
	return text, err
}

// Changes returns how many rows the last INSERT, UPDATE or DELETE changed.
func (c *Conn) Changes() int64 { return int64(c.c.Changes()) }

// LastInsertRowID returns the rowid of the last inserted row.
func (c *Conn) LastInsertRowID() int64 { return c.c.LastInsertRowID() }

// inTransaction reports whether a transaction is open. Some failures end one
// implicitly.
func (c *Conn) inTransaction() bool { return !c.c.AutocommitEnabled() }

// transaction runs fn between begin and COMMIT, and rolls back if either fails or fn
// panics.
func (c *Conn) transaction(begin string, fn func() error) error {
	if err := c.Exec(begin); err != nil {
		return err
	}
	defer c.rollback() // does nothing after a commit
	if err := fn(); err != nil {
		return err
	}
	return c.Exec("COMMIT")
}

// rollback discards an open transaction. Whatever interrupts the transaction would
// also stop ROLLBACK, so the interrupt is removed first.
func (c *Conn) rollback() {
	if !c.inTransaction() {
		return
	}
	c.c.SetInterrupt(nil)
	c.watchdog.disarm()
	// It can only fail if the transaction has already ended.
	_ = c.Exec("ROLLBACK")
}

// allPages is SQLite's own maximum number of pages of a database.
const allPages = 1<<32 - 2

// LimitPages makes writes fail with Full if they would give the database more than n
// pages; 0 removes the limit. A database that already has more keeps them, and does
// not grow.
func (c *Conn) LimitPages(n int64) error {
	if n == c.maxPages {
		return nil
	}
	if err := c.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", cmp.Or(n, allPages))); err != nil {
		return err
	}
	c.maxPages = n
	return nil
}
