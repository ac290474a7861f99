package projectdb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/ids"
)

// A plan has every step of SQLite's, in words too, and names an index only where one of
// a table that may be read would help.
func TestPlans(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "people", "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER) STRICT", "CREATE INDEX by_name ON people (name)")
	define(t, db, "pets", "CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER, kind TEXT) STRICT")
	for _, test := range []struct{ sql, sentence, index string }{
		{"SELECT * FROM people", "Reads all rows of people.", ""},
		{"SELECT * FROM people WHERE id = ?", "Finds rows of people by the key (rowid=?).", ""},
		{"SELECT * FROM people WHERE name = ?", "Finds rows of people by the index by_name (name=?).", ""},
		{"SELECT * FROM people WHERE age = ? ORDER BY name || 'x'", "Reads all rows of people. Sorts rows for ORDER BY.", "people [age]"},
		{"SELECT * FROM pets p WHERE p.kind = ? AND p.owner > 3", "Reads all rows of p.", "pets [kind owner]"},
		{"SELECT * FROM people a JOIN pets AS b ON b.owner = a.id WHERE b.kind = ?", "", "pets [owner kind]"},
		{"SELECT * FROM people JOIN pets ON kind = name WHERE people.age = ?", "", ""},
		{"SELECT 1 AS one", "Makes a row without reading a table.", ""},
		{"EXPLAIN QUERY PLAN SELECT * FROM people", "", ""},
	} {
		q := Query{SQL: test.sql, Limit: 5}
		if strings.Contains(test.sql, "?") {
			q.Params = []byte("[1]")
		}
		plan, err := db.PlanQuery(ctx, q)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		if got := strings.Join(plan.Sentences, " "); test.sentence != "" && got != test.sentence {
			t.Errorf("%s: %s", test.sql, got)
		}
		if plan.Index != nil && test.index != "" {
			if got := fmt.Sprint(plan.Index.Table, " ", plan.Index.Columns); got != test.index {
				t.Errorf("%s: an index on %s", test.sql, got)
			}
		} else if test.index != "" || plan.Index != nil && test.sentence != "" {
			t.Errorf("%s: an index on %v, want %q", test.sql, plan.Index, test.index)
		}
		if len(plan.Tree) != len(plan.Sentences) || len(plan.Tree) == 0 {
			t.Errorf("%s: %d steps, %d sentences", test.sql, len(plan.Tree), len(plan.Sentences))
		}
	}
	hidden := Query{SQL: "SELECT p.kind FROM pets AS people JOIN pets AS p ON p.id = people.id WHERE people.kind = 'x'", Limit: 5, Readable: []ids.Table{2}}
	if plan, err := db.PlanQuery(ctx, hidden); err != nil || plan.Index != nil && plan.Index.Table != "pets" {
		t.Errorf("%+v %v", plan.Index, err)
	}
	for sql, want := range map[string]string{"SELECT nothing": "validation_failed sql", "DELETE FROM pets": "validation_failed sql", "SELECT ? AS x": "validation_failed params", "": "validation_failed sql"} {
		if _, err := db.PlanQuery(ctx, Query{SQL: sql, Limit: 1}); complaint(err) != want {
			t.Errorf("%q: %v", sql, err)
		}
	}
}
