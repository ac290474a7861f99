package jobs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// count is a job that is settled at 3.
type count int

func (c count) Settled() bool        { return c == 3 }
func (c count) Differs(n count) bool { return c != n }

// TestFollow has a worker advance a job while others wait for it and watch it.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crew := NewCrew()
		defer crew.Close()
		var mu sync.Mutex
		now := count(0)
		look := func(context.Context) (count, error) {
			mu.Lock()
			defer mu.Unlock()
			return now, nil
		}
		updates, err := Watch(t.Context(), crew, look)
		if err != nil {
			t.Fatal(err)
		}
		var seen []count
		var watching sync.WaitGroup
		watching.Go(func() {
			for c := range updates {
				seen = append(seen, c)
			}
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c, settled, err := Wait(short, crew, look); c != 0 || settled || err != nil {
			t.Errorf("a short wait gives %d, %t, %v", c, settled, err)
		}
		claimed := false
		crew.Work(1, slog.New(slog.DiscardHandler), func() (func(), error) {
			if claimed {
				return nil, nil
			}
			claimed = true
			return func() {
				for range 3 {
					time.Sleep(time.Second)
					mu.Lock()
					now++
					mu.Unlock()
				}
			}, nil
		})
		if c, settled, err := Wait(t.Context(), crew, look); c != 3 || !settled || err != nil {
			t.Errorf("a long wait gives %d, %t, %v", c, settled, err)
		}
		watching.Wait()
		if !slices.Equal(seen, []count{0, 1, 2, 3}) {
			t.Errorf("a watcher saw %v", seen)
		}
	})
}

// TestStop sends those away who wait, also when nothing can be claimed.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crew := NewCrew()
		asked := 0
		crew.Work(1, slog.New(slog.DiscardHandler), func() (func(), error) {
			asked++
			return nil, io.ErrUnexpectedEOF
		})
		look := func(context.Context) (count, error) { return 1, nil }
		updates, err := Watch(t.Context(), crew, look)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(2500*time.Millisecond, crew.Stop)
		if c, settled, err := Wait(t.Context(), crew, look); c != 1 || settled || err != nil {
			t.Errorf("got %d, %t, %v", c, settled, err)
		}
		for range updates {
		}
		crew.Close()
		if asked != 3 {
			t.Errorf("the worker has asked %d times in 2.5 seconds, want once a second", asked)
		}
		failure := errors.New("gone")
		if _, settled, err := Wait(t.Context(), crew, func(context.Context) (count, error) { return 3, failure }); settled || err != failure {
			t.Errorf("got %t, %v", settled, err)
		}
	})
}

// TestTurns claims the jobs of three projects, of which the first has ordered
// most of them.
func TestTurns(t *testing.T) {
	const table = `CREATE TABLE work (seq INTEGER PRIMARY KEY, id TEXT, project_id INTEGER, status TEXT, attempt INTEGER, turn INTEGER) STRICT`
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "work.db"), sqlite.Options{Schema: sqlite.Schema{Migrations: []string{table}}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Exclusive(t.Context(), func(c *sqlite.Conn) error {
		for i, project := range []int{1, 1, 1, 2, 2, 3} {
			if err := c.Exec("INSERT INTO work VALUES (?, ?, ?, 'pending', 0, NULL)", i+1, strconv.Itoa(i+1), project); err != nil {
				return err
			}
		}
		places, err := Queue(c, "work")
		if err != nil {
			return err
		}
		var order []string
		for range places {
			id, err := Claim(c, "work", 1)
			if err != nil {
				return err
			}
			order = append(order, id)
			if places[id] != int64(len(order)) {
				t.Errorf("job %s came as number %d, its place was %d", id, len(order), places[id])
			}
			if len(order) == 3 {
				if more, err := Claim(c, "work", 1); more != "" || err != nil {
					t.Errorf("with a running job of each project comes %q, %v", more, err)
				}
				if err := PutBack(c, "work", "6"); err != nil {
					return err
				}
				if again, err := Claim(c, "work", 1); again != "6" || err != nil {
					t.Errorf("the job that was put back does not come again, but %q, %v", again, err)
				}
				if err := c.Exec("UPDATE work SET status = 'ready' WHERE status = 'running'"); err != nil {
					return err
				}
			}
			if len(order) > 3 {
				if err := c.Exec("UPDATE work SET status = 'ready' WHERE id = ?", id); err != nil {
					return err
				}
			}
		}
		if want := []string{"1", "4", "6", "2", "5", "3"}; !slices.Equal(order, want) {
			t.Errorf("the order is %v, want %v", order, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEarlier(t *testing.T) {
	now := time.Now()
	for _, moved := range []time.Duration{-time.Hour, 0, time.Hour} {
		if got, want := Earlier(now, now.Add(moved)), now.Add(min(0, moved)); !got.Equal(want) {
			t.Errorf("moved by %v: %v, want %v", moved, got, want)
		}
	}
}
