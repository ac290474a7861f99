package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	zs "zombiezen.com/go/sqlite"
)

// SyncFailed reports whether err says that written data could not be synced to disk.
// What the disk holds is then unknown: the system may have dropped the pages and
// marked them clean.
func SyncFailed(err error) bool {
	if !fromSQLite(err) {
		return false
	}
	code := zs.ErrCode(err)
	return code == zs.ResultIOErrFsync || code == zs.ResultIOErrDirFsync
}

// writerOf returns the writer that was taken, opening it if it is nil. If that fails,
// the writer is released.
func (db *DB) writerOf(c *Conn) (*Conn, error) {
	if c != nil {
		return c, nil
	}
	c, err := db.openWriter(zs.OpenReadWrite)
	if err == nil {
		// What is in the log may never have reached the disk. A checkpoint into the
		// database file writes and syncs it anew.
		if err = c.truncateLog(); err != nil {
			c.Close()
		}
	}
	if err != nil {
		db.writer <- nil
		return nil, err
	}
	return c, nil
}

// returnWriter returns the writer after a transaction that ended with err.
func (db *DB) returnWriter(c *Conn, err error) {
	switch {
	case SyncFailed(err):
		db.renew(c, fmt.Errorf("a sync has failed: %w", err))
		c = nil
	case FaultOf(err) == Full || db.logSize() > maxLog:
		// After a transaction that did not fit, the log keeps the space that it used.
		db.trim(c)
	}
	db.writer <- c
}

// returnEnforcing is returnWriter for a connection whose foreign keys were off. If
// they cannot be enforced again, it is closed: nobody else may write through it.
func (db *DB) returnEnforcing(c *Conn, err error) {
	on := c.Exec("PRAGMA foreign_keys = ON")
	if on == nil {
		db.returnWriter(c, err)
		return
	}
	db.renew(c, errors.Join(err, fmt.Errorf("foreign keys stay off: %w", on)))
	db.writer <- nil
}

// Trim empties the write-ahead log, unless somebody reads from it, or writes for
// longer than a second.
func (db *DB) Trim(ctx context.Context) {
	c, err := db.leaseWriter(ctx, time.Second)
	if err != nil {
		return
	}
	db.trim(c)
	db.writer <- c
}

// trim empties the log without waiting for readers of older states: the next call
// tries again.
func (db *DB) trim(c *Conn) {
	c.c.SetBusyTimeout(0)
	_ = c.truncateLog()
	c.c.SetBusyTimeout(busyTimeout)
}

// ExcessLog returns by how many bytes the log exceeds the size that it keeps when
// nobody reads an older state.
func (db *DB) ExcessLog() int64 { return max(0, db.logSize()-maxLog) }

// logSize returns the size of the write-ahead log in bytes.
func (db *DB) logSize() int64 {
	log, err := os.Stat(db.path + "-wal")
	if err != nil {
		return 0
	}
	return log.Size()
}

// renew closes the writer and every idle reader after a failure, of a sync above all;
// readers in use are closed when they are next taken. New connections have no cached
// pages that may never have reached the disk.
func (db *DB) renew(c *Conn, cause error) {
	db.generation.Add(1)
	errs := []error{cause, c.Close()}
	for range cap(db.readers) {
		var reader *Conn
		select {
		case reader = <-db.warm:
		case reader = <-db.readers:
		default:
			continue
		}
		if reader != nil {
			errs = append(errs, reader.Close())
		}
		db.readers <- nil
	}
	if db.options.Trouble != nil {
		db.options.Trouble(fmt.Errorf("%s was closed and is opened again: %w", db.path, errors.Join(errs...)))
	}
}
