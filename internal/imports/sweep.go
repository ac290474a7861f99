package imports

import (
	"context"
	"time"
)

// sweep removes files that are no longer kept, after their records say so.
func (im *Imports) sweep(ctx context.Context, then time.Time) error {
	expired, err := im.jobs.expire(ctx, then, im.config.KeepManifests)
	if err != nil {
		return err
	}
	im.removeFiles(expired)
	return nil
}
