package imports

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestBookOnAFullDisk has a file fill the disk that the job store is on too. An upload
// that cannot continue is removed, instead of being shown as uploading for a day.
func TestBookOnAFullDisk(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Folder, c.Database = filepath.Join(disk, "imports"), filepath.Join(disk, "imports.db")
		c.Disk.Free = func(string) (free, total int64, err error) { return 1 << 40, 1 << 40, nil }
	})
	m, _, err := f.Begin(t.Context(), new(problem.Faults), request())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader(people(1 << 20))}); codeOf(err) != problem.CodeStorageFull || len(f.files()) != 0 {
		t.Errorf("got %v, files %v", err, f.files())
	}
	if m, err := f.Get(t.Context(), shop.ID, m.ID); codeOf(err) != problem.CodeNotFound {
		t.Errorf("the upload is %s, %v", m.Status, err)
	}
}

// TestFullDisk has the disk fill up while a file arrives: the free space may shrink
// after the upload began.
func TestFullDisk(t *testing.T) {
	disk := testkit.SmallDisk(t)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Folder = filepath.Join(disk, "imports")
		c.Disk.Free = func(string) (free, total int64, err error) { return 1 << 40, 1 << 40, nil }
	})
	f.Start()
	large := strings.Repeat("a,b,c,d,e,f,g\n", 1<<19)
	m, _, err := f.Begin(t.Context(), new(problem.Faults), request())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader(large)}); codeOf(err) != problem.CodeStorageFull || len(f.files()) != 0 {
		t.Errorf("got %v, files %v", err, f.files())
	}
	m, _, err = f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable, o.Size = true, int64(len(large)) }))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader(large)}); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("got %v", err)
	}
	// The part that arrived is kept, and matches what was sent.
	got, err := f.Get(t.Context(), shop.ID, m.ID)
	if err != nil || got.Status != Uploading || got.ReceivedBytes == 0 {
		t.Fatalf("%s with %d bytes, %v", got.Status, got.ReceivedBytes, err)
	}
	kept, err := os.ReadFile(filepath.Join(f.config.Folder, "1", m.ID))
	if err != nil || !strings.HasPrefix(large, string(kept)) {
		t.Errorf("%d bytes that were not sent, %v", len(kept), err)
	}
	if err := f.Delete(t.Context(), shop.ID, m.ID); err != nil || len(f.files()) != 0 {
		t.Errorf("%v, files %v", err, f.files())
	}
	f.ready(f.send(people(3), request()))
}
