package journal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// fill stores runs of alice's project, each with a call, a key and sums of its own.
func fill(t *testing.T, j *Journal, n int) {
	t.Helper()
	clock := newClock()
	err := j.write(t.Context(), func(c *sqlite.Conn) error {
		for i := range n {
			caller, text := []any{alice.ProjectID, alice.TokenID}, fmt.Sprintf("oprun_%06d", i)
			for _, insert := range []struct {
				sql  string
				args []any
			}{
				{"INSERT INTO runs (project_id, token_id, run_id, last_call_at, calls, settled) VALUES (?, ?, ?, ?, 1, 1)", append(caller, text, clock.Now().UnixNano())},
				{"INSERT INTO names (project_id, token_id, kind, name, run_id) VALUES (?, ?, 1, ?, ?)", append(caller, "key "+text, text)},
				{"INSERT INTO key_hours VALUES (?, ?, ?, 1, 0, 1, 0, 0, x'')", []any{alice.ProjectID, i / 500, text}},
				{"INSERT INTO hours VALUES (?, ?, 1, ?, '', 1, 0, 0, 0, 0, 0, x'')", []any{alice.ProjectID, clock.Now().Unix()/3600 - int64(i/500), text}},
			} {
				if err := c.Exec(insert.sql, insert.args...); err != nil {
					return err
				}
			}
			e := entry(clock, i)
			if err := j.insert(c, &e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// left returns how many rows of a project each table has.
func left(t *testing.T, j *Journal) (counts []int64) {
	t.Helper()
	err := j.db.Read(t.Context(), func(c *sqlite.Conn) error {
		for _, table := range forgettable {
			n, err := c.Int("SELECT count(*) FROM "+table.name+" WHERE project_id = ?", alice.ProjectID)
			if err != nil {
				return err
			}
			counts = append(counts, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func sum(counts []int64) (total int64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// However much a project has, neither Forget nor a step of the sweep removes more than
// a few rows at once, and yet nothing is found from the moment on that it is forgotten.
func TestAProjectIsForgottenInPieces(t *testing.T) {
	t.Parallel()
	const runs = 2*sweepStep + 7
	j := quiet(t, Options{Now: newClock().Now})
	fill(t, j, runs)
	before := left(t, j)
	if fmt.Sprint(before) != fmt.Sprint([]int64{runs, runs, runs, runs, runs}) {
		t.Fatalf("the tables have %v", before)
	}
	if err := j.Forget(t.Context(), alice.ProjectID); err != nil {
		t.Fatal(err)
	}
	if got := join(t, j, alice, "key oprun_000001", ""); got.Status != GeneratedRun {
		t.Errorf("a call after that: %v", got.Status)
	}
	if got := join(t, j, alice, "", "oprun_000002"); got.Status != AcceptedProvidedRun {
		t.Errorf("a call that names a run: %v", got.Status)
	}
	if err := j.store(); err != nil {
		t.Fatal(err)
	}
	rows, steps := sweepInSteps(t, j)
	if rows != 0 || steps < 10 {
		t.Errorf("%v are left after %d steps", left(t, j), steps)
	}
}

// sweepInSteps sweeps until there is nothing left to do, in steps that must be small. It
// returns how many rows are left, and how many steps it took.
func sweepInSteps(t *testing.T, j *Journal) (rows int64, steps int) {
	t.Helper()
	rows = sum(left(t, j))
	for done := false; !done; steps++ {
		var err error
		if done, err = j.sweep(); err != nil || steps > 100 {
			t.Fatalf("step %d: %v", steps, err)
		}
		now := sum(left(t, j))
		if rows-now > sweepStep {
			t.Errorf("step %d removes %d rows at once", steps, rows-now)
		}
		rows = now
	}
	return rows, steps
}

// Runs that are too old are removed in pieces, too.
func TestOldRunsAreRemovedInPieces(t *testing.T) {
	t.Parallel()
	const runs = 2*sweepStep + 7
	clock := newClock()
	j := quiet(t, Options{Now: clock.Now, KeepFor: 2 * Retention})
	fill(t, j, runs)
	clock.Add(Retention + 1)
	join(t, j, alice, "new", "oprun_new")
	if err := j.store(); err != nil {
		t.Fatal(err)
	}
	sweepInSteps(t, j)
	if got := left(t, j); got[1] != 1 || got[2] != 1 {
		t.Errorf("the tables have %v", got)
	}
}

// quiet opens a journal that stores and sweeps only when a test says so.
func quiet(t *testing.T, options Options) *Journal {
	t.Helper()
	j, err := newJournal(file(t), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return j
}

// Each of these statements finds its rows by a key, however many others there are.
func TestSweepingReadsNoTableAsAWhole(t *testing.T) {
	t.Parallel()
	j := quiet(t, Options{Now: newClock().Now})
	err := j.db.Read(t.Context(), func(c *sqlite.Conn) error {
		var statements []string
		for _, table := range forgettable {
			statements = append(statements, table.removal("project_id = ?"))
		}
		for _, walk := range walks {
			statements = append(statements, walk.step(true), walk.removal(true, true))
		}
		for _, statement := range statements {
			err := c.Query("EXPLAIN QUERY PLAN "+statement, nil, func(s *sqlite.Stmt) error {
				if strings.HasPrefix(s.Text(3), "SCAN") {
					t.Errorf("%s: %s", statement, s.Text(3))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
