package projectdb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TestExpressionsThatFail writes rows for which a schema expression fails: the request
// is at fault, never the server.
func TestExpressionsThatFail(t *testing.T) {
	db := openProject(t)
	define(t, db, "stored", "CREATE TABLE stored (id INTEGER PRIMARY KEY, j TEXT, a TEXT GENERATED ALWAYS AS (json_extract(j, '$.a')) STORED) STRICT")
	define(t, db, "virtual", "CREATE TABLE virtual (id INTEGER PRIMARY KEY, j TEXT, a TEXT GENERATED ALWAYS AS (json_extract(j, '$.a')) VIRTUAL) STRICT")
	define(t, db, "checked", "CREATE TABLE checked (id INTEGER PRIMARY KEY, j TEXT CHECK (json_extract(j, '$.a') > 1), n INTEGER CHECK (abs(n) >= 0)) STRICT")
	define(t, db, "indexed", "CREATE TABLE indexed (id INTEGER PRIMARY KEY, j TEXT) STRICT", "CREATE INDEX by_a ON indexed (json_extract(j, '$.a'))")
	define(t, db, "partly", "CREATE TABLE partly (id INTEGER PRIMARY KEY, j TEXT) STRICT", "CREATE INDEX some_a ON partly (id) WHERE json_extract(j, '$.a') IS NOT NULL")
	define(t, db, "defaults", "CREATE TABLE defaults (id INTEGER PRIMARY KEY, v INTEGER DEFAULT (abs(-9223372036854775808))) STRICT")
	define(t, db, "telling", "CREATE TABLE telling (id INTEGER PRIMARY KEY, secret TEXT, j TEXT CHECK (json_extract(j, secret) IS NULL)) STRICT",
		"INSERT INTO telling VALUES (1, '$.hush', '{}')", "PRAGMA ignore_check_constraints = ON", "UPDATE telling SET secret = 'hush!'", "PRAGMA ignore_check_constraints = OFF")
	bad, empty := `{"j":"{bad"}`, `{"j":"{\"a\":2}"}`
	for _, table := range []string{"stored", "virtual", "checked", "indexed", "partly"} {
		put(t, db, table, empty)
		_, one := db.InsertRecord(ctx, new(problem.Faults), table, jsontext.Value(bad), InsertOptions{})
		_, many := db.InsertRecords(ctx, new(problem.Faults), table, jsontext.Value("["+empty+","+bad+"]"), InsertOptions{})
		_, upsert := db.InsertRecord(ctx, new(problem.Faults), table, jsontext.Value(`{"id":1,"j":"{bad"}`), InsertOptions{OnConflict: &OnConflict{Columns: []string{"id"}, Update: true}})
		_, patch := db.UpdateRecord(ctx, new(problem.Faults), table, "1", jsontext.Value(bad))
		for what, err := range map[string]error{"insert": one, "insert many": many, "upsert": upsert, "change": patch} {
			want := "validation_failed"
			if what == "insert many" {
				want = "validation_failed data[1]"
			}
			if got := complaint(err); got != want || !strings.Contains(problem.From(err).Message, "malformed JSON") {
				t.Errorf("%s, %s: %v", table, what, err)
			}
		}
		if page, err := db.ListRecords(ctx, new(problem.Faults), table, ListOptions{Selection: Selection{Limit: 10}}); err != nil || page.Len() != 1 {
			t.Errorf("%s: %d rows, %v", table, page.Len(), err)
		}
		if _, err := db.UpdateRecords(ctx, new(problem.Faults), table, jsontext.Value(bad), Match{All: true}); complaint(err) != "validation_failed" {
			t.Errorf("%s, change many: %v", table, err)
		}
	}
	for what, err := range map[string]error{
		"abs of the least integer": second(db.InsertRecord(ctx, new(problem.Faults), "checked", jsontext.Value(`{"n":-9223372036854775808}`), InsertOptions{})),
		"a default":                second(db.InsertRecord(ctx, new(problem.Faults), "defaults", jsontext.Value(`{}`), InsertOptions{})),
		"a path":                   second(db.UpdateRecord(ctx, new(problem.Faults), "telling", "1", jsontext.Value(`{"j":"{}"}`))),
	} {
		if e := problem.From(err); e.Code != problem.CodeValidationFailed || strings.Contains(e.Message, "hush") {
			t.Errorf("%s: %v", what, err)
		}
	}
	define(t, db, "loose", "CREATE TABLE loose (j TEXT)", "INSERT INTO loose VALUES ('{bad')", "ALTER TABLE loose ADD COLUMN a AS (json_extract(j, '$.a'))")
	if _, err := db.ListRecords(ctx, new(problem.Faults), "loose", ListOptions{Selection: Selection{Limit: 10}}); complaint(err) != "validation_failed" {
		t.Error("read a value that cannot be computed:", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestNullKeys sends NULL for keys: a row keeps its key and cannot lose it.
func TestNullKeys(t *testing.T) {
	db := openProject(t, NewTable{Name: "u", Columns: []NewColumn{{Name: "sku", Unique: true}, {Name: "name"}}},
		NewTable{Name: "pair", Columns: []NewColumn{{Name: "a", Type: "INTEGER", Primary: true}, {Name: "b", Primary: true}, {Name: "v", Unique: true}}})
	put(t, db, "u", `{"sku":"a","name":"A"}`, `{"sku":"b","name":"B"}`)
	put(t, db, "pair", `{"a":1,"b":"x","v":"1x"}`)
	for table, patch := range map[string]string{"u": `{"id":null,"name":"x"}`, "pair": `{"b":null}`} {
		key := map[string]string{"u": "1", "pair": "1,x"}[table]
		field := map[string]string{"u": "id", "pair": "b"}[table]
		if _, err := db.UpdateRecord(ctx, new(problem.Faults), table, key, jsontext.Value(patch)); complaint(err) != "validation_failed "+field {
			t.Errorf("%s, one: %v", table, err)
		}
		if _, err := db.UpdateRecords(ctx, new(problem.Faults), table, jsontext.Value(patch), Match{All: true}); complaint(err) != "validation_failed data."+field {
			t.Errorf("%s, many: %v", table, err)
		}
	}
	bySKU := InsertOptions{OnConflict: &OnConflict{Columns: []string{"sku"}, Update: true}}
	done, err := db.InsertRecords(ctx, new(problem.Faults), "u", jsontext.Value(`[{"id":null,"sku":"a","name":"A2"},{"id":null,"sku":"c","name":"C"}]`), bySKU)
	if got := text(done.Rows); err != nil || got != "id=1 sku=\"a\" name=\"A2\"\nid=5 sku=\"c\" name=\"C\"" {
		t.Errorf("%s %v", got, err)
	}
	byID := InsertOptions{OnConflict: &OnConflict{Columns: []string{"id"}, Update: true}}
	if done, err := db.InsertRecord(ctx, new(problem.Faults), "u", jsontext.Value(`{"id":null,"sku":"d"}`), byID); err != nil || done.Count != 1 {
		t.Errorf("%d new, %v", done.Count, err)
	}
	byV := InsertOptions{OnConflict: &OnConflict{Columns: []string{"v"}, Update: true}}
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "pair", jsontext.Value(`{"a":1,"b":null,"v":"2x"}`), byV); complaint(err) != "validation_failed b" {
		t.Errorf("a key without a number to take: %v", err)
	}
	if done, err := db.InsertRecord(ctx, new(problem.Faults), "pair", jsontext.Value(`{"a":1,"b":null,"v":"1x"}`), byV); err != nil || objects(done.Rows) != `{"a":1,"b":"x","v":"1x"}` {
		t.Errorf("a record that keeps its key: %s, %v", objects(done.Rows), err)
	}
}

// TestEveryFaultIsAProblem explains an error of every kind that SQLite has.
func TestEveryFaultIsAProblem(t *testing.T) {
	// SQLite's result codes from 1 on. Those that stay internal_error are defects of
	// ours, or the end of a context.
	for i, test := range []struct {
		name string
		want problem.Code
	}{
		{"ERROR", problem.CodeInternal},
		{"INTERNAL", problem.CodeInternal},
		{"PERM", problem.CodeBusy},
		{"ABORT", problem.CodeBusy},
		{"BUSY", problem.CodeBusy},
		{"LOCKED", problem.CodeBusy},
		{"NOMEM", problem.CodeBusy},
		{"READONLY", problem.CodeBusy},
		{"INTERRUPT", problem.CodeInternal},
		{"IOERR", problem.CodeBusy},
		{"CORRUPT", problem.CodeProjectDamaged},
		{"NOTFOUND", problem.CodeInternal},
		{"FULL", problem.CodeStorageFull},
		{"CANTOPEN", problem.CodeBusy},
		{"PROTOCOL", problem.CodeBusy},
		{"EMPTY", problem.CodeInternal},
		{"SCHEMA", problem.CodeBusy},
		{"TOOBIG", problem.CodeValidationFailed},
		{"CONSTRAINT", problem.CodeConflict},
		{"MISMATCH", problem.CodeValidationFailed},
		{"MISUSE", problem.CodeInternal},
		{"NOLFS", problem.CodeBusy},
		{"AUTH", problem.CodeInternal},
		{"FORMAT", problem.CodeInternal},
		{"RANGE", problem.CodeInternal},
		{"NOTADB", problem.CodeProjectDamaged},
	} {
		err := explain(fmt.Errorf("write a row: %w", sqlite.ErrorOf(i+1)))
		if got := problem.From(err).Code; got != test.want {
			t.Errorf("SQLITE_%s: %s, want %s", test.name, got, test.want)
		}
	}
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "n", Type: "INTEGER", Unique: true, NotNull: true}}})
	put(t, db, "t", `{"n":1}`)
	define(t, db, "c", "CREATE TABLE c (p INTEGER REFERENCES t (id), n INTEGER CHECK (n > 0)) STRICT")
	for statement, want := range map[string]string{
		"INSERT INTO t (n) VALUES (1)":                                  "conflict n",
		"INSERT INTO t (n) VALUES (NULL)":                               "validation_failed n",
		"INSERT INTO t (n) VALUES ('x')":                                "validation_failed n",
		"UPDATE t SET id = NULL":                                        "validation_failed",
		"INSERT INTO c (p) VALUES (9)":                                  "conflict",
		"INSERT INTO c (n) VALUES (0)":                                  "validation_failed",
		"INSERT INTO c (n) VALUES (json_extract('{bad', '$.a'))":        "validation_failed",
		"INSERT INTO t (n) VALUES (length(zeroblob(2000000000)))":       "validation_failed",
		"INSERT INTO t (n, nowhere) VALUES (1, 2)":                      "validation_failed",
		"INSERT INTO t (n) VALUES (2) ON CONFLICT (nowhere) DO NOTHING": "validation_failed",
	} {
		err := db.Change(ctx, new(problem.Faults), SharedTransaction, func(tx *Tx) error { return tx.c.Exec(statement) })
		if got := complaint(err); got != want {
			t.Errorf("%s: %v, want %s", statement, err, want)
		}
	}
}
