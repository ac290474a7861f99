package projectdb

import (
	"errors"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
)

func TestCommitsAreNumbered(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	before, err := db.LastCommit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	next := func(fail error) (number int64) {
		err := db.Change(ctx, new(problem.Faults), SharedTransaction, func(tx *Tx) (err error) {
			if number, err = tx.NextCommit(); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
		return number
	}
	if got := next(nil); got != before+1 {
		t.Fatalf("the commit after %d is %d", before, got)
	}
	rolledBack := errors.New("rolled back")
	next(rolledBack)
	last, err := db.LastCommit(ctx)
	if err != nil || last != before+1 {
		t.Fatalf("the last commit is %d, %v; want %d", last, err, before+1)
	}
	if got := next(nil); got != before+2 {
		t.Fatalf("a rollback used up a number: %d", got)
	}
}
