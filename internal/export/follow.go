package export

import (
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
)

// Job returns the id and status that package jobs needs.
func (m Manifest) Job() (id string, status Status) { return m.ID, m.Status }

// WithPlace returns the manifest with its place in the queue.
func (m Manifest) WithPlace(place int64) Manifest {
	m.Progress.QueuePosition = place
	return m
}

// Differs reports whether next shows progress since m.
func (m Manifest) Differs(next Manifest) bool {
	before, after := m.Progress, next.Progress
	before.EstimatedEnd, after.EstimatedEnd = nil, nil
	return m.Status != next.Status || before != after
}

// estimateEnd adds the write rate to the progress, and the time at which the last row
// will be written at that rate.
func (p *Progress) estimateEnd(began, now time.Time) {
	elapsed := now.Sub(began)
	if elapsed <= 0 || p.RowsDone == 0 {
		return
	}
	rate := float64(p.RowsDone) / elapsed.Seconds()
	p.RowsPerSecond = int64(rate)
	if p.RowsTotal > p.RowsDone {
		p.EstimatedEnd = new(jobs.Timestamp(now.Add(time.Duration(float64(p.RowsTotal-p.RowsDone) / rate * float64(time.Second)))))
	}
}
