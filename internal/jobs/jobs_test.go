package jobs

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is a job in the tests' store.
type entry struct{ id, status string }

func scanEntry(s *sqlite.Stmt) (*entry, error) { return &entry{s.Text(0), s.Text(1)}, nil }

// openStore returns a store with one pending job for each of the given projects. The
// jobs' ids count from 1.
func openStore(t *testing.T, projects ...int) Store[entry] {
	t.Helper()
	const tables = `
CREATE TABLE works (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, project_id INTEGER, status TEXT, attempt INTEGER, turn INTEGER, expires_at INTEGER, text TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX works_by_turn ON works (project_id, turn);
CREATE INDEX works_unsettled ON works (status, project_id) WHERE status IN ('pending', 'running');
CREATE TABLE receipts (project_id INTEGER, token_id INTEGER, key TEXT, request BLOB, work_id TEXT, created_at INTEGER) STRICT;
CREATE INDEX receipts_by_age ON receipts (created_at);`
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "works.db"), sqlite.Options{Schema: sqlite.Schema{Migrations: []string{tables, QueueSchema("works"), HistorySchema("works", "status = 'ready'", "text"), ReceiptSchema("work_id")}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b := Store[entry]{DB: db, Table: "works", Job: "work", Columns: "id, status", Scan: scanEntry, Prunable: "status = 'ready'", Measured: []string{"text"}}
	err = b.Write(t.Context(), "enter works", func(c *sqlite.Conn) error {
		for i, project := range projects {
			if err := enter(c, i+1, project, project); err != nil {
				return err
			}
			r := Receipt{Key: strconv.Itoa(i + 1), Request: []byte{1}}
			if err := r.Keep(c, ids.Project(project), r.Key, time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// enter adds a pending job whose id is its number.
func enter(c *sqlite.Conn, n, project, root int) error {
	return c.Exec("INSERT INTO works (seq, id, project_id, root, status, attempt) VALUES (?, ?, ?, ?, 'pending', 0)", n, strconv.Itoa(n), project, root)
}

// finish finishes the running jobs of a store.
func finish(t *testing.T, b Store[entry]) {
	t.Helper()
	err := b.Write(t.Context(), "finish works", func(c *sqlite.Conn) error {
		return c.Exec("UPDATE works SET status = 'ready' WHERE status = 'running'")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// claimed claims a job and returns its id, "" for none.
func claimed(t *testing.T, b Store[entry]) string {
	t.Helper()
	e, err := b.Claim(t.Context(), Limits{Workers: 10, PerProject: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e == nil {
		return ""
	}
	if e.status != "running" {
		t.Errorf("the claimed job %s is %s", e.id, e.status)
	}
	return e.id
}

// TestTurns claims the jobs of three projects, the first of which has requested most of
// them.
func TestTurns(t *testing.T) {
	b := openStore(t, 1, 1, 1, 2, 2, 3)
	places := map[string]int64{}
	for project, own := range map[ids.Project][]string{1: {"1", "2", "3"}, 2: {"4", "5"}, 3: {"6"}} {
		of, err := b.Places(t.Context(), project, own...)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(places, of)
	}
	var order []string
	for range places {
		id := claimed(t, b)
		order = append(order, id)
		if places[id] != int64(len(order)) {
			t.Errorf("job %s came as number %d, its place was %d", id, len(order), places[id])
		}
		if len(order) < 3 {
			continue
		}
		if len(order) == 3 {
			if more := claimed(t, b); more != "" {
				t.Errorf("with a running job of each project comes %s", more)
			}
			if err := b.PutBack(t.Context(), "6"); err != nil {
				t.Fatal(err)
			}
			if again := claimed(t, b); again != "6" {
				t.Errorf("the job that was put back does not come again, but %q", again)
			}
		}
		finish(t, b)
	}
	if want := []string{"1", "4", "6", "2", "5", "3"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
}

// TestClaimNotesMoreOfAJob has the additional update of a claimed record fail once.
func TestClaimNotesMoreOfAJob(t *testing.T) {
	b := openStore(t, 1)
	broken := errors.New("broken")
	if e, err := b.Claim(t.Context(), Limits{Workers: 10, PerProject: 1}, func(*sqlite.Conn, string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %+v, %v", e, err)
	}
	e, err := b.Claim(t.Context(), Limits{Workers: 10, PerProject: 1}, func(c *sqlite.Conn, id string) error {
		return c.Exec("UPDATE works SET status = 'noted' WHERE id = ?", id)
	})
	if err != nil || e == nil || *e != (entry{"1", "noted"}) {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestFind(t *testing.T) {
	b := openStore(t, 1, 2)
	if e, err := b.Find(t.Context(), 2, "2"); err != nil || e.id != "2" {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, id := range []string{"1", "3"} {
		if _, err := b.Find(t.Context(), 2, id); !problem.Is(err, problem.CodeNotFound) {
			t.Errorf("of project 2, the job %s: %v", id, err)
		}
	}
	if err := b.RemoveProject(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	var left string
	err := b.Read(t.Context(), "count", func(c *sqlite.Conn) (err error) {
		left, err = c.Text("SELECT (SELECT group_concat(id) FROM works) || '|' || (SELECT group_concat(job_id) FROM receipts)")
		return err
	})
	if err != nil || left != "1|1" {
		t.Errorf("left are %s, %v", left, err)
	}
	if err := b.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find(t.Context(), 1, "1"); !problem.Is(err, problem.CodeBusy) {
		t.Errorf("when the database is closed: %v", err)
	}
}

func TestEarlier(t *testing.T) {
	now := time.Now()
	for _, moved := range []time.Duration{-time.Hour, 0, time.Hour} {
		if got, want := SweepCutoff(now, now.Add(moved)), now.Add(min(0, moved)); !got.Equal(want) {
			t.Errorf("moved by %v: %v, want %v", moved, got, want)
		}
	}
}
