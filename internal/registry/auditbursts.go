package registry

import (
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

const (
	maxAlike     = 100    // entries of one kind in an hour; later ones are counted
	maxDownloads = 1      // of one export by one actor
	maxBursts    = 10_000 // kinds that are remembered
)

// DownloadAction is the action of a download, which is expected to be repeated.
const DownloadAction = "download-export"

// countedEvent is an event that stands for several.
type countedEvent struct {
	AuditEvent
	times int64
}

// kind is what events that are counted together have in common.
type kind struct {
	actor   string
	id      int64
	action  string
	project ids.Project
	object  string // of a download
	outcome problem.Code
}

func kindOf(e AuditEvent) kind {
	k := kind{e.Actor.Type, e.Actor.ID, e.Action, e.Project.ID, "", e.Outcome}
	if e.Action == DownloadAction {
		k.object = e.Object
	}
	return k
}

func (k kind) max() int {
	if k.action == DownloadAction {
		return maxDownloads
	}
	return maxAlike
}

// bursts counts the events of each kind by the hour.
type bursts struct {
	mu    sync.Mutex
	kinds map[kind]*burst
	ended []countedEvent // whose kinds are no longer remembered
}

type burst struct {
	hour    time.Time
	stored  int
	counted countedEvent // those that were not stored
}

// admit reports whether the event is to be stored; otherwise it has been counted.
func (b *bursts) admit(e AuditEvent, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, hour := kindOf(e), now.Truncate(time.Hour)
	of := b.kinds[k]
	if of != nil && !of.hour.Equal(hour) {
		b.end(k, of)
		of = nil
	}
	if of == nil {
		if b.kinds == nil || len(b.kinds) >= maxBursts {
			b.endAll()
		}
		of = &burst{hour: hour}
		b.kinds[k] = of
	}
	if of.stored < k.max() {
		of.stored++
		return true
	}
	if of.counted.times == 0 {
		of.counted.AuditEvent = e
		of.counted.Object, of.counted.Note, of.counted.RequestID = k.object, "", "" // they may be of different ones
	}
	of.counted.times++
	return false
}

func (b *bursts) end(k kind, of *burst) {
	if of.counted.times > 0 {
		b.ended = append(b.ended, of.counted)
	}
	delete(b.kinds, k)
}

func (b *bursts) endAll() {
	for k, of := range b.kinds {
		b.end(k, of)
	}
	b.kinds = map[kind]*burst{}
}

// take returns what was counted in hours that are over or, if all is set, in any.
func (b *bursts) take(now time.Time, all bool) []countedEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	hour := now.Truncate(time.Hour)
	for k, of := range b.kinds {
		if all || !of.hour.Equal(hour) {
			b.end(k, of)
		}
	}
	taken := b.ended
	b.ended = nil
	return taken
}

// giveBack keeps what could not be stored.
func (b *bursts) giveBack(counted []countedEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(counted, b.ended...)
}
