package projectdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// openDir makes a folder with projects 1 to n, each with the table contacts.
func openDir(t *testing.T, n ids.Project, options DirOptions) *Dir {
	t.Helper()
	options.Relaxed = true
	dir, err := OpenDir(filepath.Join(t.TempDir(), "projects"), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	for id := ids.Project(1); id <= n; id++ {
		if err := dir.Create(ctx, id, withContacts); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func withContacts(db *DB) error {
	_, err := db.CreateTable(ctx, new(problem.Faults), contacts)
	return err
}

// use inserts one contact into a project.
func use(dir *Dir, id ids.Project, email string) error {
	db, release, err := dir.Lease(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	_, err = db.InsertRecord(ctx, new(problem.Faults), "contacts", jsontext.Value(fmt.Sprintf(`{"email":%q}`, email)), InsertOptions{})
	return err
}

func files(t *testing.T, dir *Dir) []string {
	t.Helper()
	entries, err := os.ReadDir(dir.folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCreateIsAllOrNothing(t *testing.T) {
	dir := openDir(t, 1, DirOptions{})
	boom := errors.New("boom")
	err := dir.Create(ctx, 2, func(db *DB) error {
		if err := withContacts(db); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"1.db"}) {
		t.Errorf("files: %q", got)
	}
	if err := use(dir, 1, "kept"); err != nil {
		t.Fatal(err)
	}
	if err := dir.Create(ctx, 1, withContacts); err == nil {
		t.Error("a project was created where there is one")
	}
	if err := use(dir, 1, "kept"); !problem.Is(err, problem.CodeConflict) {
		t.Errorf("the project that was there is gone: %v", err)
	}
}

func TestIDsCleansUpAfterInterruptedCreates(t *testing.T) {
	dir := openDir(t, 3, DirOptions{})
	for _, name := range []string{"9.building", "9.building-wal", "9.building-shm"} {
		if err := os.WriteFile(filepath.Join(dir.folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"readme.txt", "x.db", "7.db.old"} {
		if err := os.WriteFile(filepath.Join(dir.folder, name), []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := dir.Create(ctx, 4, func(db *DB) error {
		found, err := dir.IDs()
		if err != nil || !slices.Equal(found, []ids.Project{1, 2, 3}) {
			t.Errorf("ids %v, %v", found, err)
		}
		return withContacts(db)
	})
	if err != nil {
		t.Errorf("a project was cleaned up while it was created: %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"1.db", "2.db", "3.db", "4.db", "7.db.old", "readme.txt", "x.db"}) {
		t.Errorf("files: %q", got)
	}
}

func TestDamagedFiles(t *testing.T) {
	damages := []struct {
		name string
		do   func(path string) error
		late bool // the damage only shows when the table is read
	}{
		{"cut off in the header", func(path string) error { return os.Truncate(path, 50) }, false},
		{"cut off in the middle", func(path string) error { return os.Truncate(path, 3*4096+100) }, true},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, false},
		{"a page of zeros", func(path string) error { return overwrite(path, 0, make([]byte, 4096)) }, false},
		{"noise behind the first page", func(path string) error { return overwrite(path, 4096, bytes.Repeat([]byte{0xa5}, 40*4096)) }, true},
		{"something else", func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("hello "), 4000), 0o600) }, false},
		{"a database of another program", foreign, false},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, false},
		{"missing", os.Remove, false},
	}
	dir := openDir(t, ids.Project(len(damages))+1, DirOptions{})
	for i := range damages {
		id := ids.Project(i + 1)
		db, release, err := dir.Lease(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for n := range 200 {
			rows = append(rows, fmt.Sprintf(`{"email":"%0100d"}`, n))
		}
		put(t, db, "contacts", rows...)
		release()
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	dir, err := OpenDir(dir.folder, DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for i, damage := range damages {
		id := ids.Project(i + 1)
		if err := damage.do(dir.path(id)); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(dir.path(id))
		for range 2 {
			db, release, err := dir.Lease(ctx, id)
			if err == nil {
				_, err = db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Limit: 500}})
				release()
				if !damage.late {
					t.Errorf("%s: the file was opened", damage.name)
				}
			}
			if !problem.Is(err, problem.CodeProjectDamaged) {
				t.Errorf("%s: got %v, want project_damaged", damage.name, err)
			}
		}
		if after, _ := os.ReadFile(dir.path(id)); !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed", damage.name)
		}
		if err := use(dir, ids.Project(len(damages))+1, damage.name); err != nil {
			t.Errorf("beside a project that is %s: %v", damage.name, err)
		}
	}
}

func overwrite(path string, at int64, content []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(content, at)
	return err
}

func foreign(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	db, err := sqlite.Open(path, sqlite.Options{Schema: sqlite.Schema{ApplicationID: 77, Migrations: []string{"CREATE TABLE x (y)"}}})
	if err != nil {
		return err
	}
	return db.Close()
}

func TestFewStayOpen(t *testing.T) {
	t.Parallel()
	const projects, workers, rounds = 50, 8, 12
	dir := openDir(t, projects, DirOptions{MaxOpen: 2})
	var done [projects + 1]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range rounds {
				// A few projects are used again and again, the others rarely.
				id := ids.Project(1 + (n*7+w*13)%projects)
				if n%3 == 0 {
					id = ids.Project(1 + w%2)
				}
				if err := use(dir, id, fmt.Sprintf("%d-%d", w, n)); err != nil {
					t.Error(err)
					return
				}
				done[id].Add(1)
			}
		})
	}
	wg.Wait()
	if n := len(dir.open); n > 2 {
		t.Errorf("%d are still open", n)
	}
	for id := ids.Project(1); id <= projects; id++ {
		db, release, err := dir.Lease(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		page, err := db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Limit: 1}, Count: true})
		if err != nil || *page.Total != done[id].Load() {
			t.Errorf("project %d has %v rows, want %d (%v)", id, page.Total, done[id].Load(), err)
		}
		release()
		release() // does nothing
	}
}

func TestRemoveWhileInUse(t *testing.T) {
	for range 5 {
		dir := openDir(t, 2, DirOptions{})
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for n := range 20 {
					err := use(dir, 1, fmt.Sprintf("%d-%d", w, n))
					if err != nil && !problem.Is(err, problem.CodeNotFound) && !problem.Is(err, problem.CodeProjectDamaged) {
						t.Errorf("got %v, want not_found or, once the file is gone, project_damaged", err)
					}
				}
			})
			wg.Go(func() {
				if err := dir.Remove(1); err != nil && !problem.Is(err, problem.CodeNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := use(dir, 2, "a"); err != nil {
			t.Error(err)
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
		if got := files(t, dir); !slices.Equal(got, []string{"2.db"}) {
			t.Fatalf("files: %q", got)
		}
	}
}

func TestRemoveDamaged(t *testing.T) {
	dir := openDir(t, 1, DirOptions{})
	if err := os.Truncate(dir.path(1), 7); err != nil {
		t.Fatal(err)
	}
	if err := use(dir, 1, "a"); !problem.Is(err, problem.CodeProjectDamaged) {
		t.Errorf("got %v", err)
	}
	if err := dir.Remove(1); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("files: %q", got)
	}
	if err := dir.Create(ctx, 1, withContacts); err != nil {
		t.Error(err)
	}
	if err := use(dir, 1, "a"); err != nil {
		t.Error(err)
	}
}

func TestCloseWhileInUse(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir := openDir(t, 4, DirOptions{MaxOpen: 2})
		var stored [5]atomic.Int64
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for n := range 200 {
					id := ids.Project(1 + (w+n)%4)
					err := use(dir, id, fmt.Sprintf("%d-%d", w, n))
					if err != nil {
						if !problem.Is(err, problem.CodeBusy) {
							t.Errorf("got %v, want busy", err)
						}
						return
					}
					stored[id].Add(1)
				}
			})
		}
		for stored[1].Load() < 2 {
		}
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, _, err := dir.Lease(ctx, 1); !problem.Is(err, problem.CodeBusy) {
			t.Errorf("after Close: %v", err)
		}
		if got := files(t, dir); !slices.Equal(got, []string{"1.db", "2.db", "3.db", "4.db"}) {
			t.Fatalf("files: %q", got)
		}
		again, err := OpenDir(dir.folder, DirOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for id := ids.Project(1); id <= 4; id++ {
			db, release, err := again.Lease(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			page, err := db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Limit: 1}, Count: true})
			if err != nil || *page.Total != stored[id].Load() {
				t.Errorf("project %d has %d rows, want %d (%v)", id, *page.Total, stored[id].Load(), err)
			}
			release()
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLeaseEndsWithItsContext(t *testing.T) {
	dir := openDir(t, 1, DirOptions{})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for range 20 {
		if _, release, err := dir.Lease(ended, 1); err == nil {
			release()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if users := dir.open[1].users; users != 0 {
		t.Errorf("%d users are left", users)
	}
}

// The catalog is kept between transactions. The catalog of a rolled-back
// transaction must never be used for the next one.
func TestCatalogOfRolledBackChanges(t *testing.T) {
	db := openProject(t, contacts)
	names := func() (s string) {
		tables, err := db.Tables(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			s += table.Name + " "
			for _, column := range table.Columns {
				s += column.Name + " "
			}
		}
		return s
	}
	before := names()
	err := db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		cat, err := db.catalog(c)
		if err != nil {
			return err
		}
		shape := NewTable{Name: "gone"}.shape(new(problem.Faults), "", nil)
		tx := db.tx(ctx, c, SchemaTransaction)
		if _, err := tx.createTable(shape); err != nil {
			return err
		}
		if _, err := tx.tableWithID(cat.tables[0].ID); err != nil {
			return err
		}
		return errors.New("no")
	})
	if err == nil || names() != before {
		t.Errorf("after a rollback: %s (%v)", names(), err)
	}
	if _, err := db.CreateTable(ctx, new(problem.Faults), NewTable{Name: "stays"}); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != before+"stays id " {
		t.Errorf("after the next change: %s", got)
	}
	// Readers of old states run concurrently with writers.
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := db.View(ctx, viewed(func(c *sqlite.Conn, cat *catalog) error {
					real, err := loadCatalog(c, cat.version)
					if err == nil && len(real.tables[0].Columns) != len(cat.tables[0].Columns) {
						err = fmt.Errorf("%d columns, the catalog has %d", len(real.tables[0].Columns), len(cat.tables[0].Columns))
					}
					return err
				}))
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 40 {
		name := fmt.Sprintf("c%d", i)
		if err := add("contacts", NewColumn{Name: name})(ctx, db); err != nil {
			t.Error(err)
		}
		if err := add("contacts", NewColumn{Name: name})(ctx, db); !problem.Is(err, problem.CodeConflict) {
			t.Error(err)
		}
		if i%2 == 0 {
			if err := drop("contacts", name)(ctx, db); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	wg.Wait()
}
