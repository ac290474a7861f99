package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// locksOn returns how many locks on a file this process holds.
func locksOn(t *testing.T, path string) (n int) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// Lines of /proc/locks can be missing while other processes lock and unlock.
	descriptors, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	for _, d := range descriptors {
		text, err := os.ReadFile(d)
		if err != nil {
			continue // closed in the meantime
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "lock:") && strings.Contains(line, inode) {
				n++
			}
		}
	}
	return n
}

// TestLocksSurviveOthers opens and closes the file of an open database, as any code in
// the process may: the database's locks must survive.
func TestLocksSurviveOthers(t *testing.T) {
	db, _ := openCounting(t)
	if err := db.Write(t.Context(), insert(1)); err != nil {
		t.Fatal(err)
	}
	before := locksOn(t, db.Path())
	if before == 0 {
		t.Skip("this file system keeps no locks that the system lists")
	}
	file, err := os.Open(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if after := locksOn(t, db.Path()); after != before {
		t.Errorf("%d of %d locks are left", after, before)
	}
}

// TestNoDescriptorLeft lowers the limit of the process until nothing can be opened: a
// database that is not in use must give up its files.
func TestNoDescriptorLeft(t *testing.T) {
	folder := t.TempDir()
	var idle []*DB
	closed := 0
	files := &Files{}
	files.Spare = func() bool {
		if len(idle) == 0 {
			return false
		}
		if err := idle[0].Close(); err != nil {
			t.Error(err)
		}
		idle = idle[1:]
		closed++
		return true
	}
	open := func(i int) (*DB, error) {
		return Open(filepath.Join(folder, fmt.Sprint(i, ".db")), Options{Schema: Schema{Migrations: []string{"CREATE TABLE t (a)"}}, Files: files})
	}
	for i := range 3 {
		db, err := open(i)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, db)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: uint64(len(entries)), Max: limit.Max} // one of them is closed already
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	db, err := open(3)
	if err != nil || closed == 0 {
		t.Fatalf("%d databases were closed, and then: %v", closed, err)
	}
	for i := range 3 { // including readers
		if rows(t, db); i == 0 {
			idle = append(idle, db)
		}
	}
	for len(idle) > 0 {
		files.Spare()
	}
	if _, err := open(4); err != nil {
		t.Fatal(err)
	}
}

// TestFilesAreBounded opens more databases than the bound on files allows.
func TestFilesAreBounded(t *testing.T) {
	var idle []*DB
	files := &Files{Max: 20}
	files.Spare = func() bool {
		if len(idle) == 0 {
			return false
		}
		err := idle[0].Close()
		idle = idle[1:]
		return err == nil
	}
	folder := t.TempDir()
	for i := range 30 {
		db, err := Open(filepath.Join(folder, fmt.Sprint(i, ".db")), Options{Schema: Schema{Migrations: []string{"CREATE TABLE t (a)"}}, Files: files})
		if err != nil {
			t.Fatal(err)
		}
		rows(t, db)
		if used := files.Used(); used > files.Max+1 {
			t.Errorf("with database %d, %d files are in use", i, used)
		}
		idle = append(idle, db)
	}
	for files.Spare() {
	}
	if used := files.Used(); used != 0 {
		t.Errorf("%d files are in use when all is closed", used)
	}
}
