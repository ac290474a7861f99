package export

import (
	"context"
	"time"
)

// sweep removes expired artifacts, after their records, so that a missing file is never
// offered; and manifests that have been kept long enough.
func (e *Exports) sweep(ctx context.Context, then time.Time) error {
	expired, err := e.jobs.expire(ctx, then, e.config.KeepManifests)
	if err != nil {
		return err
	}
	for _, r := range expired {
		if err := e.remove(r); err != nil {
			// The next Open removes it, because no record needs it any longer.
			e.log.Error("remove an expired artifact", "export", r.manifest.ID, "error", err)
		}
	}
	return nil
}
