package projectdb

import "context"

// The commits of a project are numbered from 1 on. The counter is a row of the
// project's own database (_project.commits), written by each write transaction as its
// last step: a commit and its number are durable together, later commits have larger
// numbers, and what was rolled back leaves no gap. Small writes that are committed
// together share a number.

const lastCommit = "SELECT commits FROM _project"

// LastCommit returns the number of the newest commit that the transaction sees. Two
// transactions with the same number see the same state of the project.
func (tx *Tx) LastCommit() (int64, error) {
	return tx.c.Int(lastCommit)
}

// NextCommit returns the number that a write transaction is going to have once it is
// committed. As the transaction may be rolled back and run again, the number is that
// of the last run.
func (tx *Tx) NextCommit() (int64, error) {
	last, err := tx.LastCommit()
	return last + 1, err
}

// LastCommit returns the number of the project's newest commit.
func (db *DB) LastCommit(ctx context.Context) (last int64, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		last, err = tx.LastCommit()
		return err
	})
	return last, err
}
