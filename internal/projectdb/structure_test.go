package projectdb

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/problem"
)

// change is one change of a table's structure.
type change func(ctx context.Context, db *DB) error

func patch(table, column string, p ColumnPatch) change {
	return func(ctx context.Context, db *DB) error {
		_, _, err := db.UpdateColumn(ctx, new(problem.Faults), table, column, p)
		return err
	}
}

func drop(table, column string) change {
	return func(ctx context.Context, db *DB) error {
		_, err := db.DeleteColumn(ctx, new(problem.Faults), table, column)
		return err
	}
}

func add(table string, n NewColumn) change {
	return func(ctx context.Context, db *DB) error {
		_, _, err := db.AddColumn(ctx, new(problem.Faults), table, n)
		return err
	}
}

func rename(table, name string) change {
	return func(ctx context.Context, db *DB) error {
		_, err := db.UpdateTable(ctx, new(problem.Faults), table, TablePatch{NewName: &name})
		return err
	}
}

// rebuilt changes the default of a column, which requires a rebuild.
var rebuilt = ColumnPatch{Default: jsontext.Value(`"x"`)}

// Each change runs in a project with the given tables. The result of the query
// afterwards is compared, and a refused change must change nothing.
func TestChangesOfShape(t *testing.T) {
	const family = `CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT, up INTEGER REFERENCES p (id) ON DELETE CASCADE) STRICT`
	const children = `CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE) STRICT`
	for _, test := range []struct {
		name   string
		tables []string // name, statement, …
		fill   []string
		do     change
		want   string // complaint
		ask    string
		answer string
	}{
		{"children survive the rebuild of the parent", []string{"p", family, "c", children},
			[]string{"INSERT INTO p (id, v, up) VALUES (1, 'a', NULL), (2, 'b', 1), (7, 'c', 2)", "DELETE FROM p WHERE id = 7", "INSERT INTO c VALUES (1, 1), (2, 2)"},
			patch("p", "v", rebuilt), "ok",
			`SELECT (SELECT group_concat(id || v || coalesce(up, '-')) FROM p), (SELECT group_concat(p) FROM c), (SELECT seq FROM sqlite_sequence WHERE name = 'p'),
				(SELECT group_concat("table" || on_delete) FROM pragma_foreign_key_list('c')), (SELECT group_concat("table" || on_delete) FROM pragma_foreign_key_list('p'))`,
			"'1a-,2b1'|'1,2'|7|'pCASCADE'|'pCASCADE'"},
		{"keys still cascade after a rebuild", []string{"p", family, "c", children},
			[]string{"INSERT INTO p (id, up) VALUES (1, NULL), (2, 1)", "INSERT INTO c VALUES (1, 1), (2, 2)"},
			func(ctx context.Context, db *DB) error {
				if err := patch("p", "v", rebuilt)(ctx, db); err != nil {
					return err
				}
				_, err := db.DeleteRecord(ctx, "p", "1")
				return err
			}, "ok", "SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c)", "0|0"},
		{"a child is rebuilt", []string{"p", family, "c", children},
			[]string{"INSERT INTO p (id) VALUES (1)", "INSERT INTO c VALUES (5, 1)"},
			add("c", NewColumn{Name: "u", Unique: true}), "ok",
			`SELECT id, p, u, (SELECT on_update || on_delete FROM pragma_foreign_key_list('c')) FROM c`, "5|1|NULL|'CASCADECASCADE'"},
		{"without rowid", []string{"t", "CREATE TABLE t (k TEXT, n INTEGER, v TEXT, PRIMARY KEY (k, n)) STRICT, WITHOUT ROWID"},
			[]string{"INSERT INTO t VALUES ('b', 1, 'x'), ('a', 2, 'y'), ('a', 1, 'z')"},
			patch("t", "v", rebuilt), "ok",
			`SELECT group_concat(k || n || v), (SELECT wr FROM pragma_table_list('t')), (SELECT group_concat(name || pk) FROM pragma_table_info('t') WHERE pk) FROM t`, "'a1z,a2y,b1x'|1|'k1,n2'"},
		{"a composite key in another order keeps it, and rowids", []string{"t", "CREATE TABLE t (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (b DESC, a)) STRICT"},
			[]string{"INSERT INTO t (rowid, a, b) VALUES (5, 'x', 1), (9, 'x', 2)"},
			patch("t", "v", rebuilt), "ok",
			`SELECT group_concat(rowid), (SELECT group_concat(name || "desc") FROM pragma_index_xinfo('sqlite_autoindex_t_1') WHERE key) FROM (SELECT rowid FROM t ORDER BY rowid)`, "'5,9'|'b1,a0'"},
		{"no primary key: rowids are kept", []string{"t", "CREATE TABLE t (rowid TEXT, v TEXT) STRICT"},
			[]string{"INSERT INTO t (_rowid_, rowid) VALUES (3, 'a'), (-4, 'b'), (1000000000000, 'c')"},
			patch("t", "v", rebuilt), "ok", "SELECT group_concat(_rowid_ || rowid) FROM t", "'-4b,3a,1000000000000c'"},
		{"generated columns", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, d INTEGER AS (a * 2) STORED, v TEXT, w TEXT AS (a || '!') VIRTUAL) STRICT"},
			[]string{"INSERT INTO t (a, v) VALUES (4, 'x'), (NULL, 'y')"},
			patch("t", "v", ColumnPatch{NotNull: ptr(true)}), "ok",
			"SELECT (SELECT group_concat(name || hidden) FROM pragma_table_xinfo('t')), d, w FROM t WHERE id = 1", "'id0,a0,d3,v0,w2'|8|'4!'"},
		{"a column that another is generated from", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, d INTEGER AS (a * 2)) STRICT"}, nil,
			drop("t", "a"), "conflict", "", ""},
		{"a generated column is dropped", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, d INTEGER AS (a * 2)) STRICT"}, nil,
			drop("t", "d"), "ok", "SELECT group_concat(name) FROM pragma_table_xinfo('t')", "'id,a'"},
		{"a generated column is renamed", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, d INTEGER AS (a * 2)) STRICT"}, []string{"INSERT INTO t (a) VALUES (2)"},
			patch("t", "d", ColumnPatch{NewName: ptr("twice")}), "ok", "SELECT twice FROM t", "4"},
		{"a generated column cannot change", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, d INTEGER AS (a * 2)) STRICT"}, nil,
			patch("t", "d", ColumnPatch{NotNull: ptr(true)}), "validation_failed column", "", ""},
		{"the check of the column moves", []string{"t", `CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER CHECK (a > 0), b TEXT CHECK ("b" <> 'a')) STRICT`}, nil,
			patch("t", "a", ColumnPatch{NewName: ptr("age"), NotNull: ptr(true)}), "ok",
			"SELECT sql FROM sqlite_schema WHERE name = 't'", "'CREATE TABLE \"t\" (\n  \"id\" INTEGER PRIMARY KEY,\n  \"age\" INTEGER NOT NULL,\n  \"b\" TEXT,\n  CHECK (\"age\" > 0),\n  CHECK (\"b\" <> ''a'')\n) STRICT'"},
		{"a column in a check cannot be dropped", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, CHECK (a > 0 OR b IS NULL)) STRICT"}, nil,
			drop("t", "a"), "conflict", "", ""},
		{"a quoted column in a check cannot be dropped", []string{"t", `CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, CHECK ("a" > 0 OR "b" = 'x')) STRICT`}, nil,
			drop("t", "a"), "conflict", "", ""},
		{"a column in a partial index cannot be dropped", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT) STRICT", "", "CREATE INDEX x ON t (b) WHERE a > 0"}, nil,
			drop("t", "a"), "conflict", "", ""},
		{"partial and expression indexes are kept", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, v TEXT) STRICT", "",
			"CREATE UNIQUE INDEX x ON t (b COLLATE NOCASE DESC) WHERE a > 0", "", "CREATE INDEX y ON t (lower(b), a + 1 DESC)"}, nil,
			patch("t", "v", rebuilt), "ok", "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 't' ORDER BY name)",
			`'CREATE UNIQUE INDEX "x" ON "t" ("b" COLLATE "NOCASE" DESC) WHERE a > 0;CREATE INDEX "y" ON "t" (lower(b), a + 1 DESC)'`},
		{"a column goes with its indexes, uniques and keys", []string{"p", family, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER REFERENCES p, b TEXT UNIQUE, UNIQUE (b, a)) STRICT", "", "CREATE INDEX x ON t (b, a)", "", "CREATE INDEX y ON t (b)"}, nil,
			drop("t", "a"), "ok", "SELECT (SELECT group_concat(name) FROM pragma_index_list('t')), (SELECT count(*) FROM pragma_foreign_key_list('t'))", "'y,sqlite_autoindex_t_1'|0"},
		{"a column that another table refers to", []string{"p", "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE) STRICT", "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p (code)) STRICT"}, nil,
			drop("p", "code"), "conflict column", "", ""},
		{"the unique that another table refers to", []string{"p", "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE) STRICT", "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p (code)) STRICT"},
			[]string{"INSERT INTO p VALUES (1, 'a')", "INSERT INTO c VALUES (1, 'a')"},
			patch("p", "code", ColumnPatch{Unique: ptr(false)}), "conflict is_unique", "", ""},
		{"the unique index that an empty table refers to", []string{"p", "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT) STRICT", "", "CREATE UNIQUE INDEX x ON p (code)", "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p (code)) STRICT"}, nil,
			func(ctx context.Context, db *DB) error {
				_, err := db.DropIndex(ctx, new(problem.Faults), "p", "x")
				return err
			}, "conflict index", "", ""},
		{"not null with nulls", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES (NULL), ('x'), (NULL)"},
			patch("t", "a", ColumnPatch{NotNull: ptr(true)}), "conflict is_nullable", "", ""},
		{"unique with duplicates", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES (NULL), ('x'), (NULL), ('x'), ('x')"},
			patch("t", "a", ColumnPatch{Unique: ptr(true)}), "conflict is_unique", "", ""},
		{"unique with nulls only", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES (NULL), (NULL)"},
			patch("t", "a", ColumnPatch{Unique: ptr(true)}), "ok", "SELECT count(*) FROM pragma_index_list('t')", "1"},
		{"a type with values", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES ('1')"},
			patch("t", "a", ColumnPatch{Type: ptr("INTEGER")}), "column_type_locked column_type", "", ""},
		{"a type with values and a default that it does not hold", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'many') STRICT"}, []string{"INSERT INTO t (a) VALUES ('1')"},
			patch("t", "a", ColumnPatch{Type: ptr("INTEGER")}), "column_type_locked column_type", "", ""},
		{"the same type with values", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES ('1')"},
			patch("t", "a", ColumnPatch{Type: ptr("text")}), "ok", "SELECT a FROM t", "'1'"},
		{"a type without values", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES (NULL)"},
			patch("t", "a", ColumnPatch{Type: ptr("BLOB")}), "ok", "SELECT type FROM pragma_table_info('t') WHERE name = 'a'", "'BLOB'"},
		{"a default that the new type does not hold", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'many') STRICT"}, nil,
			patch("t", "a", ColumnPatch{Type: ptr("INTEGER")}), "validation_failed default_value", "", ""},
		{"a default that the new type holds", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT '12') STRICT"}, nil,
			patch("t", "a", ColumnPatch{Type: ptr("INTEGER")}), "ok", "SELECT dflt_value FROM pragma_table_info('t') WHERE name = 'a'", "'12'"},
		{"type and default together", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'many') STRICT"}, nil,
			patch("t", "a", ColumnPatch{Type: ptr("INTEGER"), Default: jsontext.Value("-3")}), "ok", "SELECT dflt_value FROM pragma_table_info('t') WHERE name = 'a'", "'-3'"},
		{"an integer key that is not the rowid stays so", []string{"t", "CREATE TABLE t (id INT PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (rowid, id) VALUES (1, 30), (2, 20)"},
			patch("t", "a", ColumnPatch{Type: ptr("REAL")}), "ok", "SELECT group_concat(rowid || ':' || id), (SELECT type FROM pragma_table_info('t') WHERE pk) FROM (SELECT rowid, id FROM t ORDER BY rowid)", "'1:30,2:20'|'INT'"},
		{"nothing to change", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, nil,
			patch("t", "a", ColumnPatch{NotNull: ptr(false), Unique: ptr(false), Type: ptr("TEXT"), NewName: ptr("a")}), "ok", "SELECT sql FROM sqlite_schema WHERE name = 't'", "'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT'"},
		{"a primary key stays unique", []string{"t", "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT) STRICT"}, nil,
			patch("t", "id", ColumnPatch{Unique: ptr(false), NotNull: ptr(false)}), "ok", `SELECT pk, (SELECT count(*) FROM pragma_index_list('t')) FROM pragma_table_info('t') WHERE name = 'id'`, "1|1"},
		{"a primary key is renamed", []string{"p", family, "c", children}, []string{"INSERT INTO p (id) VALUES (3)", "INSERT INTO c VALUES (1, 3)"},
			patch("p", "id", ColumnPatch{NewName: ptr("key")}), "ok", `SELECT key, (SELECT "to" FROM pragma_foreign_key_list('c')), (SELECT seq FROM sqlite_sequence WHERE name = 'p') FROM p`, "3|'key'|3"},
		{"a name in another letter case", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, []string{"INSERT INTO t (a) VALUES ('x')"},
			patch("t", "a", ColumnPatch{NewName: ptr("A")}), "ok", "SELECT name, (SELECT a FROM t) FROM pragma_table_info('t') WHERE cid = 1", "'A'|'x'"},
		{"a table's name in another letter case", []string{"p", family, "c", children}, []string{"INSERT INTO p (id) VALUES (3)", "INSERT INTO c VALUES (1, 3)"},
			rename("p", "P"), "ok", `SELECT (SELECT name FROM sqlite_sequence WHERE name NOT LIKE '\_%' ESCAPE '\'), (SELECT "table" FROM pragma_foreign_key_list('c')), (SELECT "table" FROM pragma_foreign_key_list('P')), id FROM P`, "'P'|'P'|'P'|3"},
		{"foreign keys follow a table's name", []string{"p", family, "c", children}, []string{"INSERT INTO p (id) VALUES (3)", "INSERT INTO c VALUES (1, 3)"},
			rename("p", "parents"), "ok", `SELECT (SELECT name FROM sqlite_sequence WHERE name NOT LIKE '\_%' ESCAPE '\'), (SELECT "table" FROM pragma_foreign_key_list('c')), (SELECT "table" FROM pragma_foreign_key_list('parents')), id FROM parents`, "'parents'|'parents'|'parents'|3"},
		{"a table's name is taken", []string{"p", family, "c", children}, nil, rename("p", "C"), "conflict new_table_name", "", ""},
		{"a table that others refer to", []string{"p", family, "c", children}, nil,
			func(ctx context.Context, db *DB) error { _, err := db.DeleteTable(ctx, "p"); return err }, "conflict", "", ""},
		{"a table that only itself refers to", []string{"p", family}, []string{"INSERT INTO p (id, up) VALUES (1, 1)"},
			func(ctx context.Context, db *DB) error { _, err := db.DeleteTable(ctx, "P"); return err }, "ok",
			"SELECT (SELECT count(*) FROM _tables), (SELECT count(*) FROM _columns), (SELECT count(*) FROM sqlite_sequence WHERE name = 'p')", "0|0|0"},
		{"not null without default in a table with rows", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, []string{"INSERT INTO t VALUES (1)"},
			add("t", NewColumn{Name: "a", NotNull: true}), "conflict is_nullable", "", ""},
		{"not null without default in an empty table", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, nil,
			add("t", NewColumn{Name: "a", NotNull: true}), "ok", "SELECT \"notnull\" FROM pragma_table_info('t') WHERE name = 'a'", "1"},
		{"not null without default, unique, in an empty table", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, nil,
			add("t", NewColumn{Name: "a", NotNull: true, Unique: true}), "ok", "SELECT \"notnull\" FROM pragma_table_info('t') WHERE name = 'a'", "1"},
		{"a unique default for one row", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, []string{"INSERT INTO t VALUES (1)"},
			add("t", NewColumn{Name: "a", Unique: true, Default: jsontext.Value("5"), Type: "integer"}), "ok", "SELECT a FROM t", "5"},
		{"a unique default for two rows", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, []string{"INSERT INTO t VALUES (1), (2)"},
			add("t", NewColumn{Name: "a", Unique: true, Default: jsontext.Value("5")}), "conflict is_unique", "", ""},
		{"a column behind constraints of the table", []string{"t", "CREATE TABLE t (id INTEGER, b TEXT, PRIMARY KEY (id, b), CHECK (b <> '')) STRICT"}, []string{"INSERT INTO t VALUES (1, 'x')"},
			add("t", NewColumn{Name: "a", Default: jsontext.Value(`"d"`)}), "ok", "SELECT * FROM t", "1|'x'|'d'"},
		{"a column's name is taken", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, nil, add("t", NewColumn{Name: "ID"}), "conflict column_name", "", ""},
		{"another primary key", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT"}, nil, add("t", NewColumn{Name: "a", Primary: true}), "validation_failed is_primary", "", ""},
		{"the primary key is dropped", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) STRICT"}, nil, drop("t", "id"), "validation_failed column", "", ""},
		{"the last column is dropped", []string{"t", "CREATE TABLE t (a TEXT) STRICT"}, nil, drop("t", "a"), "validation_failed column", "", ""},
		{"the last column that is stored is dropped", []string{"t", "CREATE TABLE t (a TEXT, g TEXT AS ('x')) STRICT"}, nil, drop("t", "a"), "conflict", "", ""},
		{"an index of a constraint is dropped", []string{"t", "CREATE TABLE t (a TEXT UNIQUE) STRICT"}, nil,
			func(ctx context.Context, db *DB) error {
				_, err := db.DropIndex(ctx, new(problem.Faults), "t", "sqlite_autoindex_t_1")
				return err
			}, "validation_failed index", "", ""},
		{"a batch of patches", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT) STRICT"}, []string{"INSERT INTO t (a, b) VALUES ('1', NULL)"},
			func(ctx context.Context, db *DB) error {
				return db.UpdateColumns(ctx, new(problem.Faults), "t", []NamedPatch{{"a", ColumnPatch{NewName: ptr("c"), Unique: ptr(true)}}, {"b", ColumnPatch{NewName: ptr("a"), Type: ptr("REAL")}}})
			}, "ok", "SELECT group_concat(name || type), (SELECT group_concat(c) FROM t), (SELECT group_concat(column_name || id) FROM _columns) FROM pragma_table_info('t')", "'idINTEGER,cTEXT,aREAL'|'1'|'a3,c2,id1'"},
		{"a batch is all or nothing", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT) STRICT"}, []string{"INSERT INTO t (a, b) VALUES ('1', '2')"},
			func(ctx context.Context, db *DB) error {
				return db.UpdateColumns(ctx, new(problem.Faults), "t", []NamedPatch{{"a", ColumnPatch{NewName: ptr("c")}}, {"b", ColumnPatch{Type: ptr("REAL")}}})
			}, "column_type_locked columns[1].column_type", "", ""},
		{"a batch tells every fault", []string{"t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT) STRICT"}, nil,
			func(ctx context.Context, db *DB) error {
				return db.UpdateColumns(ctx, new(problem.Faults), "t", []NamedPatch{{"a", ColumnPatch{NewName: ptr("_c")}}, {"b", ColumnPatch{Type: ptr("VARCHAR")}}, {"zz", ColumnPatch{}}})
			}, "validation_failed columns[0].new_column_name columns[1].column_type columns[2]", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, ctx := openProject(t), t.Context()
			for i := 0; i < len(test.tables); i += 2 {
				if test.tables[i] == "" {
					run(t, db, test.tables[i+1])
					continue
				}
				define(t, db, test.tables[i], test.tables[i+1])
			}
			run(t, db, test.fill...)
			c := other(t, db)
			before := dump(t, c)
			err := test.do(ctx, db)
			if got := complaint(err); got != test.want {
				t.Fatalf("got %s, want %s (%v)", got, test.want, err)
			}
			sound(t, c)
			if err != nil {
				if diff := cmp.Diff(before, dump(t, c)); diff != "" {
					t.Errorf("a refused change left traces (-before +after):\n%s", diff)
				}
				return
			}
			if got := ask(t, c, test.ask); got != test.answer {
				t.Errorf("%s\n got %s\nwant %s", test.ask, got, test.answer)
			}
		})
	}
}

func TestRefusalsSayHowMany(t *testing.T) {
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "a"}, {Name: "b"}}})
	put(t, db, "t", `{"a":"x"}`, `{"a":"x"}`, `{"a":"x"}`, `{"a":"y"}`, `{"a":"y"}`, `{"a":"z","b":"v"}`)
	_, indexErr := db.CreateIndex(t.Context(), new(problem.Faults), "t", NewIndex{Columns: []string{"a"}, Unique: true})
	for _, test := range []struct {
		err  error
		want string
	}{
		{patch("t", "a", ColumnPatch{Unique: ptr(true)})(t.Context(), db), "3 rows repeat values that must be unique."},
		{patch("t", "b", ColumnPatch{NotNull: ptr(true)})(t.Context(), db), "5 rows have no value in the column."},
		{patch("t", "b", ColumnPatch{Type: ptr("BLOB")})(t.Context(), db), "The column has 1 saved values, so its type cannot change."},
		{indexErr, "3 rows repeat values that must be unique."},
	} {
		if got := problem.From(test.err).Message; got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestDefaultsOfEveryKind(t *testing.T) {
	for _, test := range []struct{ columnType, def, want string }{
		{"TEXT", `"it's \"so\""`, `"it's \"so\""`},
		{"TEXT", `"CURRENT_TIMESTAMP"`, `"CURRENT_TIMESTAMP"`},
		{"TEXT", `"NULL"`, `"NULL"`},
		{"TEXT", `""`, `""`},
		{"TEXT", `"a\u0000b'\u0000"`, `"a\u0000b'\u0000"`},
		{"TEXT", `"line\nend 🐎; -- /*"`, `"line\nend 🐎; -- /*"`},
		{"TEXT", `5`, `"5"`},
		{"TEXT", `null`, `null`},
		{"INTEGER", `-9223372036854775808`, `-9223372036854775808`},
		{"INTEGER", `9223372036854775807`, `9223372036854775807`},
		{"INTEGER", `"-7"`, `-7`},
		{"INTEGER", `true`, `1`},
		{"REAL", `-0.1`, `-0.1`},
		{"REAL", `3`, `3.0`},
		{"REAL", `5e-324`, `5e-324`},
		{"BLOB", `"AP8n"`, `"AP8n"`},
		{"BLOB", `""`, `""`},
		{"ANY", `1.0`, `1.0`},
		{"ANY", `"1"`, `"1"`},
	} {
		db := openProject(t, NewTable{Name: "made", Columns: []NewColumn{{Name: "v", Type: test.columnType, Default: jsontext.Value(test.def)}}},
			NewTable{Name: "added", Columns: []NewColumn{{Name: "n"}}})
		put(t, db, "added", `{}`)
		for _, change := range []change{
			add("added", NewColumn{Name: "v", Type: test.columnType, Default: jsontext.Value(test.def)}),
			add("added", NewColumn{Name: "u", Unique: true}), // rebuilds
		} {
			if err := change(t.Context(), db); err != nil {
				t.Errorf("default %s of %s: %v", test.def, test.columnType, err)
			}
		}
		put(t, db, "made", `{}`)
		put(t, db, "added", `{}`)
		for _, table := range []string{"made", "added"} {
			page, err := db.ListRecords(t.Context(), new(problem.Faults), table, ListOptions{Selection: Selection{Columns: []string{"v"}, Limit: 10}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Len() {
				if got := asJSON(page.Batch.Value(page.Batch.Row(i)[0])); got != test.want {
					t.Errorf("default %s of %s in %s: stored %s, want %s", test.def, test.columnType, table, got, test.want)
				}
			}
			column, err := db.Table(t.Context(), table)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(column.ColumnObject(column.Column("v")).DefaultValue); got != test.want {
				t.Errorf("default %s of %s in %s: shown as %s, want %s", test.def, test.columnType, table, got, test.want)
			}
		}
	}
}

func TestBuild(t *testing.T) {
	blueprint := func(seed ...string) Blueprint {
		b := Blueprint{Tables: []BlueprintTable{
			{NewTable: NewTable{Name: "a", Columns: []NewColumn{{Name: "v", Unique: true}}}, Indexes: []NewIndex{{Columns: []string{"v", "id"}}}},
			{NewTable: NewTable{Name: "b"}},
		}, Indexes: []BlueprintIndex{{"A", NewIndex{Name: "own", Columns: []string{"v"}, Unique: true}}}}
		for _, row := range seed {
			b.Tables[0].Seed = append(b.Tables[0].Seed, jsontext.Value(row))
		}
		return b
	}
	for _, test := range []struct {
		seed []string
		want string
	}{
		{[]string{`{"v":"x"}`, `{"v":"x"}`}, "conflict tables[0].seed[1].v"},
		{[]string{`{"v":"x"}`, `{"w":"x","v":[]}`}, "validation_failed tables[0].seed[1].w tables[0].seed[1].v"},
		{[]string{`{"v":"x"}`, `{}`}, "ok"},
	} {
		db := openProject(t)
		built, err := db.Build(ctx, blueprint(test.seed...))
		if got := complaint(err); got != test.want {
			t.Errorf("seed %s: got %s, want %s (%v)", test.seed, got, test.want, err)
		}
		tables, rows := "", "0"
		if err == nil {
			tables, rows = "'a,b'", ask(t, other(t, db), "SELECT count(*) FROM a")
			if built.Tables[0].SeededRows != 2 || len(built.Indexes) != 2 || built.Indexes[0].Name != "idx_a_v_id" {
				t.Errorf("built %+v", built)
			}
		} else {
			tables = "NULL"
		}
		if got := ask(t, other(t, db), "SELECT group_concat(table_name) FROM _tables"); got != tables || (rows != "2") == (err == nil) {
			t.Errorf("seed %s: tables %s with %s rows", test.seed, got, rows)
		}
	}
}

func TestCheckOfABlueprint(t *testing.T) {
	column := func(name string) []NewColumn { return []NewColumn{{Name: name}} }
	for _, test := range []struct {
		blueprint Blueprint
		want      string
	}{
		{Blueprint{}, "ok"},
		{Blueprint{Tables: []BlueprintTable{
			{NewTable: NewTable{Name: "a", Columns: []NewColumn{{Name: "v", NotNull: true}}}, Seed: []jsontext.Value{[]byte(`{"v":"x"}`), []byte(`{}`), []byte(`{"v":"x"}`)}},
			{NewTable: NewTable{Name: "A", Columns: []NewColumn{{Name: "id"}, {Name: "x", Type: "DATE"}}}, Indexes: []NewIndex{{Columns: []string{"x"}}, {Columns: []string{"x"}}, {Columns: []string{"y"}}}},
			{NewTable: NewTable{Name: "_b", Columns: column("v")}},
		}, Indexes: []BlueprintIndex{
			{"c", NewIndex{Columns: []string{"v"}}},
			{"a", NewIndex{Columns: []string{"v"}, Name: "a"}},
		}}, "validation_failed tables[0].seed[1].v tables[1].columns[1].column_type tables[1].columns tables[1].table_name" +
			" tables[1].indexes[1].index_name tables[1].indexes[2].columns[0] tables[2].table_name indexes[0].table_name indexes[1].index_name"},
	} {
		var faults problem.Faults
		test.blueprint.Check(&faults)
		if got := complaint(faults.Err()); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// SQLite reports a full disk when a table has run out of ids, and rolls back the whole
// transaction.
func TestNoIDsLeft(t *testing.T) {
	db := openProject(t, NewTable{Name: "spent", Columns: []NewColumn{{Name: "v"}}}, NewTable{Name: "fresh", Columns: []NewColumn{{Name: "v"}}})
	bulk := func(rows string) string {
		_, err := db.InsertRecords(ctx, new(problem.Faults), "spent", jsontext.Value(rows), InsertOptions{})
		return complaint(err)
	}
	if got := bulk(`[{"v":"a"},{"id":9223372036854775807},{}]`); got != "conflict data[2].id" {
		t.Errorf("in one call: %s", got)
	}
	if got := ask(t, other(t, db), "SELECT count(*) FROM spent"); got != "0" {
		t.Errorf("%s rows are left of a call that failed", got)
	}
	put(t, db, "spent", `{"id":9223372036854775807}`)
	if got := bulk(`[{}]`); got != "conflict data[0].id" {
		t.Errorf("in the next call: %s", got)
	}
	if got := bulk(`[{"id":7}]`); got != "ok" {
		t.Errorf("with an id: %s", got)
	}
	var writes sync.WaitGroup
	for i := range 64 {
		table, want := "fresh", "ok"
		if i%8 == 0 {
			table, want = "spent", "conflict id"
		}
		writes.Go(func() {
			if _, err := db.InsertRecord(ctx, new(problem.Faults), table, jsontext.Value(`{"v":"x"}`), InsertOptions{}); complaint(err) != want {
				t.Errorf("a write to %s: %v", table, err)
			}
		})
	}
	writes.Wait()
	if got := ask(t, other(t, db), "SELECT count(*) FROM fresh"); got != "56" {
		t.Errorf("%s of 56 writes in shared transactions are there", got)
	}
}

// TestOwnTables compares the list of the server's own tables with the tables of an
// empty project.
func TestOwnTables(t *testing.T) {
	db := openProject(t)
	tables := strings.Fields(strings.Trim(ask(t, other(t, db), "SELECT group_concat(name, ' ') FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"), "'"))
	for _, name := range tables {
		if !IsOwnTable(name) {
			t.Errorf("%s is not in the list", name)
		}
	}
	if len(tables) != len(own) {
		t.Errorf("the project has %v, the list %v", tables, own)
	}
}

// TestTablesOfAProjectAreBounded creates tables until no more are allowed, and again
// after deleting one, when the ids are above the limit.
func TestTablesOfAProjectAreBounded(t *testing.T) {
	dir := openDir(t, 1, DirOptions{MaxTables: 4}) // contacts is one of them
	db, release, err := dir.Lease(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	add := func(name string) error {
		_, err := db.CreateTable(ctx, new(problem.Faults), NewTable{Name: name})
		return err
	}
	for round := range 3 {
		for _, name := range []string{"a", "b", "c"} {
			if err := add(name); err != nil && !(round > 0 && name != "c") {
				t.Fatalf("round %d: table %s: %v", round, name, err)
			}
		}
		if err := add("d"); !problem.Is(err, problem.CodeConflict) || !strings.Contains(err.Error(), "4 tables") {
			t.Errorf("round %d: a fourth table: %v", round, err)
		}
		if tables, err := db.Tables(ctx); err != nil || len(tables) != 4 {
			t.Errorf("round %d: %d tables, %v", round, len(tables), err)
		}
		if _, err := db.DeleteTable(ctx, "c"); err != nil {
			t.Fatal(err)
		}
	}
}
