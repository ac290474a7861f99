package journal

import (
	"container/list"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
)

// shards is the number of parts that the memory is divided into, so that a slow lookup
// in the file blocks few other calls.
const shards = 16

// minNames is how many names one call may add to one run: the new id, the old one and
// a key.
const minNames = 3

// shard holds the most recently used runs of some of the callers. Except for take and
// forget, its methods must be called with mu locked.
type shard struct {
	mu     sync.Mutex
	room   int            // maximum number of names
	named  map[name]*run  // every name that a call may use
	recent list.List      // of *run, most recently used first
	dirty  map[*run]names // runs to be stored, with those of their names that are to be stored
}

// names are names of one run.
type names map[name]struct{}

// name is what calls refer to a run by: its id, the id of a run that it continues, or
// a key.
type name struct {
	caller Caller
	kind   kind
	text   string
}

// kind distinguishes the two kinds of names; it is stored.
type kind int

const (
	byRunID kind = iota
	byKey
)

// run is one run of an operation.
type run struct {
	caller    Caller
	id        string
	continues string    // the id of the run that was idle for too long; "" for none
	generated bool      // the id was generated, not chosen by a client
	last      time.Time // of its last call
	names     names     // the names that map to this run in shard.named
	place     *list.Element
}

func (r *run) ownName() name { return name{r.caller, byRunID, r.id} }

func (j *Journal) shardOf(c Caller) *shard {
	return &j.shards[(uint64(c.ProjectID)*31+uint64(c.TokenID))%shards]
}

func (s *shard) init(room int) {
	s.room = room
	s.named = map[name]*run{}
	s.dirty = map[*run]names{}
}

// find returns the run that a name stands for, or nil if it is not in memory.
func (s *shard) find(n name) *run {
	r := s.named[n]
	if r != nil {
		s.recent.MoveToFront(r.place)
	}
	return r
}

// add adds a run under its own name.
func (s *shard) add(r *run) {
	r.names = names{}
	r.place = s.recent.PushFront(r)
	s.point(r.ownName(), r)
}

// point makes a name refer to r, which becomes the most recently used run.
func (s *shard) point(n name, r *run) {
	switch old := s.named[n]; old {
	case r:
		return
	case nil:
		s.makeRoom(r)
	default:
		s.part(n, old)
	}
	s.named[n] = r
	r.names[n] = struct{}{}
}

// part removes a name from its run, and the run itself with its last name.
func (s *shard) part(n name, r *run) {
	delete(s.named, n)
	delete(r.names, n)
	delete(s.dirty[r], n)
	if len(r.names) == 0 {
		s.recent.Remove(r.place)
		delete(s.dirty, r)
	}
}

// makeRoom drops the least recently used runs until a name fits. If r alone has too
// many names, it loses all but its own. What has not been stored yet is lost: that
// only happens if the file cannot be written, or not as fast as runs are opened.
func (s *shard) makeRoom(r *run) {
	for len(s.named) >= s.room {
		oldest := s.recent.Back().Value.(*run)
		for n := range oldest.names {
			if oldest != r || n != r.ownName() && len(r.names) > 1 {
				s.part(n, oldest)
			}
		}
		if oldest == r {
			return
		}
	}
}

// rename makes a name refer to r from now on, in the file too.
func (s *shard) rename(n name, r *run) {
	if s.named[n] == r {
		return
	}
	n.text = strings.Clone(n.text) // does not keep the request alive
	s.point(n, r)
	s.touch(r, n)
}

// touch marks r to be stored, together with names that it has gained.
func (s *shard) touch(r *run, got ...name) {
	changed := s.dirty[r]
	if changed == nil {
		changed = names{}
		s.dirty[r] = changed
	}
	for _, n := range got {
		changed[n] = struct{}{}
	}
}

// crowded reports whether so much is waiting to be stored that some of it might be
// lost.
func (s *shard) crowded() bool { return len(s.dirty) > s.room/4 }

// record is a run in the form in which it is stored.
type record struct {
	shard *shard
	run   *run
	last  time.Time
	names []name
}

// take appends what is to be stored, and marks it as stored.
func (s *shard) take(records []record) []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, changed := range s.dirty {
		records = append(records, record{s, r, r.last, slices.Collect(maps.Keys(changed))})
	}
	clear(s.dirty)
	return records
}

// giveBack marks what could not be stored, unless it is no longer in memory.
func (r record) giveBack() {
	s := r.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(r.run.names) == 0 {
		return
	}
	s.touch(r.run)
	for _, n := range r.names {
		if s.named[n] == r.run {
			s.touch(r.run, n)
		}
	}
}

// forget removes the runs of a project.
func (s *shard) forget(projectID ids.Project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, r := range s.named {
		if n.caller.ProjectID == projectID {
			s.part(n, r)
		}
	}
}
