package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestWhatIsCarriedAndWhatIsReported imports one schema after another and checks the
// project's statements and the notes.
func TestWhatIsCarriedAndWhatIsReported(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, script string
		want         string // columns and constraints, or parts of them, one per line
		notes        []string
	}{
		{"types by affinity", `
CREATE TABLE t (a INT, b NVARCHAR(10), c BLOB, d DOUBLE, e, f BIGINT UNSIGNED, g CLOB, h FLOATING POINT, i BOOLEAN);
INSERT INTO t VALUES (1, 'x', x'00', 1.5, 'any', 2, 'y', 3, 1), (NULL, NULL, NULL, 2, 5, NULL, NULL, NULL, 0);`,
			`"a" INTEGER|"b" TEXT|"c" BLOB|"d" REAL|"e" ANY|"f" INTEGER|"g" TEXT|"h" INTEGER|"i" INTEGER`, nil},
		{"types by value", `
CREATE TABLE t (d DATE, tm DATETIME, u TIMESTAMP, n NUMERIC(10,2), m DECIMAL, k DECIMAL, empty DATE, none DECIMAL, mixed NUMERIC);
INSERT INTO t VALUES ('2024-01-01', 1700000000, 2.5, 1.5, 1, 1.5, NULL, NULL, 1), ('2024-01-02', 1700000001, 3.5, 2.5, 2, 2, NULL, NULL, 1.5);`,
			`"d" TEXT|"tm" INTEGER|"u" REAL|"n" REAL|"m" INTEGER|"k" ANY|"empty" TEXT|"none" REAL|"mixed" ANY`, []string{
				"column t.k: The type DECIMAL became ANY: the values are of several classes: 1 integer, 1 real.",
				"column t.mixed: The type NUMERIC became ANY: the values are of several classes: 1 integer, 1 real.",
			}},
		{"values that do not fit", `
CREATE TABLE t (a INTEGER, b TEXT, c REAL);
INSERT INTO t VALUES (1, x'00', 'n/a'), ('x', x'01', 1.5);`,
			`"a" ANY|"b" ANY|"c" ANY`, []string{
				"column t.a: The type INTEGER became ANY: the values are of several classes: 1 integer, 1 text.",
				"column t.b: The type TEXT became ANY: the values do not fit the declared type: 2 blobs.",
				"column t.c: The type REAL became ANY: the values are of several classes: 1 real, 1 text.",
			}},
		{"the rowid and its counter", `
CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);
INSERT INTO t VALUES (100, 'x'); DELETE FROM t; INSERT INTO t VALUES (7, 'y');`,
			`"id" INTEGER PRIMARY KEY AUTOINCREMENT`, nil},
		{"keys that are not the rowid", `
CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY DESC); CREATE TABLE c (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE d (x INT, y TEXT COLLATE NOCASE, PRIMARY KEY (y DESC, x)) WITHOUT ROWID;
INSERT INTO a VALUES (5); INSERT INTO b VALUES (5), (6); INSERT INTO c VALUES ('k'); INSERT INTO d VALUES (1, 'a'), (1, 'b');`,
			`"id" INT,|PRIMARY KEY ("id")|PRIMARY KEY ("id" DESC)|STRICT, WITHOUT ROWID|PRIMARY KEY ("y" DESC, "x")|"y" TEXT NOT NULL COLLATE "NOCASE"`, nil},
		{"a key with NULLs", `
CREATE TABLE t (id TEXT PRIMARY KEY, n INT);
INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('x', 3);`,
			`UNIQUE ("id")`, []string{"table t: The primary key became a UNIQUE constraint: 2 rows have no value in id."}},
		{"constraints", `
CREATE TABLE t (a TEXT NOT NULL UNIQUE COLLATE NOCASE, b INT CHECK (b > 0 -- positive
), c TEXT, UNIQUE (b, c), CONSTRAINT named CHECK (c <> ')'));
INSERT INTO t VALUES ('x', 1, 'y');`,
			`"a" TEXT NOT NULL COLLATE "NOCASE"|UNIQUE ("a")|UNIQUE ("b", "c")|CHECK (b > 0)|CHECK (c <> ')')`, nil},
		{"constraints that rows break", `
CREATE TABLE t (a TEXT NOT NULL, b INT CHECK (b > 0), c INT CHECK (c > 0));
PRAGMA ignore_check_constraints = ON;
INSERT INTO t VALUES ('x', -1, 1);
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'a TEXT NOT NULL', 'a TEXT');
PRAGMA writable_schema = RESET;
INSERT INTO t VALUES (NULL, 1, 1);
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'a TEXT', 'a TEXT NOT NULL');`,
			`"a" TEXT,|CHECK (c > 0)`, []string{
				"column t.a: NOT NULL was not imported: 1 row has no value.",
				"table t: CHECK (b > 0) was not imported: 1 row has values that violate it.",
			}},
		{"defaults", `
CREATE TABLE t (a INT DEFAULT 5, b TEXT DEFAULT 'it''s', c TEXT DEFAULT bare, d TEXT DEFAULT "quoted", e TEXT DEFAULT CURRENT_TIMESTAMP,
 f REAL DEFAULT (1 + 2 -- three
), g INT DEFAULT -1, h BLOB DEFAULT x'00ff', i INT DEFAULT TRUE, j INT DEFAULT NULL, k INT DEFAULT '7', l TEXT DEFAULT "it's");`,
			`"a" INTEGER DEFAULT (5)|"b" TEXT DEFAULT ('it''s')|"c" TEXT DEFAULT ('bare')|"d" TEXT DEFAULT ('quoted')|"e" TEXT DEFAULT (CURRENT_TIMESTAMP)|` +
				`"f" REAL DEFAULT (1 + 2)|"g" INTEGER DEFAULT (-1)|"h" BLOB DEFAULT (x'00ff')|"i" INTEGER DEFAULT (TRUE)|"k" INTEGER DEFAULT ('7')|"l" TEXT DEFAULT ('it''s')`, nil},
		{"defaults that do not fit", `
CREATE TABLE t (a INT DEFAULT '', b INT DEFAULT CURRENT_TIMESTAMP, c TEXT DEFAULT 0, d REAL DEFAULT 'n/a', e INT DEFAULT 1.5);`,
			`"a" INTEGER,|"b" INTEGER,|"c" TEXT DEFAULT (0)|"d" REAL,|"e" INTEGER|`, []string{
				"column t.a: The default '' was not imported: it is not of the type INTEGER.",
				"column t.b: The default CURRENT_TIMESTAMP was not imported: it is not of the type INTEGER.",
				"column t.d: The default 'n/a' was not imported: it is not of the type REAL.",
				"column t.e: The default 1.5 was not imported: it is not of the type INTEGER.",
			}},
		{"generated columns", `
CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a * 2) VIRTUAL, c TEXT AS ('n' || a) STORED, d AS (a + b));
INSERT INTO t (a) VALUES (1), (2), (NULL);`,
			`"b" INTEGER GENERATED ALWAYS AS (a * 2) VIRTUAL|"c" TEXT GENERATED ALWAYS AS ('n' ;; a) STORED|"d" ANY GENERATED ALWAYS AS (a + b) VIRTUAL`, nil},
		{"a generated column with other values here", `
CREATE TABLE t (a NUMERIC, b AS (a = '1'));
INSERT INTO t (a) VALUES (1), (1.5), ('x');`,
			`"a" ANY|"b" ANY|`, []string{
				"column t.a: The type NUMERIC became ANY: the values are of several classes: 1 integer, 1 real, 1 text.",
				"column t.b: It was generated and now has plain values: it would have different values here.",
			}},
		{"indexes", `
CREATE TABLE t (a TEXT, b INT, c TEXT);
CREATE INDEX i1 ON t (a COLLATE NOCASE DESC, b);
CREATE UNIQUE INDEX i2 ON t (lower(a), c) WHERE b > 1;
CREATE INDEX "odd name" ON t (c);`,
			`CREATE INDEX "i1" ON "t" ("a" COLLATE "NOCASE" DESC, "b")|CREATE UNIQUE INDEX "i2" ON "t" (lower(a), "c") WHERE b > 1|CREATE INDEX "odd_name" ON "t" ("c")`, []string{
				"index odd name: The name is not allowed here, or taken; the index is now named odd_name.",
			}},
		{"conflict clauses", `CREATE TABLE t (a INT UNIQUE ON CONFLICT REPLACE, b INT NOT NULL ON CONFLICT IGNORE);`,
			`UNIQUE ("a")|"b" INTEGER NOT NULL`, []string{"table t: Conflict clauses were not imported: ON CONFLICT REPLACE, ON CONFLICT IGNORE."}},
		{"foreign keys", `
CREATE TABLE child (a INT REFERENCES parent ON DELETE CASCADE ON UPDATE SET NULL, b TEXT, c TEXT, FOREIGN KEY (b, c) REFERENCES parent (x, y) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE parent (id INTEGER PRIMARY KEY, x TEXT, y TEXT, up INT REFERENCES parent, UNIQUE (x, y));
INSERT INTO parent VALUES (1, 'x', 'y', 1); INSERT INTO child VALUES (1, 'x', 'y'), (NULL, 'x', NULL);`,
			`FOREIGN KEY ("a") REFERENCES "parent" ON UPDATE SET NULL ON DELETE CASCADE|FOREIGN KEY ("b", "c") REFERENCES "parent" ("x", "y")|FOREIGN KEY ("up") REFERENCES "parent"`, []string{
				"table child: The foreign key on b, c to parent is now checked by each statement, no longer only at the end of a transaction.",
			}},
		{"a foreign key to a key with NULLs", `
CREATE TABLE parent (id TEXT PRIMARY KEY); CREATE TABLE child (a REFERENCES parent);
INSERT INTO parent VALUES (NULL), ('x'); INSERT INTO child VALUES ('x');`,
			`UNIQUE ("id")|FOREIGN KEY ("a") REFERENCES "parent" ("id")`, []string{"table parent: The primary key became a UNIQUE constraint: 1 row has no value in id."}},
		{"a foreign key that breaks where types are lost", `
CREATE TABLE parent (id INT UNIQUE); CREATE TABLE child (a TEXT REFERENCES parent (id));
INSERT INTO parent VALUES (1), ('x'); INSERT INTO child VALUES ('1'), ('x');`,
			`"id" ANY`, []string{
				"column parent.id: The type INT became ANY: the values are of several classes: 1 integer, 1 text.",
				"table child: The foreign key on a to parent was not imported: 1 row has no parent.",
			}},
		{"unique constraints whose index is wrong", `
CREATE TABLE t (a TEXT UNIQUE, b INT); CREATE TABLE u (a TEXT PRIMARY KEY); CREATE TABLE v (a TEXT); CREATE UNIQUE INDEX i ON v (a);
INSERT INTO t VALUES ('x', 1), ('X', 2); INSERT INTO u VALUES ('x'), ('X'); INSERT INTO v VALUES ('x'), ('X');
PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'a TEXT', 'a TEXT COLLATE NOCASE');`,
			`"a" TEXT COLLATE "NOCASE"`, []string{
				"column t.a: It is no longer unique: several rows have the same value.",
				"column u.a: It is no longer unique: several rows have the same value.",
				"index i: It was not imported. SQLite says: UNIQUE constraint failed: v.a.",
			}},
		{"foreign keys that do not hold", `
CREATE TABLE parent (id INTEGER PRIMARY KEY, x TEXT);
CREATE TABLE child (a INT REFERENCES parent, b INT REFERENCES nowhere, c TEXT REFERENCES parent (x), d INT REFERENCES parent);
INSERT INTO parent VALUES (1, 'x'); INSERT INTO child VALUES (1, 1, 'x', 1), (2, 1, 'x', 1), (3, 1, 'x', NULL);`,
			`FOREIGN KEY ("d") REFERENCES "parent"`, []string{
				"table child: The foreign key on b to nowhere was not imported: there is no such table.",
				"table child: The foreign key on c to parent was not imported: the columns that it refers to are not a key there.",
				"table child: The foreign key on a to parent was not imported: 2 rows have no parent.",
			}},
		{"names", `
CREATE TABLE "select" ("order" INT, "a b" TEXT, "a_b" TEXT, _x INT, "" INT, "CHECK" TEXT);
CREATE TABLE "Ünï 🎉" ("🎉" INT PRIMARY KEY, "say ""hi""" TEXT CHECK ("say ""hi""" <> ''), g AS ("🎉" + 1));
CREATE TABLE "a b" (x REFERENCES "Ünï 🎉" ("🎉")); CREATE TABLE a_b (x); CREATE TABLE "1st" (x);
CREATE INDEX ix ON "Ünï 🎉" ("say ""hi""", abs("🎉")) WHERE "say ""hi""" > 'a';
INSERT INTO "select" VALUES (1, 'x', 'y', 2, 3, 'z'); INSERT INTO "Ünï 🎉" VALUES (1, 'hello');`,
			`CREATE TABLE "select" (|"order" INTEGER|"a_b" TEXT|"a_b_2" TEXT|CREATE TABLE "Uni" (|CHECK ("say_hi" <> '')|GENERATED ALWAYS AS ("column" + 1)|CREATE TABLE "a_b_2"|REFERENCES "Uni" ("column")|CREATE TABLE "table_1st"|` +
				`CREATE INDEX "ix" ON "Uni" ("say_hi", abs("column")) WHERE "say_hi" > 'a'|"CHECK" TEXT`, []string{
				"column select.a b: The name is not allowed here; the column is now named a_b_2.",
				"column select._x: The name is not allowed here; the column is now named x.",
				"column select.: The name is not allowed here; the column is now named column.",
				"table Ünï 🎉: The name is not allowed here; the table is now named Uni.",
				"column Ünï 🎉.🎉: The name is not allowed here; the column is now named column.",
				"column Ünï 🎉.say \"hi\": The name is not allowed here; the column is now named say_hi.",
				"table a b: The name is not allowed here; the table is now named a_b_2.",
				"table 1st: The name is not allowed here; the table is now named table_1st.",
			}},
		{"what was not imported", `
CREATE TABLE t (a TEXT);
CREATE VIEW v AS SELECT * FROM t;
CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;
CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);`,
			`CREATE TABLE "t"`, []string{
				"view v: Views are not imported.",
				"trigger tr: Triggers are not imported; it belongs to t.",
				"virtual table r: Virtual tables are not imported.",
				"table r_rowid: It belongs to a virtual table and was not imported.",
				"table r_node: It belongs to a virtual table and was not imported.",
				"table r_parent: It belongs to a virtual table and was not imported.",
			}},
		{"no tables", `PRAGMA user_version = 1;`, ``, []string{"file: It contains no tables."}},
		{"no rows", `CREATE TABLE t (a DATE, b NUMERIC, c);`, `"a" TEXT|"b" REAL|"c" ANY`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := database(t, test.script)
			p := newProject(t)
			report := p.mustTake(t, path)
			p.sameValues(t, path, report)
			schema := shell(t, p.path, "SELECT sql FROM sqlite_schema WHERE name NOT LIKE '\\_%' ESCAPE '\\';\n")
			for _, want := range strings.Split(test.want, "|") {
				want = strings.ReplaceAll(want, ";;", "||")
				if !strings.Contains(schema, want) {
					t.Errorf("the schema lacks %s:\n%s", want, schema)
				}
			}
			if diff := cmp.Diff(append([]string{}, test.notes...), texts(report.Notes)); diff != "" {
				t.Errorf("notes: %s\n%s", diff, schema)
			}
		})
	}
}

func TestAutoincrementGoesOnWhereItWas(t *testing.T) {
	path := database(t, `CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT); INSERT INTO t VALUES (100, 'x'); DELETE FROM t;
CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT);`)
	p := newProject(t)
	p.mustTake(t, path)
	if got := shell(t, p.path, "SELECT seq FROM sqlite_sequence WHERE name = 't';\n"); got != "100\n" {
		t.Errorf("the counter is at %q", got)
	}
}

func TestHardValuesComeInUnchanged(t *testing.T) {
	path := database(t, `
CREATE TABLE hard (n NUMERIC, r REAL, x, t TEXT, i INTEGER, b BLOB);
INSERT INTO hard VALUES
 (9007199254740993, 0.1, -0.0, '', 9223372036854775807, x''),
 ('007', 1e308, 9e999, 'a' || char(0) || 'b', -9223372036854775808, zeroblob(10000)),
 (1e20, -9e999, 0.99, char(128169), 0, CAST('text' AS BLOB)),
 (NULL, 5e-324, '1', CAST(x'ff80' AS TEXT), 1, x'00'),
 (1.0, 1.0, 1.0, replace(hex(zeroblob(60000)), '0', 'long '), 1, x'ff');
CREATE TABLE only_real (n NUMERIC, r REAL); INSERT INTO only_real VALUES (1.5, 3), (1e300, -0.0), (0.1, 9e999);
CREATE TABLE rowids (rowid TEXT, a INT); INSERT INTO rowids (_rowid_, rowid, a) VALUES (-5, 'x', 1), (9223372036854775807, 'y', 2);
CREATE TABLE hidden (rowid INT, _rowid_ INT, oid INT); INSERT INTO hidden VALUES (3, 2, 1), (1, 2, 3);
CREATE TABLE sparse (a TEXT); INSERT INTO sparse (rowid, a) VALUES (3, 'x'), (-9, 'y'), (1000000, 'z');
`)
	p := newProject(t)
	report := p.mustTake(t, path)
	p.sameValues(t, path, report)
	for _, table := range []string{"rowids", "sparse"} {
		query := "SELECT _rowid_, a FROM " + table + " ORDER BY 1;\n"
		if want, got := shell(t, path, query), shell(t, p.path, query); want != got {
			t.Errorf("rowids of %s: %s", table, cmp.Diff(want, got))
		}
	}
}

func TestUTF16DatabaseComesIn(t *testing.T) {
	path := database(t, `PRAGMA encoding = 'UTF-16'; CREATE TABLE "tä" ("nämé" TEXT, n INT, d TEXT DEFAULT 'ü'); INSERT INTO "tä" VALUES ('größe 🎉', 1, 'x'), ('', 2, 'é');`)
	p := newProject(t)
	report := p.mustTake(t, path)
	columns := report.Tables[0].Columns
	if notes := strings.Join(texts(report.Notes), "\n"); !strings.Contains(notes, "UTF-16") {
		t.Errorf("notes: %s", notes)
	}
	query := func(table, name string) string {
		return `SELECT typeof("` + name + `"), "` + name + `", n, d FROM "` + table + "\";\n"
	}
	want := shell(t, path, query("tä", "nämé"))
	if got := shell(t, p.path, query(report.Tables[0].Name, columns[0].Name)); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestFileWithAWriteAheadLog(t *testing.T) {
	t.Parallel()
	path := database(t, `PRAGMA journal_mode = WAL; CREATE TABLE t (a INT); INSERT INTO t VALUES (1);`)
	folder := filepath.Dir(path)
	copies := filepath.Join(t.TempDir(), "copy.sqlite")
	// The shell keeps the WAL only while it runs, so copy both from inside it.
	shell(t, path, fmt.Sprintf("INSERT INTO t VALUES (2);\n.shell cp %s %s && cp %s-wal %s-wal\n", path, copies, path, copies))
	alone := filepath.Join(t.TempDir(), "alone.sqlite")
	if err := os.Link(copies, alone); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, want string
		lacksLog   bool
	}{{path, "1\n2\n", true}, {copies, "1\n2\n", false}, {alone, "1\n", true}} {
		before := listing(t, filepath.Dir(test.path))
		p := newProject(t)
		report := p.mustTake(t, test.path)
		if notes := strings.Join(texts(report.Notes), "\n"); strings.Contains(notes, "without its log") != test.lacksLog {
			t.Errorf("%s: notes %q", test.path, notes)
		}
		if got := shell(t, p.path, "SELECT a FROM t;\n"); got != test.want {
			t.Errorf("rows %q, want %q", got, test.want)
		}
		if after := listing(t, filepath.Dir(test.path)); after != before {
			t.Errorf("the folder of the file was changed: %s, before %s", after, before)
		}
	}
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(folder, 0o700)
	newProject(t).mustTake(t, path)
}

func listing(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(e.Name(), " ", info.Size(), " ", info.ModTime()))
	}
	return strings.Join(names, ", ")
}

func TestTruncatedDatabasesAreRefused(t *testing.T) {
	t.Parallel()
	path := database(t, `PRAGMA page_size = 4096; CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a);
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500) INSERT INTO t SELECT printf('%0100d', x) FROM n;`)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := newProject(t)
	for size := 0; size < len(whole); size += testkit.Scale(7*2048, 2048) {
		_, err := p.take(write(t, "cut.sqlite", string(whole[:size])), Options{})
		if !problem.Is(err, problem.CodeValidationFailed) {
			t.Errorf("%d of %d bytes: %v", size, len(whole), err)
		}
		if tables, _ := p.Tables(context.Background()); len(tables) != 0 {
			t.Errorf("%d of %d bytes: tables were made", size, len(whole))
		}
	}
}

func TestDamagedDatabasesNeverPanic(t *testing.T) {
	t.Parallel()
	path := database(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL); CREATE INDEX i ON t (a);
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200) INSERT INTO t SELECT x, printf('%050d', x), x / 7.0 FROM n;`)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := newProject(t)
	for at := 16; at < len(whole); at += testkit.Scale(6*997, 997) {
		broken := []byte(string(whole))
		for i := range 8 {
			broken[(at+i)%len(broken)] ^= 0xa5
		}
		_, err := p.take(write(t, "broken.sqlite", string(broken)), Options{})
		var known *problem.Error
		if err != nil && !errors.As(err, &known) {
			t.Errorf("at byte %d: %v", at, err)
		}
		p.clear(t)
	}
}

func TestHostileSchemas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, script string
		want         string // the error, "" if the import succeeds
		notes        string // part of the notes
	}{
		{"malformed schema", `CREATE TABLE t (a); PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a';`, "SQLite says: malformed database schema", ""},
		{"unknown function in a check", schemaEdit(`CREATE TABLE t (a INT CHECK (abs(a) > 0), b INT CHECK (b > 0))`, "abs(", "nope("), "", "CHECK (nope(a) > 0) was not imported: it is not allowed here, as it calls the function nope."},
		{"function that reads files in a check", schemaEdit(`CREATE TABLE t (a INT CHECK (abs(a) > 0))`, "abs(", "load_extension("), "", "was not imported"},
		{"unknown function in a generated column", schemaEdit(`CREATE TABLE t (a INT, b AS (abs(a)))`, "abs(", "nope("), "", "left out"},
		{"unknown function in an index", schemaEdit(`CREATE TABLE t (a INT); CREATE INDEX i ON t (abs(a))`, "abs(", "nope("), "", "nope"},
		{"unknown collation", schemaEdit(`CREATE TABLE t (a TEXT COLLATE NOCASE UNIQUE, b INT)`, "NOCASE", "klingon"), "", "The collation klingon is unknown here"},
		{"unknown collation in the key of a table without rowid", schemaEdit(`CREATE TABLE t (a TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID; CREATE TABLE u (a INT)`, "NOCASE", "klingon"), "", "table t: It cannot be read here and was not imported."},
		{"unknown module", schemaEdit(`CREATE TABLE u (a INT); CREATE VIRTUAL TABLE t USING rtree(id, a, b)`, "rtree", "nope"), "", "virtual table t: Virtual tables are not imported."},
		{"view and trigger with functions", `CREATE TABLE t (a INT); CREATE VIEW v AS SELECT load_extension('x'); CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT load_extension('x'); END;`, "", "view v: Views are not imported."},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := database(t, test.script)
			p := newProject(t)
			report, err := p.take(path, Options{})
			if test.want != "" {
				if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(texts(report.Notes), "\n"); !strings.Contains(notes, test.notes) {
				t.Errorf("notes: %s", notes)
			}
			if len(report.Tables) == 0 {
				t.Error("no table came in")
			}
		})
	}
}

// schemaEdit returns a script that creates a schema with two rows in t, then replaces
// old with now in its statements.
func schemaEdit(schema, old, now string) string {
	rows := ""
	if strings.Contains(schema, "CREATE TABLE t") {
		rows = "INSERT INTO t (a) VALUES (1), (2);"
		if strings.Contains(schema, ", b INT CHECK") {
			rows = "INSERT INTO t (a, b) VALUES (1, 1), (2, 2);"
		}
	}
	return schema + ";" + rows + "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '" + old + "', '" + now + "');"
}

// TestForgedHeaders alters what a file's header and the project's own tables in it say.
func TestForgedHeaders(t *testing.T) {
	t.Parallel()
	path := database(t, `CREATE TABLE t (a INT); INSERT INTO t VALUES (1);`)
	for _, test := range []struct {
		name  string
		at    int
		bytes string
		comes bool
	}{
		{"as many pages as there can be", 28, "\xff\xff\xff\xfe", false},
		{"no pages", 28, "\x00\x00\x00\x00", true},
		{"a page size that is none", 16, "\x00\x03", false},
		{"larger pages", 16, "\x00\x01", false},
		{"reserved bytes", 20, "\xff", false},
		{"free pages", 32, "\x00\x00\x00\x02\x00\x00\x10\x00", false},
		{"a schema format of the future", 44, "\x00\x00\x00\x09", false},
		{"an encoding that is none", 56, "\x00\x00\x00\x07", false},
		{"our application id", 68, "ZTp1", true},
		{"a version of the file of the future", 19, "\x03", false},
	} {
		content := []byte(readAll(t, path))
		copy(content[test.at:], test.bytes)
		p := newProject(t)
		_, err := p.take(write(t, "forged", string(content)), Options{})
		switch {
		case err != nil && !problem.Is(err, problem.CodeValidationFailed):
			t.Errorf("%s: %v", test.name, err)
		case test.comes != (err == nil):
			t.Errorf("%s: comes in %v: %v", test.name, err == nil, err)
		}
	}
	for _, own := range []string{
		"CREATE TABLE _tables (a)", "CREATE TABLE _tables (table_name, display_name); INSERT INTO _tables VALUES (x'ff', 7), ('t', zeroblob(9))",
		"CREATE VIEW _tables AS SELECT 't' AS table_name, load_extension('x') AS display_name", "CREATE TABLE _columns (a)",
	} {
		path := database(t, "PRAGMA application_id = 0x5a547031; CREATE TABLE t (a INT); "+own+";")
		if _, err := newProject(t).take(path, Options{}); err != nil && !problem.Is(err, problem.CodeValidationFailed) {
			t.Errorf("%s: %v", own, err)
		}
	}
}

func TestTwoThousandColumns(t *testing.T) {
	var columns, cells []string
	for i := range 2000 {
		columns, cells = append(columns, fmt.Sprintf("c%d INT", i)), append(cells, fmt.Sprint(i))
	}
	path := database(t, "CREATE TABLE t ("+strings.Join(columns, ", ")+"); INSERT INTO t VALUES ("+strings.Join(cells, ", ")+");")
	p := newProject(t)
	report := p.mustTake(t, path)
	if n := len(report.Tables[0].Columns); n != 2000 {
		t.Errorf("%d columns", n)
	}
	query := "SELECT c0, c999, c1999 FROM t;\n"
	if got := shell(t, p.path, query); got != "0|999|1999\n" {
		t.Errorf("got %q", got)
	}
}

func TestOurOwnProjectComesIn(t *testing.T) {
	first := newProject(t)
	first.mustTake(t, database(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x');`))
	shell(t, first.path, "UPDATE _tables SET display_name = 'Things';\n")
	second := newProject(t)
	report := second.mustTake(t, first.path)
	second.sameValues(t, first.path, report)
	table, err := second.Table(context.Background(), "t")
	if err != nil || table.DisplayName == nil || *table.DisplayName != "Things" {
		t.Errorf("display name: %v, %v", table.DisplayName, err)
	}
	if diff := cmp.Diff([]string{}, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
}

func TestTakenNamesAreAConflict(t *testing.T) {
	p := newProject(t)
	path := database(t, `CREATE TABLE t (a INT); CREATE TABLE u (a INT); CREATE INDEX i ON t (a);`)
	p.mustTake(t, path)
	_, err := p.take(database(t, `CREATE TABLE T (a INT); CREATE TABLE fresh (a INT);`), Options{})
	if !problem.Is(err, problem.CodeConflict) || !strings.Contains(err.Error(), "already has these names: T.") {
		t.Fatalf("got %v", err)
	}
	if tables, _ := p.Tables(context.Background()); len(tables) != 2 {
		t.Errorf("%d tables", len(tables))
	}
	report := p.mustTake(t, database(t, `CREATE TABLE fresh (a INT); CREATE INDEX i ON fresh (a);`))
	want := []string{"index i: The name is not allowed here, or taken; the index is now named i_2."}
	if diff := cmp.Diff(want, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
}

func TestUnfinishedTransactionOfAnotherProgram(t *testing.T) {
	t.Parallel()
	path := database(t, `CREATE TABLE t (a TEXT); WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) INSERT INTO t SELECT printf('%0200d', x) FROM n;`)
	copied := filepath.Join(t.TempDir(), "copy.sqlite")
	shell(t, path, fmt.Sprintf("PRAGMA cache_size = 5;\nBEGIN;\nUPDATE t SET a = 'changed' || a;\n.shell cp %s %s && cp %s-journal %s-journal\nROLLBACK;\n", path, copied, path, copied))
	_, err := newProject(t).take(copied, Options{})
	if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), "-journal") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledImportChangesNothing(t *testing.T) {
	p := newProject(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, path := range []string{database(t, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1);"), write(t, "x.csv", "a,b\n1,2\n")} {
		source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		if _, err := source.Load(ctx, p.DB, Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if tables, _ := p.Tables(context.Background()); len(tables) != 0 {
		t.Errorf("tables were made: %v", tables)
	}
}

func TestLogOfASQLiteFileCountsToItsHash(t *testing.T) {
	path := database(t, "CREATE TABLE t (a INT);")
	hash := func() string {
		source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		return source.SHA256()
	}
	alone := hash()
	if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if hash() != alone {
		t.Error("an empty log changes the hash")
	}
}
