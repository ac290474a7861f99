package projectdb

import (
	"context"
	"errors"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/meter"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Tx is one transaction on a project, with the rights of the [DB] that began it. The
// effects of its methods are committed together or not at all. A failed method may
// have done part of its work: the function that received the Tx must then fail too. A
// Tx must be used by one goroutine, until that function returns.
type Tx struct {
	db      *DB
	c       *sqlite.Conn
	kind    TransactionKind
	ask     func(bytes int64) error // asks for room for rows to return; see [WithRoom]
	meter   *meter.Meter            // of the call; nil for none
	cat     *catalog                // nil until needed, and after a change
	altered bool                    // the transaction itself has changed the catalog
	news    news                    // what it tells those who follow the project

	restructured map[ids.Table]int64 // tables that were changed as a whole, with the rows loaded into them; kept only while changes are recorded
}

// TransactionKind determines how a transaction shares the single writer of a project.
// Each kind can do everything that the previous ones can.
type TransactionKind int

// The kinds of transactions.
const (
	SharedTransaction  TransactionKind = iota // small changes of rows, committed together with others
	OwnTransaction                            // large amounts of rows
	SchemaTransaction                         // tables and indexes
	RebuildTransaction                        // changes that may rebuild a table: foreign keys are off
	LoadTransaction                           // whole tables, in the background: it waits for its turn
)

// freeing, added to a kind, marks a transaction that makes the project smaller. It may
// run even if there is no room to grow.
const freeing TransactionKind = 1 << 8

// View runs fn in a read-only transaction, which sees one state of the project.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.readBounded(ctx, func(c *sqlite.Conn) error { return fn(db.tx(ctx, c, LoadTransaction)) })
}

// Change runs fn in a transaction of the given kind. fn may run more than once and
// must have no effects outside the Tx. If there are faults already, fn runs in a
// read-only transaction to find more: that keeps no writer waiting and cannot change
// anything.
func (db *DB) Change(ctx context.Context, faults *problem.Faults, kind TransactionKind, fn func(*Tx) error) error {
	if faults.Any() {
		return db.View(ctx, fn)
	}
	if db.plan != nil {
		fn = db.try(fn)
	}
	err := db.transact(ctx, kind, fn)
	if errors.Is(err, errTried) {
		return nil
	}
	return explain(err)
}

// changing runs one call in a transaction of its own.
func changing[T any](ctx context.Context, db *DB, faults *problem.Faults, kind TransactionKind, call func(*Tx) (T, error)) (out T, err error) {
	err = db.Change(ctx, faults, kind, func(tx *Tx) error {
		out, err = call(tx)
		return err
	})
	return out, err
}

func (db *DB) tx(ctx context.Context, c *sqlite.Conn, kind TransactionKind) *Tx {
	return &Tx{db: db, c: c, kind: kind, ask: roomOf(ctx), meter: meter.Of(ctx)}
}

// transact runs fn in a write transaction of the given kind.
func (db *DB) transact(ctx context.Context, kind TransactionKind, fn func(*Tx) error) error {
	byRow := kind&rowwise != 0
	within := kind &^ (freeing | rowwise)
	run := func(c *sqlite.Conn) error {
		return db.tell(db.tx(ctx, c, within), func(tx *Tx) error { return tx.recorded(ctx, byRow, fn) })
	}
	if kind&freeing != 0 {
		return db.free(ctx, within, run)
	}
	err := db.begin(ctx, within, func(c *sqlite.Conn) error {
		if err := db.mayGrow(c); err != nil {
			return err
		}
		return run(c)
	})
	if err != nil && db.room.Low() {
		db.emptyLog(ctx)
	}
	return db.overQuota(err)
}

// free runs fn, which deletes, in a transaction that no size limit stops. On a full
// disk it uses the reserve, and returns what the log took of it.
func (db *DB) free(ctx context.Context, kind TransactionKind, fn func(*sqlite.Conn) error) error {
	return db.room.Free(func() error {
		err := db.begin(ctx, kind, func(c *sqlite.Conn) error {
			if err := c.LimitPages(0); err != nil {
				return err
			}
			return fn(c)
		})
		if err == nil && db.room.Low() {
			db.sql.Trim(ctx)
		}
		return err
	})
}

// begin runs fn in a transaction of the given kind.
func (db *DB) begin(ctx context.Context, kind TransactionKind, fn func(*sqlite.Conn) error) error {
	bounds := db.bounds.of(kind)
	switch kind {
	case SharedTransaction:
		return tookTooLong(bounds, db.sql.WriteWithin(ctx, bounds, fn))
	case OwnTransaction, SchemaTransaction:
		return tookTooLong(bounds, db.sql.ExclusiveWithin(ctx, bounds, fn))
	}
	return tookTooLong(bounds, explainBroken(db.sql.RestructureWithin(ctx, bounds, fn)))
}

// explainBroken turns a foreign key violation at the end of a transaction into a
// problem.
func explainBroken(err error) error {
	var broken *sqlite.BrokenReference
	if errors.As(err, &broken) {
		return problem.New(problem.CodeConflict, "A row of %s would refer to a row of %s that does not exist.", broken.Table, broken.Parent)
	}
	return err
}

// catalog returns every table as the transaction has left it. Only the first call,
// and the first after a change, reads it.
func (tx *Tx) catalog() (cat *catalog, err error) {
	switch {
	case tx.cat != nil:
		return tx.cat, nil
	case tx.altered:
		cat, err = tx.db.catalogInside(tx.c)
	default:
		cat, err = tx.db.catalog(tx.c)
	}
	tx.cat = cat
	return cat, err
}

// table returns the table with the given id or name, or not_found.
func (tx *Tx) table(ref string) (*Table, error) {
	cat, err := tx.catalog()
	if err != nil {
		return nil, err
	}
	return cat.table(ref)
}

// tableWithID returns the table with the given id, or not_found.
func (tx *Tx) tableWithID(id ids.Table) (*Table, error) {
	cat, err := tx.catalog()
	if err != nil {
		return nil, err
	}
	return cat.withID(id)
}

// changed marks the given tables, or all if none are given, as changed. See
// [DB.changed].
func (tx *Tx) changed(tables ...ids.Table) error {
	if err := tx.require(SchemaTransaction); err != nil {
		return err
	}
	tx.cat, tx.altered = nil, true
	tx.news.alter(tables)
	tx.noteRestructured(0, tables...)
	if len(tables) == 0 {
		tx.noteRestructured(0, 0)
	}
	return tx.db.changed(tx.c, tables...)
}

// require fails in a transaction that cannot do what one of the given kind can. Other
// calls in a shared transaction would not notice a schema change; and while foreign
// keys are on, rebuilding a table deletes the rows that refer to it.
func (tx *Tx) require(kind TransactionKind) error {
	if tx.kind < kind {
		return errors.New("the transaction is not of a kind that can make this change")
	}
	return nil
}

// now returns the time of a change in the catalog's format.
func (tx *Tx) now() string { return Timestamp(tx.db.now()) }

// reserve asks for room for rows that the transaction returns.
func (tx *Tx) reserve(rows Rows) error {
	if tx.ask == nil {
		return nil
	}
	return tx.ask(rows.Memory())
}
