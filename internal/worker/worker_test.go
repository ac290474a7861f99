package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

// The tasks of these tests. Each does one thing that a worker must survive or must not
// be able to do.
var (
	echo = Define("test.echo", func(_ context.Context, s *Session, in string) (string, error) {
		return in + " " + filepath.Base(s.Path), nil
	})
	refuse = Define("test.refuse", func(context.Context, *Session, string) (string, error) {
		return "", problem.New(problem.CodeBusy, "Not %s.", "now").With("field", "why").Retry(3 * time.Second).Because(errors.New("the cause"))
	})
	wait = Define("test.wait", func(ctx context.Context, _ *Session, _ string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	// hang ignores its context, as some opcodes of SQLite do.
	hang  = Define("test.hang", func(context.Context, *Session, string) (string, error) { select {} })
	crash = Define("test.crash", func(context.Context, *Session, string) (string, error) { panic("on purpose") })
	hoard = Define("test.hoard", func(context.Context, *Session, string) (string, error) {
		var all [][]byte
		for range 1000 {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = byte(i)
			}
			all = append(all, b)
			time.Sleep(time.Millisecond)
		}
		return fmt.Sprint(len(all)), nil
	})
	read = Define("test.read", func(_ context.Context, _ *Session, path string) (string, error) {
		text, err := os.ReadFile(path)
		return string(text), err
	})
	write = Define("test.write", func(_ context.Context, s *Session, path string) (string, error) {
		return s.Folder, os.WriteFile(path, []byte("written"), 0o600)
	})
	environment = Define("test.environment", func(context.Context, *Session, string) ([]string, error) { return os.Environ(), nil })
	upper       = Define("test.upper", func(ctx context.Context, s *Session, n int) (int, error) {
		for range n {
			p, err := s.Receive(ctx)
			if err == nil {
				err = s.Send(bytes.ToUpper(p))
			}
			if err != nil {
				return 0, err
			}
		}
		return n, nil
	})
	inherited = Define("test.inherited", func(_ context.Context, s *Session, text string) (int, error) {
		return s.Files[0].WriteString(text)
	})
	keep = Define("test.keep", func(_ context.Context, s *Session, in string) (string, error) {
		before, _ := s.State.(string)
		s.State = in
		return before, nil
	})
)

func open(t *testing.T, options Options) *Pool {
	t.Helper()
	if options.Folder == "" {
		options.Folder = filepath.Join(t.TempDir(), "workers")
	}
	p, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// file creates a file with a text and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.db")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func acquire(t *testing.T, p *Pool, path string) *Worker {
	t.Helper()
	w, err := p.Acquire(t.Context(), Scope{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCalls(t *testing.T) {
	p := open(t, Options{})
	w := acquire(t, p, file(t, "x"))
	defer p.Release(w)
	for range 3 {
		if got, err := echo.Call(t.Context(), w, "hello", nil); err != nil || got != "hello file.db" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_, err := refuse.Call(t.Context(), w, "", nil)
	var p2 *problem.Error
	if !errors.As(err, &p2) || p2.Code != problem.CodeBusy || p2.Message != "Not now." || p2.RetryAfter != 3*time.Second ||
		len(p2.Details) != 1 || p2.Details[0].Field != "field" || errors.Unwrap(p2).Error() != "the cause" {
		t.Errorf("a problem came back as %#v", err)
	}
	if _, err := read.Call(t.Context(), w, "/does/not/exist", nil); err == nil || problem.Is(err, problem.CodeInternal) {
		t.Errorf("a failure came back as %v", err)
	}
}

func TestDataGoesBothWays(t *testing.T) {
	p := open(t, Options{})
	w := acquire(t, p, file(t, "x"))
	defer p.Release(w)
	large := strings.Repeat("é", 1<<20)
	parts := []string{"a", "", large}
	sent := make(chan error, 1)
	go func() {
		var err error
		for _, part := range parts {
			err = errors.Join(err, w.Send([]byte(part)))
		}
		sent <- err
	}()
	var got []string
	n, err := upper.Call(t.Context(), w, len(parts), func(b []byte) error {
		got = append(got, string(b))
		return nil
	})
	if err := errors.Join(err, <-sent); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	for i := range parts {
		if got[i] != string(bytes.ToUpper([]byte(parts[i]))) {
			t.Errorf("part %d came back otherwise", i)
		}
	}
	stop := errors.New("enough")
	go w.Send([]byte("b"))
	if _, err := upper.Call(t.Context(), w, 1, func([]byte) error { return stop }); err != stop {
		t.Errorf("the error of the receiver came back as %v", err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	p := open(t, Options{})
	path := file(t, "x")
	for _, test := range []struct {
		name     string
		task     Task[string, string]
		survives bool
	}{{"one that listens", wait, true}, {"one that is deaf", hang, false}} {
		w := acquire(t, p, path)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		_, err := test.task.Call(ctx, w, "", nil)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", test.name, err)
		}
		if took := time.Since(began); took > testkit.Slack {
			t.Errorf("%s took %s", test.name, took)
		}
		if w.alive() != test.survives {
			t.Errorf("%s: its worker is alive: %v", test.name, w.alive())
		}
		p.Release(w)
	}
	// In either case the next call works.
	w := acquire(t, p, path)
	defer p.Release(w)
	if got, err := echo.Call(t.Context(), w, "again", nil); err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLateCancelIsOfNoConsequence(t *testing.T) {
	p := open(t, Options{})
	w := acquire(t, p, file(t, "x"))
	defer p.Release(w)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_, err := echo.Call(ctx, w, "x", nil)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if !w.alive() {
		t.Error("a call that had ended has killed the worker")
	}
}

func TestDeathIsOneFailedCall(t *testing.T) {
	p := open(t, Options{})
	path := file(t, "x")
	w := acquire(t, p, path)
	_, err := crash.Call(t.Context(), w, "", nil)
	var died *Died
	if !errors.As(err, &died) || died.TooLarge || !strings.Contains(died.Reason, "on purpose") {
		t.Errorf("a crash: %v", err)
	}
	p.Release(w)
	w = acquire(t, p, path)
	defer p.Release(w)
	if _, err := echo.Call(t.Context(), w, "x", nil); err != nil {
		t.Error(err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	if runtime.GOOS != "linux" || raceDetector {
		t.Skip("no bound of the whole process here")
	}
	p := open(t, Options{Heap: 16 << 20})
	w := acquire(t, p, file(t, "x"))
	defer p.Release(w)
	_, err := hoard.Call(t.Context(), w, "", nil)
	var died *Died
	if !errors.As(err, &died) || !died.TooLarge {
		t.Errorf("%v", err)
	}
}

// landlocked skips a test where the kernel does not restrict files.
func landlocked(t *testing.T, p *Pool) {
	bounds, err := p.Bounds()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bounds {
		if b.Name == "landlock" && b.Holds {
			return
		}
	}
	t.Skip("the kernel has no Landlock")
}

func TestFilesOutOfReach(t *testing.T) {
	p := open(t, Options{})
	landlocked(t, p)
	mine, writable, other := file(t, "mine"), file(t, "shm"), file(t, "secret")
	w, err := p.Acquire(t.Context(), Scope{Path: mine, Write: []string{writable, filepath.Join(t.TempDir(), "missing")}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release(w)
	if got, err := read.Call(t.Context(), w, mine, nil); err != nil || got != "mine" {
		t.Errorf("its own file: %q, %v", got, err)
	}
	folder, err := write.Call(t.Context(), w, writable, nil)
	if err != nil {
		t.Errorf("the file it may write: %v", err)
	}
	for _, path := range []string{mine, other, filepath.Join(filepath.Dir(mine), "new"), filepath.Join(folder, "..", "new"), "/tmp/zangtable-new"} {
		if _, err := write.Call(t.Context(), w, path, nil); err == nil {
			t.Errorf("it wrote %s", path)
		}
	}
	for _, path := range []string{other, "/etc/passwd", "/proc/" + strconv.Itoa(os.Getpid()) + "/environ"} {
		if got, err := read.Call(t.Context(), w, path, nil); err == nil {
			t.Errorf("it read %s: %q", path, got)
		}
	}
	if _, err := write.Call(t.Context(), w, "scratch", nil); err != nil {
		t.Errorf("its own folder: %v", err)
	}
}

func TestInheritedFile(t *testing.T) {
	p := open(t, Options{})
	f, err := os.Create(filepath.Join(t.TempDir(), "artifact"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := p.Start(t.Context(), Scope{Files: []*os.File{f}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.End()
	if n, err := inherited.Call(t.Context(), w, "rows", nil); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if text, err := os.ReadFile(f.Name()); string(text) != "rows" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestNothingIsCarriedToAnotherProject(t *testing.T) {
	p := open(t, Options{Max: 1})
	mine, other := file(t, "mine"), file(t, "other")
	for _, step := range []struct{ path, say, want string }{
		{mine, "alpha", ""}, {mine, "beta", "alpha"}, {other, "gamma", ""}, {mine, "delta", ""},
	} {
		w := acquire(t, p, step.path)
		if got, err := keep.Call(t.Context(), w, step.say, nil); err != nil || got != step.want {
			t.Errorf("%s: %q, %v, want %q", step.say, got, err, step.want)
		}
		p.Release(w)
	}
}

func TestPlaces(t *testing.T) {
	p := open(t, Options{Max: 4, PerKey: 2, Wait: 50 * time.Millisecond})
	a, b, c := Scope{Path: file(t, "a"), Group: 1}, Scope{Path: file(t, "b"), Group: 1}, Scope{Path: file(t, "c"), Group: 2}
	enter := func(s Scope) *Worker {
		w, err := p.Acquire(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	taken := []*Worker{enter(a), enter(a), enter(b)}
	for name, s := range map[string]Scope{"a third call of a project": a, "a group that would take all": b} {
		if _, err := p.Acquire(t.Context(), s); !problem.Is(err, problem.CodeBusy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := enter(c)
	// The group with fewer calls goes first, although it came last.
	p.options.Wait = 20 * time.Second
	got := make(chan ids.Project, 2)
	for i, s := range []Scope{b, c} {
		go func() {
			w, err := p.Acquire(context.Background(), s)
			if err != nil {
				got <- 0
				return
			}
			got <- s.Group
			p.Release(w)
		}()
		for p.lineLength() <= i {
			time.Sleep(time.Millisecond)
		}
	}
	p.Release(taken[0])
	if group := <-got; group != c.Group {
		t.Errorf("group %d went first", group)
	}
	<-got
	for _, w := range append(taken[1:], last) {
		p.Release(w)
	}
}

func (p *Pool) lineLength() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

func TestIdleWorkersEnd(t *testing.T) {
	p := open(t, Options{IdleTime: 20 * time.Millisecond})
	w := acquire(t, p, file(t, "x"))
	p.Release(w)
	select {
	case <-w.dead:
	case <-time.After(10 * time.Second):
		t.Error("an idle worker lives on")
	}
	p = open(t, Options{})
	path := file(t, "x")
	w = acquire(t, p, path)
	p.Release(w)
	p.Evict(path)
	if w.alive() {
		t.Error("an evicted worker lives on")
	}
	if entries, _ := os.ReadDir(p.folder); len(entries) > 2 { // those of fresh workers
		t.Errorf("folders are left: %v", entries)
	}
}

// If no process can be started, nothing runs in the server itself.
func TestNoWorkerIsBusy(t *testing.T) {
	p := open(t, Options{})
	blocked := p.folder
	if err := os.WriteFile(blocked, []byte("a file where the folders are to be"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Acquire(t.Context(), Scope{Path: blocked}); !problem.Is(err, problem.CodeBusy) {
		t.Errorf("a call: %v", err)
	}
	if _, err := p.Start(t.Context(), Scope{Path: blocked}); !problem.Is(err, problem.CodeBusy) {
		t.Errorf("a job: %v", err)
	}
}
