package sqlite

import (
	"context"
	"errors"
)

// Snapshot is one state of the database, held by several connections that may be read
// concurrently, one goroutine each. Writers are not blocked; the write-ahead log grows
// until the snapshot is closed.
type Snapshot struct {
	Conns []*Conn
}

// snapshotCache keeps a connection's page cache small enough for the CPU cache: tables
// are read sequentially, so no page is needed again soon.
const snapshotCache = "PRAGMA cache_size = 64"

// Snapshot pins the current state with n connections. No write can commit while they
// begin, so all of them see the same state.
func (db *DB) Snapshot(ctx context.Context, n int) (*Snapshot, error) {
	s := &Snapshot{}
	for range n {
		c, err := db.openReader()
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.Conns = append(s.Conns, c)
		if err := c.Exec(snapshotCache); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	writer, err := db.leaseWriter(ctx, 0)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	defer func() { db.writer <- writer }()
	for _, c := range s.Conns {
		if err := c.pin(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for _, c := range s.Conns {
		if c.stopReadAhead, err = startReadAhead(c.c); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// pin begins a read transaction and pins the current state. BEGIN alone, or a
// statement that reads no table, would not.
func (c *Conn) pin() error {
	if err := c.Exec("BEGIN"); err != nil {
		return err
	}
	return c.Exec("SELECT 1 FROM sqlite_schema LIMIT 1")
}

// Interrupt lets canceling ctx stop whatever runs on the snapshot's connections. After
// that only Close may be called.
func (s *Snapshot) Interrupt(ctx context.Context) {
	for _, c := range s.Conns {
		c.c.SetInterrupt(ctx.Done())
	}
}

// Close releases the state.
func (s *Snapshot) Close() error {
	var errs []error
	for _, c := range s.Conns {
		c.c.SetInterrupt(nil)
		errs = append(errs, c.Close())
	}
	s.Conns = nil
	return errors.Join(errs...)
}
