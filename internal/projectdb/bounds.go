package projectdb

import (
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Bounds limit how long calls may wait and run, so that no call blocks a project
// indefinitely.
type Bounds struct {
	Wait    time.Duration // for a connection or for the writer; 0 means DefaultWait
	Records time.Duration // for a read or a change of records, once it runs; 0 means DefaultRecords
	// Schema limits how long a schema change, an index or an import may hold the
	// writer; 0 means no limit.
	Schema time.Duration
}

// The default bounds.
const (
	DefaultWait    = 5 * time.Second
	DefaultRecords = 10 * time.Second
	DefaultSchema  = 10 * time.Minute
)

// of returns the deadlines of a write transaction of the given kind.
func (b Bounds) of(kind TransactionKind) sqlite.Deadlines {
	switch kind {
	case SharedTransaction, OwnTransaction:
		return sqlite.Deadlines{Wait: b.Wait, Run: b.Records}
	case LoadTransaction:
		return sqlite.Deadlines{Run: b.Schema}
	}
	return sqlite.Deadlines{Wait: b.Wait, Run: b.Schema}
}

// reads returns the deadlines of a read transaction.
func (b Bounds) reads() sqlite.Deadlines { return sqlite.Deadlines{Wait: b.Wait, Run: b.Records} }

// tookTooLong turns the error of a write that ran out of time into a problem.
func tookTooLong(b sqlite.Deadlines, err error) error {
	if !errors.Is(err, sqlite.ErrTooLong) {
		return err
	}
	return problem.New(problem.CodeQueryTimeout, "The change took longer than %s and was rolled back: nothing was changed. Change fewer rows at a time.", b.Run).Because(err)
}

// readTooLong turns the error of a read that ran out of time into a problem.
func readTooLong(b sqlite.Deadlines, err error) error {
	if !errors.Is(err, sqlite.ErrTooLong) {
		return err
	}
	return problem.New(problem.CodeQueryTimeout, "Reading took longer than %s. Use filters and a sort order that an index supports, ask for fewer rows, or make an export.", b.Run).Because(err)
}
