package projectdb

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// An estimate tells how many rows there are at least when counting takes too long, and
// the transaction goes on.
func TestEstimates(t *testing.T) {
	t.Parallel()
	db := openBounded(t, Bounds{})
	put(t, db, "t", `{"n":1}`, `{"n":2}`, `{"a":"`+strings.Repeat("a", 3_000_000)+`","n":3}`)
	define(t, db, "many", "CREATE TABLE many (id INTEGER PRIMARY KEY) STRICT")
	define(t, db, "keyed", "CREATE TABLE keyed (id INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID")
	run(t, db, "INSERT INTO many SELECT value FROM (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s LIMIT 12000) SELECT value FROM s)",
		"DELETE FROM many WHERE id BETWEEN 2 AND 11", "INSERT INTO keyed SELECT id FROM many")
	slow := `{"or":[{"column":"n","op":"<","value":3},` + strings.TrimPrefix(string(slowFilters()), "[")[:len(slowFilters())-2] + `]}`
	for _, test := range []struct {
		table, filters string
		exact          bool
		total          int64
		is             TotalKind
	}{
		{"t", "", false, 3, ExactTotal},
		{"t", `{"n":1}`, false, 1, ExactTotal},
		{"t", slow, false, 2, AtLeastTotal},
		{"many", "", false, 12000, EstimateTotal},
		{"many", "", true, 11990, ExactTotal},
		{"many", `[{"column":"id","op":"<","value":10000}]`, false, 9989, ExactTotal},
		{"keyed", "", false, 11990, ExactTotal},
	} {
		o := ListOptions{Selection: Selection{Limit: 1, Filters: jsontext.Value(test.filters)}, Count: test.exact, Estimate: true}
		page, err := db.ListRecords(ctx, new(problem.Faults), test.table, o)
		if err != nil || *page.Total != test.total || page.TotalIs != test.is {
			t.Errorf("%s %.40s: %v %s, want %d %s (%v)", test.table, test.filters, page.Total, page.TotalIs, test.total, test.is, err)
		}
	}
}
