package export

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
)

// Watch returns the manifest of an export as it is, and again whenever it has
// changed, a few times a second at most. The channel is closed after a settled
// manifest, when the export is removed, and when ctx or the server ends.
func (e *Exports) Watch(ctx context.Context, projectID int64, id string) (<-chan Manifest, error) {
	return jobs.Watch(ctx, e.runner.Dispatcher, func(ctx context.Context) (Manifest, error) { return e.Get(ctx, projectID, id) })
}

// Settled reports whether no work is left to be done.
func (m Manifest) Finished() bool { return m.Status.Finished() }

// Differs reports whether the export has gone on since m.
func (m Manifest) Differs(next Manifest) bool {
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
