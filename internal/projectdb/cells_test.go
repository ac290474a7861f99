package projectdb

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// excerpt returns what a limit leaves of a value, and the size of one that it cuts.
func excerpt(v sqlite.Value, limit int) (sqlite.Value, int64) {
	size := len(v.Bytes)
	if size <= limit {
		return v, 0
	}
	n := limit
	if v.Kind == sqlite.Blob {
		n -= n % 3
	}
	for i := 0; v.Kind == sqlite.Text && utf8.Valid(v.Bytes) && !utf8.Valid(v.Bytes[:n]); i++ {
		n--
	}
	v.Bytes = v.Bytes[:n]
	return v, int64(size)
}

func cellsOf(rows Rows) (values []sqlite.Value) {
	for i := range rows.Len() {
		for _, c := range rows.Batch.Row(i)[:len(rows.Columns)] {
			v := rows.Batch.Value(c)
			v.Bytes = slices.Clone(v.Bytes)
			values = append(values, v)
		}
	}
	return values
}

func equalValues(a, b sqlite.Value) bool {
	return a.Kind == b.Kind && a.Int == b.Int && a.Float == b.Float && bytes.Equal(a.Bytes, b.Bytes)
}

// Lists, single records and queries cut the same values at the same place, and say how
// long they are.
func TestLongCellsAreCut(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, b BLOB, a ANY, twice TEXT AS (s || s)) STRICT",
		"INSERT INTO t VALUES (1, 'short', x'00', 1), (2, zeroblob(3) || 'xxxxxxxxxxxxxxxxxxxxxxxx', zeroblob(40), 'it is a text longer than most')",
		"INSERT INTO t VALUES (3, CAST(x'f09f908ef09f908ef09f908ef09f908ef09f908ef09f908ef09f908e' AS TEXT), x'ffd8ff00112233445566778899aabbccddeeff', x'7401027401')",
		"INSERT INTO t VALUES (4, CAST(x'808080808080808080808080808080808080808080808080' AS TEXT), x'74', NULL), (5, NULL, NULL, 1.5)",
		"INSERT INTO t VALUES (6, printf('%.*c', 300000, 'x'), randomblob(200000), zeroblob(500000))")
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]int{16, 17, 18, 19, 20, 21, 22, 23, 24, 27, 100, 1 << 20, 1 << 40}).Draw(t, "limit")
		s := Selection{Limit: int64(rapid.IntRange(1, 7).Draw(t, "rows")), Sort: rapid.SampledFrom([]string{"", "s", "-b", "a.nullslast"}).Draw(t, "sort")}
		o := ListOptions{Selection: s}
		if rapid.Bool().Draw(t, "backwards") {
			o.Before = edgeOf(t, db, s)
		}
		whole, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
		if err != nil {
			t.Fatal(err)
		}
		o.CellLimit = int64(limit)
		cut, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
		if err != nil {
			t.Fatal(err)
		}
		if whole.EndedByBytes {
			t.Skip()
		}
		checkCut(t, whole.Rows, cut.Rows, limit)
		if cut.NextCursor != whole.NextCursor || cut.PrevCursor != whole.PrevCursor {
			t.Fatal("the cursors differ")
		}
		for _, id := range []string{"2", "3", "6"} {
			whole, err := db.GetRecord(ctx, new(problem.Faults), "t", id, Selection{})
			if err != nil {
				t.Fatal(err)
			}
			cut, err := db.GetRecord(ctx, new(problem.Faults), "t", id, Selection{CellLimit: int64(limit)})
			if err != nil {
				t.Fatal(err)
			}
			checkCut(t, whole, cut, limit)
		}
		queried, err := db.Query(ctx, Query{SQL: "SELECT * FROM t WHERE id < 6 ORDER BY s", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		asked, err := db.Query(ctx, Query{SQL: "SELECT * FROM t WHERE id < 6 ORDER BY s", Limit: 10, CellLimit: int64(limit)})
		if err != nil {
			t.Fatal(err)
		}
		checkCut(t, queried.Rows, asked.Rows, limit)
	})
	// Values that are cut do not count whole.
	page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 500, Offset: 0, CellLimit: 256}, Whole: true})
	if err != nil || page.Len() != 6 || page.Batch.Size() > 8000 {
		t.Errorf("a page of %d rows with %d bytes: %v", page.Len(), page.Batch.Size(), err)
	}
	result, err := db.Query(ctx, Query{SQL: "SELECT printf('%.*c', 9000000, 'x') AS x FROM t", Limit: 10, CellLimit: 16})
	if err != nil || result.Len() != 6 || len(result.Batch.Cuts) != 6 || result.Batch.Cuts[5] != (sqlite.Cut{Row: 5, Column: 0, Bytes: 9_000_000}) {
		t.Errorf("a query with %d rows, %v: %v", result.Len(), result.Batch.Cuts, err)
	}
}

func checkCut(t *rapid.T, whole, cut Rows, limit int) {
	want, got := cellsOf(whole), cellsOf(cut)
	if len(want) != len(got) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	var cuts []sqlite.Cut
	for i, v := range want {
		v, size := excerpt(v, limit)
		if !equalValues(v, got[i]) {
			t.Fatalf("value %d of column %d, cut at %d: kind %d, %q, want kind %d, %q", i, i%len(whole.Columns), limit, got[i].Kind, got[i].Bytes, v.Kind, v.Bytes)
		}
		if size > 0 {
			cuts = append(cuts, sqlite.Cut{Row: i / len(whole.Columns), Column: i % len(whole.Columns), Bytes: size})
		}
	}
	sorted := slices.SortedFunc(slices.Values(cut.Batch.Cuts), func(a, b sqlite.Cut) int { return (a.Row-b.Row)*1000 + a.Column - b.Column })
	if !slices.Equal(sorted, cuts) {
		t.Fatalf("cut at %d: %v, want %v", limit, sorted, cuts)
	}
}

// A table may have as many columns as SQLite allows.
func TestManyLongCells(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY"+strings.ReplaceAll(manyColumns(MaxColumns-1), "INTEGER", "TEXT")+") STRICT",
		"INSERT INTO t (id, c0, c1998) VALUES (1, 'a text that is longer', 'another text that is longer')")
	page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1, CellLimit: 16}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(page.Batch.Cuts); got != "[{0 1 21} {0 1999 27}]" {
		t.Error(got)
	}
}
