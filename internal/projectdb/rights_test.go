package projectdb

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// listed are rights given as two lists of tables.
type listed struct{ read, write []ids.Table }

func (r listed) MayRead(id ids.Table) bool  { return slices.Contains(r.read, id) }
func (r listed) MayWrite(id ids.Table) bool { return slices.Contains(r.write, id) }
func (r listed) MayWriteAll() bool          { return false }

// as returns the database with the right to write the named tables and to read none.
func as(t *testing.T, db *DB, write ...string) *DB {
	t.Helper()
	var r listed
	for _, name := range write {
		table, err := db.Table(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		r.write = append(r.write, table.ID)
	}
	return db.As(r)
}

// objects returns rows as the API would write them.
func objects(r Rows) string {
	var b []byte
	for part := &r; part != nil; part = part.Next {
		for i := range part.Len() {
			b = format.NewJSON(part.Columns, format.JSONOptions{}).AppendRow(b, part.Batch, part.Batch.Row(i)[:len(part.Columns)])
		}
	}
	return string(b)
}

// TestWritersSeeWhatTheySent checks the answers for clients who may not read a table.
func TestWritersSeeWhatTheySent(t *testing.T) {
	db := openProject(t, NewTable{Name: "notes", Columns: []NewColumn{
		{Name: "email", Unique: true}, {Name: "secret", Default: jsontext.Value(`"hush"`)}, {Name: "n", Type: "REAL"},
	}})
	define(t, db, "folded", "CREATE TABLE folded (id INTEGER PRIMARY KEY, word TEXT COLLATE NOCASE UNIQUE, secret TEXT DEFAULT 'hush', loud TEXT AS (upper(secret))) STRICT", "INSERT INTO folded (word) VALUES ('WoRd')")
	define(t, db, "keyless", "CREATE TABLE keyless (a INTEGER, b TEXT DEFAULT 'hush') STRICT")
	define(t, db, "pair", "CREATE TABLE pair (a INTEGER, b TEXT, c TEXT DEFAULT 'hush', PRIMARY KEY (b, a)) STRICT, WITHOUT ROWID")
	writer := as(t, db, "notes", "folded", "keyless", "pair")
	upsert := func(column string, update bool) InsertOptions {
		return InsertOptions{OnConflict: &OnConflict{Columns: []string{column}, Update: update}}
	}
	for _, test := range []struct {
		what, table, rows string
		options           InsertOptions
		want              string
	}{
		{"one", "notes", `{"email":"a","n":1}`, InsertOptions{}, `{"id":1,"email":"a","n":1.0}`},
		{"defaults", "notes", `{}`, InsertOptions{}, `{"id":2}`},
		{"its own key", "notes", `{"id":7,"secret":"mine"}`, InsertOptions{}, `{"id":7,"secret":"mine"}`},
		{"an update", "notes", `{"email":"a","n":2}`, upsert("email", true), `{"id":1,"email":"a","n":2.0}`},
		{"an update of nothing", "notes", `{"email":"a"}`, upsert("email", true), `{"id":1,"email":"a"}`},
		{"ignored", "notes", `{"email":"a"}`, upsert("email", false), ``},
		{"another spelling", "folded", `{"word":"WORD"}`, upsert("word", true), `{"id":1,"word":"WORD"}`},
		{"another spelling with more", "folded", `{"word":"word","secret":"x"}`, upsert("word", true), `{"id":1,"word":"word","secret":"x"}`},
		{"no key", "keyless", `{"a":5}`, InsertOptions{}, `{"a":5}`},
		{"no key and nothing sent", "keyless", `{}`, InsertOptions{}, `{}`},
		{"a key of two", "pair", `{"b":"x","a":1}`, InsertOptions{}, `{"a":1,"b":"x"}`},
		{"many", "notes", `[{"email":"b"},{"email":"c"},{"n":3},{"email":"a"},{"email":"d","n":4}]`, upsert("email", false),
			`{"id":13,"email":"b"}{"id":14,"email":"c"}{"id":15,"n":3.0}{"id":17,"email":"d","n":4.0}`},
		{"many, the first ignored", "notes", `[{"email":"a"},{"n":3}]`, upsert("email", false), `{"id":19,"n":3.0}`},
		{"none wanted", "notes", `[{"email":"e"}]`, InsertOptions{ReturnNone: true}, ``},
	} {
		insert := writer.InsertRecord
		if test.rows[0] == '[' {
			insert = writer.InsertRecords
		}
		done, err := insert(ctx, new(problem.Faults), test.table, jsontext.Value(test.rows), test.options)
		if got := objects(done.Rows); err != nil || got != test.want {
			t.Errorf("%s: %s %v, want %s", test.what, got, err, test.want)
		}
	}
	for patch, want := range map[string]string{`{"n":5}`: `{"id":1,"n":5.0}`, `{"secret":"mine"}`: `{"id":1,"secret":"mine"}`} {
		if rows, err := writer.UpdateRecord(ctx, new(problem.Faults), "notes", "1", jsontext.Value(patch)); err != nil || objects(rows) != want {
			t.Errorf("patch %s: %s %v, want %s", patch, objects(rows), err, want)
		}
	}
	rows, err := writer.UpdateRecord(ctx, new(problem.Faults), "pair", "x,1", jsontext.Value(`{"a":2}`))
	if got := objects(rows); err != nil || got != `{"a":2,"b":"x"}` {
		t.Errorf("a new key: %s %v", got, err)
	}
	if rows, err := db.UpdateRecord(ctx, new(problem.Faults), "notes", "1", jsontext.Value(`{"n":6}`)); err != nil || !strings.Contains(objects(rows), `"secret":"mine"`) {
		t.Errorf("who may read sees the whole row: %s %v", objects(rows), err)
	}
}

func TestConditionsNeedTheRightToRead(t *testing.T) {
	db := openProject(t, NewTable{Name: "notes", Columns: []NewColumn{{Name: "v"}}}, NewTable{Name: "other"})
	put(t, db, "notes", `{"v":"a"}`, `{"v":"b"}`)
	writer := as(t, db, "notes")
	for _, test := range []struct {
		table, where string
		all          bool
		want         string
	}{
		{"notes", `{"v":"a"}`, false, "permission_denied"},
		{"notes", ` [ {"column":"v","op":"like","value":"a%"} ] `, true, "permission_denied"},
		{"notes", `{"id":1}`, false, "permission_denied"},
		{"notes", `[{"or":[]}]`, true, "permission_denied"},
		{"notes", `{"nowhere":1}`, true, "permission_denied"},
		{"notes", ` { } `, false, "validation_failed where"},
		{"notes", ` { } `, true, "ok"},
		{"notes", `[]`, true, "ok"},
		{"notes", ``, true, "ok"},
		{"notes", `null`, true, "ok"},
		{"other", ``, true, "permission_denied"},
		{"other", `{"id":1}`, true, "permission_denied"},
	} {
		match := Match{Filters: jsontext.Value(test.where), All: test.all}
		_, update := writer.UpdateRecords(ctx, new(problem.Faults), test.table, jsontext.Value(`{"v":"a"}`), match)
		_, remove := writer.DeleteRecords(ctx, new(problem.Faults), test.table, match)
		if got := complaint(update); got != test.want {
			t.Errorf("change where %s: %s, want %s", test.where, got, test.want)
		}
		if got := complaint(remove); got != test.want {
			t.Errorf("delete where %s: %s, want %s", test.where, got, test.want)
		}
	}
	for what, err := range map[string]error{
		"insert":      second(writer.InsertRecord(ctx, new(problem.Faults), "other", jsontext.Value(`{}`), InsertOptions{})),
		"insert many": second(writer.InsertRecords(ctx, new(problem.Faults), "other", jsontext.Value(`[{}]`), InsertOptions{})),
		"change":      second(writer.UpdateRecord(ctx, new(problem.Faults), "other", "1", jsontext.Value(`{"id":2}`))),
		"delete":      second(writer.DeleteRecord(ctx, "other", "1")),
	} {
		if got := complaint(err); got != "permission_denied" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// TestForeignKeysCarryNoRights changes rows whose foreign keys would propagate the
// change to other tables.
func TestForeignKeysCarryNoRights(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"CASCADE", "SET NULL", "SET DEFAULT"} {
		t.Run(action, func(t *testing.T) {
			for _, test := range []struct {
				what  string
				write []string
				make  func(*DB) error
				want  string
			}{
				{"delete one", []string{"parent"}, deleteOne("parent", "1"), "permission_denied"},
				{"delete one whose grandchild is another's", []string{"parent", "child"}, deleteOne("parent", "1"), "permission_denied"},
				{"delete one with all it reaches", []string{"parent", "child", "grandchild"}, deleteOne("parent", "1"), "ok"},
				{"delete one by another key", []string{"parent", "child"}, deleteOne("parent", "2"), "permission_denied"},
				{"delete one without children", []string{"parent"}, deleteOne("parent", "3"), "ok"},
				{"delete many", []string{"parent", "child", "grandchild"}, func(db *DB) error {
					_, err := db.DeleteRecords(ctx, new(problem.Faults), "parent", Match{All: true})
					return err
				}, "permission_denied"},
				{"change a key", []string{"parent"}, patchOne("parent", "1", `{"id":9}`), "permission_denied"},
				{"change a key whose grandchild is another's", []string{"parent", "child"}, patchOne("parent", "1", `{"id":9}`), "permission_denied"},
				{"change another key", []string{"parent"}, patchOne("parent", "2", `{"code":"z"}`), "permission_denied"},
				{"change no key", []string{"parent"}, patchOne("parent", "1", `{"note":"x"}`), "ok"},
				{"change a key to itself", []string{"parent"}, patchOne("parent", "1", `{"id":1}`), "ok"},
				{"change a key that nobody refers to", []string{"parent"}, patchOne("parent", "3", `{"id":9,"code":"y"}`), "ok"},
				{"change many", []string{"parent"}, func(db *DB) error {
					_, err := db.UpdateRecords(ctx, new(problem.Faults), "parent", jsontext.Value(`{"code":null}`), Match{All: true})
					return err
				}, "permission_denied"},
				{"upsert one", []string{"parent"}, func(db *DB) error {
					return second(db.InsertRecord(ctx, new(problem.Faults), "parent", jsontext.Value(`{"id":2,"code":"z"}`), InsertOptions{OnConflict: &OnConflict{Columns: []string{"id"}, Update: true}}))
				}, "permission_denied"},
				{"upsert many", []string{"parent"}, func(db *DB) error {
					return second(db.InsertRecords(ctx, new(problem.Faults), "parent", jsontext.Value(`[{"id":5},{"id":9,"code":"a"}]`), InsertOptions{OnConflict: &OnConflict{Columns: []string{"code"}, Update: true}}))
				}, "permission_denied"},
				{"a table that refers to itself", []string{"tree"}, deleteOne("tree", "1"), "ok"},
			} {
				db := openFamily(t, action)
				c := other(t, db)
				before := dump(t, c)
				err := test.make(as(t, db, test.write...))
				if got := complaint(err); got != test.want {
					t.Errorf("%s: %v, want %s", test.what, err, test.want)
				}
				if same := dump(t, c) == before; same != (test.want != "ok") && test.what != "change a key to itself" {
					t.Errorf("%s: nothing has changed is %t", test.what, same)
				}
				sound(t, c)
			}
		})
	}
}

// openFamily creates a project of tables whose foreign keys have the given action.
func openFamily(t *testing.T, action string) *DB {
	db := openProject(t)
	both := " ON DELETE " + action + " ON UPDATE " + action
	define(t, db, "parent", "CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT) STRICT")
	define(t, db, "child", "CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER UNIQUE REFERENCES parent"+both+") STRICT")
	define(t, db, "grandchild", "CREATE TABLE grandchild (c INTEGER REFERENCES child ON DELETE CASCADE, p INTEGER REFERENCES child (p) ON UPDATE CASCADE ON DELETE CASCADE) STRICT")
	define(t, db, "by_code", "CREATE TABLE by_code (code TEXT REFERENCES parent (code)"+both+", k TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
	define(t, db, "tree", "CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree"+both+") STRICT")
	run(t, db, "INSERT INTO parent VALUES (1, 'a', ''), (2, 'b', ''), (3, 'c', '')", "INSERT INTO child VALUES (1, 1)",
		"INSERT INTO grandchild VALUES (NULL, 1)", "INSERT INTO by_code VALUES ('b', 'k')", "INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2)")
	return db
}

func deleteOne(table, id string) func(*DB) error {
	return func(db *DB) error { return second(db.DeleteRecord(ctx, table, id)) }
}

func patchOne(table, id, patch string) func(*DB) error {
	return func(db *DB) error {
		return second(db.UpdateRecord(ctx, new(problem.Faults), table, id, jsontext.Value(patch)))
	}
}
