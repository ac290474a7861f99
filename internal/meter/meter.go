// Package meter measures how long a call waits for SQLite and works in it. The edge puts
// a [Meter] into the context of each call; whatever opens a transaction adds its times,
// and the plan of a statement that was slow, and notes the table whose records the call
// is about. Without a meter in the context nothing is
// measured.
package meter

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Meter adds up the times of one call. Its methods may be called concurrently, and on
// nil, which measures nothing.
type Meter struct {
	// Slow is how long databases may take before their plan is noted; 0 means that it
	// never is. It must be set before the meter is used.
	Slow time.Duration

	waited, worked atomic.Int64
	table          atomic.Int64

	mu      sync.Mutex
	slowest time.Duration
	plan    []string
}

type contextKey struct{}

// With returns a context whose transactions are measured by m.
func With(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, contextKey{}, m)
}

// Of returns the meter of a context, nil if there is none.
func Of(ctx context.Context) *Meter {
	m, _ := ctx.Value(contextKey{}).(*Meter)
	return m
}

// NotesPlans reports whether the plans of slow statements are noted.
func (m *Meter) NotesPlans() bool { return m != nil && m.Slow > 0 }

// NotePlan keeps the plan of a statement unless one that took longer is known.
func (m *Meter) NotePlan(took time.Duration, plan []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if took > m.slowest {
		m.slowest, m.plan = took, plan
	}
}

// NoteTable notes the id of a table whose records the call is about. The first counts:
// the others only belong to what it returns or changes with them.
func (m *Meter) NoteTable(id int64) {
	if m != nil {
		m.table.CompareAndSwap(0, id)
	}
}

// Table returns the id of the table whose records the call is about, 0 for none.
func (m *Meter) Table() int64 { return m.table.Load() }

// Plan returns the plan of the slowest statement of a slow call; nil for none.
func (m *Meter) Plan() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plan
}

// Times returns how long the call waited for connections, and how long it had them.
func (m *Meter) Times() (waited, worked time.Duration) {
	return time.Duration(m.waited.Load()), time.Duration(m.worked.Load())
}

// Watch measures one transaction. The zero Watch measures nothing.
type Watch struct {
	m        *Meter
	from, to time.Time // to: when the connection was there
}

// Start begins to measure the wait for a connection.
func Start(ctx context.Context) Watch {
	m := Of(ctx)
	if m == nil {
		return Watch{}
	}
	return Watch{m: m, from: time.Now()}
}

// Got ends the wait: from now on the connection is used.
func (w *Watch) Got() {
	if w.m != nil {
		w.GotAt(time.Now())
	}
}

// GotAt is Got at the given time; only the first counts, and the zero time does not.
func (w *Watch) GotAt(at time.Time) {
	if w.to.IsZero() {
		w.to = at
	}
}

// Stop adds both times to the meter.
func (w *Watch) Stop() {
	if w.m == nil {
		return
	}
	now := time.Now()
	if w.to.IsZero() {
		w.to = now // the connection never came
	}
	w.m.waited.Add(int64(w.to.Sub(w.from)))
	w.m.worked.Add(int64(now.Sub(w.to)))
}
