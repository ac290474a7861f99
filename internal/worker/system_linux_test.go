package worker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// keepOnExec clears the close-on-exec flag of a file.
func keepOnExec(t *testing.T, f *os.File) {
	t.Helper()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
}

// lives reports whether a process exists.
func lives(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestNothingIsInherited(t *testing.T) {
	t.Setenv("ZANGTABLE_SECRET", "s3cret")
	// A file without close-on-exec, as passed by a service manager.
	leak, err := os.Open(file(t, "leak"))
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	keepOnExec(t, leak)
	p := open(t, Options{})
	w := acquire(t, p, file(t, "x"))
	defer p.Release(w)
	vars, err := environment.Call(t.Context(), w, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vars {
		if !strings.HasPrefix(v, "SQLITE_TMPDIR=") && !strings.HasPrefix(v, "TZ=") {
			t.Errorf("the environment holds %s", v)
		}
	}
	folder := fmt.Sprintf("/proc/%d/fd/", w.cmd.Process.Pid)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) < 3 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		target, err := os.Readlink(folder + e.Name())
		if err != nil {
			continue // closed in the meantime
		}
		switch {
		case strings.HasPrefix(target, "pipe:"), strings.HasPrefix(target, "anon_inode:"), strings.HasPrefix(target, "/sys/fs/cgroup"):
		default:
			t.Errorf("descriptor %s is %s", e.Name(), target)
		}
	}
}

func TestDescendants(t *testing.T) {
	p := open(t, Options{})
	w := acquire(t, p, file(t, "x"))
	defer p.Release(w)
	if !p.Descends(w.cmd.Process.Pid) {
		t.Error("a worker is not known")
	}
	if p.Descends(os.Getpid()) || p.Descends(os.Getppid()) {
		t.Error("this process counts as a worker")
	}
}

// A child ends when its parent is killed.
func TestChildrenDieWithTheirParent(t *testing.T) {
	if os.Getenv("WORKER_TEST_PARENT") != "" {
		p := open(t, Options{Folder: os.Getenv("WORKER_TEST_PARENT")})
		w := acquire(t, p, file(t, "x"))
		fmt.Println("pid", w.cmd.Process.Pid)
		_, _ = hang.Call(context.Background(), w, "", nil)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestChildrenDieWithTheirParent$")
	cmd.Env = append(os.Environ(), "WORKER_TEST_PARENT="+filepath.Join(t.TempDir(), "workers"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "pid %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for deadline := time.Now().Add(5 * time.Second); lives(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}
