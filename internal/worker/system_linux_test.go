package worker

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// keepOnExec takes the close-on-exec flag off a file.
func keepOnExec(t *testing.T, f *os.File) {
	t.Helper()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
}

// lives reports whether a process is there.
func lives(pid int) bool { return syscall.Kill(pid, 0) == nil }
