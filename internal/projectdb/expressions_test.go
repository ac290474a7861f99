package projectdb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

func expressionTable() *Table {
	return &Table{Name: "t", Columns: []Column{{Name: "a", Type: "TEXT"}, {Name: "b", Type: "TEXT"}, {Name: "n", Type: "INTEGER"}, {Name: "odd name", Type: "ANY"}, {Name: "case", Type: "TEXT"}}}
}

func TestExpressionsThatMayBeKept(t *testing.T) {
	for _, expression := range []string{
		"1", "-1.5e-3", "'it''s'", "x'00ff'", "NULL", "CURRENT_TIMESTAMP", "a", "t.a", `"a"`, "[odd name]", `t."case"`, "(a)", "rowid",
		"a || ' ' || b", "n * 2 + 1 % 3", "n << 2 & 7 | ~n", "NOT n > 5 AND (a <> '' OR b IS NOT NULL)", "n BETWEEN 1 AND 10", "a NOT IN ('x', 'y')", "a NOTNULL", "a IS NOT DISTINCT FROM b",
		"a = b COLLATE NOCASE", "CASE n WHEN 1 THEN 'one' WHEN 2 THEN a ELSE b END", "CASE WHEN n > 1 THEN a END", "CAST(n AS TEXT)", "CAST(a AS VARCHAR(10))",
		"coalesce(a, b, 'none')", "ifnull(a, b)", "nullif(a, '')", "iif(n > 1, a, b)", "abs(n)", "round(n / 3.0, 2)", "LOWER(upper(a))", "length(a) < 100",
		"trim(ltrim(rtrim(a)))", "substr(a, 1, 3)", "typeof(a) = 'text'", "date(a)", "datetime('now', '-1 day')", "unixepoch(a)", "julianday(a) - 1",
		"json_valid(a)", "json_type(a, '$.x')", "json_extract(a, '$.x', '$.y')", "a -> '$.x'", "a ->> 'x'", "a->>0", "json_extract(a, b)",
	} {
		if err := NewExpressions(expressionTable()).Add(expression); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// costly are expressions that take more time or memory than their inputs justify, or
// reach beyond them. Some do not even compile.
var costly = []string{
	"printf('%.250000000c', 'x')", "format('%.*c', n, 'x')", `"printf"('%.9c', 'x')`, "[printf]('x')", "hex(zeroblob(100000000))", "zeroblob(n)", "randomblob(1000000)", "quote(a)", "hex(a)", "unhex(a)", "char(65)",
	"replace(a, 'a', 'bb')", "instr(a, b)", "trim(a, b)", "ltrim(a, 'x')", "rtrim(a, b)", "a LIKE '%x%'", "a NOT LIKE b", "a GLOB '*x*'", "like('%x', a)", "glob('*', a)", "a REGEXP 'x'", "a MATCH 'x'", "a LIKE 'x' ESCAPE '!'",
	"concat(a, b)", "concat_ws(',', a, b)", "group_concat(a)", "strftime('%Y', a)", "max(a, b)", "json_set(a, '$.x', b)", "json_array(a)", "json_object('a', a)", "json(a)", "json_patch(a, b)", "json_quote(a)", "jsonb(a)",
	"(SELECT 1)", "EXISTS (SELECT 1)", "(WITH x AS (SELECT 1) SELECT * FROM x)", "(VALUES (1))", "a IN (SELECT b FROM t)", "a IN t", "count(*)", "sum(n) OVER ()", "row_number() OVER (ORDER BY a)", "abs(n) FILTER (WHERE n)",
	"RAISE(IGNORE)", "load_extension('x')", "readfile('/etc/passwd')", "writefile('x', a)", "sqlite_version()", "random()", "last_insert_rowid()", "changes()", "edit(a)", "fts3_tokenizer('simple')", "sqlite_offset(a)", "sqlite_compileoption_get(1)",
	"a || ?", "a || :x", "a || @x", "a || $x", "a; DROP TABLE t", "a)", "(a", "a b", "a ||", "|| a", "unknown", "other.a", "a, b", "", "iif(n)", "abs(n, n)", "json_extract(a)", "CASE a", "CASE WHEN a END", "CAST(a)", "CAST(a AS (SELECT 1))",
	strings.Repeat("(", 200) + "a" + strings.Repeat(")", 200), "a" + strings.Repeat(" || a", 1000), "'" + strings.Repeat("x", 10_000) + "'",
	strings.Repeat("json_extract(", 5) + "a" + strings.Repeat(", '$')", 5),
}

func TestExpressionsThatMayNotBeKept(t *testing.T) {
	for _, expression := range costly {
		if err := NewExpressions(expressionTable()).Add(expression); err == nil {
			t.Errorf("%.100s may be kept", expression)
		}
	}
}

// TestExpressionsDoNotGrow builds columns from each other.
func TestExpressionsDoNotGrow(t *testing.T) {
	for name, link := range map[string]string{"length": "g%[1]d || g%[1]d", "time": "iif(g%[1]d = g%[1]d, 1, 2)", "a constant": "g%[1]d || g%[1]d"} {
		table := Table{Name: "t", Columns: []Column{{Name: "a", Type: "TEXT"}, {Name: "g0", Type: "ANY", Generated: "a"}}}
		if name == "a constant" {
			table.Columns[1].Generated = "'0123456789'"
		}
		for i := range 40 {
			table.Columns = append(table.Columns, Column{Name: fmt.Sprintf("g%d", i+1), Type: "ANY", Generated: fmt.Sprintf(link, i)})
		}
		began := time.Now()
		if err := table.CheckExpressions(); err == nil || time.Since(began) > testkit.Slack {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
	circle := Table{Name: "t", Columns: []Column{{Name: "a", Generated: "b"}, {Name: "b", Generated: "a"}}}
	if err := circle.CheckExpressions(); err == nil {
		t.Error("columns are made of themselves")
	}
}

func TestValuesAreBoundedByWhatIsMadeOfThem(t *testing.T) {
	table := Table{Name: "t", Columns: []Column{{Name: "free", Type: "TEXT"}, {Name: "a", Type: "TEXT"}, {Name: "g", Type: "TEXT", Generated: "a || a"}}, Checks: []string{"length(a) > 0"}}
	if err := table.CheckExpressions(); err != nil {
		t.Fatal(err)
	}
	// The column makes a, a and a || a; the check makes a.
	if free, bound := table.Columns[0].MaxBytes, table.Columns[1].MaxBytes; free != 0 || bound != maxMade/5 {
		t.Errorf("the bounds are %d and %d, want 0 and %d", free, bound, maxMade/5)
	}
}

// TestReadingAgreesWithSQLite generates expressions from pieces that are meaningful
// somewhere. Those that are allowed compile to calls of known functions only.
func TestReadingAgreesWithSQLite(t *testing.T) {
	pieces := []string{"a", "b", "n", "'x'", `"a"`, `"printf"`, "printf", "lower", "coalesce", "replace", "json_extract", "(", ")", ",", "||", "->", "->>", "LIKE", "NOT", "IN", "CASE", "WHEN", "THEN", "ELSE", "END",
		"CAST", "AS TEXT", "COLLATE", "NOCASE", "IS", "NULL", "AND", "BETWEEN", "1", "-", "+", "=", "<", ">", "/*", "*/", "--\n", "[a]", "`b`", "x'00'", "SELECT", "EXISTS", ".", "t.", "t", "glob", "abs", " "}
	c, err := sqlite.OpenPrivate(t.Context(), t.TempDir()+"/x")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec(`CREATE TABLE t (a TEXT, b TEXT, n INTEGER, "odd name", "case" TEXT)`); err != nil {
		t.Fatal(err)
	}
	kept := 0
	rapid.Check(t, func(rt *rapid.T) {
		expression := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(rt, "pieces"), " ")
		if rapid.Bool().Draw(rt, "called") {
			expression = rapid.SampledFrom([]string{"lower", "printf", "abs", `"replace"`}).Draw(rt, "function") + "(" + expression + ")"
		}
		if rapid.Bool().Draw(rt, "simple") { // random pieces are rarely allowed
			operand := rapid.SampledFrom([]string{"a", "n", "'x'", "1", "lower(a)", "coalesce(a, b)"})
			expression = operand.Draw(rt, "left") + rapid.SampledFrom([]string{" || ", " + ", " = ", " < "}).Draw(rt, "operator") + operand.Draw(rt, "right")
		}
		table := expressionTable()
		if NewExpressions(table).Add(expression) != nil {
			return
		}
		err := c.Query("EXPLAIN SELECT ("+expression+"\n) FROM t", nil, func(s *sqlite.Stmt) error {
			name, _, _ := strings.Cut(s.Text(5), "(")
			if _, known := functions[name]; !known && strings.Contains(s.Text(1), "Func") && name != "->" && name != "->>" {
				rt.Errorf("%s calls %s", expression, name)
			}
			return nil
		})
		if err == nil { // SQLite may be stricter
			kept++
		}
	})
	if kept == 0 {
		t.Error("nothing was kept")
	}
}

// TestOldSchemasAreNotEvaluated opens a project whose schema was made when any
// expression was allowed.
func TestOldSchemasAreNotEvaluated(t *testing.T) {
	db := openProject(t)
	define(t, db, "old", "CREATE TABLE old (id INTEGER PRIMARY KEY, a TEXT, g TEXT AS (printf('%.25c', a))) STRICT", "INSERT INTO old (a) VALUES ('x')")
	define(t, db, "fine", "CREATE TABLE fine (id INTEGER PRIMARY KEY, a TEXT) STRICT")
	_, list := db.ListRecords(ctx, &problem.Faults{}, "old", ListOptions{})
	_, one := db.GetRecord(ctx, &problem.Faults{}, "old", "1", Selection{})
	_, insert := db.InsertRecord(ctx, &problem.Faults{}, "old", []byte(`{"a":"y"}`), InsertOptions{})
	_, update := db.UpdateRecords(ctx, &problem.Faults{}, "old", []byte(`{"a":"y"}`), Match{All: true})
	_, _, add := db.AddColumn(ctx, &problem.Faults{}, "old", NewColumn{Name: "u", Unique: true})
	_, index := db.CreateIndex(ctx, &problem.Faults{}, "old", NewIndex{Columns: []string{"a"}})
	snapshot, err := db.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old, err := snapshot.Table("old")
	if err != nil {
		t.Fatal(err)
	}
	_, scan := snapshot.Scan(old, Selection{})
	_, ranges := snapshot.Ranges(old, Selection{})
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"list": list, "get": one, "insert": insert, "update": update, "add a column": add, "index": index, "scan": scan, "ranges": ranges} {
		if e := problem.From(err); e.Code != problem.CodeConflict || !strings.Contains(e.Message, "printf") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := db.DeleteColumn(ctx, &problem.Faults{}, "old", "g"); err != nil {
		t.Fatal(err)
	}
	if page, err := db.ListRecords(ctx, &problem.Faults{}, "old", ListOptions{Selection: Selection{Limit: 10}}); err != nil || page.Len() != 1 {
		t.Errorf("%d rows, %v", page.Len(), err)
	}
	put(t, db, "fine", `{"a":"x"}`)
}

// SQLite evaluates a table's expressions when a foreign key leads to its rows.
func TestOldSchemasAreNotEvaluatedByForeignKeys(t *testing.T) {
	db := openProject(t)
	define(t, db, "top", "CREATE TABLE top (id INTEGER PRIMARY KEY, a TEXT) STRICT")
	define(t, db, "middle", "CREATE TABLE middle (id INTEGER PRIMARY KEY REFERENCES top ON DELETE CASCADE) STRICT")
	define(t, db, "beside", "CREATE TABLE beside (id INTEGER PRIMARY KEY, a TEXT) STRICT")
	define(t, db, "old", "CREATE TABLE old (id INTEGER PRIMARY KEY, m INTEGER REFERENCES middle ON DELETE SET NULL, g AS (abs(m / 0 || printf('x'))), CHECK (g <> printf('x')))")
	put(t, db, "beside", `{"a":"x"}`)
	changes := map[string]func(table string) error{
		"insert": func(table string) error {
			_, err := db.InsertRecord(ctx, &problem.Faults{}, table, []byte(`{"id":1}`), InsertOptions{})
			return err
		},
		"update": func(table string) error {
			_, err := db.UpdateRecords(ctx, &problem.Faults{}, table, []byte(`{"id":2}`), Match{All: true})
			return err
		},
		"delete": func(table string) error {
			_, err := db.DeleteRecords(ctx, &problem.Faults{}, table, Match{All: true})
			return err
		},
	}
	for _, table := range []string{"top", "middle"} {
		for what, change := range changes {
			if e := problem.From(change(table)); e.Code != problem.CodeConflict || !strings.Contains(e.Message, "printf") || !strings.Contains(e.Message, "table old") {
				t.Errorf("%s of %s: %v", what, table, e)
			}
		}
		if _, err := db.ListRecords(ctx, &problem.Faults{}, table, ListOptions{Selection: Selection{Limit: 10}}); err != nil {
			t.Errorf("a list of %s: %v", table, err)
		}
	}
	for what, change := range changes {
		if err := change("beside"); err != nil && what != "insert" {
			t.Errorf("%s of another table: %v", what, err)
		}
	}
	if _, err := db.DeleteTable(ctx, "old"); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"insert", "update", "delete"} {
		if err := changes[what]("top"); err != nil {
			t.Errorf("%s afterwards: %v", what, err)
		}
	}
}
