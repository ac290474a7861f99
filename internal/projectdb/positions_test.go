package projectdb

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
)

var positionTables = []string{
	"CREATE TABLE t (n INTEGER PRIMARY KEY, i INTEGER, s TEXT, k TEXT) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, s TEXT, k TEXT) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, s TEXT COLLATE NOCASE, k TEXT, PRIMARY KEY (k, n)) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, s TEXT, k TEXT COLLATE NOCASE, PRIMARY KEY (k, n)) STRICT, WITHOUT ROWID",
}

// buildNow builds the milestones of a list now.
func buildNow(t fataler, db *DB, s Selection, step int64) {
	err := db.View(ctx, func(tx *Tx) error {
		table, err := tx.readable("t")
		if err != nil {
			return err
		}
		s.Columns = nil
		q := s.plan(table, new(problem.Faults), "")
		m, err := readMilestones(ctx, db.sql.Path(), q, step)
		if err != nil {
			return err
		}
		key, err := tx.listKey(q)
		db.positions.put(key, m)
		return err
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// A position is that of OFFSET, with milestones and without, in every order that an
// index leads, with filters and without; and a record at a position says so.
func TestPositionsAgreeWithOffsets(t *testing.T) {
	t.Parallel()
	for _, create := range positionTables {
		db := openProject(t)
		define(t, db, "t", create, "CREATE INDEX by_i ON t (i)", "CREATE INDEX by_s ON t (s, i DESC)",
			`INSERT INTO t WITH RECURSIVE r(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM r WHERE x < 700)
			 SELECT x, CASE WHEN x % 3 THEN x * 7919 % 23 END, CASE x % 5 WHEN 0 THEN NULL WHEN 1 THEN 'A' WHEN 2 THEN 'a' ELSE 'b' || x % 7 END, char(65 + x * 31 % 50) FROM r`)
		rapid.Check(t, func(t *rapid.T) {
			s := Selection{
				Columns: []string{"n"}, Limit: int64(rapid.IntRange(1, 40).Draw(t, "limit")),
				Sort:    rapid.SampledFrom([]string{"", "i", "-i", "s,-i", "-s,i", "s"}).Draw(t, "sort"),
				Filters: jsontext.Value(rapid.SampledFrom([]string{"", `{"i":null}`, `[{"column":"n","op":">","value":300}]`, `[{"column":"s","op":"not_null"}]`, `{"s":"nothing"}`}).Draw(t, "filters")),
			}
			if step := rapid.SampledFrom([]int64{0, 1, 3, 16}).Draw(t, "step"); step > 0 {
				buildNow(t, db, s, step)
			}
			n := int64(rapid.IntRange(0, 720).Draw(t, "position"))
			page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: s, Position: &n})
			if err != nil {
				t.Fatal(err)
			}
			same := s
			same.Offset = n
			want, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: same})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(numbers(page), numbers(want)) || !page.Exact || page.NextCursor != want.NextCursor || page.PrevCursor != want.PrevCursor {
				t.Fatalf("at %d: %v (exact %v, %q, %q), want %v (%q, %q)", n, numbers(page), page.Exact, page.PrevCursor, page.NextCursor, numbers(want), want.PrevCursor, want.NextCursor)
			}
			if page.Len() == 0 {
				return
			}
			at, err := db.RecordPosition(ctx, new(problem.Faults), "t", idFor(t, db, create, numbers(page)[0]), s)
			if err != nil || !at.Exact || at.Row != n {
				t.Fatalf("the record at %d is at %v: %v", n, at, err)
			}
		})
	}
}

// idFor returns the id of the record with the given n.
func idFor(t fataler, db *DB, create, n string) string {
	id := "n"
	switch {
	case strings.Contains(create, "(k, n)"):
		id = "k || ',' || n"
	case !strings.Contains(create, "PRIMARY KEY"):
		id = "rowid"
	}
	var text string
	err := db.View(ctx, func(tx *Tx) (err error) {
		text, err = tx.c.Text("SELECT " + id + " FROM t WHERE n = " + n)
		return err
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "%", "%25"), "/", "%2F")
}

// Milestones of an older state are exact no longer; in lists of up to a million rows,
// they are not used.
func TestPositionsAfterCommits(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT) STRICT",
		"INSERT INTO t WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 100) SELECT x, x FROM r")
	s := Selection{Limit: 1, Columns: []string{"n"}}
	buildNow(t, db, s, 10)
	at := func(n int64) string {
		t.Helper()
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: s, Position: &n})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(numbers(page), page.Exact)
	}
	run(t, db, "DELETE FROM t WHERE n < 6")
	if got := at(49); got != "[55] true" {
		t.Errorf("after a commit: %s", got)
	}
	var key string
	err := db.View(ctx, func(tx *Tx) error {
		table, err := tx.readable("t")
		if err != nil {
			return err
		}
		key, err = tx.listKey(s.plan(table, new(problem.Faults), ""))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	buildNow(t, db, s, 10)
	m := *db.positions.get(key)
	m.rows, m.built = maxExactRows+1, m.built.Add(m.took*100)
	db.positions.put(key, &m)
	if got := at(49); got != "[55] true" {
		t.Errorf("rebuilt: %s", got)
	}
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(`{"n":1}`), InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := at(49); got != "[55] false" {
		t.Errorf("many rows, after a commit: %s", got)
	}
}

func TestPositionFaults(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT) STRICT", "CREATE INDEX by_a ON t (a)")
	for _, test := range []struct {
		o    ListOptions
		want string
	}{
		{ListOptions{Selection: Selection{Sort: "b"}}, "an index on (b) would help"},
		{ListOptions{Selection: Selection{Sort: "a,-b"}}, "an index on (a, b DESC) would help"},
		{ListOptions{Selection: Selection{Offset: 1}}, "leave out offset, after and before"},
		{ListOptions{Whole: true}, "leave out offset, after and before"},
		{ListOptions{After: "x"}, "leave out offset, after and before"},
		{ListOptions{Before: "x"}, "leave out offset, after and before"},
		{ListOptions{Selection: Selection{Sort: "-a"}}, ""},
		{ListOptions{}, ""},
	} {
		test.o.Position, test.o.Limit = ptr(int64(0)), 1
		_, err := db.ListRecords(ctx, new(problem.Faults), "t", test.o)
		if (err == nil) != (test.want == "") || err != nil && (complaint(err) != "validation_failed position" || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v", test.o, err)
		}
	}
	if _, err := db.RecordPosition(ctx, new(problem.Faults), "t", "7", Selection{}); !problem.Is(err, problem.CodeNotFound) {
		t.Errorf("the position of no record: %v", err)
	}
}

// A list of any length keeps a bounded number of milestones, and a project a bounded
// number of lists.
func TestMilestonesAreBounded(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT) STRICT", "CREATE INDEX by_s ON t (s)",
		"INSERT INTO t WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 20000) SELECT x, printf('%0200d', x) FROM r")
	table := func(tx *Tx) *Table {
		t, _ := tx.readable("t")
		return t
	}
	err := db.View(ctx, func(tx *Tx) error {
		q := Selection{Sort: "s"}.plan(table(tx), new(problem.Faults), "")
		m, err := readMilestones(ctx, db.sql.Path(), q, 1)
		if err != nil {
			return err
		}
		if len(m.places) > maxMilestones || m.bytes > maxMilestoneBytes || len(m.places)*int(m.step) < 19000 || m.rows != 20000 {
			t.Errorf("%d milestones of %d bytes, every %d rows", len(m.places), m.bytes, m.step)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxLists + 10 {
		db.positions.put(fmt.Sprint(i), &milestones{})
		db.positions.get("0")
	}
	if len(db.positions.lists) != maxLists || len(db.positions.used) != maxLists || db.positions.get("0") == nil || db.positions.get("1") != nil {
		t.Errorf("%d lists, %d used", len(db.positions.lists), len(db.positions.used))
	}
}

// A far position has milestones built in the background; closing ends that.
func TestMilestonesAreBuilt(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT",
		"INSERT INTO t WITH RECURSIVE r(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM r WHERE x < 30000) SELECT x FROM r")
	for range 1000 {
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1}, Position: ptr(int64(20_000))})
		if err != nil || !slices.Equal(numbers(page), []string{"20000"}) {
			t.Fatal(numbers(page), err)
		}
		db.positions.builds.Wait()
		db.positions.mu.Lock()
		n := len(db.positions.lists)
		db.positions.mu.Unlock()
		if n == 1 {
			break
		}
	}
	for _, m := range db.positions.lists {
		if m.rows != 30_001 || len(m.places) != 30_001/firstStep {
			t.Errorf("%d milestones of %d rows", len(m.places), m.rows)
		}
	}
	if len(db.positions.lists) != 1 {
		t.Errorf("%d lists have milestones", len(db.positions.lists))
	}
	db.positions.close()
	db.positions.build(db.sql.Path(), "other", query{}, nil)
}
