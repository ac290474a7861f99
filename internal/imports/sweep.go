package imports

import (
	"context"
	"time"
)

// sweepAll removes what has expired, again and again until Close.
func (m *Imports) sweepAll() {
	m.runner.Sweep(m.config.SweepInterval, m.now, m.sweep, nil, func(context.Context) {})
}

// sweep removes the files that are not kept any more by then, the book's entries
// first.
func (m *Imports) sweep(ctx context.Context, then time.Time) error {
	expired, err := m.book.expire(ctx, then, m.config.KeepManifests)
	if err != nil {
		return err
	}
	m.removeFiles(expired)
	return nil
}
