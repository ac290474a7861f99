package projectdb

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// wideColumns returns n columns for a table to be created.
func wideColumns(n int) []NewColumn {
	columns := make([]NewColumn, n)
	for i := range columns {
		columns[i].Name = fmt.Sprintf("c%d", i)
	}
	return columns
}

func TestTablesHaveBoundedColumns(t *testing.T) {
	db := openProject(t, NewTable{Name: "w", Columns: wideColumns(MaxColumns - 1)})
	_, err := db.CreateTable(ctx, new(problem.Faults), NewTable{Name: "x", Columns: wideColumns(MaxColumns)})
	if got := complaint(err); got != "validation_failed columns" {
		t.Error("a new table:", got)
	}
	for _, unique := range []bool{false, true} {
		_, _, err = db.AddColumn(ctx, new(problem.Faults), "w", NewColumn{Name: "more", Unique: unique})
		if got := complaint(err); got != "conflict column_name" {
			t.Error("a further column:", got)
		}
	}
	if _, err := db.DeleteColumn(ctx, new(problem.Faults), "w", "c0"); err != nil {
		t.Error(err)
	}
	if _, _, err = db.AddColumn(ctx, new(problem.Faults), "w", NewColumn{Name: "more"}); err != nil {
		t.Error(err)
	}
}

// TestWidestTablesAreListed reads tables with so many columns that SQLite cannot also
// return the place of a row, with every kind of order and cursor.
func TestWidestTablesAreListed(t *testing.T) {
	db := openProject(t, NewTable{Name: "keyed", Columns: wideColumns(MaxColumns - 1)})
	var columns []string
	for _, c := range wideColumns(MaxColumns) {
		columns = append(columns, c.Name+" TEXT")
	}
	define(t, db, "keyless", "CREATE TABLE keyless ("+strings.Join(columns, ", ")+") STRICT")
	for _, table := range []string{"keyed", "keyless"} {
		put(t, db, table, `{"c1":"0"}`, `{"c1":"1","c2":"b"}`, `{"c1":"2","c2":"a"}`, `{"c1":"3"}`, `{"c1":"4","c2":"b"}`, `{"c1":"5","c2":"a"}`)
		for sort, want := range map[string]string{"": "012345", "c2": "032514", "c1": "012345"} {
			for _, descending := range []bool{false, true} {
				for _, limit := range []int64{1, 2, 5, 6} {
					o := ListOptions{Selection: Selection{Sort: sort, Descending: descending, Limit: limit}}
					if got := listAll(t, db, table, o); got != want && !(descending && got == reversed(want)) {
						t.Errorf("%s by %q, descending %t, %d at a time: %s", table, sort, descending, limit, got)
					}
				}
			}
		}
		o := ListOptions{Selection: Selection{Filters: jsontext.Value(`{"c2":"b"}`), Limit: 1, Offset: 1}}
		if page, err := db.ListRecords(ctx, new(problem.Faults), table, o); err != nil || page.Len() != 1 || page.HasMore {
			t.Errorf("%s with filters: %d rows, more %t, %v", table, page.Len(), page.HasMore, err)
		}
		if _, err := db.UpdateRecord(ctx, new(problem.Faults), table, "1", jsontext.Value(`{"c1":"x"}`)); err != nil {
			t.Error(err)
		}
	}
}

// listAll follows the cursors of a list and returns the values of c1.
func listAll(t *testing.T, db *DB, table string, o ListOptions) string {
	t.Helper()
	var seen strings.Builder
	for range 10 {
		page, err := db.ListRecords(ctx, new(problem.Faults), table, o)
		if err != nil {
			t.Fatal(problem.From(err))
		}
		for i := range page.Len() {
			seen.Write(page.Batch.Value(page.Batch.Row(i)[c1(page.Rows)]).Bytes)
		}
		if o.After = page.NextCursor; o.After == "" {
			break
		}
	}
	return seen.String()
}

func c1(rows Rows) int {
	for i, column := range rows.Columns {
		if column.Name == "c1" {
			return i
		}
	}
	return -1
}

func reversed(s string) string {
	var b strings.Builder
	for i := len(s) - 1; i >= 0; i-- {
		b.WriteByte(s[i])
	}
	return b.String()
}

func TestNamesOfTheRowid(t *testing.T) {
	db := openProject(t, NewTable{Name: "s", Columns: []NewColumn{{Name: "c"}}}, NewTable{Name: "own", Columns: []NewColumn{{Name: "rowid"}}})
	for _, name := range []string{"rowid", "OID"} {
		_, _, err := db.UpdateColumn(ctx, new(problem.Faults), "s", "c", ColumnPatch{NewName: &name})
		if got := complaint(err); got != "validation_failed new_column_name" {
			t.Errorf("rename to %s: %s", name, got)
		}
		_, _, err = db.AddColumn(ctx, new(problem.Faults), "s", NewColumn{Name: name})
		if got := complaint(err); got != "validation_failed column_name" {
			t.Errorf("add %s: %s", name, got)
		}
	}
	if _, _, err := db.UpdateColumn(ctx, new(problem.Faults), "own", "rowid", ColumnPatch{NewName: ptr("rowid")}); err != nil {
		t.Error("a column that has the name already:", err)
	}
	for _, name := range []string{"c", "ROWID"} {
		_, _, err := db.UpdateColumn(ctx, new(problem.Faults), "own", "rowid", ColumnPatch{NewName: &name})
		if got := complaint(err); got != "validation_failed new_column_name" {
			t.Errorf("from rowid to %s: %s", name, got)
		}
	}
}

// The columns of a wide table are found by an index of their names, which also works
// for a copy of the table with other columns.
func TestColumnsOfWideTablesAreFound(t *testing.T) {
	table := Table{Name: "w"}
	for i := range 40 {
		table.Columns = append(table.Columns, Column{Name: fmt.Sprintf("Column_%d", i)})
	}
	table.indexColumns()
	changed := table
	changed.Columns = append(slices.Delete(slices.Clone(table.Columns), 3, 5), Column{Name: "new"})
	for _, test := range []struct {
		table *Table
		name  string
		want  int
	}{
		{&table, "column_0", 0}, {&table, "COLUMN_39", 39}, {&table, "Column_4", 4}, {&table, "column_40", -1}, {&table, "new", -1},
		{&changed, "column_2", 2}, {&changed, "column_4", -1}, {&changed, "column_5", 3}, {&changed, "column_39", 37}, {&changed, "NEW", 38},
	} {
		var want *Column
		if test.want >= 0 {
			want = &test.table.Columns[test.want]
		}
		if got := test.table.Column(test.name); got != want {
			t.Errorf("%s is found as %v, want %v", test.name, got, want)
		}
	}
}
