package export

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loseBook closes the exports, removes their job store and opens them again.
func (f *fixture) loseBook() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(f.config.Database + suffix); err != nil && !os.IsNotExist(err) {
			f.t.Fatal(err)
		}
	}
	f.config.StoreLost = true
	f.open()
	f.config.StoreLost = false
}

// TestArtifactsOutliveTheBook loses the job store: every artifact can be downloaded as
// before, and unknown files stay untouched.
func TestArtifactsOutliveTheBook(t *testing.T) {
	f := started(t, small)
	var before []Manifest
	for _, order := range []Request{{Kind: SchemaExport}, {Kind: DatabaseExport, Format: "sqlite"}, {Kind: QueryExport, SQL: "SELECT 1 AS one"}} {
		before = append(before, f.wait(f.create(order)))
	}
	deleted := f.wait(f.create(Request{Kind: SchemaExport}))
	if err := f.Delete(background, shop.ID, deleted.ID); err != nil {
		t.Fatal(err)
	}
	if files, notes := f.filesAndNotes(); len(files) != 3 || len(notes) != 3 {
		t.Fatalf("before, there are %v and %v", files, notes)
	}
	stray := filepath.Join(f.config.Folder, "1", "exp_20200101_000000_0123456789.csv")
	broken := filepath.Join(f.config.Folder, "1", "exp_20200101_000000_0123456789.manifest")
	for _, path := range []string{stray, broken} {
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.loseBook()
	for _, m := range before {
		got, err := f.Get(background, shop.ID, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("the manifest of %s (-before +after):\n%s", m.ID, diff)
		}
		f.download(got)
	}
	for range 2 { // and again, when the job store is intact
		for _, name := range []string{filepath.Base(stray), filepath.Base(broken)} {
			if _, err := os.Stat(filepath.Join(f.config.Folder, "lost", "1", name)); err != nil {
				t.Errorf("a file without a note: %v", err)
			}
		}
		f.reopen()
	}
	for _, m := range before {
		f.download(m)
	}
	f.Start()
	f.clock.Add(25 * time.Hour)
	if err := f.sweep(background, f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if files, notes := f.filesAndNotes(); len(files) != 1 || len(notes) != 1 { // the lost files
		t.Errorf("when all have expired there are %v and %v", files, notes)
	}
}

func TestNotesAreRead(t *testing.T) {
	f := started(t, small)
	m := f.wait(f.create(Request{Kind: SchemaExport}))
	list, errs := Sidecars(f.config.Folder)
	if len(errs) != 0 || len(list) != 1 || list[0].ProjectID != shop.ID {
		t.Fatalf("got %+v, %v", list, errs)
	}
	if diff := cmp.Diff(m, list[0].Manifest); diff != "" {
		t.Errorf("the manifest (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(list[0].Artifact); err != nil || info.Size() != *m.SizeBytes {
		t.Errorf("the artifact: %v, %v", info, err)
	}
}
