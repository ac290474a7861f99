package jobs

import (
	"errors"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

func TestReceipts(t *testing.T) {
	b := openStore(t)
	now := time.Date(2026, 6, 1, 18, 0, 0, 0, time.UTC)
	keep := func(r Receipt, project ids.Project, id string, at time.Duration) error {
		return b.Write(t.Context(), "keep", func(c *sqlite.Conn) error { return r.Keep(c, project, id, now.Add(at)) })
	}
	recall := func(r Receipt, project ids.Project, at time.Duration) (id string) {
		err := b.Read(t.Context(), "recall", func(c *sqlite.Conn) (err error) {
			id, err = r.Recall(c, project, now.Add(at))
			return err
		})
		if errors.Is(err, projectdb.ErrOtherRequest) {
			return "other"
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	mine := *ReceiptOf(&projectdb.Receipt{TokenID: 1, Key: "k", Request: [32]byte{1}})
	changed := *ReceiptOf(&projectdb.Receipt{TokenID: 1, Key: "k", Request: [32]byte{2}})
	theirs := *ReceiptOf(&projectdb.Receipt{TokenID: 2, Key: "k", Request: [32]byte{1}})
	if err := keep(mine, 1, "first", 0); err != nil {
		t.Fatal(err)
	}
	if err := keep(theirs, 1, "second", 0); err != nil {
		t.Fatal(err)
	}
	var replayed *ReplayedError
	if err := keep(mine, 1, "third", time.Hour); !errors.As(err, &replayed) || replayed.ID != "first" {
		t.Errorf("an equal call gives %v", err)
	}
	if err := keep(changed, 1, "third", time.Hour); !errors.Is(err, projectdb.ErrOtherRequest) {
		t.Errorf("another request under the key gives %v", err)
	}
	const day = projectdb.ReceiptLife
	if a, b, c := recall(mine, 1, day-time.Second), recall(mine, 2, 0), recall(mine, 1, day); a != "first" || b != "" || c != "" {
		t.Errorf("recalled %q in time, %q in another project, %q too late", a, b, c)
	}
	if err := keep(changed, 1, "third", day); err != nil || recall(changed, 1, day) != "third" || recall(mine, 1, day) != "other" {
		t.Errorf("a key that has ended is not free: %v", err)
	}
	must(t, b, func(c *sqlite.Conn) error { return SweepReceipts(c, now.Add(day)) })
	if recall(theirs, 1, 0) != "" || recall(changed, 1, day) != "third" {
		t.Error("the wrong receipts were swept")
	}
}
