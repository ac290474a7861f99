package imports

import (
	"context"
	"time"
)

// watchInterval is how often a watcher looks.
const watchInterval = 300 * time.Millisecond

// Watch returns the manifest of an import as it is, and again whenever it has
// changed, a few times a second at most. The channel is closed after a settled
// manifest, when the import is removed, and when ctx or the server ends.
func (m *Imports) Watch(ctx context.Context, projectID int64, id string) (<-chan Manifest, error) {
	manifest, err := m.Get(ctx, projectID, id)
	if err != nil {
		return nil, err
	}
	updates := make(chan Manifest, 1)
	updates <- manifest
	go func() {
		defer close(updates)
		for !manifest.Status.Settled() && m.pause(ctx) {
			next, err := m.Get(ctx, projectID, id)
			if err != nil {
				return
			}
			if !manifest.differs(&next) {
				continue
			}
			manifest = next
			select {
			case updates <- manifest:
			case <-ctx.Done():
				return
			case <-m.stopped.Done():
				return
			}
		}
	}()
	return updates, nil
}

// pause waits until there may be news, and reports false when nobody waits for
// them any more.
func (m *Imports) pause(ctx context.Context) bool {
	settled := m.nextSettled()
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-m.stopped.Done():
		return false
	}
	return true
}

// differs reports whether the import has gone on since m.
func (m *Manifest) differs(next *Manifest) bool {
	return m.Status != next.Status || m.ReceivedBytes != next.ReceivedBytes || m.Progress != next.Progress
}
