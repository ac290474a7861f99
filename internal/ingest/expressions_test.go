package ingest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/testkit"
)

// hostileExpressions cost far more than their input, reach beyond it, or are not
// expressions at all. %.9c stands for a length that is harmless while the file is made.
var hostileExpressions = []string{
	"printf('%.9c', 'x')", "length(printf('%.9c', 'x'))", "length(hex(zeroblob(9)))", "printf('%.9c', 'x') || a", "randomblob(9)", "length(zeroblob(9)) > 0",
	"length(replace(printf('%.9c', 'a'), printf('%.9c', 'a') || 'b', ''))", "instr(a, b)", "replace(a, 'a', 'bb')", "trim(a, b)", "a LIKE '%a%a%a%'", "a GLOB '*a*a*'", "like('%a', a)",
	"json_set('{}', '$.' || a, b)", "json_valid(printf('%.9c', '['))", "quote(a)", "char(9)", "unhex(a)", "strftime('%Y', a)", "format('%9d', 1)", "min(a, b)", "max(a, b)", "concat(a, b)",
	"sqlite_version()", "random()", "likelihood(1, 0.5)", "(a || " + strings.Repeat("a || ", 500) + "a)", strings.Repeat("(", 60) + "a || b" + strings.Repeat(")", 60),
	"NOT NOT " + strings.Repeat("abs(", 60) + "1" + strings.Repeat(")", 60), "'" + strings.Repeat("x", 9000) + "' || a", "soundex(a)", "(SELECT 1)", "changes()", "load_extension('x')",
}

// TestHostileExpressionsAreNotKept puts each expression into each of the five places
// where a schema stores one. Expressions that SQLite itself refuses there cannot arrive
// in a file either.
func TestHostileExpressionsAreNotKept(t *testing.T) {
	t.Parallel()
	places := map[string]string{
		"generated":     "CREATE TABLE t (a TEXT, b TEXT, g AS (%s))",
		"CHECK":         "CREATE TABLE t (a TEXT, b TEXT, CHECK (%s))",
		"DEFAULT":       "CREATE TABLE t (a TEXT, b TEXT, d DEFAULT (%s))",
		"an index":      "CREATE TABLE t (a TEXT, b TEXT); CREATE INDEX x ON t (%s)",
		"partial index": "CREATE TABLE t (a TEXT, b TEXT); CREATE INDEX x ON t (a) WHERE %s",
	}
	for place, statement := range places {
		script, tried := "", 0
		for i, expression := range hostileExpressions {
			one := strings.NewReplacer("TABLE t ", fmt.Sprintf("TABLE t%d ", i), "ON t ", fmt.Sprintf("ON t%d ", i), "INDEX x ", fmt.Sprintf("INDEX x%d ", i)).Replace(fmt.Sprintf(statement, expression))
			if exec.Command(testkit.Tool(t, "sqlite3"), ":memory:", one).Run() != nil {
				continue
			}
			script += one + ";\n"
			tried++
		}
		if tried < 10 {
			t.Fatalf("%s: the shell takes %d of the expressions", place, tried)
		}
		p := newProject(t)
		report := p.mustTake(t, database(t, script))
		for _, table := range tablesOf(t, p) {
			for _, column := range table.Columns {
				if column.Generated+column.Default != "" {
					t.Errorf("%s: %.80s%.80s is kept", place, column.Generated, column.Default)
				}
			}
			for _, x := range table.Indexes {
				t.Errorf("%s: the index on %.80v is kept", place, x.Expressions())
			}
			if len(table.Checks) > 0 {
				t.Errorf("%s: the check %.80s is kept", place, table.Checks)
			}
		}
		if len(report.Notes) < tried {
			t.Errorf("%s: %d notes for %d expressions", place, len(report.Notes), tried)
		}
	}
}

func tablesOf(t *testing.T, p project) []projectdb.Table {
	t.Helper()
	tables, err := p.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// TestLongValuesAreNotComputedWith imports a value that is too long for a generated
// column, a check and an index that use it.
func TestLongValuesAreNotComputedWith(t *testing.T) {
	t.Parallel()
	script := "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, g TEXT AS (upper(a) || lower(a)), CHECK (length(trim(a)) > 0)); CREATE INDEX x ON t (lower(a));\n" +
		"INSERT INTO t (a) VALUES ('" + strings.Repeat("a", 6<<20) + "');"
	p := newProject(t)
	report := p.mustTake(t, database(t, script))
	if len(report.Notes) != 3 || !strings.Contains(fmt.Sprint(report.Notes), "too long to compute with") {
		t.Errorf("notes: %v", report.Notes)
	}
	if table := tablesOf(t, p)[0]; table.Columns[2].Generated != "" || len(table.Checks)+len(table.Indexes) > 0 {
		t.Errorf("the table is %s", table.CreateSQL())
	}
	p = newProject(t)
	p.mustTake(t, database(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, g TEXT AS (upper(a) || lower(a)));"))
	long := []byte(`{"a":"` + strings.Repeat("a", 10<<20) + `"}`)
	if _, err := p.InsertRecord(context.Background(), &problem.Faults{}, "t", long, projectdb.InsertOptions{}); !problem.Is(err, problem.CodeValidationFailed) {
		t.Errorf("a long value: %v", err)
	}
	csv := write(t, "t.csv", "a\n"+strings.Repeat("a", 10<<20)+"\n")
	if _, err := p.take(csv, Options{Target: Target{Table: "t", Mode: Append}}); !problem.Is(err, problem.CodeValidationFailed) {
		t.Errorf("a long value in a file: %v", err)
	}
}

// TestFilesThatExplode has a worker read files that expand hugely: the import fails, and
// this process does not grow.
func TestFilesThatExplode(t *testing.T) {
	t.Parallel()
	table := "CREATE TABLE t (a"
	dump := "CREATE TABLE t (a0"
	values := "a0"
	for i := range 40 {
		table += fmt.Sprintf(", g%d AS (printf('%%.000000009c', 'x'))", i)
		dump += fmt.Sprintf(", c%d", i)
		values += ", printf('%.250000000c', 'x')"
	}
	path := database(t, table+"); INSERT INTO t (a) VALUES (1);")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(content), "%.000000009c", "%.250000000c")), 0o600); err != nil {
		t.Fatal(err)
	}
	dumped := write(t, "x.sql", dump+");\nINSERT INTO t SELECT "+strings.Replace(values, "a0", "1", 1)+";\n")
	for _, file := range []string{path, dumped} {
		if _, err := newProject(t).take(file, Options{}); !problem.Is(err, problem.CodeValidationFailed) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
