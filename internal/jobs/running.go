package jobs

import "sync"

// Running is the jobs that are being worked on, by id. The zero Running holds
// none.
type Running[J any] struct {
	// claiming is held from the claim of a job until it is in jobs, so that
	// whoever finds it claimed in the book also finds it here.
	claiming sync.Mutex
	mu       sync.Mutex
	jobs     map[string]*J
}

// Claim has claim take a job out of the book, or none, and keeps it.
func (r *Running[J]) Claim(claim func() (id string, j *J, err error)) (*J, error) {
	r.claiming.Lock()
	defer r.claiming.Unlock()
	id, j, err := claim()
	if j == nil || err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs == nil {
		r.jobs = map[string]*J{}
	}
	r.jobs[id] = j
	return j, nil
}

// Remove forgets a job.
func (r *Running[J]) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.jobs, id)
}

// Find returns a job, or nil.
func (r *Running[J]) Find(id string) *J {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[id]
}

// Which returns the jobs for which is holds. It waits for a claim under way.
func (r *Running[J]) Which(is func(*J) bool) (found []*J) {
	r.claiming.Lock()
	defer r.claiming.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		if is(j) {
			found = append(found, j)
		}
	}
	return found
}
