package jobs

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// work is a job in the tests.
type work struct {
	*Job
	entry   *entry
	outcome error
}

// shift is a runner of works that records what it does.
type shift struct {
	*Runner[entry, work]
	mu    sync.Mutex
	steps []string
}

func (s *shift) note(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step)
}

func (s *shift) noted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.steps)
}

// newShift returns a runner for a store. Its jobs call run.
func newShift(t *testing.T, b Store[entry], run func(*work) error) *shift {
	s := &shift{}
	config := Config{Workers: 2, PerProject: 1, Now: time.Now}
	config.SetDefaults()
	s.Runner = NewRunner(config, b, Kind[entry, work]{
		Name:     func(e *entry) (string, ids.Project) { return e.id, 1 },
		New:      func(j *Job, e *entry) *work { return &work{Job: j, entry: e} },
		Run:      run,
		Complete: func(w *work, err error) { w.outcome = err },
		Save: func(w *work) error {
			status := "ready"
			if w.outcome != nil {
				status = "failed"
			}
			s.note(w.ID + " " + status)
			return b.Write(context.Background(), "save", func(c *sqlite.Conn) error {
				return c.Exec("UPDATE works SET status = ? WHERE id = ? AND status = 'running'", status, w.ID)
			})
		},
		PutBack: func(w *work) error {
			s.note(w.ID + " back")
			return b.PutBack(context.Background(), w.ID)
		},
		Sweep: func(context.Context, time.Time) error { return nil },
	})
	t.Cleanup(s.Dispatcher.Close)
	return s
}

// statusOf returns the status and attempt of a job in the store.
func statusOf(t *testing.T, b Store[entry], id string) (status string, attempt int64) {
	t.Helper()
	must(t, b, func(c *sqlite.Conn) error {
		return c.Query("SELECT status, attempt FROM works WHERE id = ?", []any{id}, func(s *sqlite.Stmt) error {
			status, attempt = s.Text(0), s.Int(1)
			return nil
		})
	})
	return status, attempt
}

// eventually waits until what returns true.
func eventually(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be in 20 seconds")
		}
	}
}

func TestRunnerRunsAllJobs(t *testing.T) {
	b := openStore(t, 1, 1, 2)
	s := newShift(t, b, func(w *work) error {
		if w.ID == "2" {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	s.Start()
	eventually(t, func() bool { return len(s.noted()) == 3 && len(s.Running()) == 0 })
	if got := s.noted(); !slices.Contains(got, "1 ready") || !slices.Contains(got, "2 failed") || !slices.Contains(got, "3 ready") {
		t.Errorf("the jobs came to %q", got)
	}
}

// TestRunnerStops checks that a stopping server puts running jobs back, and saves the
// outcome of those already canceled or ended.
func TestRunnerStops(t *testing.T) {
	b := openStore(t, 1, 2)
	s := newShift(t, b, func(w *work) error {
		<-w.Context.Done()
		if w.ID == "2" {
			return nil
		}
		return w.Context.Err()
	})
	s.Start()
	eventually(t, func() bool { return len(s.Running()) == 2 })
	s.Dispatcher.Close()
	if got := s.noted(); len(got) != 2 || !slices.Contains(got, "1 back") || !slices.Contains(got, "2 ready") {
		t.Errorf("the jobs came to %q", got)
	}
	if status, attempt := statusOf(t, b, "1"); status != "pending" || attempt != 0 {
		t.Errorf("the job that was put back is %s, attempt %d", status, attempt)
	}
}

func TestRunnerCancels(t *testing.T) {
	b := openStore(t, 1, 2, 3)
	var causes sync.Map
	full := errors.New("the disk is full")
	s := newShift(t, b, func(w *work) error {
		<-w.Context.Done()
		causes.Store(w.ID, w.Canceled())
		return w.Context.Err()
	})
	complete := s.Kind.Complete
	s.Kind.Complete = func(w *work, err error) {
		complete(w, err)
		if w.ID == "2" && !errors.Is(err, full) {
			t.Errorf("the job that was interrupted fails with %v", err)
		}
	}
	s.Start()
	eventually(t, func() bool { return s.Find("1") != nil && s.Find("2") != nil })
	if err := s.Cancel(t.Context(), "1"); err != nil || s.Find("1") != nil {
		t.Errorf("the job runs after it was canceled: %v", err)
	}
	s.Find("2").Interrupt(full)
	eventually(t, func() bool { return len(s.noted()) == 2 })
	for id, want := range map[string]bool{"1": true, "2": false} {
		if canceled, _ := causes.Load(id); canceled != want {
			t.Errorf("job %s was canceled: %v, want %t", id, canceled, want)
		}
	}
	eventually(t, func() bool { return s.Find("3") != nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Cancel(ctx, "none"); err != nil {
		t.Errorf("to cancel a job that does not run: %v", err)
	}
}

// TestRunnerSettlesUntilItSucceeds has the store fail when a job has ended.
func TestRunnerSettlesUntilItSucceeds(t *testing.T) {
	b := openStore(t, 1)
	s := newShift(t, b, func(*work) error { return nil })
	settle, tries := s.Kind.Save, 0
	s.Kind.Save = func(w *work) error {
		if tries++; tries < 2 {
			return io.ErrShortWrite
		}
		return settle(w)
	}
	s.Start()
	eventually(t, func() bool { return len(s.noted()) == 1 && len(s.Running()) == 0 })
	if status, _ := statusOf(t, b, "1"); status != "ready" || tries != 2 {
		t.Errorf("the job is %s after %d tries", status, tries)
	}
}

// TestRunnerRunsSuspectsAlone starts with two jobs during which the server died, and
// two others.
func TestRunnerRunsSuspectsAlone(t *testing.T) {
	b := openStore(t, 1, 2, 3, 4)
	must(t, b, func(c *sqlite.Conn) error { return c.Exec("UPDATE works SET attempt = 1 WHERE seq <= 2") })
	var s *shift
	var beside sync.Map
	s = newShift(t, b, func(w *work) error {
		time.Sleep(20 * time.Millisecond)
		beside.Store(w.ID, len(s.Running())-1)
		return nil
	})
	s.Start()
	eventually(t, func() bool { return len(s.noted()) == 4 })
	if got := s.noted()[2:]; !slices.Equal(got, []string{"1 ready", "2 ready"}) {
		t.Errorf("the last are %q, want the suspects", got)
	}
	for _, id := range []string{"1", "2"} {
		if n, _ := beside.Load(id); n != 0 {
			t.Errorf("beside the suspect %s run %v jobs", id, n)
		}
	}
}
