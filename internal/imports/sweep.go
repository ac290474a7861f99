package imports

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
)

// sweepAll removes what has expired, again and again until Close.
func (m *Imports) sweepAll() {
	ticker := time.NewTicker(m.config.SweepInterval)
	defer ticker.Stop()
	last := m.now()
	for {
		select {
		case <-ticker.C:
		case <-m.crew.Stopped.Done():
			return
		}
		now := m.now()
		if err := m.sweep(m.crew.Stopped, jobs.Earlier(last, now)); err != nil && m.crew.Stopped.Err() == nil {
			m.log.Error("sweep the imports", "error", err)
		}
		last = now
	}
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
