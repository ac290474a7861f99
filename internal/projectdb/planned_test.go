package projectdb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// selected returns the ids of the rows that match the filters.
func selected(t *testing.T, db *DB, filters string) string {
	t.Helper()
	page, err := db.ListRecords(ctx, new(problem.Faults), "u", ListOptions{
		Selection: Selection{Columns: []string{"id"}, Filters: jsontext.Value(filters), Limit: 1000},
	})
	if err != nil {
		t.Fatalf("%.200s: %v", filters, err)
	}
	var ids []int64
	for i := range page.Len() {
		ids = append(ids, page.Batch.Row(i)[0].Int())
	}
	return fmt.Sprint(ids)
}

// Conditions hidden from SQLite's planner select the same rows as those that it sees.
func TestConditionsBesideThePlanner(t *testing.T) {
	db := openBounded(t, Bounds{})
	define(t, db, "u", "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, n INTEGER, r REAL, x ANY) STRICT",
		"CREATE INDEX ua ON u(a COLLATE NOCASE)", "CREATE INDEX un ON u(n, r)")
	put(t, db, "u", `{"a":"Anna","b":"x","n":1,"r":1.5,"x":1}`, `{"a":"anna","b":"X","n":2,"r":2,"x":"1"}`,
		`{"a":"Bob","n":3,"x":1.0}`, `{"b":"","n":9007199254740993,"r":9007199254740992}`, `{"a":"","b":"y","r":-0.0}`)
	conditions := []string{
		`{"column":"a","op":"like","value":"an%"}`, `{"column":"a","value":"anna"}`, `{"column":"b","value":"x"}`,
		`{"column":"b","op":"in","value":["X"]}`, `{"column":"b","op":"in","value":["X","Y"]}`, `{"column":"n","op":"in","value":["2",3]}`,
		`{"column":"n","op":"in","value":[]}`, `{"column":"n","value":"2"}`, `{"column":"n","value":9007199254740993}`,
		`{"column":"n","op":">=","value":2.5}`, `{"column":"r","value":2}`, `{"column":"r","op":"<","value":1}`, `{"column":"x","value":1}`,
		`{"column":"x","op":"in","value":["1"]}`, `{"column":"a","op":"is_null"}`, `{"column":"r","op":"not_null"}`, `{"column":"a","op":"!=","value":"Bob"}`,
	}
	for i, one := range conditions {
		for _, other := range conditions[i:] {
			for _, filters := range []string{one + "," + other, `{"or":[` + one + "," + other + `]}`, `{"or":[` + one + "," + other + "," + one + `]}`} {
				want := selected(t, db, "["+filters+"]")
				before := strings.Repeat(`{"column":"id","op":">","value":0},`, maxPlanned)
				if got := selected(t, db, "["+before+filters+"]"); got != want {
					t.Errorf("%s lets %s through, after others %s", filters, want, got)
				}
				none := strings.Repeat(`{"column":"id","op":"<","value":0},`, maxPlanned)
				want = selected(t, db, `[{"or":[`+filters+`]}]`)
				if got := selected(t, db, `[{"or":[`+none+filters+`]}]`); got != want {
					t.Errorf("one of %s lets %s through, after others %s", filters, want, got)
				}
			}
		}
	}
}

// SQLite cannot be interrupted while it plans a query: these filters used to take a
// minute.
func TestManyConditionsArePlannedSoon(t *testing.T) {
	db := openBounded(t, Bounds{})
	columns, indexes := "id INTEGER PRIMARY KEY", []string{}
	for i := range 30 {
		columns += fmt.Sprintf(", c%d INTEGER", i)
		indexes = append(indexes, fmt.Sprintf("CREATE INDEX i%d ON u(c%d)", i, i))
	}
	define(t, db, "u", "CREATE TABLE u ("+columns+") STRICT", indexes...)
	put(t, db, "u", `{"c0":1}`, `{"c0":2}`)
	list := func(n int, item func(i int) string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = item(i)
		}
		return strings.Join(items, ",")
	}
	condition := func(op string) func(i int) string {
		return func(i int) string { return fmt.Sprintf(`{"column":"c%d","op":%q,"value":%d}`, i%30, op, i) }
	}
	for name, filters := range map[string]string{
		"all of one column":        list(9999, func(i int) string { return fmt.Sprintf(`{"column":"c0","op":">","value":%d}`, -i) }),
		"any of all columns":       `{"or":[` + list(9998, condition("=")) + `]}`,
		"many groups":              list(320, func(int) string { return `{"or":[` + list(30, condition(">")) + `]}` }),
		"many lists of few values": list(3333, func(i int) string { return fmt.Sprintf(`{"column":"c%d","op":"in","value":[%d,1]}`, i%30, i) }),
		"a long list":              `{"column":"c0","op":"in","value":[` + list(9998, func(i int) string { return fmt.Sprint(i) }) + `]}`,
	} {
		began := time.Now()
		selected(t, db, "["+filters+"]")
		if took := time.Since(began); took > testkit.Slack {
			t.Errorf("%s: %v", name, took)
		}
	}
	// The same number of equality comparisons as one list of values still uses an
	// index.
	equal := selected(t, db, `[{"or":[`+list(9998, func(i int) string { return fmt.Sprintf(`{"column":"c0","value":%d}`, i) })+`]}]`)
	if equal != "[1 2]" {
		t.Errorf("many alternatives of one column let %s through", equal)
	}
}
