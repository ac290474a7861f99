package export

import (
	"context"
	"time"
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
	e.tryBuckets(e.runner.Stopped)
	e.runner.Sweep(e.config.SweepInterval, e.now, e.sweep, e.swept, e.sweepBuckets)
}

// sweep removes the artifacts that had expired by then, the job store's entries
// first, so that a missing file is never offered; and the manifests that have
// been kept long enough.
func (e *Exports) sweep(ctx context.Context, then time.Time) error {
	expired, err := e.jobs.expire(ctx, then, e.config.KeepManifests)
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
