package imports

import (
	"context"

	"github.com/zangtable/zangtable/internal/jobs"
)

// Watch returns the manifest of an import as it is, and again whenever it has
// changed, a few times a second at most. The channel is closed after a settled
// manifest, when the import is removed, and when ctx or the server ends.
func (im *Imports) Watch(ctx context.Context, projectID int64, id string) (<-chan Manifest, error) {
	return jobs.Watch(ctx, im.runner.Dispatcher, func(ctx context.Context) (Manifest, error) { return im.Get(ctx, projectID, id) })
}

// Settled reports whether no work is left to be done.
func (m Manifest) Finished() bool { return m.Status.Finished() }

// Differs reports whether the import has gone on since m.
func (m Manifest) Differs(next Manifest) bool {
	return m.Status != next.Status || m.ReceivedBytes != next.ReceivedBytes || m.Progress != next.Progress
}
