//go:build unix

package projectdb

import (
	"syscall"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
)

// TestNoFileDescriptorIsLeft opens an intact project while the process may open no
// more files.
func TestNoFileDescriptorIsLeft(t *testing.T) {
	dir, err := OpenDir(t.TempDir(), DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Create(ctx, 1, nil); err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, _, err = dir.Lease(ctx, 1)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if !problem.Is(err, problem.CodeBusy) || problem.From(err).RetryAfter == 0 {
		t.Errorf("got %v, want busy", err)
	}
	_, release, err := dir.Lease(ctx, 1)
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	release()
}
