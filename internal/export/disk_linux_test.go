package export

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestFullDisk fills the disk with exports through every kind of writer: each error
// must name the disk as the cause.
func TestFullDisk(t *testing.T) {
	folder := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Folder = filepath.Join(folder, "exports")
		// The free space reported before an export may no longer be there while it is
		// written.
		c.Disk.Free = func(string) (free, total int64, err error) { return 1 << 40, 1 << 40, nil }
	})
	f.project(shop.ID, large(60_000))
	f.Start()
	for name, order := range map[string]Request{
		"a table":                 {Kind: TableExport, Table: "big"},
		"a table as a database":   {Kind: TableExport, Table: "big", Format: "sqlite"},
		"a part of it":            {Kind: TableExport, Table: "big", Format: "sqlite", Selection: projectdb.Selection{Limit: 59_000}},
		"a query":                 {Kind: QueryExport, SQL: "SELECT * FROM big"},
		"a query as a database":   {Kind: QueryExport, SQL: "SELECT * FROM big", Format: "sqlite"},
		"a query as a workbook":   {Kind: QueryExport, SQL: "SELECT *, hex(randomblob(50)) AS r FROM big", Format: "xlsx"},
		"all tables":              {Kind: DatabaseExport, Format: "sqlite"},
		"all tables as a ZIP":     {Kind: DatabaseExport, Format: "archive"},
		"a table that compresses": {Kind: QueryExport, SQL: "SELECT hex(randomblob(100)) AS r FROM big", Compression: "gzip"},
	} {
		m := f.create(order)
		ctx, cancel := context.WithTimeout(background, time.Minute)
		got, err := f.Wait(ctx, shop.ID, m.ID)
		cancel()
		if codeOf(err) != problem.CodeStorageFull || got.Status != Failed || !strings.HasPrefix(*got.Error, "The disk is full.") {
			t.Errorf("%s: got %s, %v; want storage_full", name, got.Status, err)
		}
		if len(f.files()) != 0 || f.refusal(m) != problem.CodeExportFailed {
			t.Errorf("%s: download %s, files %v", name, f.refusal(m), f.files())
		}
	}
	f.download(f.wait(f.create(Request{Kind: SchemaExport})))
}

// TestBookOnAFullDisk covers the case where not even the outcome can be stored.
func TestBookOnAFullDisk(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Database = filepath.Join(disk, "exports.db") })
	f.project(shop.ID, small)
	m := f.create(Request{Kind: SchemaExport})
	filler := filepath.Join(disk, "filler")
	testkit.FillDisk(t, filler)
	if _, err := f.Create(background, new(problem.Faults), Request{Project: shop, Kind: SchemaExport}); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("creation on a full disk gives %v", err)
	}
	f.Start()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	f.download(f.wait(m))
}

// TestDiskFillsWhileRunning covers the case where the job store may refuse the outcome:
// whatever it says in the end must be true.
func TestDiskFillsWhileRunning(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Database = filepath.Join(disk, "exports.db") })
	f.project(shop.ID, large(100_000))
	f.Start()
	m := f.create(Request{Kind: TableExport, Table: "big"})
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
