package export

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// receipts returns how many receipts are stored.
func (f *fixture) receipts() (n int64) {
	f.t.Helper()
	err := f.jobs.DB.Read(background, func(c *sqlite.Conn) (err error) {
		n, err = c.Int("SELECT count(*) FROM receipts")
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// recall returns the id of the export for a receipt, "" for none, or "other".
func (f *fixture) recall(projectID ids.Project, r projectdb.Receipt) string {
	f.t.Helper()
	m, ordered, err := f.Recall(background, projectID, r)
	switch {
	case errors.Is(err, projectdb.ErrOtherRequest):
		return "other"
	case err != nil:
		f.t.Fatal(err)
	case ordered != (m.ID != ""):
		f.t.Errorf("ordered is %t, the id %q", ordered, m.ID)
	}
	return m.ID
}

func TestOrderIsRecalled(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(1, small)
	f.project(2, small)
	mine := projectdb.Receipt{TokenID: 1, Key: "k", Request: [32]byte{1}}
	theirs, further, changed := mine, mine, mine
	theirs.TokenID, further.Key, changed.Request = 2, "l", [32]byte{2}
	order := Request{Project: shop, Kind: TableExport, Table: "none", Receipt: &mine}
	if _, err := f.Create(background, new(problem.Faults), order); codeOf(err) != problem.CodeNotFound || f.receipts() != 0 {
		t.Errorf("an order that is refused: %v, %d receipts", err, f.receipts())
	}
	order.Table = "contacts"
	m := f.create(order)
	for range 2 {
		if got := f.recall(1, mine); got != m.ID {
			t.Errorf("recalled %q, want %s", got, m.ID)
		}
		if got := f.recall(1, changed); got != "other" {
			t.Errorf("with another request %q", got)
		}
		if f.recall(1, theirs) != "" || f.recall(1, further) != "" || f.recall(2, mine) != "" {
			t.Error("another token, key or project has recalled the export")
		}
		f.clock.Add(24*time.Hour - time.Second)
		f.reopen()
	}
	f.clock.Add(-24*time.Hour + 2*time.Second)
	if got := f.recall(1, mine); got != "" {
		t.Errorf("after a day %q", got)
	}
	order.Receipt = &changed // not swept yet, but the key is free
	if again := f.create(order); f.recall(1, changed) != again.ID || f.receipts() != 1 {
		t.Error("the key was not used again")
	}
	f.clock.Add(24 * time.Hour)
	if err := f.sweep(background, f.clock.Now().Add(-time.Millisecond)); err != nil || f.receipts() != 1 {
		t.Errorf("swept too early: %v", err)
	}
	if err := f.sweep(background, f.clock.Now()); err != nil || f.receipts() != 0 {
		t.Errorf("not swept: %v", err)
	}
}

func TestReceiptsOfProjectGoWithIt(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(1, small)
	f.project(2, small)
	r := projectdb.Receipt{Key: "k"}
	f.create(Request{Project: shop, Kind: SchemaExport, Receipt: &r})
	other := f.create(Request{Project: ProjectRef{ID: 2, Slug: "other"}, Kind: SchemaExport, Receipt: &r})
	if err := f.RemoveProject(background, 1); err != nil {
		t.Fatal(err)
	}
	if f.recall(1, r) != "" || f.recall(2, r) != other.ID {
		t.Error("the receipts of the wrong project are gone")
	}
}

func TestReceiptIsKeptOnce(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(1, small)
	r := projectdb.Receipt{Key: "k"}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := f.Create(background, new(problem.Faults), Request{Project: shop, Kind: SchemaExport, Receipt: &r})
			switch {
			case err == nil:
				made.Add(1)
			case codeOf(err) != problem.CodeConflict || problem.From(err).RetryAfter == 0:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, _, err := f.List(background, 1, ListOptions{}); err != nil || made.Load() != 1 || len(list) != 1 {
		t.Errorf("%d made, %d in the job store, %v", made.Load(), len(list), err)
	}
}
