package meter

import (
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	var m Meter
	ctx := With(t.Context(), &m)
	w := Start(ctx)
	w.GotAt(w.from.Add(-time.Second)) // a wait that ended a second before it began, to have a known length
	w.GotAt(w.from)                   // too late to count
	w.Stop()
	if waited, worked := m.Times(); waited != -time.Second || worked < time.Second {
		t.Errorf("waited %v, worked %v", waited, worked)
	}
	never := Start(ctx)
	never.Stop()
	if waited, worked := m.Times(); waited < -time.Second || worked < time.Second {
		t.Errorf("after a connection that never came: waited %v, worked %v", waited, worked)
	}
}

func TestNothingIsMeasuredWithoutAMeter(t *testing.T) {
	t.Parallel()
	w := Start(t.Context())
	w.Got()
	w.Stop()
	if !w.from.IsZero() || !w.to.IsZero() {
		t.Errorf("got %v", w)
	}
}
