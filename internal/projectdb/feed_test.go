package projectdb

import (
	"testing"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// TestFollowersOutliveTheOpenDatabase closes and opens a database while it is followed.
func TestFollowersOutliveTheOpenDatabase(t *testing.T) {
	t.Parallel()
	dir, err := OpenDir(t.TempDir(), DirOptions{Relaxed: true, MaxOpen: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	inside := func(id ids.Project, fn func(*DB) error) {
		t.Helper()
		db, release, err := dir.Lease(t.Context(), id)
		if err == nil {
			err = fn(db)
			release()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []ids.Project{1, 2} {
		if err := dir.Create(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name string) func(*DB) error {
		return func(db *DB) error {
			_, err := db.CreateTable(t.Context(), new(problem.Faults), NewTable{Name: name})
			return err
		}
	}
	inside(1, create("a"))
	var f *Follower
	inside(1, func(*DB) error {
		f, _ = dir.Follow(1)
		return nil
	})
	inside(1, create("b"))
	inside(2, create("x")) // closes the other database
	if n := dir.Opened(); n != 1 {
		t.Fatalf("%d databases are open", n)
	}
	inside(1, create("c"))
	list, missed, more := f.Next(t.Context())
	if len(list) != 2 || missed != nil || !more || list[0].Number != 2 || list[1].Number != 3 {
		t.Errorf("followed %+v, missed %v", list, missed)
	}
	if !f.From(0) {
		t.Error("the places before are not known any more")
	}
	f.Close()
	inside(2, create("y"))
	if dir.feeds.known[1] != nil {
		t.Error("the feed of a closed project that nobody follows is kept")
	}
	inside(1, create("d"))
	inside(1, func(*DB) error {
		f, _ = dir.Follow(1)
		return nil
	})
	defer f.Close()
	if f.From(2) || !f.From(3) {
		t.Error("the wrong places are known after the feed was forgotten")
	}
	dir.StopFollowing()
	if _, _, more := f.Next(t.Context()); more {
		t.Error("followers go on after they were told to stop")
	}
}
