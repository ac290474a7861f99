package export

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestFullDisk(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Folder = filepath.Join(disk, "exports")
		// What is free can change while an export is written.
		c.FreeSpace = func(string) (free, total int64, err error) { return 1 << 40, 1 << 40, nil }
	})
	f.project(shop.ID, large(60_000))
	f.Start()
	m := f.create(Order{Kind: TableExport, Table: "big"})
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	got, err := f.Wait(ctx, shop.ID, m.ID)
	if codeOf(err) != problem.CodeStorageFull || got.Status != Failed || *got.Error != "The disk is full." {
		t.Errorf("got %s, %v; want storage_full", got.Status, err)
	}
	if len(f.files()) != 0 || f.refusal(m) != problem.CodeExportFailed {
		t.Errorf("download %s, files %v", f.refusal(m), f.files())
	}
	f.download(f.wait(f.create(Order{Kind: SchemaExport})))
}

// TestBookOnAFullDisk is the case where not even the outcome can be written.
func TestBookOnAFullDisk(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Database = filepath.Join(disk, "exports.db") })
	f.project(shop.ID, small)
	m := f.create(Order{Kind: SchemaExport})
	filler := filepath.Join(disk, "filler")
	testkit.FillDisk(t, filler)
	if _, err := f.Create(background, Order{Project: shop, Kind: SchemaExport}); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("creation on a full disk gives %v", err)
	}
	f.Start()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	f.download(f.wait(m))
}

// TestDiskFillsWhileRunning is the case where the book may not take the
// outcome: whatever it says in the end must be true.
func TestDiskFillsWhileRunning(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Database = filepath.Join(disk, "exports.db") })
	f.project(shop.ID, large(100_000))
	f.Start()
	m := f.create(Order{Kind: TableExport, Table: "big"})
	eventually(t, func() bool { return f.status(m) == Running })
	filler := filepath.Join(disk, "filler")
	testkit.FillDisk(t, filler)
	time.Sleep(500 * time.Millisecond)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	got, err := f.Wait(ctx, shop.ID, m.ID)
	if got.Status == Ready {
		f.download(got)
	} else if codeOf(err) != problem.CodeStorageFull || len(f.files()) != 0 {
		t.Errorf("got %s, %v, files %v", got.Status, err, f.files())
	}
}
