package projectdb

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
)

// compares says whether an operator holds for two numbers with the given order.
var compares = map[string]func(order int) bool{
	"=": func(o int) bool { return o == 0 }, "!=": func(o int) bool { return o != 0 }, "in": func(o int) bool { return o == 0 }, "not_in": func(o int) bool { return o != 0 },
	">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 }, "<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
}

// Numbers compare exactly with integers, and integers with reals, with and without an
// index.
func TestNumbersCompareExactly(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (i INTEGER, r REAL, j INTEGER, q REAL) STRICT", "CREATE INDEX by_j ON t (j)", "CREATE INDEX by_q ON t (q)")
	edges := []string{"0", "1", "-1", "4503599627370496", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994", "-9007199254740993", "9223372036854775806", "9223372036854775807", "-9223372036854775808", "-9223372036854775807"}
	for _, n := range edges {
		put(t, db, "t", `{"i":`+n+`,"j":`+n+`}`)
	}
	reals := []string{"0.0", "0.5", "-0.5", "9007199254740991.0", "9007199254740992.0", "9007199254740994.0", "9223372036854774784.0", "9223372036854775808.0", "-9223372036854775808.0", "-9223372036854777856.0"}
	for _, f := range reals {
		put(t, db, "t", `{"r":`+f+`,"q":`+f+`}`)
	}
	put(t, db, "t", `{}`) // NULLs never match
	number := func(text string) *big.Rat {
		n, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%s is not read", text)
		}
		return n
	}
	rapid.Check(t, func(t *rapid.T) {
		column := rapid.SampledFrom([]string{"i", "j", "r", "q"}).Draw(t, "column")
		stored, suffixes := edges, []string{"", ".0", ".5", ".0000000000000000001", ".99999999999999999999", "e0", "e30"}
		if column == "r" || column == "q" {
			// A fraction is compared as the REAL that it would be stored as.
			stored, suffixes = reals, []string{"", ".0", "e0"}
		}
		text := rapid.SampledFrom(append([]string{"9223372036854775808", "-9223372036854775809", "-0"}, edges...)).Draw(t, "number") + rapid.SampledFrom(suffixes).Draw(t, "suffix")
		value := text
		if rapid.Bool().Draw(t, "as a text") {
			value = `" ` + text + `"`
		}
		if (column == "r" || column == "q") && strings.Contains(text, "922337203685477580") {
			text = "9223372036854775808" // integers beyond 64 bits are stored as the nearest REAL
			value = text
		}
		op := rapid.SampledFrom([]string{"=", "!=", ">", ">=", "<", "<=", "in", "not_in", "between"}).Draw(t, "op")
		var want int64
		for _, s := range stored {
			order := number(s).Cmp(number(text))
			if op == "between" && order == 0 || op != "between" && compares[op](order) {
				want++
			}
		}
		switch op {
		case "in", "not_in":
			value = "[" + value + "]"
		case "between":
			value = "[" + value + "," + value + "]"
		}
		filters := fmt.Sprintf(`[{"column":%q,"op":%q,"value":%s}]`, column, op, value)
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1, Filters: jsontext.Value(filters)}, Count: true})
		if err != nil || *page.Total != want {
			t.Fatalf("%s: %v, want %d (%v)", filters, page.Total, want, err)
		}
	})
}

// A comparison with a value that the column could not store is refused wherever
// filters are accepted, and changes nothing.
func TestComparisonsOfTheWrongType(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, a ANY) STRICT")
	put(t, db, "t", `{"i":1,"r":1.5,"s":"x","b":"AP8=","a":1}`, `{}`)
	for _, test := range []struct{ column, op, value, want string }{
		{"i", "<", `"abc"`, ".value"}, {"i", "<", `""`, ".value"}, {"i", "!=", `"NaN"`, ".value"}, {"i", ">=", `"2024-01-01"`, ".value"}, {"i", "=", `"true"`, ".value"}, {"i", "<", `"9,99"`, ".value"}, {"i", "=", `"0x10"`, ".value"},
		{"i", "=", `{}`, ".value"}, {"i", "=", `[1]`, ".value"}, {"i", "in", `[1,"x",{}]`, ".value[1] .value[2]"}, {"i", "between", `["a",2]`, ".value[0]"},
		{"r", ">", `"abc"`, ".value"}, {"r", "<", `"Infinity"`, ".value"}, {"r", "<", `1e400`, ".value"}, {"r", "=", `{"a":1}`, ".value"},
		{"s", "=", `{}`, ".value"}, {"s", "in", `[[]]`, ".value[0]"}, {"s", "like", `1`, ".value"}, {"s", "contains", `true`, ".value"}, {"i", "like", `1`, ".value"}, {"s", "starts_with", `["a"]`, ".value"},
		{"b", "=", `"***"`, ".value"}, {"b", "=", `1`, ".value"}, {"b", "not_in", `["AP8"]`, ".value[0]"},
		{"a", "=", `{}`, ".value"}, {"a", "<", `[]`, ".value"},
		{"i", "is_null", `false`, ".value"}, {"i", "not_null", `true`, ".value"}, {"s", "is_empty", `"x"`, ".value"}, {"s", "is_null", `[]`, ".value"},
		{"i", "=", `null`, ".value"}, {"i", "<", ``, ".value"},
		{"s", "=", `"a","fold":true`, "ok"}, {"s", "contains", `"a","fold":null`, "ok"}, {"i", "starts_with", `"1","fold":true`, "ok"}, {"s", "not_like", `"a%"`, "ok"},
		{"s", "=", `1,"fold":true`, ".value"}, {"s", "=", `"a","fold":1`, ".fold"}, {"s", "like", `"a","fold":true`, ".fold"}, {"s", "between", `["a","b"],"fold":true`, ".fold"}, {"s", "is_null", `null,"fold":true`, ".fold"}, {"s", "not_like", `1`, ".value"},
		{"i", "=", `" 1 "`, "ok"}, {"i", "<", `1.5`, "ok"}, {"i", "<", `1e400`, "ok"}, {"i", "=", `true`, "ok"}, {"r", "=", `"1.50"`, "ok"}, {"s", "=", `1`, "ok"}, {"s", "=", `true`, "ok"}, {"a", "=", `"x"`, "ok"}, {"b", "=", `"AP8="`, "ok"},
		{"i", "is_null", `null`, "ok"}, {"i", "like", `"1%"`, "ok"},
	} {
		condition := fmt.Sprintf(`{"column":%q,"op":%q`, test.column, test.op)
		if test.value != "" {
			condition += `,"value":` + test.value
		}
		filters := jsontext.Value("[" + condition + "}]")
		want := func(field string) string {
			if test.want == "ok" {
				return "ok"
			}
			return "validation_failed " + strings.TrimSpace(strings.ReplaceAll(" "+test.want, " .", " "+field+"[0]."))
		}
		_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1, Filters: filters}})
		if got := complaint(err); got != want("filters") {
			t.Errorf("list %s: %s (%v)", filters, got, err)
		}
		if test.want == "ok" {
			continue
		}
		_, err = db.DeleteRecords(ctx, new(problem.Faults), "t", Match{Filters: filters})
		if got := complaint(err); got != want("where") {
			t.Errorf("delete %s: %s (%v)", filters, got, err)
		}
		_, err = db.UpdateRecords(ctx, new(problem.Faults), "t", jsontext.Value(`{"i":9}`), Match{Filters: filters})
		if got := complaint(err); got != want("where") {
			t.Errorf("update %s: %s (%v)", filters, got, err)
		}
	}
	for filters, want := range map[string]string{`{"i":"abc"}`: "validation_failed filters.i", `{"b":1,"i":{}}`: "validation_failed filters.b filters.i", `{"i":null}`: "ok"} {
		_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1, Filters: jsontext.Value(filters)}})
		if got := complaint(err); got != want {
			t.Errorf("%s: %s (%v)", filters, got, err)
		}
	}
	err := db.View(ctx, func(tx *Tx) error {
		n, err := tx.c.Int("SELECT count(*) FROM t WHERE i IS NOT 9")
		if n != 2 {
			t.Errorf("%d rows are unchanged, want 2", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
