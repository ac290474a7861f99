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

// shards is into how many parts the memory is divided, so that a slow look-up
// in the file makes few others wait.
const shards = 16

// minNames is how many names one call may give one run: the new id, the old one
// and a key.
const minNames = 3

// shard holds the runs last used by some of the callers. Its methods are called
// with mu locked, apart from take and forget.
type shard struct {
	mu     sync.Mutex
	room   int            // most names held
	named  map[name]*run  // every name that a call may use
	recent list.List      // of *run, the one used last in front
	dirty  map[*run]names // runs to be stored, with those of their names to be stored
}

// names are names of one run.
type names map[name]struct{}

// name is what calls name a run with: its id, the id of a run that it
// continues, or a key.
type name struct {
	caller Caller
	kind   kind
	text   string
}

// kind tells the two kinds of names apart; it is stored.
type kind int

const (
	byRunID kind = iota
	byKey
)

// run is one run of an operation.
type run struct {
	caller    Caller
	id        string
	generated bool      // the id, and not by a client
	last      time.Time // of its last call
	names     names     // those that lead here in shard.named
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

// find returns the run that a name stands for, nil when it is not in memory.
func (s *shard) find(n name) *run {
	r := s.named[n]
	if r != nil {
		s.recent.MoveToFront(r.place)
	}
	return r
}

// add holds one more run, under its own name.
func (s *shard) add(r *run) {
	r.names = names{}
	r.place = s.recent.PushFront(r)
	s.point(r.ownName(), r)
}

// point makes a name stand for r, which is the run used last.
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

// part takes a name from its run, and the run out of memory with its last name.
func (s *shard) part(n name, r *run) {
	delete(s.named, n)
	delete(r.names, n)
	delete(s.dirty[r], n)
	if len(r.names) == 0 {
		s.recent.Remove(r.place)
		delete(s.dirty, r)
	}
}

// makeRoom drops runs that were not used for longest until a name fits in. When
// r alone has too many names, it loses them but for its own. What is not stored
// yet is lost: that happens only when the file cannot be written, or not as
// fast as runs are opened.
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

// rename makes a name stand for r from now on, also in the file.
func (s *shard) rename(n name, r *run) {
	if s.named[n] == r {
		return
	}
	n.text = strings.Clone(n.text) // of a request that need not be kept
	s.point(n, r)
	s.touch(r, n)
}

// touch notes that r is to be stored, with names that it has got.
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

// crowded reports whether so much waits to be stored that it may be lost.
func (s *shard) crowded() bool { return len(s.dirty) > s.room/4 }

// record is a run as it is to be stored.
type record struct {
	shard *shard
	run   *run
	last  time.Time
	names []name
}

// take appends what is to be stored, and takes it as stored.
func (s *shard) take(records []record) []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, changed := range s.dirty {
		records = append(records, record{s, r, r.last, slices.Collect(maps.Keys(changed))})
	}
	clear(s.dirty)
	return records
}

// giveBack returns what could not be stored, unless it is no longer in memory.
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

// forget drops the runs of a project.
func (s *shard) forget(projectID ids.Project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, r := range s.named {
		if n.caller.ProjectID == projectID {
			s.part(n, r)
		}
	}
}
