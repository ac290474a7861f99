package projectdb

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// in returns a context of a call in a run.
func in(run string) Origin {
	return Origin{RequestID: "req_" + run, RunID: run, TokenID: 7, Name: "desk"}
}

// track opens a project whose changes are recorded.
func track(t testing.TB, tables ...NewTable) *DB {
	t.Helper()
	return openWith(t, DirOptions{}, tables...).Tracked(true)
}

// told returns changes as short lines.
func told(t interface {
	Helper()
	Fatal(...any)
}, db *DB, f ChangeFilter) string {
	t.Helper()
	f.Limit = 1000
	page, err := db.Changes(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range page.Changes {
		line := c.Op
		if c.Table != nil {
			line += " " + *c.Table
		}
		if c.Record != nil {
			line += "/" + *c.Record
		}
		if c.Was != nil {
			line += " was " + *c.Was
		}
		if c.Before != nil {
			line += " " + string(c.Before) + " -> " + string(c.After)
		}
		if c.Rows != nil {
			line += fmt.Sprint(" ", *c.Rows)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (db *DB) exec(t testing.TB, run string, statements ...string) {
	t.Helper()
	err := db.Change(WithOrigin(ctx, in(run)), new(problem.Faults), OwnTransaction, func(tx *Tx) error {
		if _, err := tx.catalog(); err != nil {
			return err
		}
		for _, statement := range statements {
			if err := tx.c.Exec(statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChangesOfEveryKindAreRecorded(t *testing.T) {
	t.Parallel()
	db := track(t)
	define(t, db, "p", "CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT, r REAL, g TEXT AS (a || '!'), b BLOB) STRICT")
	define(t, db, "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE) STRICT")
	define(t, db, "w", "CREATE TABLE w (k TEXT, n INTEGER, v TEXT, PRIMARY KEY (k, n)) STRICT, WITHOUT ROWID")
	define(t, db, "keyless", "CREATE TABLE keyless (a ANY) STRICT")
	db.exec(t, "r1", "INSERT INTO p (a, r, b) VALUES ('x', 5, x'00ff'), (NULL, 0.5, NULL)", "INSERT INTO c (p) VALUES (1), (2)",
		"INSERT INTO w VALUES ('a,b', 9007199254740993, 'v')", "INSERT INTO keyless VALUES ('one'), (2)")
	db.exec(t, "r2", "UPDATE p SET a = 'y' WHERE id = 1", "UPDATE p SET a = a", "UPDATE p SET id = 10 WHERE id = 2",
		"UPDATE w SET n = 1", "REPLACE INTO p (id, a) VALUES (1, 'z')", "DELETE FROM keyless WHERE a = 2")
	if got := told(t, db, ChangeFilter{RunID: "r1"}); got != strings.Join([]string{
		`insert p/1 null -> {"id":1,"a":"x","r":5.0,"b":"AP8="}`, `insert p/2 null -> {"id":2,"a":null,"r":0.5,"b":null}`,
		`insert c/1 null -> {"id":1,"p":1}`, `insert c/2 null -> {"id":2,"p":2}`,
		`insert w/a%2Cb,9007199254740993 null -> {"k":"a,b","n":9007199254740993,"v":"v"}`,
		`insert keyless/1 null -> {"a":"one"}`, `insert keyless/2 null -> {"a":2}`,
	}, "\n") {
		t.Errorf("the first run:\n%s", got)
	}
	if got := told(t, db, ChangeFilter{RunID: "r2"}); got != strings.Join([]string{
		`update p/1 {"id":1,"a":"x","r":5.0,"b":"AP8="} -> {"id":1,"a":"y","r":5.0,"b":"AP8="}`,
		`update p/10 was 2 {"id":2,"a":null,"r":0.5,"b":null} -> {"id":10,"a":null,"r":0.5,"b":null}`,
		`update c/2 {"id":2,"p":2} -> {"id":2,"p":10}`,
		`update w/a%2Cb,1 was a%2Cb,9007199254740993 {"k":"a,b","n":9007199254740993,"v":"v"} -> {"k":"a,b","n":1,"v":"v"}`,
		`delete p/1 {"id":1,"a":"y","r":5.0,"b":"AP8="} -> null`,
		`delete c/1 {"id":1,"p":1} -> null`,
		`insert p/1 null -> {"id":1,"a":"z","r":null,"b":null}`,
		`delete keyless/2 {"a":2} -> null`,
	}, "\n") {
		t.Errorf("the second run:\n%s", got)
	}
	if got := told(t, db, ChangeFilter{Table: "p", Record: "2", Newest: true}); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "update p/10 was 2") {
		t.Errorf("the history of a record:\n%s", got)
	}
	done, err := db.Revert(WithOrigin(ctx, in("undo")), ChangeFilter{RunID: "r2"}, false)
	if err != nil || done.ConflictsTotal != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := ask(t, other(t, db), "SELECT id, a, r, b FROM p"); got != "1|'x'|5.0|X'00ff'\n2|NULL|0.5|NULL" {
		t.Errorf("reverted: %s", got)
	}
	if got := ask(t, other(t, db), "SELECT * FROM c UNION ALL SELECT n, v FROM w UNION ALL SELECT rowid, a FROM keyless"); got != "1|1\n2|2\n9007199254740993|'v'\n1|'one'\n2|2" {
		t.Errorf("reverted: %s", got)
	}
	// The revert is a run like any other.
	if done, err = db.Revert(WithOrigin(ctx, in("redo")), ChangeFilter{RunID: "undo"}, false); err != nil || done.ConflictsTotal != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := ask(t, other(t, db), "SELECT id, a FROM p"); got != "1|'z'\n10|NULL" {
		t.Errorf("reverted again: %s", got)
	}
	sound(t, other(t, db))
}

func TestWhatIsRolledBackIsNotRecorded(t *testing.T) {
	t.Parallel()
	db := track(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL UNIQUE, CHECK (a <> 'bad')) STRICT")
	err := db.Change(ctx, new(problem.Faults), OwnTransaction, func(tx *Tx) error {
		if _, err := tx.catalog(); err != nil {
			return err
		}
		for _, statement := range []string{"INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, 'b'), (3, 'a')", "UPDATE t SET a = 'x' || id"} {
			_ = tx.c.Exec(statement) // the second one fails after its first row
		}
		_ = tx.c.Savepoint(func() error {
			if err := tx.c.Exec("INSERT INTO t VALUES (9, 'nested')"); err != nil {
				return err
			}
			return errNotMade
		})
		return tx.c.Exec("INSERT INTO t VALUES (4, 'd')")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := told(t, db, ChangeFilter{}); got != `insert t/1 null -> {"id":1,"a":"a"}`+"\n"+`update t/1 {"id":1,"a":"a"} -> {"id":1,"a":"x1"}`+"\n"+`insert t/4 null -> {"id":4,"a":"d"}` {
		t.Errorf("recorded:\n%s", got)
	}
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(`{"a":"bad"}`), InsertOptions{}); err == nil {
		t.Error("a bad row was inserted")
	}
	before := ask(t, other(t, db), "SELECT count(*), sum(bytes) FROM _changes, _changes_kept")
	if _, err := db.Tracked(false).InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(`{"a":"unseen"}`), InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	if after := ask(t, other(t, db), "SELECT count(*), sum(bytes) FROM _changes, _changes_kept"); after != before {
		t.Errorf("untracked changes were recorded: %s, then %s", before, after)
	}
}

// Beyond a few megabytes, what a statement changes is kept in a file until it is stored.
func TestLargeChangesAreRecorded(t *testing.T) {
	t.Parallel()
	db := track(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, n INTEGER) STRICT")
	db.exec(t, "r1", "INSERT INTO t (a, n) WITH RECURSIVE k (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 300) SELECT printf('%.*c', 100000, 'x'), n FROM k")
	db.exec(t, "r2", "UPDATE t SET n = n + 1", "UPDATE t SET a = a || 'y' WHERE id <= 60")
	if got := ask(t, other(t, db), "SELECT kind, count(*), sum(length(before)) > 6000000, sum(length(after)) FROM _changes GROUP BY kind ORDER BY kind"); !strings.HasPrefix(got, "1|300|NULL|30") || !strings.Contains(got, "\n2|360|1|600") {
		t.Errorf("stored: %s", got)
	}
	if done, err := db.Revert(ctx, ChangeFilter{RunID: "r2"}, false); err != nil || done.Updated != 360 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := ask(t, other(t, db), "SELECT count(*), sum(n = id), sum(length(a)) FROM t"); got != "300|300|30000000" {
		t.Errorf("reverted: %s", got)
	}
}

func TestRevertsSayWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	db := track(t)
	define(t, db, "p", "CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n INTEGER) STRICT")
	define(t, db, "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) ON DELETE CASCADE) STRICT")
	db.exec(t, "before", "INSERT INTO p VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)")
	db.exec(t, "run", "INSERT INTO p VALUES (4, 'four', 4)", "UPDATE p SET n = 10 WHERE id = 1", "UPDATE p SET a = 'zwei' WHERE id = 2", "DELETE FROM p WHERE id = 3")
	db.exec(t, "others", "INSERT INTO c VALUES (1, 4)")
	state := func() string {
		return ask(t, other(t, db), "SELECT * FROM p") + ask(t, other(t, db), "SELECT * FROM c")
	}
	conflicts := func(dryRun bool) string {
		before := state()
		done, err := db.Revert(WithOrigin(ctx, in("undo")), ChangeFilter{RunID: "run"}, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		var reasons []string
		for _, c := range done.Conflicts {
			record := ""
			if c.Record != nil {
				record = *c.Record
			}
			reasons = append(reasons, fmt.Sprint(*c.Table, "/", record, ": ", c.Reason))
		}
		if (len(reasons) > 0 || dryRun) && state() != before {
			t.Error("something was changed")
		}
		return strings.Join(reasons, "\n")
	}
	for _, step := range []struct{ sql, want string }{
		{"SELECT 1", "c/: A record of the table would refer to a record of p that is no longer there."},
		{"DELETE FROM c", ""},
		{"UPDATE p SET n = 11 WHERE id = 1", "p/1: The record has been changed since."},
		{"UPDATE p SET a = 'uno', n = 10 WHERE id = 1", ""}, // another column
		{"INSERT INTO p VALUES (3, 'drei', 3)", "p/3: There is a record with this id again."},
		{"UPDATE p SET id = 5, a = 'two' WHERE id = 3", "p/2: The value is taken: another row already has it."},
		{"DELETE FROM p WHERE id IN (4, 5)", "p/4: The record is no longer there."},
	} {
		db.exec(t, "others", step.sql)
		if got := conflicts(true); got != step.want {
			t.Errorf("after %s: %q, want %q", step.sql, got, step.want)
		}
	}
	if got := conflicts(false); got != "p/4: The record is no longer there." {
		t.Errorf("for real: %q", got)
	}
	if _, err := db.UpdateTable(ctx, new(problem.Faults), "p", TablePatch{NewName: ptr("q")}); err != nil {
		t.Fatal(err)
	}
	done, err := db.Revert(ctx, ChangeFilter{RunID: "run"}, true)
	if err != nil || done.ConflictsTotal != 1 || *done.Conflicts[0].Table != "q" || *done.Conflicts[0].Record != "4" {
		t.Errorf("after a rename: %+v, %v", done, err)
	}
	_, err = db.Revert(ctx, ChangeFilter{RunID: "unknown"}, true)
	if !problem.Is(err, problem.CodeNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
}

func TestChangesAreSwept(t *testing.T) {
	t.Parallel()
	db := track(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT")
	for i := range 10 {
		db.exec(t, fmt.Sprint("r", i), fmt.Sprintf("INSERT INTO t (a) VALUES ('%0*d'), ('y')", 100, i))
	}
	first, err := db.Changes(ctx, ChangeFilter{Limit: 2})
	if err != nil || first.Next == 0 || len(first.Changes) != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	sweep := func(before time.Time, most int64) {
		t.Helper()
		if err := db.sql.Write(ctx, func(c *sqlite.Conn) error { return sweepChangesTo(c, before, most) }); err != nil {
			t.Fatal(err)
		}
	}
	sweep(time.Time{}, 1<<30)
	if n := strings.Count(told(t, db, ChangeFilter{}), "\n"); n != 19 {
		t.Errorf("%d lines before", n)
	}
	for range 20 {
		sweep(time.Time{}, 1000)
	}
	bytes := ask(t, other(t, db), "SELECT bytes <= 1000, bytes > 0, bytes FROM _changes_kept")
	if !strings.HasPrefix(bytes, "1|1|") {
		t.Errorf("kept: %s", bytes)
	}
	if _, err := db.Changes(ctx, ChangeFilter{Limit: 2, After: first.Next}); !problem.Is(err, problem.CodeChangesExpired) {
		t.Errorf("a place that was swept: %v", err)
	}
	page, err := db.Changes(ctx, ChangeFilter{Limit: 100})
	if err != nil || page.Changes[0].Place < page.Oldest.String() {
		t.Errorf("%+v, %v", page, err)
	}
	for range 20 {
		sweep(time.Now().Add(100*365*24*time.Hour), 1<<30)
	}
	if got := ask(t, other(t, db), "SELECT (SELECT count(*) FROM _changes), (SELECT count(*) FROM _change_calls), (SELECT bytes FROM _changes_kept)"); got != "0|0|0" {
		t.Errorf("in the end: %s", got)
	}
}

// TestHistoriesAreWhole makes random changes: applied in order, the recorded ones give
// the same table, and taking a run back gives what a model says.
func TestHistoriesAreWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		db := track(t)
		keyless := rapid.Bool().Draw(rt, "keyless")
		if keyless {
			define(t, db, "t", "CREATE TABLE t (a TEXT, n INTEGER) STRICT")
		} else {
			define(t, db, "t", "CREATE TABLE t (k TEXT PRIMARY KEY, a TEXT, n INTEGER UNIQUE) STRICT")
		}
		value := rapid.SampledFrom([]string{"NULL", "1", "2", "3", "4"})
		text := rapid.SampledFrom([]string{"'a'", "'B'", "'b'", "'A'", "'c'", "NULL"})
		for i := range rapid.IntRange(1, 12).Draw(rt, "calls") {
			run := fmt.Sprint("r", i%3)
			sql := rapid.SampledFrom([]string{"INSERT OR IGNORE INTO t (%[1]s, n) VALUES (coalesce(%[2]s, 'd'), %[3]s)", "REPLACE INTO t (%[1]s, n) VALUES (coalesce(%[2]s, 'd'), %[3]s)",
				"UPDATE OR IGNORE t SET n = %[3]s", "UPDATE OR REPLACE t SET %[1]s = coalesce(%[2]s, 'd') WHERE n IS %[3]s", "DELETE FROM t WHERE n IS %[3]s"}).Draw(rt, "sql")
			first := "k"
			if keyless {
				first = "a"
			}
			db.exec(t, run, fmt.Sprintf(sql, first, text.Draw(rt, "text"), value.Draw(rt, "value")))
		}
		compareWithHistory(t, rt, db)
		run := fmt.Sprint("r", rapid.IntRange(0, 2).Draw(rt, "reverted"))
		want, clean := modelRevert(t, db, run)
		done, err := db.Revert(WithOrigin(ctx, in("undo")), ChangeFilter{RunID: run}, false)
		if problem.Is(err, problem.CodeNotFound) && len(runChanges(t, db, run)) == 0 {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		if clean && done.ConflictsTotal == 0 {
			if got := tableNow(t, db); !maps.Equal(got, want) {
				rt.Fatalf("reverted to %v, want %v", got, want)
			}
		}
		if !clean && done.ConflictsTotal == 0 {
			rt.Fatalf("the model has conflicts; reverted: %+v", done)
		}
		compareWithHistory(t, rt, db)
	})
}

func tableNow(t testing.TB, db *DB) map[string]string {
	rows := map[string]string{}
	err := other(t, db).Query("SELECT rowid, * FROM t", nil, func(s *sqlite.Stmt) error {
		var values []string
		for i := 1; i < s.Columns(); i++ {
			values = append(values, asJSON(s.Value(i)))
		}
		key := s.Text(0)
		if s.Columns() > 3 {
			key = recordID([]sqlite.Value{s.Value(1)})
		}
		rows[key] = strings.Join(values, "|")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func runChanges(t testing.TB, db *DB, run string) []Change {
	page, err := db.Changes(ctx, ChangeFilter{RunID: run, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return page.Changes
}

// cells returns the values of an object in the order of the table.
func cells(object jsontext.Value) string {
	var values []string
	_ = eachMember(object, func(_ string, v jsontext.Value) { values = append(values, string(v)) })
	return strings.Join(values, "|")
}

func compareWithHistory(t testing.TB, rt *rapid.T, db *DB) {
	page, err := db.Changes(ctx, ChangeFilter{Limit: 1000})
	if err != nil {
		rt.Fatal(err)
	}
	rows := map[string]string{}
	for _, c := range page.Changes {
		was := *c.Record
		if c.Was != nil {
			was = *c.Was
		}
		before, there := rows[was]
		if want := c.Op != "insert"; there != want || there && before != cells(c.Before) {
			rt.Fatalf("at %s, %s has %q (%v), but the change says %s", c.Place, was, before, there, c.Before)
		}
		if delete(rows, was); c.Op != "delete" {
			rows[*c.Record] = cells(c.After)
		}
	}
	if now := tableNow(t, db); !maps.Equal(now, rows) {
		rt.Fatalf("the table has %v, the changes lead to %v", now, rows)
	}
}

// modelRevert takes the changes of a run back in a copy of the table. If one does not
// fit, the result is not clean.
func modelRevert(t testing.TB, db *DB, run string) (rows map[string]string, clean bool) {
	rows, clean = tableNow(t, db), true
	for _, c := range slices.Backward(runChanges(t, db, run)) {
		now, there := rows[*c.Record]
		if c.Op == "delete" {
			clean = clean && !there
			rows[*c.Record] = cells(c.Before)
			continue
		}
		before, after := strings.Split(cells(c.Before), "|"), strings.Split(cells(c.After), "|")
		have := strings.Split(now, "|")
		clean = clean && there
		for i := range after {
			if changed := c.Op == "insert" || before[i] != after[i]; changed && (i >= len(have) || have[i] != after[i]) {
				clean = false
			} else if changed && c.Op == "update" {
				have[i] = before[i]
			}
		}
		if delete(rows, *c.Record); c.Op == "update" {
			was := *c.Record
			if c.Was != nil {
				was = *c.Was
			}
			rows[was] = strings.Join(have, "|")
		}
	}
	return rows, clean
}
