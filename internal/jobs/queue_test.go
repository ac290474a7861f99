package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// must runs fn in a write transaction, and fails the test on an error.
func must(t testing.TB, b Store[entry], fn func(*sqlite.Conn) error) {
	t.Helper()
	if err := b.Write(context.Background(), "change the store", fn); err != nil {
		t.Fatal(err)
	}
}

// claimWith claims a job with these limits and returns its id.
func claimWith(t testing.TB, b Store[entry], limits Limits) string {
	t.Helper()
	e, err := b.Claim(context.Background(), limits, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e == nil {
		return ""
	}
	return e.id
}

// TestRootsShareOneTurn has six projects made from one root request jobs before an
// independent seventh project does.
func TestRootsShareOneTurn(t *testing.T) {
	b := openStore(t)
	must(t, b, func(c *sqlite.Conn) error {
		for n := range 12 {
			if err := enter(c, n+1, n%6+1, 1); err != nil {
				return err
			}
		}
		if err := enter(c, 13, 7, 7); err != nil {
			return err
		}
		return enter(c, 14, 7, 7)
	})
	var order []string
	for range 5 {
		order = append(order, claimed(t, b))
		finish(t, b)
	}
	if want := []string{"1", "13", "2", "14", "3"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
}

// TestReserve has one root run jobs without end. Jobs of others get through, one at a
// time, and no job of the root takes their place.
func TestReserve(t *testing.T) {
	b := openStore(t)
	must(t, b, func(c *sqlite.Conn) error {
		for n := range 6 {
			if err := enter(c, n+1, n+1, 1); err != nil {
				return err
			}
		}
		return nil
	})
	two := Limits{Workers: 2, PerProject: 1}
	for _, want := range []string{"1", "2", ""} {
		if got := claimWith(t, b, two); got != want {
			t.Fatalf("claimed %q, want %q", got, want)
		}
	}
	must(t, b, func(c *sqlite.Conn) error {
		for n := 7; n <= 9; n++ {
			if err := enter(c, n, n, n); err != nil {
				return err
			}
		}
		return nil
	})
	for _, victim := range []string{"7", "8", "9"} {
		if got, then := claimWith(t, b, two), claimWith(t, b, two); got != victim || then != "" {
			t.Errorf("claimed %q and %q, want %q and none", got, then, victim)
		}
		must(t, b, func(c *sqlite.Conn) error { return c.Exec("UPDATE works SET status = 'ready' WHERE id = ?", victim) })
	}
	if got := claimWith(t, b, two); got != "" {
		t.Errorf("the reserve is given to %q, whose root has all workers", got)
	}
}

// TestReserveBesideSeveralRoots has the jobs of two roots occupy all workers.
func TestReserveBesideSeveralRoots(t *testing.T) {
	b := openStore(t)
	must(t, b, func(c *sqlite.Conn) error {
		return errors.Join(enter(c, 1, 1, 1), enter(c, 2, 2, 2), enter(c, 3, 3, 1), enter(c, 4, 4, 2), enter(c, 5, 5, 5), enter(c, 6, 6, 6))
	})
	two := Limits{Workers: 2, PerProject: 1}
	for _, want := range []string{"1", "2", "5", ""} {
		if got := claimWith(t, b, two); got != want {
			t.Fatalf("claimed %q, want %q", got, want)
		}
	}
	for _, next := range []struct{ ready, want string }{{"5", "6"}, {"6", ""}, {"1", "3"}, {"2", "4"}, {"3", ""}} {
		must(t, b, func(c *sqlite.Conn) error {
			return c.Exec("UPDATE works SET status = 'ready' WHERE id = ?", next.ready)
		})
		if got := claimWith(t, b, two); got != next.want {
			t.Errorf("after %s, %q is claimed, want %q", next.ready, got, next.want)
		}
	}
}

// TestSuspectsComeLast has a server die with two running jobs.
func TestSuspectsComeLast(t *testing.T) {
	b := openStore(t, 1, 2, 3)
	for range 2 {
		claimed(t, b)
	}
	must(t, b, func(c *sqlite.Conn) error {
		return c.Exec("UPDATE works SET status = 'pending' WHERE status = 'running'")
	})
	if n, err := b.Counts(t.Context()); err != nil || n != (Counts{Pending: 3}) {
		t.Errorf("the counts are %+v, %v", n, err)
	}
	places, err := b.Places(t.Context(), 2, "2")
	if err != nil || places["2"] != 3 {
		t.Errorf("the place is %v, %v, want 3", places, err)
	}
	suspect := func() string {
		e, err := b.ClaimSuspect(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			return ""
		}
		return e.id
	}
	if got := suspect(); got != "" {
		t.Errorf("suspect %s comes before another job", got)
	}
	if got := claimed(t, b); got != "3" {
		t.Errorf("claimed %q, want 3", got)
	}
	if got, then := claimed(t, b), suspect(); got != "" || then != "" {
		t.Errorf("beside a job that runs come %q and %q", got, then)
	}
	finish(t, b)
	if got, then := suspect(), suspect(); got != "1" || then != "" {
		t.Errorf("the suspects are %q and %q, want 1 and none beside it", got, then)
	}
	finish(t, b)
	if got := suspect(); got != "2" {
		t.Errorf("the last is %q, want 2", got)
	}
}

func TestAdmit(t *testing.T) {
	b := openStore(t, 1, 1, 2)
	for _, test := range []struct {
		project ids.Project
		max     int
		admits  bool
	}{{1, 2, false}, {1, 3, true}, {2, 2, true}, {3, 1, true}, {1, -1, true}} {
		var refused error
		must(t, b, func(c *sqlite.Conn) error {
			refused = b.Admit(c, test.project, Bounds{Pending: test.max, Bytes: -1}, 0, 0)
			return nil
		})
		if (refused == nil) != test.admits || refused != nil && (!problem.Is(refused, problem.CodeRateLimited) || problem.From(refused).RetryAfter == 0) {
			t.Errorf("project %d, at most %d: %v", test.project, test.max, refused)
		}
	}
}

// TestCountersFollowTheJobs moves jobs at random between all statuses, and compares the
// counters with the jobs, and the places with the order of claims.
func TestCountersFollowTheJobs(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := openStore(t)
	statuses := []string{"uploading", "pending", "running", "ready", "failed"}
	for n := 1; n <= 300; n++ {
		must(t, b, func(c *sqlite.Conn) error {
			project := random.IntN(9)
			if err := enter(c, n, project, project%3); err != nil {
				return err
			}
			victim := random.IntN(n) + 1
			if random.IntN(5) == 0 {
				return c.Exec("DELETE FROM works WHERE seq = ?", victim)
			}
			return c.Exec("UPDATE works SET status = ?, attempt = ? WHERE seq = ?", statuses[random.IntN(len(statuses))], random.IntN(2), victim)
		})
	}
	var differ string
	must(t, b, func(c *sqlite.Conn) (err error) {
		for table, key := range map[string]string{"turns": "root", "queues": "project_id"} {
			differ, err = c.Text(fmt.Sprintf(`
SELECT group_concat(%[2]s || ': ' || pending || ', ' || running) FROM %[1]s AS q
WHERE pending <> (SELECT count(*) FROM works WHERE %[2]s = q.%[2]s AND status = 'pending' AND attempt = 0)
	OR running <> (SELECT count(*) FROM works WHERE %[2]s = q.%[2]s AND status = 'running')`, table, key))
			if err != nil || differ != "" {
				return err
			}
		}
		return c.Exec("UPDATE works SET status = 'ready' WHERE status = 'running'")
	})
	if differ != "" {
		t.Fatalf("the counters differ: %s", differ)
	}
	var projects []ids.Project
	must(t, b, func(c *sqlite.Conn) error {
		return c.Query("SELECT DISTINCT project_id FROM works", nil, func(s *sqlite.Stmt) error {
			projects = append(projects, ids.Project(s.Int(0)))
			return nil
		})
	})
	places := map[string]int64{}
	for _, project := range projects {
		var ids []string
		must(t, b, func(c *sqlite.Conn) error {
			return c.Query("SELECT id FROM works WHERE project_id = ?", []any{project}, func(s *sqlite.Stmt) error {
				ids = append(ids, s.Text(0))
				return nil
			})
		})
		of, err := b.Places(t.Context(), project, ids...)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(places, of)
	}
	for n := int64(1); ; n++ {
		id := claimed(t, b)
		if id == "" {
			break
		}
		if places[id] != n {
			t.Errorf("job %s came as number %d, its place was %d", id, n, places[id])
		}
		finish(t, b)
	}
}

// TestLongQueue adds 10,000 jobs of one project and measures the cost of one more, of
// its place and of a claim.
func TestLongQueue(t *testing.T) {
	b := openStore(t)
	const jobs = 10_000
	must(t, b, func(c *sqlite.Conn) error {
		for n := range jobs {
			if err := enter(c, n+1, 1, 1); err != nil {
				return err
			}
		}
		return enter(c, jobs+1, 2, 2)
	})
	for name, statement := range map[string]string{
		"group":   "SELECT 1 FROM turns WHERE pending > 0 AND running <= 2 ORDER BY running, turn, since",
		"project": "SELECT 1 FROM queues WHERE root = 1 AND pending > 0 AND running < 2 ORDER BY turn, since LIMIT 1",
		"job":     "SELECT id FROM works WHERE status = 'pending' AND attempt = 0 AND project_id = 1 ORDER BY seq LIMIT 1",
		"suspect": "SELECT id FROM works WHERE status = 'pending' AND attempt > 0 ORDER BY seq LIMIT 1",
		"running": "SELECT sum(running) FROM turns WHERE running > 0",
		"turn":    "SELECT max(turn) FROM turns",
	} {
		var plan []string
		must(t, b, func(c *sqlite.Conn) error {
			return c.Query("EXPLAIN QUERY PLAN "+statement, nil, func(s *sqlite.Stmt) error {
				plan = append(plan, s.Text(3))
				return nil
			})
		})
		if text := strings.Join(plan, "; "); !strings.Contains(text, "INDEX") || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("the %s is found by: %s", name, text)
		}
	}
	begin := time.Now()
	const rounds = 50
	for n := range rounds {
		must(t, b, func(c *sqlite.Conn) error { return enter(c, jobs+2+n, 1, 1) })
		if places, err := b.Places(t.Context(), 1, strconv.Itoa(jobs+2+n)); err != nil || places[strconv.Itoa(jobs+2+n)] < jobs {
			t.Fatalf("the place is %v, %v", places, err)
		}
		if claimed(t, b) == "" {
			t.Fatal("there is no job")
		}
		finish(t, b)
	}
	if each := time.Since(begin) / rounds; each > 50*time.Millisecond {
		t.Errorf("an order, its place, a claim and the end of a job take %v", each)
	}
}

// TestOldBookIsMigrated opens a store from before there were queues and a history, and
// with receipts in an older form.
func TestOldBookIsMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "works.db")
	old := []string{`
CREATE TABLE works (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, project_id INTEGER, status TEXT, attempt INTEGER, turn INTEGER, text TEXT) STRICT;
CREATE INDEX works_by_turn ON works (project_id, turn);
CREATE INDEX works_unsettled ON works (status, project_id) WHERE status IN ('pending', 'running');
INSERT INTO works VALUES (1, '1', 1, 'ready', 1, 2, 'long'), (2, '2', 1, 'pending', 0, NULL, ''), (3, '3', 2, 'ready', 1, 1, ''), (4, '4', 2, 'pending', 0, NULL, ''),
	(5, '5', 3, 'pending', 1, 3, ''), (6, '6', 4, 'running', 1, 4, '');
CREATE TABLE receipts (project_id INTEGER, token_id INTEGER, key TEXT, request BLOB, work_id TEXT, created_at INTEGER) STRICT;
CREATE INDEX receipts_by_age ON receipts (created_at);
INSERT INTO receipts VALUES (1, 1, 'k', x'01', '1', 1780000000000)`}
	for _, migrations := range [][]string{old, append(old, QueueSchema("works"), HistorySchema("works", "status = 'ready'", "text"), ReceiptSchema("work_id"))} {
		db, err := sqlite.Open(path, sqlite.Options{Schema: sqlite.Schema{Migrations: migrations}})
		if err != nil {
			t.Fatal(err)
		}
		if len(migrations) > 1 {
			b := Store[entry]{DB: db, Table: "works", Job: "work", Columns: "id, status", Scan: scanEntry}
			if first, second, third := claimed(t, b), claimed(t, b), claimed(t, b); first != "4" || second != "2" || third != "" {
				t.Errorf("claimed %q, %q and %q, want 4, 2 and none", first, second, third)
			}
			must(t, b, func(c *sqlite.Conn) error {
				id, err := (&Receipt{1, "k", []byte{1}}).Recall(c, 1, time.UnixMilli(1780000000000))
				bytes, err2 := c.Int("SELECT bytes FROM history WHERE project_id = 1")
				if id != "1" || bytes != 4 {
					t.Errorf("the receipt is that of job %q, project 1 has %d bytes", id, bytes)
				}
				return errors.Join(err, err2)
			})
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestQuarantine claims from two stores that share a quarantine.
func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := openStore(t, 1), openStore(t, 1)
		q := NewQuarantine()
		claim := func(b Store[entry]) (id string, leave func()) {
			e, leave, err := Claim(t.Context(), q, b, Limits{Workers: 2, PerProject: 1}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				return "", nil
			}
			return e.id, leave
		}
		for _, b := range []Store[entry]{first, second} {
			must(t, b, func(c *sqlite.Conn) error { return c.Exec("UPDATE works SET attempt = 1") })
		}
		id, leave := claim(first)
		if id != "1" {
			t.Fatalf("claimed %q", id)
		}
		must(t, second, func(c *sqlite.Conn) error { return enter(c, 2, 2, 2) })
		if id, _ := claim(second); id != "" {
			t.Errorf("%s begins beside a suspect", id)
		}
		time.Sleep(q.Probation + time.Second)
		id, leaveOther := claim(second)
		if id != "2" {
			t.Errorf("after the probation comes %q", id)
		}
		finish(t, second)
		leaveOther()
		if id, _ := claim(second); id != "" {
			t.Errorf("the suspect %s begins beside another job", id)
		}
		finish(t, first)
		leave()
		if id, leave = claim(second); id != "1" {
			t.Errorf("when all is over comes %q", id)
		}
		leave()
	})
}
