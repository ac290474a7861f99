package imports

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// otherProject is a second project.
var otherProject = registry.NewProject{Slug: "other", Name: "Other"}

// broken returns a file of n bytes that cannot be imported.
func broken(n int) string {
	return "a,b\n1,2\n3,4\n5,6\n" + strings.Repeat("x", n-21) + ",2,3\n"
}

// TestFailedFilesMakeRoom sends failing files again and again: the oldest are dropped,
// and the held bytes stay within the limit.
func TestFailedFilesMakeRoom(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"bytes": func(c *Config) { c.KeepBytes = 350 },
		"count": func(c *Config) { c.KeepCount = 3 },
	} {
		f := newFixture(t, t.TempDir(), change)
		f.Start()
		var sent []Manifest
		for i := range 6 {
			o := request(func(o *Request) {
				if i%2 == 0 { // the others do not announce their size
					o.Size = 100
				}
			})
			m, err := f.wait(f.send(broken(100), o))
			if m.Status != Failed {
				t.Fatalf("%s: the import is %s, %v", name, m.Status, err)
			}
			sent = append(sent, m)
		}
		if files := f.files(); len(files) != 3 {
			t.Errorf("%s: the files are %v", name, files)
		}
		first, err := f.Get(t.Context(), shop.ID, sent[0].ID)
		if err != nil || first.Status != Failed || first.ExpiresAt != nil {
			t.Errorf("%s: the oldest is %s until %v, %v", name, first.Status, first.ExpiresAt, err)
		}
		if _, err := f.Run(t.Context(), new(problem.Faults), shop.ID, sent[5].ID, nil, true, 0); err != nil {
			t.Errorf("%s: the newest cannot be run: %v", name, err)
		}
	}
}

// TestUnfinishedFilesHoldTheirPlace fills the limit of a project with unfinished
// imports, and then makes room again.
func TestUnfinishedFilesHoldTheirPlace(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.KeepBytes = 3000 })
	uploading, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable, o.Size = true, 1000 }))
	if err != nil {
		t.Fatal(err)
	}
	pending := f.send(broken(1000), request(func(o *Request) { o.Size = 1000 }))
	refused := func(size int64) bool {
		t.Helper()
		m, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Size = size }))
		if err == nil {
			err = f.Delete(t.Context(), shop.ID, m.ID)
		}
		if err != nil && codeOf(err) != problem.CodeStorageFull {
			t.Fatal(err)
		}
		return err != nil
	}
	if !refused(1001) || refused(1000) {
		t.Error("of 3,000 bytes 2,000 are taken: 1,001 must be refused and 1,000 must not")
	}
	deferred, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable = true }))
	if err != nil {
		t.Fatal(err)
	}
	size := int64(1001)
	if _, _, err := f.Receive(t.Context(), shop.ID, deferred.ID, Part{Body: strings.NewReader(""), Size: &size}); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("a size told later gives %v", err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, deferred.ID, Part{Body: strings.NewReader(broken(1001))}); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("bytes beyond the bound give %v", err)
	}
	other, err := f.registry.CreateProject(t.Context(), otherProject, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Project, o.Size = ProjectRef{ID: other.Project.ID, Slug: "other"}, 3000 })); err != nil {
		t.Errorf("another project has no room: %v", err)
	}
	for _, m := range []Manifest{uploading, pending} {
		if err := f.Delete(t.Context(), shop.ID, m.ID); err != nil {
			t.Fatal(err)
		}
	}
	if refused(3000) {
		t.Error("3,000 bytes are refused when nothing is held")
	}
}

// TestDeleteRemovesTheFileOfAFailedImport checks that deleting a failed import makes
// room at once.
func TestDeleteRemovesTheFileOfAFailedImport(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	m, _ := f.wait(f.send(broken(100), request()))
	if len(f.files()) != 1 {
		t.Fatalf("the files are %v", f.files())
	}
	if err := f.Delete(t.Context(), shop.ID, m.ID); err != nil || len(f.files()) != 0 {
		t.Errorf("%v, the files are %v", err, f.files())
	}
}

// TestOldFilesAreCounted opens a job store from before it recorded the sizes of its
// files.
func TestOldFilesAreCounted(t *testing.T) {
	folder := t.TempDir()
	old := schema
	old.Migrations = schema.Migrations[:2]
	db, err := sqlite.Open(filepath.Join(folder, "imports.db"), sqlite.Options{Schema: old})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Write(t.Context(), func(c *sqlite.Conn) error {
		return c.Exec(`INSERT INTO imports (id, project_id, root, status, resumable, work, manifest)
			VALUES ('imp_old', 1, 1, 'pending', 0, '{}', '{"id":"imp_old","status":"pending","size_bytes":1000}')`)
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, folder, func(c *Config) { c.KeepBytes = 1500 })
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Size = 1000 })); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("beside an old file of 1,000 bytes, one more of 1,000 within 1,500 gives %v", err)
	}
}

func TestPendingImportsAreBounded(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.MaxPending = 2 })
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable, o.Size = true, 10 })); err != nil {
		t.Fatal(err)
	}
	m := f.send(people(1), request())
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request()); codeOf(err) != problem.CodeRateLimited {
		t.Errorf("a third import gives %v", err)
	}
	if err := f.Delete(t.Context(), shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request()); err != nil {
		t.Errorf("when one is canceled: %v", err)
	}
}
