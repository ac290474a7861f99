package storage

import (
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// Quotas defines how many bytes each project may use. A nil Quotas has no limits.
type Quotas struct {
	// Default is the limit of projects that have none of their own; 0 means no limit.
	Default int64
	// Files returns how many bytes a project uses in addition to its database; nil
	// means none.
	Files func(projectID ids.Project) int64

	mu     sync.Mutex
	limits map[ids.Project]int64
	files  map[ids.Project]counted
}

// counted is how many bytes of files a project had at some time.
type counted struct {
	bytes int64
	at    time.Time
}

// countEvery is how long a count of files stays valid.
const countEvery = time.Second

// Set sets a project's own limit, 0 for none; nil removes it.
func (q *Quotas) Set(projectID ids.Project, limit *int64) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if limit == nil {
		delete(q.limits, projectID)
		return
	}
	if q.limits == nil {
		q.limits = map[ids.Project]int64{}
	}
	q.limits[projectID] = *limit
}

// Max returns the limit of a project in bytes, or 0 if there is none.
func (q *Quotas) Max(projectID ids.Project) int64 {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if limit, ok := q.limits[projectID]; ok {
		return limit
	}
	return q.Default
}

// Beside returns how many bytes count toward a project in addition to its database.
// The answer may be a second old.
func (q *Quotas) Beside(projectID ids.Project) int64 {
	if q == nil || q.Files == nil {
		return 0
	}
	q.mu.Lock()
	known, ok := q.files[projectID]
	q.mu.Unlock()
	if ok && time.Since(known.at) < countEvery {
		return known.bytes
	}
	now := counted{q.Files(projectID), time.Now()}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.files == nil || len(q.files) > maxCounted {
		q.files = map[ids.Project]counted{}
	}
	q.files[projectID] = now
	return now.bytes
}

// maxCounted bounds the number of projects whose file counts are kept.
const maxCounted = 10_000

// OverQuota returns the error of growth in a project that has reached its quota.
func OverQuota(limit int64) *problem.Error {
	return problem.New(problem.CodeStorageFull, "The project has reached its quota of %d bytes. Nothing was written; delete rows, tables or imports, or ask the operator for a larger quota.", limit)
}
