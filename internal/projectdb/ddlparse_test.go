package projectdb

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCreateTableFindsWhatPragmasHide(t *testing.T) {
	for _, test := range []struct {
		statement string
		want      writtenTable // columns only has entries with something to say
	}{
		{`CREATE TABLE t (a, b)`, writtenTable{}},
		{`CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)`, writtenTable{autoincrement: true}},
		{`CREATE TABLE "AUTOINCREMENT" ("AUTOINCREMENT" INT DEFAULT 'AUTOINCREMENT')`, writtenTable{}},
		{`CREATE TABLE t (a INT CHECK (a > 0), CHECK (a < (1 + 2)), CONSTRAINT c CHECK(a<>')'))`, writtenTable{checks: []string{"a > 0", "a < (1 + 2)", "a<>')'"}}},
		{"CREATE TABLE t (a INT CHECK ( -- first\n a > 0 /* more */ AND 1 -- last\n))", writtenTable{checks: []string{"a > 0 /* more */ AND 1"}}},
		{`CREATE TABLE t (a TEXT COLLATE NOCASE, "b c" COLLATE "rtrim", "COLLATE" x)`, writtenTable{columns: map[string]writtenColumn{"a": {collation: "NOCASE"}, "b c": {collation: "rtrim"}}}},
		{`CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a * (2)) STORED, [c d] AS ("a"))`, writtenTable{columns: map[string]writtenColumn{"b": {generated: "a * (2)"}, "c d": {generated: `"a"`}}}},
		{`CREATE TABLE t (a REFERENCES p DEFERRABLE INITIALLY DEFERRED, b REFERENCES p NOT DEFERRABLE INITIALLY DEFERRED, c REFERENCES p ON DELETE CASCADE, FOREIGN KEY (a, b) REFERENCES q (x, y) DEFERRABLE INITIALLY DEFERRED)`, writtenTable{deferred: []bool{true, false, false, true}}},
		{`CREATE TABLE t (a UNIQUE ON CONFLICT REPLACE, b NOT NULL ON CONFLICT ABORT, PRIMARY KEY (a) ON CONFLICT IGNORE)`, writtenTable{conflicts: []string{"ON CONFLICT REPLACE", "ON CONFLICT IGNORE"}}},
		{`CREATE TABLE t (conflict REFERENCES conflict (x))`, writtenTable{deferred: []bool{false}}},
		{`CREATE TABLE t (a DECIMAL(10, 2) DEFAULT (1 + 2) CHECK (a), b VARCHAR(3))`, writtenTable{checks: []string{"a"}}},
		{`CREATE TABLE t (a DEFAULT check_me, b DEFAULT "CHECK" CHECK (b))`, writtenTable{checks: []string{"b"}}},
	} {
		got := parseCreateTable(test.statement)
		for name, column := range got.columns {
			if column == (writtenColumn{}) {
				delete(got.columns, name)
			}
		}
		if test.want.columns == nil {
			test.want.columns = map[string]writtenColumn{}
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(writtenTable{}, writtenColumn{})); diff != "" {
			t.Errorf("%s: %s", test.statement, diff)
		}
	}
}

func TestParseCreateIndex(t *testing.T) {
	for _, test := range []struct {
		statement string
		parts     string
		where     string
	}{
		{`CREATE INDEX i ON t (a)`, "a", ""},
		{`CREATE UNIQUE INDEX "i (" ON "t (" ("a b" COLLATE NOCASE DESC, lower(b) ASC, c || ',')`, `"a b";lower(b);c || ','`, ""},
		{"CREATE INDEX i ON t (a) WHERE a > 1 -- only these", "a", "a > 1"},
		{`CREATE INDEX i ON t ((a + b) * 2, (c)) WHERE (a OR b) AND c`, "(a + b) * 2;(c)", "(a OR b) AND c"},
	} {
		parts, where := parseCreateIndex(test.statement)
		if got := strings.Join(parts, ";"); got != test.parts || where != test.where {
			t.Errorf("%s: parts %q where %q", test.statement, got, where)
		}
	}
}

func TestRenameColumns(t *testing.T) {
	names := map[string]string{"a b": "a_b", "_x": "x", "lower": "lower_2"}
	for expression, want := range map[string]string{
		`"a b" > 1`:              `"a_b" > 1`,
		`[A B] > 'a b'`:          `"a_b" > 'a b'`,
		"`a b` || _x":            `"a_b" || "x"`,
		`lower(_x) <> "lower"`:   `lower("x") <> "lower_2"`,
		`"t"."a b" = 1`:          `"t"."a_b" = 1`,
		`_x._x > 1e-5`:           `_x."x" > 1e-5`,
		`_x = x'5F78' AND :_x`:   `"x" = x'5F78' AND :_x`,
		`c > 1 /* _x */ AND d`:   `c > 1 /* _x */ AND d`,
		``:                       ``,
		`"say ""hi""" = _X -- x`: `"say ""hi""" = "x" -- x`,
	} {
		if got := RenameColumns(expression, names); got != want {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
}

func TestLiteralDefault(t *testing.T) {
	for shown, want := range map[string]string{
		"5": "5", "-5": "-5", "1.5e3": "1.5e3", ".5": ".5", "0x1F": "0x1F", "x'00'": "x'00'", "'it''s'": "'it''s'",
		"NULL": "NULL", "true": "true", "CURRENT_TIMESTAMP": "CURRENT_TIMESTAMP", "current_date": "current_date",
		"bare": "'bare'", `"quoted"`: "'quoted'", `"it's"`: "'it''s'", "`back`": "'back'", "[square]": "'square'", `"NULL"`: "'NULL'",
		"1 + 2": "1 + 2", "datetime('now')": "datetime('now')", "": "",
	} {
		if got := LiteralDefault(shown); got != want {
			t.Errorf("%s: %s, want %s", shown, got, want)
		}
	}
}

// FuzzDDL checks that no text makes the parser hang or panic, and that everything it
// finds occurs in the text.
func FuzzDDL(f *testing.F) {
	for _, seed := range []string{
		`CREATE TABLE t (a INT CHECK (a > 0), b AS (a) STORED, FOREIGN KEY (a) REFERENCES p DEFERRABLE INITIALLY DEFERRED)`,
		`CREATE INDEX i ON t (lower(a) COLLATE NOCASE DESC) WHERE a > 1`, `(((`, `)`, `"`, `[`, `'a`, `/*`, `--`, `CREATE TABLE t (a CHECK`, `x (a AS`, `x (a DEFAULT`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, statement string) {
		written := parseCreateTable(statement)
		parts, where := parseCreateIndex(statement)
		found := append(append(written.checks, parts...), where)
		for _, column := range written.columns {
			found = append(found, column.generated)
		}
		for _, text := range found {
			if !strings.Contains(statement, text) {
				t.Errorf("%q is no part of %q", text, statement)
			}
		}
		LiteralDefault(statement)
		if got := RenameColumns(statement, nil); got != statement {
			t.Errorf("without names, %q became %q", statement, got)
		}
	})
}
