package export

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

func TestWatchFollowsAJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Now = time.Now })
	const rows = 3 * manyRows // enough for a watcher to see the export running
	f.project(shop.ID, large(rows))
	m := f.create(Request{Kind: TableExport, Table: "big", Format: "xlsx"})
	updates, err := f.Watch(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if first := <-updates; first.Status != Pending || first.Progress.QueuePosition != 1 {
		t.Errorf("first comes %s at place %d", first.Status, first.Progress.QueuePosition)
	}
	f.Start()
	var last Manifest
	rated := false
	for last = range updates {
		if last.Status == Running && last.Progress.RowsPerSecond > 0 && last.Progress.EstimatedEnd != nil {
			rated = true
		}
	}
	if last.Status != Ready || last.RowCount != rows || !rated {
		t.Errorf("last comes %s with %d rows; a rate was seen: %v", last.Status, last.RowCount, rated)
	}
	if _, err := f.Watch(background, shop.ID, "exp_none"); codeOf(err) != problem.CodeNotFound {
		t.Errorf("an unknown export gives %v", err)
	}
}

func TestWatchEnds(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	ctx, cancel := context.WithCancel(background)
	canceled, err := f.Watch(ctx, shop.ID, f.create(Request{Kind: SchemaExport}).ID)
	if err != nil {
		t.Fatal(err)
	}
	m := f.create(Request{Kind: SchemaExport})
	deleted, err := f.Watch(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range canceled {
	}
	if err := f.Delete(background, shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	var last Manifest
	for last = range deleted {
	}
	if last.Status != Canceled {
		t.Errorf("last comes %s", last.Status)
	}
}

func TestQueuePositionIsTheOrderOfClaims(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.PerProject = 100 })
	for id := range ids.Project(3) {
		f.project(id+1, small)
	}
	for _, id := range []ids.Project{2, 2, 1, 2, 3, 3, 1} {
		f.create(Request{Project: ProjectRef{ID: id, Slug: fmt.Sprintf("p%d", id)}, Kind: SchemaExport})
	}
	f.claimed() // gives project 2 a turn
	places := map[string]int64{}
	for id := range ids.Project(3) {
		list, _, err := f.List(background, id+1, ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			places[m.ID] = m.Progress.QueuePosition
		}
	}
	var want, got []int64
	for r := f.claimed(); r != nil; r = f.claimed() {
		want = append(want, int64(len(want)+1))
		got = append(got, places[r.manifest.ID])
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 6 {
		t.Errorf("places in the order of claims (-want +got):\n%s", diff)
	}
}

func TestNoSpace(t *testing.T) {
	free := int64(1 << 30)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Disk.Reserve = 1 << 20
		c.Disk.Free = func(string) (int64, int64, error) { return free, 1 << 40, nil }
	})
	f.project(shop.ID, large(20_000)) // about 3 MB of CSV
	f.Start()
	free = 3 << 20
	for _, order := range []Request{{Kind: TableExport, Table: "big"}, {Kind: DatabaseExport, Format: "sqlite"}, {Kind: DatabaseExport, Format: "archive"}} {
		m := f.create(order)
		got, err := f.Wait(background, shop.ID, m.ID)
		if codeOf(err) != problem.CodeStorageFull || !strings.Contains(*got.Error, "bytes are needed") || len(f.files()) != 0 {
			t.Errorf("%s: %s, %v, files %v", order.Format, got.Status, err, f.files())
		}
	}
	f.wait(f.create(Request{Kind: DatabaseExport})) // a ZIP file is smaller
	free = 1 << 20
	if _, err := f.Create(background, new(problem.Faults), Request{Project: shop, Kind: SchemaExport}); err != nil {
		t.Errorf("at the reserve: %v", err)
	}
	free--
	if _, err := f.Create(background, new(problem.Faults), Request{Project: shop, Kind: SchemaExport}); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("below the reserve: %v", err)
	}
}

func TestDryRun(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, hard)
	dry := func(req Request) Preflight {
		t.Helper()
		req.Project = shop
		p, err := f.DryRun(background, new(problem.Faults), req)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.files()) != 0 {
			t.Errorf("files are %v", f.files())
		}
		return p
	}
	codes := func(p Preflight) (list []string) {
		for _, w := range p.Warnings {
			list = append(list, fmt.Sprint(w.Column, " ", w.Code, " ", w.Count))
		}
		return list
	}
	p := dry(Request{Kind: TableExport, Table: "hard"})
	if s := *p.EstimatedSeconds; s != math.Round(s*100)/100 {
		t.Errorf("the seconds are %v", s)
	}
	if *p.RowCount != int64(len(hardValues())) || len(p.Tables[0].Lines) != 20 || p.Tables[0].Lines[0] != "id,i,r,t,b,a" || p.EstimatedBytes == nil || *p.EstimatedBytes == 0 || !p.Fits {
		t.Errorf("got %+v", p)
	}
	want := []string{"t invalid_utf8 1", "t formulas 5", "t null_and_empty 1", "a any_type 8", "a invalid_utf8 1", "a formulas 5", "a null_and_empty 1"}
	if diff := cmp.Diff(want, codes(p)); diff != "" {
		t.Errorf("warnings of csv (-want +got):\n%s", diff)
	}
	want = []string{"t invalid_utf8 1", "a any_type 8", "a invalid_utf8 1"}
	if diff := cmp.Diff(want, codes(dry(Request{Kind: TableExport, Table: "hard", CSV: CSVOptions{Profile: "excel", NullText: ptr("NULL")}}))); diff != "" {
		t.Errorf("warnings of the guarded dialect (-want +got):\n%s", diff)
	}
	want = []string{"i big_integers 5", "r infinities 2", "t invalid_utf8 1", "a big_integers 5", "a infinities 2", "a any_type 2", "a invalid_utf8 1"}
	for _, order := range []Request{{Kind: TableExport, Table: "hard", Format: "json"}, {Kind: DatabaseExport, Format: "zip-ndjson"}, {Kind: TableExport, Table: "hard", Format: "xlsx"}} {
		if diff := cmp.Diff(want, codes(dry(order))); diff != "" {
			t.Errorf("warnings of %s (-want +got):\n%s", order.Format, diff)
		}
	}
	want = slices.DeleteFunc(want, func(s string) bool { return strings.Contains(s, "any_type") }) // the columns of a query have types derived from their values
	if diff := cmp.Diff(want, codes(dry(Request{Kind: QueryExport, SQL: "SELECT * FROM hard", Format: "ndjson"}))); diff != "" {
		t.Errorf("warnings of a query (-want +got):\n%s", diff)
	}
	if p := dry(Request{Kind: SchemaExport, Format: "sql"}); !strings.HasPrefix(p.Tables[0].Lines[0], "-- Schema") || *p.EstimatedBytes == 0 {
		t.Errorf("got %+v", p)
	}
	if p := dry(Request{Kind: QueryExport, SQL: "SELECT 1"}); p.EstimatedBytes != nil || p.EstimatedSeconds != nil {
		t.Errorf("nothing is known of a query, got %+v", p)
	}
	for _, name := range []string{"sqlite", "archive", "sql"} {
		dry(Request{Kind: DatabaseExport, Format: name})
	}
	if list, _, err := f.List(background, shop.ID, ListOptions{}); err != nil || len(list) != 0 {
		t.Errorf("exports are %v, %v", list, err)
	}
	long := []byte(`{"id":1000,"t":"` + strings.Repeat("x", 40_000) + `"}`)
	if _, err := db.InsertRecord(background, new(problem.Faults), "hard", long, projectdb.InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	p = dry(Request{Kind: TableExport, Table: "hard", Format: "xlsx", Selection: projectdb.Selection{Columns: []string{"t"}}})
	if p.EstimatedBytes != nil {
		t.Errorf("what cannot be made has an estimate of %d bytes", *p.EstimatedBytes)
	}
	if got := codes(p); len(got) != 2 || got[0] != "t excel_text 1" {
		t.Errorf("warnings of a long text are %v", got)
	}
}

// TestDryRunWarnsOfWhatIsReplaced compares the warnings with the manifest of the export
// that is made afterwards.
func TestDryRunWarnsOfWhatIsReplaced(t *testing.T) {
	f := started(t, hard)
	for name, counted := range map[string][]string{
		"csv":     {"any_type"},
		"json":    {"any_type", "infinities", "invalid_utf8"},
		"ndjson":  {"any_type", "infinities", "invalid_utf8"},
		"parquet": {"any_type", "invalid_utf8"},
	} {
		order := Request{Project: shop, Kind: TableExport, Table: "hard", Format: name}
		p, err := f.DryRun(background, new(problem.Faults), order)
		if err != nil {
			t.Fatal(err)
		}
		warned := int64(0)
		for _, w := range p.Warnings {
			if slices.Contains(counted, w.Code) {
				warned += w.Count
			}
		}
		if m := f.wait(f.create(order)); m.Tables[0].Replaced != warned || warned == 0 {
			t.Errorf("%s: %d values were replaced, and the dry run warned of %d", name, m.Tables[0].Replaced, warned)
		}
	}
}

func TestEstimateIsNearTheTruth(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, large(20_000))
	f.Start()
	for _, order := range []Request{{Kind: TableExport, Table: "big"}, {Kind: DatabaseExport, Format: "json"}, {Kind: DatabaseExport, Format: "sqlite"}, {Kind: DatabaseExport, Format: "sql"}} {
		order.Project = shop
		p, err := f.DryRun(background, new(problem.Faults), order)
		if err != nil {
			t.Fatal(err)
		}
		m := f.wait(f.create(order))
		if share := float64(*p.EstimatedBytes) / float64(*m.SizeBytes); share < 0.7 || share > 1.4 {
			t.Errorf("%s %s: estimated %d bytes, got %d", order.Kind, order.Format, *p.EstimatedBytes, *m.SizeBytes)
		}
	}
}
