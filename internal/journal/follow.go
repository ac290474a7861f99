package journal

import (
	"context"
	"sync"

	"github.com/zangtable/zangtable/internal/ids"
)

// followers are those who watch entries as they are stored.
type followers struct {
	mu     sync.Mutex
	closed bool
	list   map[*follower]struct{}
}

type follower struct {
	projectID ids.Project
	filter    Filter
	entries   chan Request
}

// maxFollowed is how many entries wait for a follower; further ones are left out.
const maxFollowed = 256

// Follow returns the requests of a project that match the filter, as they are stored,
// until ctx ends. A follower that is too slow misses some.
func (j *Journal) Follow(ctx context.Context, projectID ids.Project, filter Filter) <-chan Request {
	f := &follower{projectID, filter, make(chan Request, maxFollowed)}
	fs := &j.followers
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		close(f.entries)
		return f.entries
	}
	if fs.list == nil {
		fs.list = map[*follower]struct{}{}
	}
	fs.list[f] = struct{}{}
	context.AfterFunc(ctx, func() { fs.remove(f) })
	return f.entries
}

func (fs *followers) remove(f *follower) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if _, there := fs.list[f]; there {
		delete(fs.list, f)
		close(f.entries)
	}
}

func (fs *followers) close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.closed = true
	for f := range fs.list {
		delete(fs.list, f)
		close(f.entries)
	}
}

// publish passes stored entries on to the followers.
func (j *Journal) publish(entries []*Entry) {
	fs := &j.followers
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) == 0 {
		return
	}
	for _, e := range entries {
		var shown *Request
		for f := range fs.list {
			if f.projectID != e.ProjectID {
				continue
			}
			if shown == nil {
				r := j.shown(e)
				shown = &r
			}
			if !f.filter.matches(shown) {
				continue
			}
			select {
			case f.entries <- *shown:
			default:
			}
		}
	}
}

// StopFollowing ends every stream, so that a server can stop.
func (j *Journal) StopFollowing() { j.followers.close() }
