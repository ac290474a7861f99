package projectdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/storage"
	"github.com/zangtable/zangtable/internal/testkit"
)

// tight is a folder of projects on a 32 MiB disk with a reserve.
type tight struct {
	*testing.T
	disk string
	room *storage.Room
	dir  *Dir
}

func newTight(t *testing.T) *tight {
	t.Helper()
	x := &tight{T: t, disk: testkit.Disk(t, 32)}
	var err error
	if x.room, err = storage.OpenRoom(x.disk, storage.RoomOptions{Reserve: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	if x.dir, err = OpenDir(filepath.Join(x.disk, "projects"), DirOptions{Room: x.room}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// project creates a project with a table.
func (x *tight) project(id ids.Project) {
	x.Helper()
	err := x.dir.Create(x.Context(), id, func(db *DB) error {
		_, err := db.CreateTable(x.Context(), new(problem.Faults), NewTable{Name: "t", Columns: []NewColumn{{Name: "a", Type: "TEXT"}}})
		return err
	})
	if err != nil {
		x.Fatal(err)
	}
}

func (x *tight) with(id ids.Project, use func(*DB) error) error {
	x.Helper()
	db, release, err := x.dir.Lease(x.Context(), id)
	if err != nil {
		return err
	}
	defer release()
	return use(db)
}

// insertKB inserts a row of kb kilobytes.
func insertKB(t *testing.T, kb int) func(*DB) error {
	return func(db *DB) error {
		_, err := db.InsertRecord(t.Context(), new(problem.Faults), "t", jsontext.Value(`{"a":"`+strings.Repeat("x", kb<<10)+`"}`), InsertOptions{})
		return err
	}
}

// TestFullDisk fills the disk with rows, and then completely with an unrelated file:
// deletions must still work, and everything else as soon as there is room.
func TestFullDisk(t *testing.T) {
	x := newTight(t)
	x.project(1)
	x.project(2)
	acknowledged := 0
	var err error
	for err == nil && acknowledged < 10_000 {
		if err = x.with(1, insertKB(t, 4)); err == nil {
			acknowledged++
		}
	}
	if !problem.Is(err, problem.CodeStorageFull) || acknowledged < 100 {
		t.Fatalf("after %d rows: %v", acknowledged, err)
	}
	reserve := filepath.Join(x.disk, "reserve")
	if _, err := os.Stat(reserve); err != nil {
		t.Errorf("rows have eaten the reserve: %v", err)
	}
	testkit.FillDisk(t, filepath.Join(x.disk, "filler"))
	eventuallyLow(t, x.room)
	if err := x.with(2, insertKB(t, 1)); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("an insert into another project: %v", err)
	}
	if err := x.dir.Create(t.Context(), 3, nil); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("a new project: %v", err)
	}
	// Open both again, which needs room too.
	for x.dir.spare() {
	}
	if err := x.with(2, func(db *DB) error { _, err := db.Tables(t.Context()); return err }); err != nil {
		t.Errorf("reading a project that was not open: %v", err)
	}
	count := func() (n int64) {
		t.Helper()
		if err := x.with(1, func(db *DB) error {
			page, err := db.ListRecords(t.Context(), new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1}, Count: true})
			if err == nil {
				n = *page.Total
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		return n
	}
	if n := count(); n != int64(acknowledged) {
		t.Errorf("%d rows are there, %d were acknowledged", n, acknowledged)
	}
	if err := x.with(1, func(db *DB) error { _, err := db.DeleteRecord(t.Context(), "t", "1"); return err }); err != nil {
		t.Errorf("deleting a row: %v", err)
	}
	match := Match{Filters: jsontext.Value(`[{"column":"id","op":"<","value":50}]`)}
	if err := x.with(1, func(db *DB) error {
		_, err := db.DeleteRecords(t.Context(), new(problem.Faults), "t", match)
		return err
	}); err != nil {
		t.Errorf("deleting rows: %v", err)
	}
	if n := count(); n != int64(acknowledged)-49 {
		t.Errorf("%d rows are left of %d", n, acknowledged)
	}
	if err := x.with(2, insertKB(t, 1)); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("an insert while the reserve is used: %v", err)
	}
	if err := x.with(1, func(db *DB) error { _, err := db.DeleteTable(t.Context(), "t"); return err }); err != nil {
		t.Errorf("deleting a table: %v", err)
	}
	if err := x.dir.Remove(1); err != nil {
		t.Errorf("deleting a project: %v", err)
	}
	began := time.Now()
	for err = errors.New("not tried"); err != nil && time.Since(began) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
		err = x.with(2, insertKB(t, 1))
	}
	if err != nil {
		t.Errorf("5 seconds after there is room: %v", err)
	}
	if _, err := os.Stat(reserve); err != nil {
		t.Errorf("the reserve has not come back: %v", err)
	}
}

func eventuallyLow(t *testing.T, room *storage.Room) {
	t.Helper()
	for began := time.Now(); !room.Low(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("the disk is not taken for full")
		}
	}
}

// TestFreePagesAreUsed deletes rows on a nearly full disk: the project may reuse the
// space, though the disk has none for others.
func TestFreePagesAreUsed(t *testing.T) {
	x := newTight(t)
	x.project(1)
	x.project(2)
	for err := error(nil); err == nil; {
		err = x.with(1, insertKB(t, 4))
	}
	if err := x.with(1, func(db *DB) error {
		_, err := db.DeleteRecords(t.Context(), new(problem.Faults), "t", Match{All: true})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	testkit.FillDisk(t, filepath.Join(x.disk, "filler"))
	if err := os.Truncate(filepath.Join(x.disk, "filler"), sizeOf(t, filepath.Join(x.disk, "filler"))-(2<<20)); err != nil {
		t.Fatal(err)
	}
	eventuallyLow(t, x.room)
	for i := range 50 {
		if err := x.with(1, insertKB(t, 4)); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	if err := x.with(2, insertKB(t, 4)); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("another project: %v", err)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestQuota fills a project up to its quota while others continue.
func TestQuota(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	files := int64(0)
	quotas := &storage.Quotas{Default: limit, Files: func(ids.Project) int64 { return files }}
	dir, err := OpenDir(t.TempDir(), DirOptions{Quotas: quotas, Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	x := &tight{T: t, dir: dir}
	x.project(1)
	x.project(2)
	fill := func() (rows int, err error) {
		for err == nil && rows < 10_000 {
			if err = x.with(1, insertKB(t, 4)); err == nil {
				rows++
			}
		}
		return rows, err
	}
	usage := func() (u Usage) {
		t.Helper()
		if err := x.with(1, func(db *DB) (err error) { u, err = db.Usage(t.Context()); return err }); err != nil {
			t.Fatal(err)
		}
		return u
	}
	rows, err := fill()
	if !problem.Is(err, problem.CodeStorageFull) || !strings.Contains(err.Error(), fmt.Sprintf("quota of %d bytes", limit)) {
		t.Errorf("after %d rows: %v", rows, err)
	}
	if u := usage(); u.Used > limit || u.Used < limit*9/10 || u.Max != limit {
		t.Errorf("the full project has %+v", u)
	}
	if err := x.with(1, func(db *DB) error {
		_, _, err := db.AddColumn(t.Context(), new(problem.Faults), "t", NewColumn{Name: "b", Type: "TEXT"})
		return err
	}); err != nil && !strings.Contains(err.Error(), "quota") {
		t.Errorf("a new column: %v", err)
	}
	if err := x.with(2, insertKB(t, 4)); err != nil {
		t.Errorf("another project: %v", err)
	}
	if err := dir.Need(t.Context(), 1, 100<<10); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("an upload: %v", err)
	}
	// Deletions still work, and free space.
	match := Match{Filters: jsontext.Value(`[{"column":"id","op":"<=","value":100}]`)}
	if err := x.with(1, func(db *DB) error {
		_, err := db.DeleteRecords(t.Context(), new(problem.Faults), "t", match)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if u := usage(); u.Used > limit*3/4 {
		t.Errorf("after the deletion %+v", u)
	}
	if err := dir.Need(t.Context(), 1, 100<<10); err != nil {
		t.Errorf("an upload that fits: %v", err)
	}
	// The deleted rows fit again, but no more than that.
	if again, err := fill(); again < 90 || again > 110 || err == nil {
		t.Errorf("%d rows fit in the place of 100, then %v", again, err)
	}
	// A higher limit takes effect at once, and the files of imports count.
	higher := int64(2 * limit)
	quotas.Set(1, &higher)
	if again, _ := fill(); again < 200 || usage().Used > higher {
		t.Errorf("%d more rows, %+v", again, usage())
	}
	none := int64(0)
	quotas.Set(1, &none)
	for range 300 {
		if err := x.with(1, insertKB(t, 4)); err != nil {
			t.Fatal(err)
		}
	}
	quotas.Set(1, &higher)
	files = 1 << 30
	time.Sleep(1100 * time.Millisecond) // usage is cached for a second
	if err := x.with(1, insertKB(t, 100)); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("with large files beside it: %v", err)
	}
	if err := x.with(1, func(db *DB) error { _, err := db.DeleteRecord(t.Context(), "t", "150"); return err }); err != nil {
		t.Errorf("deleting far above the quota: %v", err)
	}
}
