package imports

import (
	"testing"
	"time"
)

func TestDryRunThenRun(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	m := f.ready(f.send(people(3), order(func(o *Order) { o.DryRun = true })))
	if m.Preview == nil || m.Report != nil || f.rows("shop", "people") != -1 {
		t.Fatalf("preview %+v, report %+v", m.Preview, m.Report)
	}
	f.reopen()
	f.Start()
	m, err := f.Run(t.Context(), shop.ID, m.ID, &Options{Target: Target{Table: "crowd"}}, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if m = f.ready(m); m.Preview != nil || m.Report == nil || f.rows("shop", "crowd") != 3 || len(f.files()) != 0 {
		t.Errorf("%d rows, manifest %+v, files %v", f.rows("shop", "crowd"), m, f.files())
	}
}

func TestDryRunExpires(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	m := f.ready(f.send(people(3), order(func(o *Order) { o.DryRun = true })))
	f.clock.advance(25 * time.Hour)
	if got, err := f.Get(t.Context(), shop.ID, m.ID); err != nil || got.Status != Expired || got.Preview == nil {
		t.Errorf("the dry run is %s, %v", got.Status, err)
	}
}
