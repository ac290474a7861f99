package imports

import (
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
)

func TestDryRunThenRun(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	m := f.ready(f.send(people(3), request(func(o *Request) { o.DryRun = true })))
	if m.Preview == nil || m.Report != nil || f.rows("shop", "people") != -1 {
		t.Fatalf("preview %+v, report %+v", m.Preview, m.Report)
	}
	f.reopen()
	f.Start()
	m, err := f.Run(t.Context(), new(problem.Faults), shop.ID, m.ID, &ingest.Options{Target: ingest.Target{Table: "crowd"}}, false, 0)
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
	m := f.ready(f.send(people(3), request(func(o *Request) { o.DryRun = true })))
	f.clock.Add(25 * time.Hour)
	if got, err := f.Get(t.Context(), shop.ID, m.ID); err != nil || got.Status != Expired || got.Preview == nil {
		t.Errorf("the dry run is %s, %v", got.Status, err)
	}
}

func TestRejectsAreKept(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	const file = "number,name\n1,Ada\nlots,Grace\n\xff,Edith\n"
	strict := ingest.Options{Target: ingest.Target{Types: map[string]string{"number": "INTEGER"}, ReadOptions: format.ReadOptions{Encoding: "utf-8"}}}
	m, err := f.wait(f.send(file, request(func(o *Request) { o.Options = strict })))
	if m.Status != Failed || codeOf(err) != problem.CodeValidationFailed || m.RejectedRows != 2 || m.RejectsURL == nil {
		t.Fatalf("%s with %d rejected rows, %v", m.Status, m.RejectedRows, err)
	}
	rejects, err := f.Rejects(t.Context(), shop.ID, m.ID)
	if err != nil || len(rejects) != 2 || rejects[0].Line != 3 || rejects[0].Column != "number" || rejects[0].Value != "lots" {
		t.Fatalf("%+v, %v", rejects, err)
	}
	if f.rows("shop", "people") != -1 {
		t.Error("the table is there")
	}
	strict.OnError = "skip"
	if m, err = f.Run(t.Context(), new(problem.Faults), shop.ID, m.ID, &strict, false, 0); err != nil || m.RejectedRows != 0 || m.RejectsURL != nil {
		t.Fatalf("%+v, %v", m, err)
	}
	if m = f.ready(m); f.rows("shop", "people") != 1 || m.RejectedRows != 2 {
		t.Errorf("%d rows, %d rejected", f.rows("shop", "people"), m.RejectedRows)
	}
}
