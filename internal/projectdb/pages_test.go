package projectdb

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// Pages that end early lose no rows, whatever they are sorted by, and no page with
// several rows is too large.
func TestLargePagesEndEarly(t *testing.T) {
	t.Parallel()
	const mega = 1 << 20
	sizes := []int{3 * mega, 3 * mega, 2*mega - 9, 1, 12 * mega, 0, 4 * mega, 4 * mega, 8 * mega, 1, 5 * mega}
	for name, create := range map[string]string{
		"a key":           "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, s INTEGER) STRICT",
		"a rowid":         "CREATE TABLE t (id INTEGER, a TEXT, s INTEGER) STRICT",
		"a composite key": "CREATE TABLE t (id INTEGER, k TEXT DEFAULT 'k', a TEXT, s INTEGER, PRIMARY KEY (k, id)) STRICT, WITHOUT ROWID",
		"many columns":    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, s INTEGER" + manyColumns(MaxColumns-3) + ") STRICT",
	} {
		if testkit.Scale(name == "a rowid" || name == "a composite key", false) {
			continue
		}
		db := openProject(t)
		define(t, db, "t", create)
		var want []string
		for i, size := range sizes {
			sort := []string{"null", "1", "2"}[i%3]
			put(t, db, "t", fmt.Sprintf(`{"id":%d,"s":%s,"a":"%s"}`, i+1, sort, strings.Repeat("x", size)))
			want = append(want, fmt.Sprint(i+1))
		}
		for _, limit := range []int64{1, 2, 500} {
			for _, sort := range []string{"", "s"} {
				for _, descending := range []bool{false, true} {
					if limit == 1 && descending || name == "many columns" && limit < 500 {
						continue
					}
					if testkit.Scale(limit == 2 && descending != (sort == ""), false) {
						continue
					}
					o := ListOptions{Selection: Selection{Limit: limit, Sort: sort, Descending: descending}}
					got, early := pageOn(t, db, o)
					slices.SortFunc(got, func(a, b string) int { return len(a)*100 + int(a[len(a)-1]) - len(b)*100 - int(b[len(b)-1]) })
					if !slices.Equal(got, want) {
						t.Errorf("%s, limit %d, sort %q, descending %v: got %v", name, limit, sort, descending, got)
					}
					if (early > 0) != (limit > 1) {
						t.Errorf("%s, limit %d, sort %q, descending %v: %d pages end early", name, limit, sort, descending, early)
					}
				}
			}
		}
		if _, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 3}, Whole: true}); complaint(err) != "ok" {
			t.Errorf("%s: a whole page of 8 MiB: %v", name, err)
		}
		for _, o := range []ListOptions{{Selection: Selection{Limit: 5}, Whole: true}, {Selection: Selection{Limit: 3, Offset: 6}, Whole: true}} {
			page, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
			if complaint(err) != "validation_failed after columns" || page.NextCursor != "" && err == nil {
				t.Errorf("%s: a whole page of %+v: %v", name, o, err)
			}
		}
		columns := Selection{Limit: 500, Columns: []string{"id"}}
		if page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: columns, Whole: true}); err != nil || page.Len() != len(sizes) || page.EndedByBytes {
			t.Errorf("%s: a page of small columns: %d rows, %v", name, page.Len(), err)
		}
	}
}

func manyColumns(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", c%d INTEGER", i)
	}
	return b.String()
}

// pageOn reads all pages by their cursors. It returns the ids and the number of pages
// that ended early.
func pageOn(t *testing.T, db *DB, o ListOptions) (ids []string, early int) {
	t.Helper()
	for more := true; more; {
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
		if err != nil {
			t.Fatal(err)
		}
		size, place := 0, slices.IndexFunc(page.Columns, func(c format.Column) bool { return c.Name == "id" })
		for i := range page.Len() {
			row := page.Batch.Row(i)
			ids = append(ids, fmt.Sprint(row[place].Int()))
			for _, cell := range row[:len(page.Columns)] {
				if cell.Kind == sqlite.Text {
					size += len(page.Batch.Bytes(cell))
				}
			}
		}
		switch full := int64(page.Len()) == o.Limit; {
		case page.Len() == 0, size > maxPageBytes && page.Len() > 1:
			t.Fatalf("a page of %d rows and %d bytes", page.Len(), size)
		case page.EndedByBytes && (full || !page.HasMore), page.HasMore && !full && !page.EndedByBytes, page.HasMore != (page.NextCursor != ""):
			t.Fatalf("a page of %d rows of %d: ended early %v, more %v, cursor %q", page.Len(), o.Limit, page.EndedByBytes, page.HasMore, page.NextCursor)
		}
		if page.EndedByBytes {
			early++
		}
		o.After, more = page.NextCursor, page.HasMore
	}
	return ids, early
}

// Without a key and a rowid there is no cursor, and no way to get the next page.
func TestLargePageWithoutCursor(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (rowid TEXT, _rowid_ TEXT, oid TEXT) STRICT")
	row := `{"oid":"` + strings.Repeat("x", 5<<20) + `"}`
	put(t, db, "t", row, row)
	_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 10}})
	if !problem.Is(err, problem.CodeValidationFailed) {
		t.Error(err)
	}
	if page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1}}); err != nil || page.Len() != 1 || !page.HasMore {
		t.Errorf("%d rows, %v", page.Len(), err)
	}
}

// Pages that end early lose no rows on the way back either.
func TestLargePagesEndEarlyBackwards(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (n INTEGER PRIMARY KEY, a TEXT) STRICT")
	var want []string
	for i := range 7 {
		put(t, db, "t", fmt.Sprintf(`{"n":%d,"a":"%s"}`, i, strings.Repeat("x", 3<<20)))
		want = append(want, fmt.Sprint(i))
	}
	o := ListOptions{Selection: Selection{Limit: 500, Sort: "a", Offset: 7}}
	page, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	o.Offset = 0
	for o.Before = page.PrevCursor; o.Before != ""; o.Before = page.PrevCursor {
		if page, err = db.ListRecords(ctx, new(problem.Faults), "t", o); err != nil {
			t.Fatal(err)
		}
		if size := page.Batch.Size(); size > maxPageBytes+maxPageBytes/2 || page.EndedByBytes != (page.PrevCursor != "") {
			t.Fatalf("a page of %d rows and %d bytes ended early: %v", page.Len(), size, page.EndedByBytes)
		}
		var rows []string
		for i := range page.Len() {
			rows = append(rows, fmt.Sprint(page.Batch.Row(i)[0].Int()))
		}
		got = append(rows, got...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// A page whose place no longer has rows leads back to those that are left.
func TestPagesBesideDeletedRows(t *testing.T) {
	t.Parallel()
	db := openProject(t, contacts)
	put(t, db, "contacts", `{"email":"a"}`, `{"email":"b"}`, `{"email":"c"}`, `{"email":"d"}`)
	list := func(o ListOptions) Page {
		t.Helper()
		o.Selection = Selection{Limit: 2, Columns: []string{"email"}}
		page, err := db.ListRecords(ctx, new(problem.Faults), "contacts", o)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	emails := func(p Page) string {
		var b strings.Builder
		for i := range p.Len() {
			b.Write(p.Batch.Bytes(p.Batch.Row(i)[0]))
		}
		return b.String()
	}
	second := list(ListOptions{After: list(ListOptions{}).NextCursor})
	if got := emails(second); got != "cd" {
		t.Fatal(got)
	}
	run(t, db, "DELETE FROM contacts WHERE email < 'c'")
	empty := list(ListOptions{Before: second.PrevCursor})
	if empty.Len() != 0 || empty.PrevCursor != "" || !empty.HasMore {
		t.Fatalf("before the first: %d rows, %q, %v", empty.Len(), empty.PrevCursor, empty.HasMore)
	}
	if got := emails(list(ListOptions{After: empty.NextCursor})); got != "cd" {
		t.Errorf("after an empty page at the beginning: %s", got)
	}
	run(t, db, "DELETE FROM contacts")
	empty = list(ListOptions{Before: second.PrevCursor})
	if empty.Len() != 0 || empty.PrevCursor != "" || empty.NextCursor != "" || empty.HasMore {
		t.Errorf("of no rows: %+v", empty)
	}
}
