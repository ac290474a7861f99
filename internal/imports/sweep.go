package imports

import (
	"context"
	"time"
)

// sweep removes the files that are not kept any more by then, the job store's entries
// first.
func (im *Imports) sweep(ctx context.Context, then time.Time) error {
	expired, err := im.jobs.expire(ctx, then, im.config.KeepManifests)
	if err != nil {
		return err
	}
	im.removeFiles(expired)
	return nil
}
