package projectdb

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// drawAggregation returns an aggregation and the equivalent SQL, which returns each
// group as one text.
func drawAggregation(t *rapid.T) (a Aggregation, sql string) {
	filters, where := drawFilters(t)
	a = Aggregation{Filters: jsontext.Value(filters), Limit: 1000}
	a.GroupBy = rapid.Permutation(names).Draw(t, "columns")[:rapid.IntRange(0, 3).Draw(t, "grouped")]
	selected, shown, aliases := slices.Clone(a.GroupBy), slices.Clone(a.GroupBy), []string{`"x0":{"count":"*"}`}
	selected, shown = append(selected, "count(*) AS x0"), append(shown, "x0")
	for i := range rapid.IntRange(0, 5).Draw(t, "aggregates") {
		f := rapid.SampledFrom(aggregateFunctions).Draw(t, "function")
		column := rapid.SampledFrom(names).Draw(t, "column")
		if f.numbers { // the sums of other columns overflow: see TestSums
			column = rapid.SampledFrom([]string{"n", "r"}).Draw(t, "column of numbers")
		}
		alias := fmt.Sprintf("x%d", i+1)
		aliases = append(aliases, fmt.Sprintf(`%q:{%q:%q}`, alias, f.Name, column))
		selected, shown = append(selected, strings.Replace(f.sql, "{column}", column, 1)+" AS "+alias), append(shown, alias)
	}
	a.Aggregates = jsontext.Value("{" + strings.Join(aliases, ",") + "}")
	inner := "SELECT " + strings.Join(selected, ", ") + " FROM t WHERE " + where
	if len(a.GroupBy) > 0 {
		inner += " GROUP BY " + strings.Join(a.GroupBy, ", ")
	}
	inner = "SELECT * FROM (" + inner + ")"
	if rapid.Bool().Draw(t, "having") {
		a.Having = jsontext.Value(`[{"column":"x0","op":">","value":1}]`)
		inner += " WHERE x0 > 1"
	}
	var order []string
	if rapid.Bool().Draw(t, "sort") {
		a.Sort, order = "-x0", []string{"x0 DESC"}
	}
	if order = append(order, a.GroupBy...); len(order) > 0 {
		inner += " ORDER BY " + strings.Join(order, ", ")
	}
	if rapid.Bool().Draw(t, "cut") {
		a.Limit = int64(rapid.IntRange(1, 4).Draw(t, "limit"))
	}
	inner += fmt.Sprintf(" LIMIT %d", a.Limit)
	return a, "SELECT quote(" + strings.Join(shown, ") || '|' || quote(") + ") FROM (" + inner + ")"
}

// sameValues compares rows of SQL literals; versions of SQLite round sums differently.
func sameValues(a, b string) bool {
	left, right := strings.Split(a, "|"), strings.Split(b, "|")
	if a == b || len(left) != len(right) {
		return a == b
	}
	for i := range left {
		x, err := strconv.ParseFloat(left[i], 64)
		y, err2 := strconv.ParseFloat(right[i], 64)
		if left[i] != right[i] && (err != nil || err2 != nil || math.Abs(x-y) > 1e-9*math.Abs(x)) {
			return false
		}
	}
	return true
}

func TestAggregatesAnswerAsTheShellDoes(t *testing.T) {
	program := testkit.Tool(t, "sqlite3")
	testkit.Checks(t, 25)
	db := openProject(t)
	define(t, db, "t", keyed[0], "CREATE INDEX by_s ON t (s)", "CREATE INDEX by_i ON t (i, r)")
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.DeleteRecords(ctx, new(problem.Faults), "t", Match{All: true}); err != nil {
			t.Fatal(err)
		}
		for n := range rapid.IntRange(0, 30).Draw(t, "rows") {
			if _, err := db.InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(drawRow(t, keyOrders[0], n)), InsertOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		var asked []Aggregation
		var statements []string
		for range 10 {
			a, sql := drawAggregation(t)
			asked, statements = append(asked, a), append(statements, sql)
		}
		for i, want := range shell(t, program, db.sql.Path(), statements) {
			groups, err := db.Aggregate(ctx, new(problem.Faults), "t", asked[i])
			if err != nil {
				t.Fatal(statements[i], err)
			}
			var got []string
			for row := range groups.Len() {
				var values []string
				for _, cell := range groups.Batch.Row(row) {
					value := literal(groups.Batch.Value(cell))
					if strings.HasPrefix(value, "X'") {
						value = strings.ToUpper(value)
					}
					values = append(values, value)
				}
				got = append(got, strings.Join(values, "|"))
			}
			if !slices.EqualFunc(got, want, sameValues) {
				t.Fatalf("%s\nasked as %+v\n got %q\nwant %q", statements[i], asked[i], got, want)
			}
		}
	})
}

// Sums are exact, or refused.
func TestSums(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (i INTEGER, r REAL, a ANY, s TEXT, b BLOB) STRICT")
	put(t, db, "t", `{"i":9223372036854775807,"r":0.5,"a":1,"s":"x","b":"AP8="}`, `{"i":0,"a":2.5}`, `{"a":"x"}`)
	sum := func(aggregates string) (string, error) {
		groups, err := db.Aggregate(ctx, new(problem.Faults), "t", Aggregation{Aggregates: jsontext.Value(aggregates), Limit: 1})
		if err != nil {
			return complaint(err), err
		}
		var values []string
		for _, cell := range groups.Batch.Row(0) {
			values = append(values, literal(groups.Batch.Value(cell)))
		}
		return strings.Join(values, "|"), nil
	}
	const all = `{"i":{"sum":"i"},"r":{"sum":"r"},"a":{"sum":"a"},"m":{"avg":"i"},"c":{"count":"a"},"d":{"count_distinct":"a"},"x":{"max":"b"}}`
	if got, err := sum(all); got != "9223372036854775807|0.5|3.5|4611686018427388000.0|3|3|X'00ff'" {
		t.Errorf("%s (%v)", got, err)
	}
	put(t, db, "t", `{"i":1}`)
	if got, err := sum(all); got != "validation_failed aggregates.i.sum aggregates.a.sum" {
		t.Errorf("beyond 64 bits: %s (%v)", got, err)
	}
	for aggregates, want := range map[string]string{
		``: "aggregates", `{}`: "aggregates", `[]`: "aggregates", `{"n":{}}`: "aggregates.n", `{"n":{"count":"*","sum":"i"}}`: "aggregates.n", `{"n":1}`: "aggregates.n",
		`{"n":{"count":"nowhere"}}`: "aggregates.n.count", `{"n":{"sum":"*"}}`: "aggregates.n.sum", `{"n":{"count":1}}`: "aggregates.n.count", `{"n":{"median":"i"}}`: "aggregates.n.median",
		`{"n":{"sum":"s"},"m":{"avg":"b"}}`: "aggregates.n.sum aggregates.m.avg", `{"1":{"count":"*"}}`: "aggregates.1", `{"n":{"count":"*"},"N":{"count":"*"}}`: "aggregates.N",
		`{"":{"count":"*"},"x":{"max":"y"}}`: "aggregates. aggregates.x.max",
	} {
		if got, err := sum(aggregates); got != "validation_failed "+want {
			t.Errorf("%s: %s, want %s (%v)", aggregates, got, want, err)
		}
	}
	for _, test := range []struct {
		a    Aggregation
		want string
	}{
		{Aggregation{GroupBy: []string{"i"}}, "ok"},
		{Aggregation{GroupBy: []string{"i", "nowhere", "I"}}, "validation_failed group_by[1] group_by[2]"},
		{Aggregation{GroupBy: make([]string, 17)}, "validation_failed group_by"},
		{Aggregation{GroupBy: []string{"s"}, Aggregates: jsontext.Value(`{"S":{"count":"*"}}`)}, "validation_failed aggregates.S"},
		{Aggregation{GroupBy: []string{"s"}, Aggregates: jsontext.Value(`{"i":{"count":"*"}}`), Filters: jsontext.Value(`{"i":1}`), Having: jsontext.Value(`{"i":1}`), Sort: "-i,s"}, "ok"},
		{Aggregation{GroupBy: []string{"s"}, Having: jsontext.Value(`{"i":1}`), Filters: jsontext.Value(`{"z":1}`), Sort: "i"}, "validation_failed filters.z having.i sort"},
		{Aggregation{Aggregates: jsontext.Value(`{"n":{"count":"*"}}`), Having: jsontext.Value(`[{"column":"n","op":"<","value":"many"}]`)}, "validation_failed having[0].value"},
	} {
		test.a.Limit = 10
		_, err := db.Aggregate(ctx, new(problem.Faults), "t", test.a)
		if got := complaint(err); got != test.want {
			t.Errorf("%+v: %s, want %s (%v)", test.a, got, test.want, err)
		}
	}
}

// Groups are refused when they are too large to be answered, and end in time.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	db := openBounded(t, Bounds{})
	for i := range 3 {
		put(t, db, "t", fmt.Sprintf(`{"a":"%d%s"}`, i, strings.Repeat("a", 4<<20)))
	}
	all := Aggregation{GroupBy: []string{"a"}, Limit: 10}
	if _, err := db.Aggregate(ctx, new(problem.Faults), "t", all); !problem.Is(err, problem.CodeResultTooLarge) {
		t.Errorf("12 MiB of groups: %v", err)
	}
	all.Limit = 1
	if groups, err := db.Aggregate(ctx, new(problem.Faults), "t", all); err != nil || groups.Len() != 1 || !groups.HasMore {
		t.Errorf("the first group: %v (%v)", groups.HasMore, err)
	}
	db.bounds.Records = 1
	if _, err := db.Aggregate(ctx, new(problem.Faults), "t", all); !problem.Is(err, problem.CodeQueryTimeout) {
		t.Errorf("without time: %v", err)
	}
}
