package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	zs "zombiezen.com/go/sqlite"

	"github.com/zangtable/zangtable/internal/meter"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// Schema describes one of our databases: which application it belongs to, and the
// migrations that lead to its current form.
type Schema struct {
	ApplicationID int32 // PRAGMA application_id, identifies our files
	// Migrations are one or more statements each; user_version counts the applied ones.
	// Databases out there have run them as they are: none may be edited, only more added.
	Migrations []string
}

// Options configure how a database is opened.
type Options struct {
	Schema  Schema
	Readers int // maximum number of read connections, not counting snapshots; 0 means 4
	// Relaxed trades the last moments before a power failure for speed
	// (synchronous=NORMAL). Nothing is lost if only the process dies.
	Relaxed bool
	// BeforeCommit runs in every write transaction, just before it commits.
	BeforeCommit func(*Conn) error
	// AfterCommit runs after every write transaction, before the next one begins, with
	// the error of one that was rolled back. After a failed sync nobody knows which of
	// both it was: see [SyncFailed].
	AfterCommit func(error)
	// Committed, if not nil, is called after each commit of [DB.Write] with the number of
	// writes that shared the transaction.
	Committed func(writes int)
	// Files, if not nil, counts the descriptors of the connections.
	Files *Files
	// Trouble, if not nil, is called with failures that the database recovers from by
	// itself.
	Trouble func(error)
}

// DB is one database file: a single writer and several readers.
type DB struct {
	path    string
	options Options
	writer  chan *Conn // holds the writer while it is free
	readers chan *Conn // holds idle readers, and nil for those not opened yet
	// warm holds the most recently used idle reader. It is taken first because it has
	// already read the current schema, which each connection reads for itself after a
	// change.
	warm    chan *Conn
	group   group
	closed  chan struct{}
	closing sync.Once

	generation atomic.Uint64 // of connections: older ones are no longer used
	commits    atomic.Uint64 // since the database was opened
}

// ErrClosed is returned by a DB that has been closed.
var ErrClosed = errors.New("the database is closed")

// Open opens the database file, creates it if it is missing, and migrates it to the
// newest version of its schema.
func Open(path string, options Options) (*DB, error) {
	if options.Readers == 0 {
		options.Readers = 4
	}
	db := &DB{
		path:    path,
		options: options,
		writer:  make(chan *Conn, 1),
		readers: make(chan *Conn, options.Readers),
		warm:    make(chan *Conn, 1),
		closed:  make(chan struct{}),
	}
	writer, err := db.openWriter(zs.OpenReadWrite | zs.OpenCreate)
	if err != nil {
		return nil, err
	}
	db.options.Files.count(1) // the shared memory
	db.writer <- writer
	for range cap(db.readers) {
		db.readers <- nil
	}
	return db, nil
}

// maxLog is how large a write-ahead log may stay, in bytes. By itself it keeps the
// size that the largest transaction ever gave it, even one that was rolled back.
const maxLog = 16 << 20

// ErrForeign is returned by Open for a file that belongs to another program or
// to a newer version of this one.
var ErrForeign = errors.New("not a database of this version of ZangTable")

// ErrNewer is returned by Open, together with ErrForeign, for a file that belongs to a
// newer version of this program.
var ErrNewer = errors.New("please update the program")

// adopt makes sure that the database is ours or empty before setting the first pragma
// that changes the file, and then migrates it.
func (c *Conn) adopt(schema Schema, pragmas ...string) error {
	version, err := c.identify(schema)
	if err != nil {
		return err
	}
	for _, pragma := range pragmas {
		if err := c.Exec(pragma); err != nil {
			return fmt.Errorf("%s: %w", pragma, err)
		}
	}
	return migrate(c, schema, version)
}

// identify returns how many migrations have been applied to the database, and refuses
// one that is not ours.
func (c *Conn) identify(schema Schema) (version int64, err error) {
	id, err := c.Int("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	if version, err = c.Int("PRAGMA user_version"); err != nil {
		return 0, err
	}
	objects, err := c.Int("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, err
	}
	if isNew := id == 0 && version == 0 && objects == 0; id != int64(schema.ApplicationID) && !isNew {
		return 0, fmt.Errorf("%w: its application id is %d", ErrForeign, id)
	}
	if version > int64(len(schema.Migrations)) {
		return 0, fmt.Errorf("%w: its format %d is newer than %d, %w", ErrForeign, version, len(schema.Migrations), ErrNewer)
	}
	return version, nil
}

func migrate(c *Conn, schema Schema, version int64) error {
	for i := int(version); i < len(schema.Migrations); i++ {
		if err := c.transaction("BEGIN IMMEDIATE", func() error { return applyMigration(c, schema, i) }); err != nil {
			return fmt.Errorf("bring to format %d: %w", i+1, err)
		}
	}
	return nil
}

func applyMigration(c *Conn, schema Schema, i int) error {
	if err := c.Script(schema.Migrations[i]); err != nil {
		return err
	}
	if err := c.Exec(fmt.Sprintf("PRAGMA application_id = %d", schema.ApplicationID)); err != nil {
		return err
	}
	return c.Exec(fmt.Sprintf("PRAGMA user_version = %d", i+1))
}

// Script runs statements one after the other, without a transaction of its own.
func (c *Conn) Script(script string) error {
	for script = sqltext.SkipEmpty(script); script != ""; script = sqltext.SkipEmpty(script) {
		s, trailing, err := c.c.PrepareTransient(script)
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			more, err = s.Step()
		}
		if finalizeErr := s.Finalize(); err == nil {
			err = finalizeErr
		}
		if err != nil {
			return err
		}
		script = script[len(script)-trailing:]
	}
	return nil
}

// Path returns the path of the database file.
func (db *DB) Path() string { return db.path }

// Close waits for running reads and writes, checkpoints, and closes every connection.
// Snapshots must be closed by their owners before. A second Close returns ErrClosed.
func (db *DB) Close() error {
	err := ErrClosed
	db.closing.Do(func() { err = db.close() })
	return err
}

func (db *DB) close() error {
	close(db.closed)
	var errs []error
	for range cap(db.readers) {
		var c *Conn
		select {
		case c = <-db.warm:
		case c = <-db.readers:
		}
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	// The last connection to close checkpoints and removes the log.
	if c := <-db.writer; c != nil {
		errs = append(errs, c.Close())
	}
	db.options.Files.count(-1)
	return errors.Join(errs...)
}

// Read is ReadWithin without deadlines.
func (db *DB) Read(ctx context.Context, fn func(*Conn) error) error {
	return db.ReadWithin(ctx, Deadlines{}, fn)
}

// ReadWithin runs fn in a read transaction, so that fn sees one state of the database.
// Canceling ctx interrupts it.
func (db *DB) ReadWithin(ctx context.Context, b Deadlines, fn func(*Conn) error) error {
	watch := meter.Start(ctx)
	defer watch.Stop()
	c, err := db.leaseReader(ctx, b.Wait)
	if err != nil {
		return err
	}
	watch.Got()
	defer db.returnReader(c)
	return c.noting(ctx, func() error {
		defer c.bound(ctx)()
		return c.within(b.Run, func() error {
			return c.transaction("BEGIN", func() error { return fn(c) })
		})
	})
}

// leaseReader takes an idle reader, opening it if necessary.
func (db *DB) leaseReader(ctx context.Context, wait time.Duration) (*Conn, error) {
	c, err := db.take(ctx, wait, db.warm, db.readers)
	if err != nil || c != nil && c.generation == db.generation.Load() {
		return c, err
	}
	if c != nil {
		_ = c.Close() // after a failed sync it is not needed any more
	}
	if c, err = db.openReader(); err != nil {
		db.readers <- nil
	}
	return c, err
}

// OpenReader opens one of our databases read-only. The caller closes the connection.
func OpenReader(path string) (*Conn, error) {
	return openConn(path, zs.OpenReadOnly, "PRAGMA query_only = ON")
}

func (db *DB) returnReader(c *Conn) {
	select {
	case db.warm <- c:
	default:
		db.readers <- c
	}
}

// take takes a connection from a pool, preferring the one in warm, if any.
func (db *DB) take(ctx context.Context, wait time.Duration, warm, pool chan *Conn) (*Conn, error) {
	select {
	case <-db.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
	}
	for _, first := range []chan *Conn{warm, pool} { // usually one is free, and no timer is needed
		select {
		case c := <-first:
			return c, nil
		default:
		}
	}
	waited, stop := after(wait)
	defer stop()
	select {
	case <-db.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-waited:
		return nil, ErrWaited
	case c := <-warm:
		return c, nil
	case c := <-pool:
		return c, nil
	}
}

// after returns a channel that receives once d has passed; 0 means never.
func after(d time.Duration) (over <-chan time.Time, stop func() bool) {
	if d <= 0 {
		return nil, func() bool { return false }
	}
	timer := time.NewTimer(d)
	return timer.C, timer.Stop
}

func (db *DB) leaseWriter(ctx context.Context, wait time.Duration) (*Conn, error) {
	c, err := db.take(ctx, wait, nil, db.writer)
	if err != nil {
		return nil, err
	}
	return db.writerOf(c)
}

// truncateLog checkpoints the log into the database file and empties it, if nobody
// reads from it.
func (c *Conn) truncateLog() error { return c.Exec("PRAGMA wal_checkpoint(TRUNCATE)") }

// Exclusive is ExclusiveWithin without deadlines.
func (db *DB) Exclusive(ctx context.Context, fn func(*Conn) error) error {
	return db.ExclusiveWithin(ctx, Deadlines{}, fn)
}

// ExclusiveWithin runs fn in a write transaction of its own, for schema changes and
// large amounts of data. Canceling ctx interrupts it, and nothing is changed.
func (db *DB) ExclusiveWithin(ctx context.Context, b Deadlines, fn func(*Conn) error) (err error) {
	watch := meter.Start(ctx)
	defer watch.Stop()
	c, err := db.leaseWriter(ctx, b.Wait)
	if err != nil {
		return err
	}
	watch.Got()
	defer func() { db.returnWriter(c, err) }()
	return c.noting(ctx, func() error {
		defer c.bound(ctx)()
		return c.within(b.Run, func() error { return db.commit(c, fn) })
	})
}

// Restructure is RestructureWithin without deadlines.
func (db *DB) Restructure(ctx context.Context, fn func(*Conn) error) error {
	return db.RestructureWithin(ctx, Deadlines{}, fn)
}

// RestructureWithin is ExclusiveWithin for rebuilding tables: foreign keys are not
// enforced meanwhile, but are all checked before the commit.
func (db *DB) RestructureWithin(ctx context.Context, b Deadlines, fn func(*Conn) error) (err error) {
	watch := meter.Start(ctx)
	defer watch.Stop()
	c, err := db.leaseWriter(ctx, b.Wait)
	if err != nil {
		return err
	}
	watch.Got()
	defer func() { db.returnEnforcing(c, err) }()
	// Inside a transaction this pragma would be ignored.
	if err := c.Exec("PRAGMA foreign_keys = OFF"); err != nil {
		return err
	}
	return c.noting(ctx, func() error {
		defer c.bound(ctx)()
		return c.within(b.Run, func() error {
			return db.commit(c, func(c *Conn) error {
				if err := fn(c); err != nil {
					return err
				}
				return c.CheckForeignKeys()
			})
		})
	})
}

// CheckForeignKeys returns a *BrokenReference if a row of any table refers to a
// nonexistent row.
func (c *Conn) CheckForeignKeys() error {
	return c.Query("PRAGMA foreign_key_check", nil, func(s *Stmt) error {
		return &BrokenReference{Table: s.Text(0), Parent: s.Text(2)}
	})
}

// BrokenReference reports that a row of Table refers to a nonexistent row of Parent.
type BrokenReference struct{ Table, Parent string }

// Error returns a message that names both tables.
func (e *BrokenReference) Error() string {
	return fmt.Sprintf("a row of %s refers to a row of %s that does not exist", e.Table, e.Parent)
}

// Commits returns how many write transactions have been committed since the database
// was opened.
func (db *DB) Commits() uint64 { return db.commits.Load() }

var errUnfinished = errors.New("the transaction was not finished")

// commit runs fn in a write transaction.
func (db *DB) commit(c *Conn, fn func(*Conn) error) error {
	err := errUnfinished // if fn panics
	defer func() { db.afterCommit(err) }()
	err = c.transaction("BEGIN IMMEDIATE", func() error {
		if err := fn(c); err != nil {
			return err
		}
		return db.beforeCommit(c)
	})
	return err
}

func (db *DB) afterCommit(err error) {
	if err == nil {
		db.commits.Add(1)
	}
	if db.options.AfterCommit != nil {
		db.options.AfterCommit(err)
	}
}

func (db *DB) committed(writes int) {
	if db.options.Committed != nil {
		db.options.Committed(writes)
	}
}

func (db *DB) beforeCommit(c *Conn) error {
	if db.options.BeforeCommit == nil {
		return nil
	}
	return db.options.BeforeCommit(c)
}

// Checkpoint moves the entire write-ahead log into the database file.
func (db *DB) Checkpoint(ctx context.Context) error {
	c, err := db.leaseWriter(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { db.writer <- c }()
	return c.truncateLog()
}
