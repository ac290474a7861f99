package storage

import (
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// Quotas says how many bytes each project may take up. The methods of a nil
// Quotas know no limit.
type Quotas struct {
	// Default is the limit of projects that have none of their own; 0: no limit.
	Default int64
	// Files returns how many bytes there are of a project beside its database; nil
	// for none.
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

// countEvery is for how long the files that were counted are believed.
const countEvery = time.Second

// Set gives a project a limit of its own, 0 for none; nil takes it back.
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

// Max returns the limit of a project in bytes; 0: there is none.
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

// Beside returns how many bytes count to a project beside its database. What it
// answers may be a second old.
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

// maxCounted bounds the projects whose files are remembered.
const maxCounted = 10_000

// OverQuota is the answer to what would grow in a project that may not.
func OverQuota(limit int64) *problem.Error {
	return problem.New(problem.CodeStorageFull, "The project has reached its quota of %d bytes. Nothing was written; delete rows, tables or imports, or ask the operator for a larger quota.", limit)
}
