package projectdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// A value in want that begins with ! is refused.
func TestStoredAs(t *testing.T) {
	for _, test := range []struct{ json, integer, real, text, blob, any string }{
		{`null`, "NULL", "NULL", "NULL", "NULL", "NULL"},
		{`true`, "1", "1.0", "'1'", "!", "1"},
		{`false`, "0", "0.0", "'0'", "!", "0"},
		{`0`, "0", "0.0", "'0'", "!", "0"},
		{`-0`, "0", "-0.0", "'0'", "!", "0"},
		{`-0.0`, "0", "-0.0", "'-0.0'", "!", "-0.0"},
		{`1.0`, "1", "1.0", "'1.0'", "!", "1.0"},
		{`1e2`, "100", "100.0", "'100.0'", "!", "100.0"},
		{`0.5`, "!", "0.5", "'0.5'", "!", "0.5"},
		{`3.141592653589793`, "!", "3.141592653589793", "'3.141592653589793'", "!", "3.141592653589793"},
		{`9007199254740992`, "9007199254740992", "9007199254740992.0", "'9007199254740992'", "!", "9007199254740992"},
		{`9007199254740993`, "9007199254740993", "!", "'9007199254740993'", "!", "9007199254740993"},
		{`-9007199254740993`, "-9007199254740993", "!", "'-9007199254740993'", "!", "-9007199254740993"},
		{`9223372036854775807`, "9223372036854775807", "!", "'9223372036854775807'", "!", "9223372036854775807"},
		{`-9223372036854775808`, "-9223372036854775808", "-9223372036854775808.0", "'-9223372036854775808'", "!", "-9223372036854775808"},
		{`9223372036854775808`, "!", "9223372036854775808.0", "!", "!", "!"},
		{`9007199254740993.0`, "9007199254740993", "9007199254740992.0", "'9007199254740993.0'", "!", "9007199254740993"},
		{`123456789012345679e1`, "1234567890123456790", "1234567890123456800.0", "'123456789012345679e1'", "!", "1234567890123456790"},
		{`36028797018963970.0`, "36028797018963970", "36028797018963968.0", "'36028797018963970.0'", "!", "36028797018963968.0"},
		{`9223372036854775807.00`, "9223372036854775807", "9223372036854775807.0", "'9223372036854775807.00'", "!", "9223372036854775807"},
		{`9223372036854775808.0`, "!", "9223372036854775808.0", "'9223372036854775808.0'", "!", "9223372036854775808.0"},
		{`9007199254740992.5`, "!", "9007199254740992.0", "'9007199254740992.5'", "!", "9007199254740992.0"},
		{`0.10000000000000000001`, "!", "0.1", "'0.10000000000000000001'", "!", "0.1"},
		{`1e-999999999999`, "!", "0.0", "'1e-999999999999'", "!", "0.0"},
		{`"9007199254740993.0"`, "9007199254740993", "9007199254740992.0", "'9007199254740993.0'", "!", "'9007199254740993.0'"},
		{`"-90071992547409930e-1"`, "-9007199254740993", "-9007199254740992.0", "'-90071992547409930e-1'", "!", "'-90071992547409930e-1'"},
		{`"+-1"`, "!", "!", "'+-1'", "!", "'+-1'"},
		{`1e18`, "1000000000000000000", "1e18", "'1000000000000000000.0'", "!", "1e18"},
		{`1e19`, "!", "1e19", "'10000000000000000000.0'", "!", "1e19"},
		{`1e999`, "!", "!", "!", "!", "!"},
		{`""`, "!", "!", "''", "x''", "''"},
		{`"abc"`, "!", "!", "'abc'", "!", "'abc'"},
		{`"42"`, "42", "42.0", "'42'", "!", "'42'"},
		{`" +4.20e1\n"`, "42", "42.0", "' +4.20e1\n'", "!", "' +4.20e1\n'"},
		{`"--1"`, "!", "!", "'--1'", "!", "'--1'"},
		{`"0x10"`, "!", "!", "'0x10'", "x'D31D74'", "'0x10'"},
		{`"1_000"`, "!", "!", "'1_000'", "!", "'1_000'"},
		{`"inf"`, "!", "!", "'inf'", "!", "'inf'"},
		{`"1e999"`, "!", "!", "'1e999'", "!", "'1e999'"},
		{`"."`, "!", "!", "'.'", "!", "'.'"},
		{`"AP8="`, "!", "!", "'AP8='", "x'00FF'", "'AP8='"},
		{`"AP8"`, "!", "!", "'AP8'", "!", "'AP8'"},
		{`"a\u0000b"`, "!", "!", "CAST(x'610062' AS TEXT)", "!", "CAST(x'610062' AS TEXT)"},
		{`"🐎"`, "!", "!", "'🐎'", "!", "'🐎'"},
		{`[]`, "!", "!", "!", "!", "!"},
		{`{"a":1}`, "!", "!", "!", "!", "!"},
	} {
		for columnType, want := range map[string]string{"INTEGER": test.integer, "REAL": test.real, "TEXT": test.text, "BLOB": test.blob, "ANY": test.any} {
			got := "!"
			if v, err := storedAs(columnType, jsontext.Value(test.json)); err == nil {
				got = literal(v)
			}
			expected, ok := parseLiteral(want)
			if want != "!" && (!ok || literal(expected) != got) || want == "!" && got != "!" {
				t.Errorf("%s in a column %s: got %s, want %s", test.json, columnType, got, want)
			}
		}
	}
}

// Whatever storedAs accepts, SQLite stores unchanged; whatever SQLite itself would
// convert without loss, storedAs accepts.
func TestStoredAsAgreesWithStrictTables(t *testing.T) {
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{
		{Name: "INTEGER", Type: "INTEGER"}, {Name: "REAL", Type: "REAL"}, {Name: "TEXT"}, {Name: "BLOB", Type: "BLOB"}, {Name: "ANY", Type: "ANY"},
	}})
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(
			rapid.Map(rapid.Int64(), func(i int64) string { return fmt.Sprint(i) }),
			rapid.Map(rapid.Float64Range(-1e30, 1e30), func(f float64) string { b, _ := json.Marshal(f); return string(b) }),
			rapid.StringMatching(`"[ ]?[-+]?[0-9]{1,20}([.][0-9]{0,3})?(e[-+]?[0-9]{1,2})?"`),
			rapid.Map(rapid.String(), func(s string) string { b, _ := json.Marshal(s); return string(b) }),
			rapid.SampledFrom([]string{"true", "false"}),
		).Draw(t, "json")
		columnType := rapid.SampledFrom([]string{"INTEGER", "REAL", "TEXT", "ANY"}).Draw(t, "type")
		ours, fault := storedAs(columnType, jsontext.Value(raw))
		asSent, unreadable := storedAs("ANY", jsontext.Value(raw))
		if unreadable != nil {
			return
		}
		sent, theirs, refused := strict(t, db, columnType, asSent)
		if fault == nil {
			stored, _, err := strict(t, db, columnType, ours)
			if err != nil {
				t.Fatalf("%s became %s, which a column %s refuses: %v", raw, literal(ours), columnType, err)
			}
			if stored != asJSON(ours) && !(columnType == "REAL" && asJSON(ours) == "-0.0") {
				t.Fatalf("%s became %s, stored as %s in a column %s", raw, asJSON(ours), stored, columnType)
			}
			return
		}
		// SQLite rounds in REAL columns, which is a loss.
		if refused == nil && columnType != "REAL" {
			t.Fatalf("%s was refused (%v), and a column %s takes it as %s (%s)", raw, fault, columnType, sent, theirs)
		}
	})
}

// strict stores a value in a column on its own and returns it as JSON, with its
// storage class.
func strict(t *rapid.T, db *DB, column string, v sqlite.Value) (stored, class string, refused error) {
	err := db.sql.Exclusive(t.Context(), func(c *sqlite.Conn) error {
		if refused = c.Exec("INSERT INTO t ("+quote(column)+") VALUES (?)", v); refused != nil {
			return refused
		}
		err := c.Query("SELECT "+quote(column)+", typeof("+quote(column)+") FROM t", nil, func(s *sqlite.Stmt) error {
			stored, class = asJSON(s.Value(0)), s.Text(1)
			return nil
		})
		if err != nil {
			return err
		}
		return c.Exec("DELETE FROM t")
	})
	if err != nil && refused == nil {
		t.Fatal(err)
	}
	return stored, class, refused
}

func TestInsertRecordsBulk(t *testing.T) {
	db := openProject(t, contacts)
	rows := func(n int, change func(i int) string) jsontext.Value {
		var b bytes.Buffer
		b.WriteByte('[')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(change(i))
		}
		b.WriteByte(']')
		return b.Bytes()
	}
	plain := func(i int) string { return fmt.Sprintf(`{"email":"e%d","age":%d}`, i, i) }
	except := func(at int, row string) func(int) string {
		return func(i int) string {
			if i == at {
				return row
			}
			return plain(i)
		}
	}
	for _, test := range []struct {
		body jsontext.Value
		want string
	}{
		{rows(20, except(17, `{"email":"x","age":"old"}`)), "validation_failed data[17].age"},
		{rows(20, except(17, `{"emial":"x"}`)), "validation_failed data[17].emial data[17].email"},
		{rows(20, except(17, `{"email":"e3"}`)), "conflict data[17].email"},
		{rows(20, except(17, `7`)), "validation_failed data[17]"},
		{rows(20, except(17, `{"email":null}`)), "validation_failed data[17].email"},
		{rows(MaxBulkRows+1, plain), "validation_failed data"},
		{jsontext.Value(`{}`), "validation_failed data"},
	} {
		_, err := db.InsertRecords(ctx, new(problem.Faults), "contacts", test.body, InsertOptions{})
		if got := complaint(err); got != test.want {
			t.Errorf("%.200s: got %s, want %s", test.body, got, test.want)
		}
		if n := ask(t, other(t, db), "SELECT count(*) FROM contacts"); n != "0" {
			t.Fatalf("%s rows stayed of a batch that was refused", n)
		}
	}
	_, err := db.InsertRecords(ctx, new(problem.Faults), "contacts", rows(500, func(int) string { return `{"age":[]}` }), InsertOptions{})
	if n := len(problem.From(err).Details); n != problem.MaxDetails || !problem.From(err).More {
		t.Errorf("%d faults were told, want %d and more", n, problem.MaxDetails)
	}
	done, err := db.InsertRecords(ctx, new(problem.Faults), "contacts", rows(MaxBulkRows, plain), InsertOptions{})
	if err != nil || done.Count != MaxBulkRows || done.Len() != MaxBulkRows {
		t.Errorf("%d rows inserted, %d returned, %v", done.Count, done.Len(), err)
	}
	done, err = db.InsertRecords(ctx, new(problem.Faults), "contacts", rows(3, func(i int) string { return fmt.Sprintf(`{"email":"f%d"}`, i) }), InsertOptions{ReturnNone: true})
	if err != nil || done.Count != 3 || done.Len() != 0 {
		t.Errorf("%d rows inserted, %d returned, %v", done.Count, done.Len(), err)
	}
	if got := ask(t, other(t, db), "SELECT count(*), sum(age), max(id) FROM contacts"); got != "10003|49995000|10003" {
		t.Errorf("stored %s", got)
	}
}

func TestUpsert(t *testing.T) {
	tables := []NewTable{
		{Name: "u", Columns: []NewColumn{{Name: "email", Unique: true}, {Name: "n", Type: "INTEGER"}, {Name: "m", Type: "INTEGER"}}},
		{Name: "d", Columns: []NewColumn{{Name: "code", Unique: true, Default: jsontext.Value(`"none"`)}, {Name: "n", Type: "INTEGER"}}},
		{Name: "k", Columns: []NewColumn{{Name: "a", Primary: true}, {Name: "b", Type: "INTEGER", Primary: true}, {Name: "n", Type: "INTEGER"}}},
	}
	for _, test := range []struct {
		name, table, columns string
		update               bool
		rows                 string
		want                 string // complaint, or the returned rows
		count                int64
		ask, stored          string
	}{
		{"update", "u", "email", true, `[{"email":"a","n":5},{"email":"b"}]`, `id=1 email="a" n=5 m=9; id=5 email="b" n=null m=null`, 1, "SELECT group_concat(id || email || coalesce(n, '-')) FROM u", "'1a5,5b-'"},
		{"ignore", "u", "email", false, `[{"email":"a","n":5},{"email":"b"}]`, `id=4 email="b" n=null m=null`, 1, "SELECT group_concat(id || email || coalesce(n, '-')) FROM u", "'1a1,4b-'"},
		{"nulls are all different", "u", "email", true, `[{"n":7},{"email":null,"n":8}]`, `id=3 email=null n=7 m=null; id=4 email=null n=8 m=null`, 2, "SELECT count(*) FROM u", "4"},
		{"twice in one batch", "u", "email", true, `[{"email":"c","n":1},{"email":"c","n":2}]`, `id=3 email="c" n=1 m=null; id=3 email="c" n=2 m=null`, 1, "SELECT n FROM u WHERE email = 'c'", "2"},
		{"only the key is given", "u", "EMAIL", true, `[{"email":"a"}]`, `id=1 email="a" n=1 m=9`, 0, "SELECT count(*) FROM u", "2"},
		{"by the primary key", "u", "id", true, `[{"id":1,"n":4},{"id":9,"email":"z"}]`, `id=1 email="a" n=4 m=9; id=9 email="z" n=null m=null`, 1, "SELECT count(*) FROM u", "3"},
		{"another key is in the way", "u", "id", true, `[{"id":2,"email":"a"}]`, "conflict data[0].email", 0, "SELECT count(*) FROM u", "2"},
		{"another key is in the way of ignoring", "u", "id", false, `[{"id":7,"email":"a"}]`, "conflict data[0].email", 0, "SELECT count(*) FROM u", "2"},
		{"the default is taken, update", "d", "code", true, `[{"n":1},{"n":2}]`, `id=1 code="none" n=1; id=1 code="none" n=2`, 1, "SELECT group_concat(n) FROM d", "'2'"},
		{"the default is taken, ignore", "d", "code", false, `[{"n":1},{"n":2}]`, `id=1 code="none" n=1`, 1, "SELECT group_concat(n) FROM d", "'1'"},
		{"empty rows, ignore", "d", "code", false, `[{},{}]`, `id=1 code="none" n=null`, 1, "SELECT count(*) FROM d", "1"},
		{"empty rows, update", "d", "code", true, `[{},{}]`, `id=1 code="none" n=null; id=1 code="none" n=null`, 1, "SELECT count(*) FROM d", "1"},
		{"composite key", "k", "b,a", true, `[{"a":"x","b":1,"n":5},{"a":"x","b":2,"n":6}]`, `a="x" b=1 n=5; a="x" b=2 n=6`, 1, "SELECT group_concat(n) FROM k", "'5,6'"},
		{"unique index", "k", "n", false, `[{"a":"y","b":1,"n":0}]`, "", 0, "SELECT count(*) FROM k", "1"},
		{"half a key", "k", "a", true, `[{"a":"x","b":1}]`, "validation_failed on_conflict.columns", 0, "SELECT count(*) FROM k", "1"},
		{"no such column", "k", "a,z", true, `[{"a":"x","b":1}]`, "validation_failed on_conflict.columns[1]", 0, "SELECT count(*) FROM k", "1"},
		{"no column", "k", "", true, `[{"a":"x","b":1}]`, "validation_failed on_conflict.columns", 0, "SELECT count(*) FROM k", "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openProject(t, tables...)
			put(t, db, "u", `{"email":"a","n":1,"m":9}`, `{"n":3}`)
			put(t, db, "k", `{"a":"x","b":1,"n":0}`)
			if _, err := db.CreateIndex(t.Context(), new(problem.Faults), "k", NewIndex{Columns: []string{"n"}, Unique: true}); err != nil {
				t.Fatal(err)
			}
			var columns []string
			if test.columns != "" {
				columns = strings.Split(test.columns, ",")
			}
			done, err := db.InsertRecords(t.Context(), new(problem.Faults), test.table, jsontext.Value(test.rows), InsertOptions{OnConflict: &OnConflict{Columns: columns, Update: test.update}})
			got := complaint(err)
			if err == nil {
				got = strings.ReplaceAll(text(done.Rows), "\n", "; ")
			}
			if got != test.want || err == nil && done.Count != test.count {
				t.Errorf("got %s and count %d, want %s and %d (%v)", got, done.Count, test.want, test.count, err)
			}
			if got := ask(t, other(t, db), test.ask); got != test.stored {
				t.Errorf("%s: %s, want %s", test.ask, got, test.stored)
			}
		})
	}
}

func TestChangesOfManyRecords(t *testing.T) {
	for _, test := range []struct {
		name  string
		do    func(db *DB) (int64, error)
		want  string
		count int64
		left  string
	}{
		{"update some", update(`{"age":9}`, `{"age":1}`, false), "ok", 2, "'a9,b9,c2,d-'"},
		{"update none", update(`{"age":9}`, `{"age":77}`, false), "ok", 0, "'a1,b1,c2,d-'"},
		{"update without conditions", update(`{"age":9}`, ``, false), "validation_failed where", 0, "'a1,b1,c2,d-'"},
		{"update with empty conditions", update(`{"age":9}`, `{}`, false), "validation_failed where", 0, "'a1,b1,c2,d-'"},
		{"update with no conditions in an array", update(`{"age":9}`, ` [ ] `, false), "validation_failed where", 0, "'a1,b1,c2,d-'"},
		{"update all", update(`{"age":9}`, `{}`, true), "ok", 4, "'a9,b9,c9,d9'"},
		{"update with faults everywhere", update(`{"age":"x","zz":1}`, `{"nope":1}`, false), "validation_failed data.age data.zz where.nope", 0, "'a1,b1,c2,d-'"},
		{"update nothing", update(`{}`, `{"age":1}`, false), "validation_failed data", 0, "'a1,b1,c2,d-'"},
		{"update to values that are taken", update(`{"email":"c"}`, `{"age":1}`, false), "conflict email", 0, "'a1,b1,c2,d-'"},
		{"update to null", update(`{"email":null}`, `{"age":1}`, false), "validation_failed data.email", 0, "'a1,b1,c2,d-'"},
		{"delete some", remove(`[{"column":"age","op":"is_null"}]`, false), "ok", 1, "'a1,b1,c2'"},
		{"delete an empty group", remove(`[{"or":[]}]`, false), "ok", 0, "'a1,b1,c2,d-'"},
		{"delete in nothing", remove(`[{"column":"age","op":"in","value":[]}]`, false), "ok", 0, "'a1,b1,c2,d-'"},
		{"delete without conditions", remove(`null`, false), "validation_failed where", 0, "'a1,b1,c2,d-'"},
		{"delete all counts the rows", remove(`{}`, true), "ok", 4, "NULL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openProject(t, contacts)
			put(t, db, "contacts", `{"email":"a","age":1}`, `{"email":"b","age":1}`, `{"email":"c","age":2}`, `{"email":"d"}`)
			count, err := test.do(db)
			if got := complaint(err); got != test.want || count != test.count {
				t.Errorf("got %s and %d rows, want %s and %d (%v)", got, count, test.want, test.count, err)
			}
			if got := ask(t, other(t, db), "SELECT group_concat(email || coalesce(age, '-')) FROM (SELECT * FROM contacts ORDER BY id)"); got != test.left {
				t.Errorf("left %s, want %s", got, test.left)
			}
		})
	}
}

func update(patch, where string, all bool) func(*DB) (int64, error) {
	return func(db *DB) (int64, error) {
		n, err := db.UpdateRecords(ctx, new(problem.Faults), "contacts", jsontext.Value(patch), Match{jsontext.Value(where), all})
		return n.Rows, err
	}
}

func remove(where string, all bool) func(*DB) (int64, error) {
	return func(db *DB) (int64, error) {
		n, err := db.DeleteRecords(ctx, new(problem.Faults), "contacts", Match{jsontext.Value(where), all})
		return n.Rows, err
	}
}

func TestForeignKeysAreConflicts(t *testing.T) {
	db := openProject(t)
	define(t, db, "p", "CREATE TABLE p (id INTEGER PRIMARY KEY) STRICT", "INSERT INTO p VALUES (1)")
	define(t, db, "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p) STRICT", "INSERT INTO c VALUES (1, 1)")
	define(t, db, "r", "CREATE TABLE r (id INTEGER PRIMARY KEY, c INTEGER REFERENCES c ON DELETE RESTRICT, n INTEGER CHECK (n > 0)) STRICT", "INSERT INTO r VALUES (1, 1, 1)")
	_, insertErr := db.InsertRecord(ctx, new(problem.Faults), "c", jsontext.Value(`{"p":7}`), InsertOptions{})
	_, bulkErr := db.InsertRecords(ctx, new(problem.Faults), "c", jsontext.Value(`[{"p":1},{"p":7}]`), InsertOptions{})
	_, updateErr := db.UpdateRecord(ctx, new(problem.Faults), "c", "1", jsontext.Value(`{"p":7}`))
	_, deleteErr := db.DeleteRecord(ctx, "p", "1")
	_, restrictErr := db.DeleteRecord(ctx, "c", "1")
	_, manyErr := db.DeleteRecords(ctx, new(problem.Faults), "p", Match{All: true})
	_, checkErr := db.InsertRecords(ctx, new(problem.Faults), "r", jsontext.Value(`[{"n":0}]`), InsertOptions{})
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"insert", insertErr, "conflict p"}, {"bulk", bulkErr, "conflict data[1].p"}, {"update", updateErr, "conflict p"},
		{"delete", deleteErr, "conflict id"}, {"restrict", restrictErr, "conflict id"}, {"delete many", manyErr, "conflict id"},
		{"check", checkErr, "validation_failed data[0]"},
	} {
		if got := complaint(test.err); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if got := ask(t, other(t, db), "SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c), (SELECT count(*) FROM r)"); got != "1|1|1" {
		t.Errorf("rows left: %s", got)
	}
}

func TestNULInTextIsKept(t *testing.T) {
	db := openProject(t, contacts)
	put(t, db, "contacts", `{"email":"a\u0000b"}`, `{"email":"a"}`)
	if got := ask(t, other(t, db), "SELECT hex(email), length(CAST(email AS BLOB)) FROM contacts ORDER BY id"); got != "'610062'|3\n'61'|1" {
		t.Errorf("stored %s", got)
	}
	page, err := db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Columns: []string{"id", "email"}, Limit: 5, Filters: jsontext.Value(`{"email":"a\u0000b"}`)}})
	if err != nil || text(page.Rows) != `id=1 email="a\u0000b"` {
		t.Errorf("found %s, %v", text(page.Rows), err)
	}
}
