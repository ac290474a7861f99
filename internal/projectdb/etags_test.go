package projectdb

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// etagOf returns the ETag of the first record of a table, by some of its columns.
func etagOf(t *testing.T, db *DB, table string, columns ...string) string {
	t.Helper()
	rows, err := db.GetRecord(ctx, new(problem.Faults), table, "1", Selection{Columns: columns})
	if err != nil || !strings.HasPrefix(rows.ETag, `"`) {
		t.Fatalf("%s %v", rows.ETag, err)
	}
	return rows.ETag
}

// matching is the condition that a record still has one of the ETags.
func matching(etags ...string) Condition { return Condition{Match: &ETags{List: etags}} }

// TestETags checks what changes an ETag and what an ETag is compared with.
func TestETags(t *testing.T) {
	t.Parallel()
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "a", Type: "ANY"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}})
	put(t, db, "t", `{"a":1,"b":"x","c":"yzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz","d":null}`)
	all, some := etagOf(t, db, "t"), etagOf(t, db, "t", "d", "a")
	if other := etagOf(t, db, "t", "a", "d"); other != some {
		t.Errorf("the order of columns makes a difference: %s, %s", some, other)
	}
	page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Columns: []string{"d", "a"}, Limit: 9}, ETags: true})
	if err != nil || len(page.ETags) != 1 || page.ETags[0] != some {
		t.Errorf("a list has %v, %v", page.ETags, err)
	}
	if cut, err := db.GetRecord(ctx, new(problem.Faults), "t", "1", Selection{CellLimit: 16}); err != nil || cut.ETag != all {
		t.Errorf("a record with a limit for its cells: %s, %v", cut.ETag, err)
	}
	seen := map[string]string{all: "at first"}
	for _, patch := range []string{
		`{"a":"1"}`, `{"a":1.5}`, `{"a":0}`, `{"a":null}`, `{"a":""}`, `{"b":"xy","c":"z"}`, `{"b":null,"c":"x"}`, `{"b":"x","c":null}`, `{"b":null,"c":null,"d":"x"}`, `{"b":null,"c":null,"d":null}`,
	} {
		rows, err := db.UpdateRecord(ctx, new(problem.Faults), "t", "1", jsontext.Value(patch))
		if before := seen[rows.ETag]; err != nil || before != "" || rows.ETag != etagOf(t, db, "t") {
			t.Errorf("%s: %s as %s, %v", patch, rows.ETag, before, err)
		}
		seen[rows.ETag] = "after " + patch
	}
	rows, err := db.UpdateRecord(ctx, new(problem.Faults), "t", "1", jsontext.Value(`{"a":1,"b":"x","c":"yzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz","d":null}`), matching(etagOf(t, db, "t")))
	if err != nil || rows.ETag != all {
		t.Errorf("changed back: %s, want %s, %v", rows.ETag, all, err)
	}
}

// TestConditions checks which changes a condition allows.
func TestConditions(t *testing.T) {
	t.Parallel()
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
	put(t, db, "t", `{"a":"1","b":"2","c":"3"}`)
	all, a, b, c := etagOf(t, db, "t"), etagOf(t, db, "t", "a"), etagOf(t, db, "t", "b"), etagOf(t, db, "t", "c")
	if _, err := db.UpdateRecord(ctx, new(problem.Faults), "t", "1", jsontext.Value(`{"a":"other"}`), matching(all)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.UpdateColumn(ctx, new(problem.Faults), "t", "b", ColumnPatch{NewName: ptr("renamed")}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.DeleteColumn(ctx, new(problem.Faults), "t", "c"); err != nil {
		t.Fatal(err)
	}
	none := func(any bool, etags ...string) Condition { return Condition{NoneMatch: &ETags{any, etags}} }
	for _, test := range []struct {
		what string
		when Condition
		want string
	}{
		{"none", Condition{}, "ok"},
		{"the whole record, changed", matching(all), "precondition_failed If-Match"},
		{"a column, changed", matching(a), "precondition_failed If-Match"},
		{"a column, renamed", matching(b), "ok"},
		{"a column, deleted", matching(c), "precondition_failed If-Match"},
		{"one of several", matching(all, b), "ok"},
		{"no list", matching(), "precondition_failed If-Match"},
		{"any", Condition{Match: &ETags{Any: true}}, "ok"},
		{"weak", matching("W/" + b), "precondition_failed If-Match"},
		{"of somebody else", matching(`"abc"`, `""`, `"."`, `"/////w8B."`, `"_____________wH_____________Af________8B.x"`), "precondition_failed If-Match"},
		{"cut short", matching(b[:len(b)-2] + `"`), "precondition_failed If-Match"},
		{"none of what it was", none(false, all, a), "ok"},
		{"none of what it is", none(false, all, b), "precondition_failed If-None-Match"},
		{"none of what it is, weak", none(false, "W/"+b), "precondition_failed If-None-Match"},
		{"none at all", none(true), "precondition_failed If-None-Match"},
	} {
		before := etagOf(t, db, "t")
		_, err := db.UpdateRecord(ctx, new(problem.Faults), "t", "1", jsontext.Value(`{"renamed":"2"}`), test.when)
		if got := complaint(err); got != test.want || etagOf(t, db, "t") != before {
			t.Errorf("%s: %s, want %s", test.what, got, test.want)
		}
		if _, err := db.GetRecord(ctx, new(problem.Faults), "t", "1", Selection{}, test.when); complaint(err) != test.want {
			t.Errorf("%s, reading: %v, want %s", test.what, err, test.want)
		}
		if test.want != "ok" {
			if _, err := db.DeleteRecord(ctx, "t", "1", test.when); complaint(err) != test.want {
				t.Errorf("%s, deleting: %v, want %s", test.what, err, test.want)
			}
		}
	}
	if _, err := as(t, db, "t").UpdateRecord(ctx, new(problem.Faults), "t", "1", jsontext.Value(`{"a":"x"}`), matching(b)); complaint(err) != "permission_denied" {
		t.Errorf("without the right to read: %v", err)
	}
	if rows, err := as(t, db, "t").UpdateRecord(ctx, new(problem.Faults), "t", "1", jsontext.Value(`{"a":"x"}`)); err != nil || rows.ETag != "" {
		t.Errorf("a client who may not read gets the ETag %s, %v", rows.ETag, err)
	}
	if _, err := db.DeleteRecord(ctx, "t", "1", matching(b)); err != nil {
		t.Error(err)
	}
	if _, err := db.DeleteRecord(ctx, "t", "1", matching(b)); complaint(err) != "not_found" {
		t.Errorf("a record that is gone: %v", err)
	}
}
