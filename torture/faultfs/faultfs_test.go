//go:build linux

package faultfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// mount mounts a file system for a new folder.
func mount(t *testing.T, seed uint64) (f *FS, folder, at string) {
	t.Helper()
	dir := t.TempDir()
	folder, at = filepath.Join(dir, "folder"), filepath.Join(dir, "at")
	f, err := Mount(folder, at, seed)
	if err != nil {
		if os.Getenv("ZANGTABLE_REQUIRE_TOOLS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(at, syscall.MNT_DETACH) })
	return f, folder, at
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// write writes text at an offset and optionally syncs it.
func write(t *testing.T, path string, off int64, text []byte, sync bool) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	_, err = file.WriteAt(text, off)
	check(t, err)
	if sync {
		check(t, file.Sync())
	}
	check(t, file.Close())
}

func syncFolder(t *testing.T, path string) {
	t.Helper()
	folder, err := os.Open(path)
	check(t, err)
	check(t, folder.Sync(), folder.Close())
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "missing"
	}
	check(t, err)
	return string(text)
}

func TestCutForgetsWhatWasNotSynced(t *testing.T) {
	f, folder, at := mount(t, 1)
	in := func(name string) string { return filepath.Join(at, name) }
	write(t, in("synced"), 0, []byte("synced"), true)
	write(t, in("synced"), 0, []byte("SYN"), false)
	write(t, in("longer"), 0, []byte("short"), true)
	write(t, in("longer"), 5, bytes.Repeat([]byte("x"), 10_000), false)
	write(t, in("shorter"), 0, bytes.Repeat([]byte("y"), 10_000), true)
	check(t, os.Truncate(in("shorter"), 3))
	write(t, in("new"), 0, []byte("new"), false)
	write(t, in("removed"), 0, []byte("removed"), true)
	check(t, os.Remove(in("removed")))
	write(t, in("a.part"), 0, []byte("a"), true)
	check(t, os.Rename(in("a.part"), in("a")))
	syncFolder(t, at)
	write(t, in("b.part"), 0, []byte("b"), true)
	check(t, os.Rename(in("b.part"), in("b")))
	check(t, os.Mkdir(in("folder"), 0o700))
	write(t, in("folder/deep"), 0, []byte("deep"), true)
	check(t, os.Mkdir(in("lost"), 0o700))
	if got := f.Unsynced(".part"); len(got) != 0 {
		t.Errorf("renamed without being synced: %v", got)
	}
	check(t, f.Cut(true))
	for name, want := range map[string]string{
		"synced": "synced", "longer": "short", "shorter": string(bytes.Repeat([]byte("y"), 10_000)),
		// The folder was synced after these three changes.
		"new": "", "removed": "missing", "a": "a",
		"a.part": "missing", "b": "missing", "b.part": "b", "lost": "missing", "folder/deep": "deep",
	} {
		if got := content(t, filepath.Join(folder, name)); got != want {
			t.Errorf("%s holds %.20q of %d bytes, want %.20q", name, got, len(got), want)
		}
	}
}

func TestCutBringsBackWhatWasReplaced(t *testing.T) {
	f, folder, at := mount(t, 1)
	write(t, filepath.Join(at, "book"), 0, []byte("old"), true)
	syncFolder(t, at)
	write(t, filepath.Join(at, "book.new"), 0, []byte("new"), false)
	check(t, os.Rename(filepath.Join(at, "book.new"), filepath.Join(at, "book")))
	if got := f.Unsynced(".new"); len(got) != 1 {
		t.Errorf("renamed without being synced: %v", got)
	}
	check(t, f.Cut(true))
	if got := content(t, filepath.Join(folder, "book")); got != "old" {
		t.Errorf("the file holds %q", got)
	}
}

// TestChanceDecidesBlockByBlock cuts the power without losing everything: some of the
// blocks of a file survive, and not in order.
func TestChanceDecidesBlockByBlock(t *testing.T) {
	f, folder, at := mount(t, 3)
	write(t, filepath.Join(at, "file"), 0, bytes.Repeat([]byte("a"), 64*blockSize), true)
	write(t, filepath.Join(at, "file"), 0, bytes.Repeat([]byte("b"), 64*blockSize), false)
	check(t, f.Cut(false))
	text := content(t, filepath.Join(folder, "file"))
	b := 0
	for n := range 64 {
		block := text[n*blockSize : (n+1)*blockSize]
		if block == string(bytes.Repeat([]byte("b"), blockSize)) {
			b++
		} else if block != string(bytes.Repeat([]byte("a"), blockSize)) {
			t.Fatalf("block %d is neither as before nor as after", n)
		}
	}
	if b < 10 || b > 54 {
		t.Errorf("%d of 64 blocks survived", b)
	}
}

// TestFailedSyncIsNotMendedByAnother writes, gets an error from an fsync, and syncs
// again: only what was written again is durable.
func TestFailedSyncIsNotMendedByAnother(t *testing.T) {
	f, folder, at := mount(t, 1)
	file, err := os.OpenFile(filepath.Join(at, "file"), os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	_, err = file.WriteAt(bytes.Repeat([]byte("a"), 2*blockSize), 0)
	check(t, err, file.Sync())
	_, err = file.WriteAt(bytes.Repeat([]byte("b"), 2*blockSize), 0)
	check(t, err)
	f.Fail(0, 1)
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the fsync answers %v", err)
	}
	f.Fail(0, 0)
	_, err = file.WriteAt(bytes.Repeat([]byte("c"), blockSize), 0)
	check(t, err, file.Sync(), file.Close(), f.Cut(true))
	if got := content(t, filepath.Join(folder, "file")); got[0] != 'c' || got[blockSize] != 'a' {
		t.Errorf("the blocks hold %c and %c, want c and a", got[0], got[blockSize])
	}
}

// TestNewFileUnderAnOldName removes a file and a directory, makes others of the same
// names, and syncs the file: what it replaced cannot come back, as a directory never
// holds a name twice.
func TestNewFileUnderAnOldName(t *testing.T) {
	f, folder, at := mount(t, 1)
	file, inner := filepath.Join(at, "log"), filepath.Join(at, "tmp", "inner")
	write(t, file, 0, []byte("old"), true)
	check(t, os.Mkdir(filepath.Dir(inner), 0o700))
	syncFolder(t, at)
	check(t, os.Remove(file), os.Remove(filepath.Dir(inner)), os.Mkdir(filepath.Dir(inner), 0o700))
	write(t, file, 0, []byte("new"), true)
	write(t, inner, 0, []byte("new"), true)
	check(t, f.Cut(true))
	for _, path := range []string{"log", "tmp/inner"} {
		if got := content(t, filepath.Join(folder, path)); got != "new" {
			t.Errorf("%s holds %q, want what was synced", path, got)
		}
	}
}

func TestWritesFail(t *testing.T) {
	f, _, at := mount(t, 1)
	f.Fail(3, 0)
	failed := 0
	for n := range 60 {
		if err := os.WriteFile(filepath.Join(at, "file"), bytes.Repeat([]byte("a"), n+1), 0o600); errors.Is(err, syscall.EIO) {
			failed++
		} else {
			check(t, err)
		}
	}
	if failed < 5 || failed != f.Failed() {
		t.Errorf("%d of 60 writes failed, %d were made to fail", failed, f.Failed())
	}
}

// TestNothingIsDurableAfterTheCut writes while the power fails.
func TestNothingIsDurableAfterTheCut(t *testing.T) {
	f, folder, at := mount(t, 1)
	path := filepath.Join(at, "file")
	write(t, path, 0, []byte("before"), true)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	_, err = file.WriteAt([]byte("during"), 0)
	check(t, err)
	f.Freeze()
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("an fsync after the power has failed answers %v", err)
	}
	if err := os.Rename(path, path+"2"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a rename after the power has failed answers %v", err)
	}
	check(t, file.Close(), f.Cut(true))
	if got := content(t, filepath.Join(folder, "file")); got != "before" {
		t.Errorf("the file holds %q", got)
	}
}
