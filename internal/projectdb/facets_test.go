package projectdb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// Values and summaries agree with GROUP BY and the aggregates of SQL.
func TestFacetsAgreeWithSQL(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, a ANY) STRICT", "CREATE INDEX by_i ON t (i)",
		`INSERT INTO t WITH RECURSIVE x(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM x WHERE n < 300)
		 SELECT n, CASE WHEN n % 7 THEN n % 5 END, (n % 4) / 2.0, substr('abcab', n % 5 + 1, n % 3), CASE n % 3 WHEN 1 THEN zeroblob(n % 2) END,
		 CASE n % 4 WHEN 0 THEN 1 WHEN 1 THEN 1.0 WHEN 2 THEN '1' END FROM x`,
		"INSERT INTO t (id, s, a) VALUES (1000, printf('%.*c', 5000, 'z'), '')")
	for _, column := range []string{"id", "i", "r", "s", "b", "a"} {
		for filters, where := range map[string]string{"": "1", `[{"column":"id","op":"<","value":40}]`: "id < 40", `{"id":-1}`: "0"} {
			o := FacetOptions{Filters: jsontext.Value(filters), Limit: 7}
			values, err := db.ColumnValues(ctx, new(problem.Faults), "t", column, o)
			if err != nil || !values.Complete {
				t.Fatal(column, filters, values.Complete, err)
			}
			known := where + " AND " + column + " IS NOT NULL AND octet_length(" + column + ") <= 1024"
			want := ask(t, other(t, db), "SELECT "+column+", count(*) AS n FROM t WHERE "+known+" GROUP BY 1 ORDER BY n DESC, 1 LIMIT 7")
			var got []string
			for i := range values.Len() {
				row := values.Batch.Row(i)
				got = append(got, literal(values.Batch.Value(row[0]))+"|"+fmt.Sprint(row[1].Int()))
			}
			if text := strings.Join(got, "\n"); text != want {
				t.Errorf("values of %s where %s:\n%s\nwant\n%s", column, where, text, want)
			}
			s, err := db.SummarizeColumn(ctx, new(problem.Faults), "t", column, o)
			if err != nil || !s.Complete || s.AtLeast {
				t.Fatal(column, filters, s, err)
			}
			cut := "CASE WHEN typeof({f}({c})) IN ('text', 'blob') AND octet_length({f}({c})) > 1024 THEN substr({f}({c}), 1, 1024) ELSE {f}({c}) END"
			query := "SELECT count(*), count(*) - count({c}), count(*) FILTER (WHERE octet_length({c}) = 0), count(DISTINCT {c}), " +
				strings.ReplaceAll(cut, "{f}", "min") + ", " + strings.ReplaceAll(cut, "{f}", "max") + " FROM t WHERE "
			want = ask(t, other(t, db), strings.ReplaceAll(query, "{c}", column)+where)
			row := s.Range.Batch.Row(0)
			text := fmt.Sprintf("%d|%d|%d|%d|", s.Rows, s.Nulls, s.Empties, s.Distinct) + literal(s.Range.Batch.Value(row[0])) + "|" + literal(s.Range.Batch.Value(row[1]))
			if text != want {
				t.Errorf("summary of %s where %s: %s, want %s", column, where, text, want)
			}
		}
	}
	for _, test := range []struct{ column, prefix, want string }{
		{"s", "ca", "ca"}, {"s", "C", ""}, {"s", "%", ""}, {"i", "2", "2"}, {"id", "29", "29 290 291 292 293 294 295 296 297 298 299"}, {"a", "", "1 1"},
	} {
		values, err := db.ColumnValues(ctx, new(problem.Faults), "t", test.column, FacetOptions{Prefix: test.prefix, Limit: 50})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range values.Len() {
			got = append(got, strings.Trim(asJSON(values.Batch.Value(values.Batch.Row(i)[0])), `"`))
		}
		if text := strings.Join(got, " "); test.prefix != "" && text != test.want {
			t.Errorf("%s with the prefix %s: %s, want %s", test.column, test.prefix, text, test.want)
		}
	}
}

// What cannot be read in time is left out and told; an index still knows the extremes.
func TestFacetsOfManyRows(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT) STRICT",
		"INSERT INTO t WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 20000) SELECT n, printf('%01000d', n) FROM x")
	values, err := db.ColumnValues(ctx, new(problem.Faults), "t", "s", FacetOptions{Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	if values.Complete || values.Len() != 5 || !values.HasMore {
		t.Errorf("%d values, complete %v", values.Len(), values.Complete)
	}
	s, err := db.SummarizeColumn(ctx, new(problem.Faults), "t", "id", FacetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	row := s.Range.Batch.Row(0)
	if row[0].Int() != 1 || row[1].Int() != 20_000 || s.Distinct > 20_000 {
		t.Errorf("%d to %d, %d different", row[0].Int(), row[1].Int(), s.Distinct)
	}
}
