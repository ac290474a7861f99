package export

import (
	"context"
	"time"
)

// watchInterval is how often a watcher looks.
const watchInterval = 300 * time.Millisecond

// Watch returns the manifest of an export as it is, and again whenever it has
// changed, a few times a second at most. The channel is closed after a settled
// manifest, when the export is removed, and when ctx or the server ends.
func (e *Exports) Watch(ctx context.Context, projectID int64, id string) (<-chan Manifest, error) {
	m, err := e.Get(ctx, projectID, id)
	if err != nil {
		return nil, err
	}
	updates := make(chan Manifest, 1)
	updates <- m
	go func() {
		defer close(updates)
		for !m.Status.Settled() && e.pause(ctx) {
			next, err := e.Get(ctx, projectID, id)
			if err != nil {
				return
			}
			if !m.differs(&next) {
				continue
			}
			m = next
			select {
			case updates <- m:
			case <-ctx.Done():
				return
			case <-e.stopped.Done():
				return
			}
		}
	}()
	return updates, nil
}

// pause waits until there may be news, and reports false when nobody waits for
// them any more.
func (e *Exports) pause(ctx context.Context) bool {
	settled := e.nextSettled()
	timer := time.NewTimer(watchInterval)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-e.stopped.Done():
		return false
	}
	return true
}

// differs reports whether the export has gone on since m.
func (m *Manifest) differs(next *Manifest) bool {
	before, after := m.Progress, next.Progress
	before.EstimatedEnd, after.EstimatedEnd = nil, nil
	return m.Status != next.Status || before != after
}

// estimateEnd adds to the progress how fast the rows are written and when, at
// this rate, the last will be.
func (p *Progress) estimateEnd(began, now time.Time) {
	elapsed := now.Sub(began)
	if elapsed <= 0 || p.RowsDone == 0 {
		return
	}
	rate := float64(p.RowsDone) / elapsed.Seconds()
	p.RowsPerSecond = int64(rate)
	if p.RowsTotal > p.RowsDone {
		end := timestamp(now.Add(time.Duration(float64(p.RowsTotal-p.RowsDone) / rate * float64(time.Second))))
		p.EstimatedEnd = &end
	}
}
