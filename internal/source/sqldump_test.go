package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// run runs a dump and returns the database, for the shell to read.
func run(t testing.TB, text string) (database string, found Notes, err error) {
	t.Helper()
	s, err := newScratch(Opening{Workers: workers, Scratch: t.TempDir(), MaxUnpacked: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.build(context.Background(), format.All().Get("sql"), write(t, "dump.sql", text))
}

func TestDumpsOfTheShellAreRun(t *testing.T) {
	source := database(t, `
CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b BLOB, c REAL);
INSERT INTO t VALUES (1, 'it''s; "x"' || char(10) || char(13) || '-- no', x'00ff', 1e300), (2, '', NULL, 9e999), (5, char(127,1,9), x'', -0.1);
DELETE FROM t WHERE id = 5;
CREATE TABLE "odd;name" (x TEXT PRIMARY KEY COLLATE NOCASE) WITHOUT ROWID; INSERT INTO "odd;name" VALUES (';');
CREATE INDEX i ON t (a, c DESC) WHERE a > ';';
CREATE VIEW v AS SELECT 1; CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;
ANALYZE;`)
	dump := shell(t, source, ".dump\n")
	got, found, err := run(t, dump)
	if err != nil {
		t.Fatalf("%v\n%s", err, dump)
	}
	want := strings.ReplaceAll(withoutStatistics(dump), "CREATE VIEW v AS SELECT 1;\n", "")
	want = strings.ReplaceAll(want, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;\n", "")
	if diff := cmp.Diff(want, withoutStatistics(shell(t, got, ".dump\n"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"trigger tr: Triggers are not imported.", "view v: Views are not imported."}, texts(found), cmp.Transformer("sort", sorted)); diff != "" {
		t.Error(diff)
	}
}

// TestTriggersWithComments checks that nothing is passed over but the triggers.
func TestTriggersWithComments(t *testing.T) {
	const body = " AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; -- done\nEND /* x */;\n"
	got, found, err := run(t, "CREATE TABLE t (a);\nCREATE /* x */ TRIGGER \"one 1\""+body+"INSERT INTO t VALUES (1);\nCREATE--\nTEMP TRIGGER IF NOT /**/ EXISTS two"+body+
		"INSERT INTO t VALUES (2);\nCREATE/**/VIEW Three AS SELECT 1;\nDROP /**/ TRIGGER two;\nCREATE VIRTUAL --\n TABLE four USING fts5(a);")
	if err != nil {
		t.Fatal(err)
	}
	if rows := shell(t, got, "SELECT a FROM t;\n"); rows != "1\n2\n" {
		t.Errorf("the rows are %q", rows)
	}
	want := []string{"trigger one 1: Triggers are not imported.", "trigger two: Triggers are not imported.", "view Three: Views are not imported.", "virtual table four: Virtual tables are not imported."}
	if diff := cmp.Diff(want, texts(found)); diff != "" {
		t.Error(diff)
	}
}

func TestOneLineCutsNoCharacter(t *testing.T) {
	if got := OneLine(strings.Repeat("a\nä", 100)); !utf8.ValidString(got) || len(got) > 300 || len(got) < 297 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestDumpsThatAreRefused(t *testing.T) {
	t.Parallel()
	const begin = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\n"
	for _, test := range []struct{ text, want string }{
		{begin + "ATTACH 'x' AS y;", "Line 4: ATTACH is not allowed here"},
		{begin + "PRAGMA mmap_size = 7;", "Line 4: PRAGMA mmap_size is not allowed"},
		{begin + "PRAGMA main.schema_version = 7;", "Line 4: PRAGMA schema_version is not allowed"},
		{begin + "PRAGMA writable_schema=ON;\nINSERT INTO sqlite_schema VALUES (1);", "Line 5: "},
		{begin + "INSERT INTO sqlite_schema VALUES (1,2,3,4,5);", "Line 4: SQLite says: table sqlite_master may not be modified"},
		{begin + "SELECT load_extension('x');", "Line 4: "},
		{begin + "\n\nINSERT INTO t VALUES (1,2);", "Line 6: SQLite says: table t has 1 columns but 2 values were supplied."},
		{begin + "INSERT INTO t VALUES ('x\ny');\nnonsense;", "Line 6: SQLite says: near \"nonsense\": syntax error."},
		{begin + "INSERT INTO t VALUES (1);", "cut short: the transaction that begins on line 2 has no COMMIT"},
		{begin + "INSERT INTO t VALUES ('1);", "cut short: it ends in the middle of the statement that begins on line 4"},
		{begin + "ROLLBACK; -- due to errors\n", "Line 4: ROLLBACK takes everything back"},
		{begin + "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; -- cut", "cut short: it ends in the middle of the statement that begins on line 4"},
		{begin + "CREATE \"TRIGGER\" tr AFTER INSERT ON t BEGIN SELECT 1; END;", "Line 4: SQLite says: near \"\"TRIGGER\"\": syntax error."},
		{begin + ".shell rm -rf /\n;", "Line 4: Commands of the sqlite3 shell"},
		{begin + "INSERT INTO t VALUES ('a\x00b');", "Line 4: There is a NUL character"},
		{begin + "CREATE TEMP TABLE u (a);", "Line 4: CREATE TEMP is not allowed here"},
		{begin + "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) INSERT INTO t SELECT zeroblob(1000000) FROM n;", "The file makes a database of more than 67108864 bytes"},
		{"-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (`id` int NOT NULL AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB;",
			"Line 4: This is a dump of MySQL, and only dumps of SQLite can be imported; import its tables as CSV. SQLite says: near \"AUTO_INCREMENT\""},
		{"--\n-- PostgreSQL database dump\n--\nSET statement_timeout = 0;", "Line 4: This is a dump of PostgreSQL"},
		{"CREATE TABLE t (a int) ENGINE=MyISAM;", "Line 1: This is a dump of another database"},
	} {
		_, _, err := run(t, test.text)
		if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot  %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestDumpIsStopped(t *testing.T) {
	s, err := newScratch(Opening{Workers: workers, Scratch: t.TempDir(), MaxUnpacked: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, _, err = s.build(ctx, format.All().Get("sql"), write(t, "x.sql", "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) INSERT INTO t SELECT i FROM n WHERE i < 0;"))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > testkit.Slack {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}

// TestDumpThatComputes has statements that take a moment each and together would keep a
// worker busy forever.
func TestDumpThatComputes(t *testing.T) {
	t.Parallel()
	s, err := newScratch(Opening{Workers: workers, Scratch: t.TempDir(), MaxUnpacked: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.patience = time.Second
	const busy = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT max(i) FROM n;\n"
	start := time.Now()
	_, _, err = s.build(t.Context(), format.All().Get("sql"), write(t, "x.sql", "CREATE TABLE t (a);\n"+strings.Repeat(busy, 10_000)))
	if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), "computes more than it stores") || time.Since(start) > testkit.Slack {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
	if _, _, err = s.build(t.Context(), format.All().Get("sql"), write(t, "y.sql", "CREATE TABLE t (a);\n"+busy)); err != nil {
		t.Errorf("a moment is allowed: %v", err)
	}
}

// TestTextCalledSQL has texts that could be CSV except for their name.
func TestTextCalledSQL(t *testing.T) {
	for text, want := range map[string]string{
		"BEGIN;CREATE TABLE t(a);INSERT INTO t VALUES(1);COMMIT;": "sql",
		".read other.sql\n":          "Line 1: Commands of the sqlite3 shell",
		"-- nothing but a comment\n": "sql",
		"a,b\n1,2\n":                 `Line 1: SQLite says: near "a": syntax error`,
	} {
		got := "csv"
		source, err := Open(t.Context(), Opening{Workers: workers, Path: write(t, "x.SQL", text)})
		if err != nil {
			got = err.Error()
		} else {
			got = source.Format()
			source.Close()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// withoutStatistics removes what ANALYZE stored, which differs between versions.
func withoutStatistics(dump string) string {
	lines := slices.DeleteFunc(strings.SplitAfter(dump, "\n"), func(line string) bool {
		return strings.Contains(line, "ANALYZE sqlite_schema") || strings.Contains(line, "INTO sqlite_stat")
	})
	return strings.Join(lines, "")
}

// drawInsert draws a statement that inserts plain or nearly plain rows.
func drawInsert(rt *rapid.T) string {
	literal := rapid.OneOf(
		rapid.SampledFrom([]string{
			"NULL", "null", "TRUE", "0", "-0", "-0.0", "007", "1.", ".5", "1e3", "1E-3", "1.5e+300", "9e999", "-9e999", "1e-400", "4.9e-324", "2.2250738585072011e-308",
			"9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "0x10", "+5", "- 5", "1-2", "1.5*4",
			"''", "'it''s'", "''''", "'a;b'", "'a\nb'", "'--'", "'/*'", "x'00ff'", "X''", "X'00fF'", "CAST(X'00' AS TEXT)", "'a' || 'b'", "char(10)",
			`replace('two\nlines','\n',char(10))`, `replace(replace('a\r\nb''\n','\r',char(13)),'\n',char(10))`, `replace('a','',char(10))`, `replace('a\n', '\n', char(10))`,
			`unistr('two\u000alines')`, `unistr('it''s \\ \u0001\u00E9')`, `unistr('')`, `unistr('\+01F40E')`, `unistr('\000a')`, `unistr('\uD83D')`, `unistr('\u0000')`, `unistr('\U0001f40e')`,
			`replace('a\nb','\n',char(11))`, `replace('a''b','''''',char(10))`, `replace(1,'1',char(10))`, `replace('x','x',char(10)) || 'y'`,
			"'ž🐎'",
		}),
		rapid.Map(rapid.Int64(), func(i int64) string { return fmt.Sprint(i) }),
		rapid.Map(rapid.Int32(), func(i int32) string { return strconv.FormatFloat(float64(i)/8, 'g', -1, 64) }),
		rapid.Map(rapid.StringMatching(`[ -~é\n]{0,20}`), func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }),
	)
	blank := rapid.SampledFrom([]string{"", "", " ", "\n", "/* a */"})
	into := rapid.SampledFrom([]string{"t VALUES", `"t" VALUES`, "t(a,b,c) VALUES", `"t" ( "c" , a,b ) VALUES `, "strict VALUES", "insert_me VALUES", `"strange ""name" VALUES`}).Draw(rt, "into")
	statement := rapid.SampledFrom([]string{"INSERT INTO ", "INSERT INTO ", "INSERT INTO ", "insert into ", "INSERT OR IGNORE INTO "}).Draw(rt, "verb") + into
	for i := range rapid.IntRange(1, 3).Draw(rt, "rows") {
		if i > 0 {
			statement += ","
		}
		statement += blank.Draw(rt, "before") + "("
		for j := range 3 {
			if j > 0 {
				statement += ","
			}
			statement += blank.Draw(rt, "blank") + literal.Draw(rt, "value") + blank.Draw(rt, "blank")
		}
		statement += ")" + blank.Draw(rt, "after")
	}
	return statement + ";\n"
}

// TestPlainInsertsAreAsSQLiteMakesThem runs the same statements again in a form that
// SQLite has to compile: the shell sees the same rows.
func TestPlainInsertsAreAsSQLiteMakesThem(t *testing.T) {
	const tables = "CREATE TABLE t (a, b INTEGER, c TEXT);\nCREATE TABLE strict (a ANY, b ANY, c ANY) STRICT;\nCREATE TABLE insert_me (a REAL, b NUMERIC, c BLOB);\nCREATE TABLE \"strange \"\"name\" (a, b, c);\n"
	const judge = "SELECT typeof(a), quote(a), typeof(b), quote(b), typeof(c), quote(c) FROM "
	rapid.Check(t, func(rt *rapid.T) {
		script := tables
		for range rapid.IntRange(1, 60).Draw(rt, "statements") {
			script += drawInsert(rt)
		}
		ours, _, err := run(t, script)
		if err != nil {
			rt.Fatalf("%v\n%s", err, script)
		}
		theirs, _, err := run(t, strings.ReplaceAll(script, "INSERT INTO ", "INSERT  INTO "))
		if err != nil {
			rt.Fatalf("%v\n%s", err, script)
		}
		for _, table := range []string{"t", "strict", "insert_me", `"strange ""name"`} {
			if diff := cmp.Diff(shell(t, theirs, judge+table+";\n"), shell(t, ours, judge+table+";\n")); diff != "" {
				rt.Fatalf("%s: %s\n%s", table, diff, script)
			}
		}
	})
}

// TestFaultsOfRowsThatWaited checks that faults are reported with their lines, the first
// one first.
func TestFaultsOfRowsThatWaited(t *testing.T) {
	const table = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL);\n"
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "INSERT INTO t VALUES(%d,'x');\n", i)
	}
	for _, test := range []struct{ text, want string }{
		{table + many.String() + "INSERT INTO t VALUES(7,'y');\n" + many.String(), "Line 1002: SQLite says: UNIQUE constraint failed: t.a"},
		{table + strings.Replace(many.String(), "(700,'x')", "(700,NULL)", 1), "Line 702: SQLite says: NOT NULL constraint failed: t.b"},
		{table + strings.Replace(many.String(), "(20,'x')", "(19,'x')", 1) + "SELECT nonsense;", "Line 22: SQLite says: UNIQUE constraint failed: t.a"},
		{table + "INSERT INTO t VALUES(1,'x'),\n(2,'x'),\n(1,'x');\n", "Line 2: SQLite says: UNIQUE constraint failed: t.a"},
		{table + "INSERT INTO t VALUES(1,'x');\nINSERT INTO t VALUES(1,'x','y');\n", "Line 3: SQLite says: table t has 2 columns but 3 values were supplied"},
		{table + "INSERT INTO t VALUES(1,'x');\nINSERT INTO t VALUES;\n", "Line 3: SQLite says: "},
		{table + "INSERT INTO t VALUES(1,'x');\nINSERT INTO t VALUES(2,'x\x00');\n", "Line 3: There is a NUL"},
		{table + "INSERT INTO nowhere VALUES(1,'x');\n", "Line 2: SQLite says: no such table: nowhere"},
		{table + "INSERT INTO sqlite_schema VALUES(1,2,3,4,5);\n", "Line 2: "},
		{table + "BEGIN;\nINSERT INTO t VALUES(1,NULL);\n", "Line 3: SQLite says: NOT NULL"},
	} {
		if _, _, err := run(t, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestVirtualTablesOfDumpsAreLeftOutOrPlain(t *testing.T) {
	got, err := opened(t, "x.sql", "PRAGMA journal_mode = MEMORY;\nSAVEPOINT s;\nCREATE TABLE sqlite_sequence(name,seq);\nINSERT INTO sqlite_sequence VALUES('t',9);\n"+
		"CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT);\nCREATE VIRTUAL TABLE \"own\" USING fts5(title, body UNINDEXED, tokenize = 'porter');\n"+
		"INSERT INTO own VALUES('a','b');\nINSERT INTO own(own) VALUES('rebuild');\nCREATE TABLE own_data (a);\nINSERT INTO own_data VALUES (1);\n"+
		"CREATE VIRTUAL TABLE box USING rtree(id, a, b);\nINSERT INTO box VALUES (1, 2, 3);\nCREATE TABLE box_node (a);\nINSERT INTO box_node VALUES (1);\n"+
		"RELEASE s;\nVACUUM;\n", 0)
	want := []string{
		"sql database", "virtual table own: It is a full-text table with rows of its own and became a plain table.",
		"virtual table box: Virtual tables are not imported.", "table box_node: It belongs to a virtual table and was not imported.",
		"file: Statements that insert into virtual tables were left out: 1.",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}
