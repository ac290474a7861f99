package projectdb

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ScanQuery runs one SELECT of a client for as long as q.Timeout allows, without
// a limit on its rows, and lets use read them. The same rules hold as for Query.
// All rows are from the state with the given id.
func (db *DB) ScanQuery(ctx context.Context, q Query, use func(SnapshotID, *Scan) error) error {
	if err := q.checkWords(); err != nil {
		return err
	}
	tables, err := db.Tables(ctx)
	if err != nil {
		return err
	}
	gate := q.gate(tables)
	limited, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	id := SnapshotID{Time: timestamp(db.now())}
	err = db.sql.ReadGuardedAlone(limited, func(c *sqlite.Conn) error {
		id.Commit, err = c.Int("SELECT commits FROM _project")
		return err
	}, gate.permits, func(c *sqlite.Conn) error {
		scan, err := q.scan(c, gate)
		if err != nil {
			return err
		}
		defer scan.Close()
		return use(id, scan)
	})
	if limited.Err() != nil && ctx.Err() == nil && err != nil {
		return problem.New(problem.CodeQueryTimeout, "The statement ran longer than %s.", q.Timeout)
	}
	return gate.explain(err)
}

func (q Query) scan(c *sqlite.Conn, g *gate) (*Scan, error) {
	s, err := g.prepare(c, q.SQL)
	if err != nil {
		return nil, err
	}
	columns, err := resultColumns(s)
	if err == nil {
		err = q.bind(s)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return &Scan{Columns: columns, stmt: s}, nil
}

// CheckQuery returns every fault of a query without running it.
func (db *DB) CheckQuery(ctx context.Context, q Query) error {
	return db.ScanQuery(ctx, q, func(SnapshotID, *Scan) error { return nil })
}
