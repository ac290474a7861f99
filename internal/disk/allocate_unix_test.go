//go:build linux || darwin || freebsd

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Allocated space is really used, even on file systems that compress data or store
// zeros as holes.
func TestAllocate(t *testing.T) {
	dir, size := t.TempDir(), int64(3<<20)
	for name, make := range map[string]func(*os.File, int64) error{"asked for": allocate, "written": fill} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(make(f, size), f.Close()); err != nil {
			t.Fatal(err)
		}
		if got := blocks(t, f.Name()); got < size {
			t.Errorf("%s: %d bytes of %d are taken up", name, got, size)
		}
	}
	name := filepath.Join(dir, "whole")
	if err := errors.Join(Allocate(name, 2*size), Allocate(name, size)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
		t.Errorf("allocated again: %v, %v", info, err)
	}
	if err := Allocate(name, 1<<62); err == nil {
		t.Error("more than any disk has is allocated")
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file is left where there was no room: %v", err)
	}
	if err := Allocate(filepath.Join(dir, "no", "where"), 1); err == nil {
		t.Error("a file is allocated in a directory that is missing")
	}
}

// blocks returns how many bytes of disk space a file occupies.
func blocks(t *testing.T, name string) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(name, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Blocks) * 512
}
