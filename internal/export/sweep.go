package export

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
)

// wakeSweeper tells that there may be something to remove from a bucket.
func (e *Exports) wakeSweeper() {
	select {
	case e.swept <- struct{}{}:
	default:
	}
}

// sweepAll removes what has expired, and what is left in the buckets, again and
// again until Close.
func (e *Exports) sweepAll() {
	e.tryBuckets(e.crew.Stopped)
	e.sweepBuckets(e.crew.Stopped)
	ticker := time.NewTicker(e.config.SweepInterval)
	defer ticker.Stop()
	last := e.now()
	for {
		select {
		case <-ticker.C:
		case <-e.swept:
			e.sweepBuckets(e.crew.Stopped)
			continue
		case <-e.crew.Stopped.Done():
			return
		}
		now := e.now()
		if err := e.sweep(e.crew.Stopped, jobs.Earlier(last, now)); err != nil && e.crew.Stopped.Err() == nil {
			e.log.Error("sweep the exports", "error", err)
		}
		e.sweepBuckets(e.crew.Stopped)
		last = now
	}
}

// sweep removes the artifacts that had expired by then, the book's entries
// first, so that a missing file is never offered; and the manifests that have
// been kept long enough.
func (e *Exports) sweep(ctx context.Context, then time.Time) error {
	expired, err := e.book.expire(ctx, then, e.config.KeepManifests)
	if err != nil {
		return err
	}
	for _, r := range expired {
		if err := e.remove(r); err != nil {
			// The next Open removes it: no entry needs it any more.
			e.log.Error("remove an expired artifact", "export", r.manifest.ID, "error", err)
		}
	}
	return nil
}
