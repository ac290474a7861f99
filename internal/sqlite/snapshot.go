package sqlite

import (
	"context"
	"errors"
)

// Snapshot is one state of the database, held by several connections that may
// be read at the same time, one goroutine each. Writers go on; the write-ahead
// log grows until the snapshot is closed.
type Snapshot struct {
	Conns []*Conn
}

// snapshotCache keeps the pages of a connection few enough for the cache of a
// processor: tables are read from end to end, so that none is needed again soon.
const snapshotCache = "PRAGMA cache_size = 64"

// Snapshot pins the present state with n connections. While they begin, no
// write can commit, so all of them see the same state.
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

// pin begins a read transaction that holds the present state. BEGIN alone, or
// a statement that reads no table, does not.
func (c *Conn) pin() error {
	if err := c.Exec("BEGIN"); err != nil {
		return err
	}
	return c.Exec("SELECT 1 FROM sqlite_schema LIMIT 1")
}

// Interrupt lets the end of ctx stop whatever runs on the snapshot's
// connections. After that only Close is useful.
func (s *Snapshot) Interrupt(ctx context.Context) {
	for _, c := range s.Conns {
		c.c.SetInterrupt(ctx.Done())
	}
}

// Close lets go of the state.
func (s *Snapshot) Close() error {
	var errs []error
	for _, c := range s.Conns {
		c.c.SetInterrupt(nil)
		errs = append(errs, c.Close())
	}
	s.Conns = nil
	return errors.Join(errs...)
}
