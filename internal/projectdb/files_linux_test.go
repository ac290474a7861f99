package projectdb

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestFewDescriptors reads and writes many projects at once while the system allows
// only a few open files. Some calls may be told to retry; none may fail otherwise, and
// everything works again as soon as the load ends.
func TestFewDescriptors(t *testing.T) {
	const callers = 8
	projects := testkit.Scale[ids.Project](30, 60)
	for name, bound := range map[string]int64{"bounded": 30, "found out": 0} {
		t.Run(name, func(t *testing.T) {
			dir, err := OpenDir(t.TempDir(), DirOptions{Relaxed: true, MaxFiles: bound})
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			for id := range projects {
				if err := dir.Create(t.Context(), id+1, nil); err != nil {
					t.Fatal(err)
				}
			}
			entries, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				t.Fatal(err)
			}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(entries) + 40), Max: limit.Max}); err != nil {
				t.Fatal(err)
			}
			defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
			use := func(id ids.Project) error {
				db, release, err := dir.Lease(t.Context(), id)
				if err != nil {
					return err
				}
				defer release()
				if _, err := db.Tables(t.Context()); err != nil {
					return err
				}
				_, err = db.Size(t.Context())
				return err
			}
			var running sync.WaitGroup
			for caller := range ids.Project(callers) {
				running.Go(func() {
					for i := range 3 * projects {
						if err := use((caller*7+i*11)%projects + 1); err != nil && !problem.Is(err, problem.CodeBusy) {
							t.Error(err)
						}
					}
				})
			}
			running.Wait()
			for id := range projects {
				if err := use(id + 1); err != nil {
					t.Errorf("when the load has ended, project %d: %v", id+1, err)
				}
			}
		})
	}
}

// TestWhatIsNoDamage opens projects whose files are intact but inaccessible.
func TestWhatIsNoDamage(t *testing.T) {
	folder := t.TempDir()
	dir, err := OpenDir(folder, DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Create(t.Context(), 1, nil); err != nil {
		t.Fatal(err)
	}
	// SQLite reports a folder in place of the log as a file that cannot be opened.
	log := filepath.Join(folder, "1.db-wal")
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Lease(t.Context(), 1); !problem.Is(err, problem.CodeBusy) {
		t.Errorf("got %v, want busy", err)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if _, release, err := dir.Lease(t.Context(), 1); err != nil {
		t.Errorf("when it can be opened again: %v", err)
	} else {
		release()
	}
}
