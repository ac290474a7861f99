package jobs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// shot is a manifest in the tests: an entry and its progress n.
type shot struct {
	id     string
	status Status
	n      int
	place  int64
}

func (s shot) Job() (string, Status)      { return s.id, s.status }
func (s shot) Differs(next shot) bool     { return s.n != next.n }
func (s shot) WithPlace(place int64) shot { s.place = place; return s }

var errNoResult = errors.New("no result")

// viewOf returns a view of the jobs in a store. Their progress is the number that
// progress returns.
func viewOf(b Store[entry], d *Dispatcher, progress func() int) *View[entry, shot] {
	show := func(context.Context, ids.Project, bool) func(*entry) shot {
		return func(e *entry) shot { return shot{id: e.id, status: Status(e.status), n: progress()} }
	}
	return NewView(b, d, time.Now, []Status{Pending, Running, Ready, Failed, Expired}, show, func(e *entry) error {
		if Status(e.status) == Failed {
			return errNoResult
		}
		return nil
	})
}

// TestFollow has a worker advance a job while others wait for it and watch it.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := openStore(t, 1), NewDispatcher()
		defer d.Close()
		var mu sync.Mutex
		now := 0
		v := viewOf(b, d, func() int {
			mu.Lock()
			defer mu.Unlock()
			return now
		})
		updates, err := v.Watch(t.Context(), 1, "1")
		if err != nil {
			t.Fatal(err)
		}
		var seen []int
		var watching sync.WaitGroup
		watching.Go(func() {
			for m := range updates {
				seen = append(seen, m.n)
			}
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if m, err := v.Wait(short, 1, "1"); m != (shot{"1", Pending, 0, 1}) || err != nil {
			t.Errorf("a short wait gives %v, %v", m, err)
		}
		claimed := false
		d.Dispatch(1, slog.New(slog.DiscardHandler), func() (func(), error) {
			if claimed {
				return nil, nil
			}
			claimed = true
			return func() {
				for n := range 3 {
					time.Sleep(time.Second)
					if n == 2 {
						must(t, b, func(c *sqlite.Conn) error { return c.Exec("UPDATE works SET status = 'failed'") })
					}
					mu.Lock()
					now++
					mu.Unlock()
				}
			}, nil
		})
		if m, err := v.Wait(t.Context(), 1, "1"); m != (shot{"1", Failed, 3, 0}) || err != errNoResult {
			t.Errorf("a long wait gives %v, %v", m, err)
		}
		watching.Wait()
		if !slices.Equal(seen, []int{0, 1, 2, 3}) {
			t.Errorf("a watcher saw %v", seen)
		}
	})
}

// TestStop releases waiting callers, even when nothing can be claimed.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := openStore(t, 1), NewDispatcher()
		v := viewOf(b, d, func() int { return 1 })
		asked := 0
		d.Dispatch(1, slog.New(slog.DiscardHandler), func() (func(), error) {
			asked++
			return nil, io.ErrUnexpectedEOF
		})
		updates, err := v.Watch(t.Context(), 1, "1")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(2500*time.Millisecond, d.Stop)
		if m, err := v.Wait(t.Context(), 1, "1"); m.n != 1 || err != nil {
			t.Errorf("got %v, %v", m, err)
		}
		for range updates {
		}
		d.Close()
		if asked != 3 {
			t.Errorf("the worker has asked %d times in 2.5 seconds, want once a second", asked)
		}
	})
}

// TestFollowWhatIsNotThere waits for a job that does not exist, and watches one that is
// removed meanwhile.
func TestFollowWhatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := openStore(t, 1), NewDispatcher()
		defer d.Close()
		v := viewOf(b, d, func() int { return 1 })
		_, err := v.Wait(t.Context(), 2, "1")
		_, watchErr := v.Watch(t.Context(), 1, "2")
		if !problem.Is(err, problem.CodeNotFound) || !problem.Is(watchErr, problem.CodeNotFound) {
			t.Errorf("got %v and %v", err, watchErr)
		}
		updates, err := v.Watch(t.Context(), 1, "1")
		if err != nil {
			t.Fatal(err)
		}
		must(t, b, func(c *sqlite.Conn) error { return c.Exec("DELETE FROM works") })
		d.NotifyFinished()
		n := 0
		for range updates {
			n++
		}
		if n != 1 {
			t.Errorf("a watcher of a job that is removed saw it %d times", n)
		}
	})
}

// TestNobodyListens ends the context of a watcher that receives no updates.
func TestNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := openStore(t, 1), NewDispatcher()
		defer d.Close()
		n := 0
		v := viewOf(b, d, func() int { n++; return n })
		ctx, cancel := context.WithCancel(t.Context())
		updates, err := v.Watch(ctx, 1, "1")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n > 3 {
			t.Errorf("the job was looked at %d times for a watcher that takes nothing", n)
		}
		cancel()
		synctest.Wait()
		if first, ok := <-updates; first.n != 1 || !ok {
			t.Errorf("the watcher got %v, %t", first, ok)
		}
		if _, ok := <-updates; ok {
			t.Error("the updates do not end with the context")
		}
	})
}

func TestList(t *testing.T) {
	b := openStore(t, 1, 2, 1, 1, 1)
	must(t, b, func(c *sqlite.Conn) error { return c.Exec("UPDATE works SET status = 'ready' WHERE id = '4'") })
	v := viewOf(b, NewDispatcher(), func() int { return 0 })
	odd := func(m *shot) bool {
		n, _ := strconv.Atoi(m.id)
		return n%2 == 1
	}
	for _, test := range []struct {
		o    ListOptions[shot]
		want string // ids and places
		more bool
	}{
		{ListOptions[shot]{}, "5:4 4:0 3:3 1:1", false},
		{ListOptions[shot]{Status: "all", Limit: 3}, "5:4 4:0 3:3", true},
		{ListOptions[shot]{Status: "ready"}, "4:0", false},
		{ListOptions[shot]{Status: "running"}, "", false},
		{ListOptions[shot]{Limit: 2, Visible: odd}, "5:4 3:3", true},
		{ListOptions[shot]{Limit: 3, Visible: odd}, "5:4 3:3 1:1", false},
		{ListOptions[shot]{Offset: 1, Limit: 1, Visible: odd}, "3:3", true},
		{ListOptions[shot]{Offset: 2, Visible: odd}, "1:1", false},
		{ListOptions[shot]{Offset: 3, Visible: odd}, "", false},
	} {
		list, more, err := v.List(t.Context(), 1, test.o)
		var got []string
		for _, m := range list {
			got = append(got, m.id+":"+strconv.FormatInt(m.place, 10))
		}
		if text := strings.Join(got, " "); err != nil || more != test.more || text != test.want || list == nil {
			t.Errorf("%+v: got %q, more %t, %v", test.o, text, more, err)
		}
	}
	_, _, err := v.List(t.Context(), 1, ListOptions[shot]{Status: "done"})
	if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), "must be all, pending, running, ready, failed or expired") {
		t.Errorf("a status that does not exist: %v", err)
	}
	if n, err := v.Counts(t.Context()); err != nil || n != (Counts{Pending: 4}) {
		t.Errorf("the counts are %+v, %v", n, err)
	}
}

// TestListDecodesLittle lists jobs of a project that has thousands, in pages and by
// statuses that few of them have.
func TestListDecodesLittle(t *testing.T) {
	b := openStore(t)
	const jobs = 3000
	must(t, b, func(c *sqlite.Conn) error {
		const fill = `
WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
INSERT INTO works (seq, id, project_id, root, attempt, status, expires_at)
SELECT i, CAST(i AS TEXT), 1, 1, 0,
	CASE i % 500 WHEN 1 THEN 'failed' WHEN 2 THEN 'pending' WHEN 3 THEN 'expired' WHEN 5 THEN 'uploading' ELSE 'ready' END,
	CASE i % 500 WHEN 4 THEN ?2 ELSE ?3 END
FROM n`
		now := time.Now()
		return c.Exec(fill, jobs, now.Add(-time.Hour).UnixMilli(), now.Add(time.Hour).UnixMilli())
	})
	b.Columns = "id, CASE WHEN status = 'ready' AND seq % 500 = 4 THEN 'expired' ELSE status END"
	decoded := 0
	b.Scan = func(s *sqlite.Stmt) (*entry, error) {
		decoded++
		return scanEntry(s)
	}
	v := viewOf(b, NewDispatcher(), func() int { return 0 })
	v.statuses = append(v.statuses, Uploading)
	for _, test := range []struct {
		o       ListOptions[shot]
		want    string
		more    bool
		decoded int
	}{
		{ListOptions[shot]{Limit: 2}, "3000 2999", true, 3},
		{ListOptions[shot]{Limit: 2, Offset: 2995}, "5 4", true, 3},
		{ListOptions[shot]{Limit: 2, Offset: 2999}, "1", false, 1},
		{ListOptions[shot]{Offset: 4000}, "", false, 0},
		{ListOptions[shot]{Status: "failed", Limit: 3}, "2501 2001 1501", true, 4},
		{ListOptions[shot]{Status: "failed", Limit: 3, Offset: 4}, "501 1", false, 2},
		{ListOptions[shot]{Status: "pending", Offset: 5}, "2", false, 1},
		{ListOptions[shot]{Status: "running"}, "", false, 0},
		{ListOptions[shot]{Status: "expired", Limit: 3, Offset: 1}, "2503 2004 2003", true, 4},
		{ListOptions[shot]{Status: "expired", Offset: 10}, "4 3", false, 2},
		{ListOptions[shot]{Status: "uploading", Offset: 4}, "505 5", false, 2},
		{ListOptions[shot]{Status: "ready", Limit: 2}, "3000 2999", true, 3},
		{ListOptions[shot]{Status: "ready", Limit: 2, Offset: jobs - 32}, "7 6", false, jobs - 30},
	} {
		decoded = 0
		list, more, err := v.List(t.Context(), 1, test.o)
		var got []string
		for _, m := range list {
			got = append(got, m.id)
		}
		if text := strings.Join(got, " "); err != nil || more != test.more || text != test.want || decoded != test.decoded {
			t.Errorf("%+v: got %q, more %t, %v, with %d records decoded", test.o, text, more, err, decoded)
		}
	}
	v.listTime = 20 * time.Millisecond
	_, _, err := v.List(t.Context(), 1, ListOptions[shot]{Visible: func(*shot) bool {
		time.Sleep(time.Millisecond)
		return false
	}})
	if !problem.Is(err, problem.CodeQueryTimeout) {
		t.Errorf("a list without end gives %v", err)
	}
}
