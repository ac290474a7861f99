package projectdb

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// openFirms opens a project with companies and the people who refer to them.
func openFirms(t *testing.T) *DB {
	db := openProject(t)
	define(t, db, "company", "CREATE TABLE company (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, n INTEGER, r REAL) STRICT")
	define(t, db, "person", "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, company_id INTEGER REFERENCES company (id)) STRICT")
	define(t, db, "seat", "CREATE TABLE seat (a TEXT, b INTEGER, c ANY, PRIMARY KEY (a, b)) STRICT, WITHOUT ROWID")
	return db
}

func data(text string) jsontext.Value { return jsontext.Value(text) }

// batchOf makes a batch and returns its results.
func batchOf(db *DB, o BatchOptions, operations ...Operation) (done []OperationDone, err error) {
	faults := new(problem.Faults)
	err = db.Change(ctx, faults, OwnTransaction, func(tx *Tx) error {
		done, err = tx.Batch(faults, operations, o)
		return err
	})
	return done, err
}

var byName = &OnConflict{Columns: []string{"name"}, Update: true}

func TestBatch(t *testing.T) {
	t.Parallel()
	db := openFirms(t)
	done, err := batchOf(db, BatchOptions{},
		Operation{Kind: InsertOperation, Table: "company", As: "c", Data: data(`{"name":"A","n":1}`)},
		Operation{Kind: InsertOperation, Table: "person", As: "p", Data: data(`{"name":"P","company_id":{"$ref":"c.id"}}`)},
		Operation{Kind: UpsertOperation, Table: "company", OnConflict: byName, Data: data(`{"name":"A","r":2}`)},
		Operation{Kind: UpdateOperation, Table: "company", ID: ptr("1"), Data: data(`{"n":{"$add":9007199254740993},"r":{"$add":0.5}}`)},
		Operation{Kind: UpdateOperation, Table: "person", Where: data(`{"name":"P"}`), Data: data(`{"name":{"$ref":"c.name"}}`)},
		Operation{Kind: InsertOperation, Table: "seat", Data: data(`{"a":"x,y/z","b":{"$ref":"p.id"},"c":{"$ref":"c.n"}}`)},
		Operation{Kind: DeleteOperation, Table: "seat", ID: ptr("x%2Cy%2Fz,1")},
		Operation{Kind: UpsertOperation, Table: "company", OnConflict: &OnConflict{Columns: []string{"name"}}, Data: data(`{"name":"A"}`)},
	)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range done {
		id := "-"
		if one.ID != nil {
			id = *one.ID
		}
		got = append(got, fmt.Sprint(one.Kind, " ", id, " ", one.Affected, " ", objects(one.Row)))
	}
	want := `insert 1 1 {"id":1,"name":"A","n":1,"r":null}
insert 1 1 {"id":1,"name":"P","company_id":1}
upsert 1 1 {"id":1,"name":"A","n":1,"r":2.0}
update 1 1 {"id":1,"name":"A","n":9007199254740994,"r":2.5}
update - 1 
insert x%2Cy%2Fz,1 1 {"a":"x,y/z","b":1,"c":1}
delete x%2Cy%2Fz,1 1 
upsert - 0 `
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if got := ask(t, other(t, db), "SELECT name, (SELECT count(*) FROM seat) FROM person"); got != "'A'|0" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestBatchesForgetRecords checks that records that nobody asks for are not kept, and
// that those that are kept ask for room, all together, before the commit.
func TestBatchesForgetRecords(t *testing.T) {
	t.Parallel()
	db := openFirms(t)
	put(t, db, "company", `{"name":"`+strings.Repeat("x", 100_000)+`"}`)
	operations := make([]Operation, 20)
	for i := range operations {
		operations[i] = Operation{Kind: UpdateOperation, Table: "company", ID: ptr("1"), Data: data(`{"n":{"$add":1}}`)}
	}
	full := problem.New(problem.CodeBusy, "There is no room.")
	for shown, want := range map[Shown]string{ShowNone: "ok", ShowRow: "busy", ShowAfter: "busy", ShowBefore: "busy"} {
		asked := int64(0)
		limited := WithRoom(ctx, func(bytes int64) error {
			if asked = max(asked, bytes); bytes > 1_000_000 {
				return full
			}
			return nil
		})
		err := db.Change(limited, new(problem.Faults), OwnTransaction, func(tx *Tx) error {
			done, err := tx.Batch(new(problem.Faults), operations, BatchOptions{Shown: shown})
			if err == nil && (len(done) != 20 || done[19].Row.ETag == "" || done[19].Row.Len() != 0) {
				t.Errorf("%q: %d results, the last with %d rows", shown, len(done), done[19].Row.Len())
			}
			return err
		})
		if complaint(err) != want || asked == 0 {
			t.Errorf("%q: %v after asking for %d bytes, want %s", shown, err, asked, want)
		}
	}
}

// TestBatchesThatFail checks that they change nothing and name what is wrong, all of it
// where that can be known beforehand.
func TestBatchesThatFail(t *testing.T) {
	t.Parallel()
	db := openFirms(t)
	put(t, db, "company", `{"name":"A","n":9223372036854775807}`, `{"name":"B","n":1}`)
	put(t, db, "person", `{"name":"P","company_id":1}`)
	file := other(t, db)
	before := dump(t, file)
	first := Operation{Kind: InsertOperation, Table: "company", As: "c", Data: data(`{"name":"new"}`)}
	for _, test := range []struct {
		what string
		op   []Operation
		want string
	}{
		{"taken", []Operation{{Kind: InsertOperation, Table: "company", Data: data(`{"name":"A"}`)}}, "conflict operations[1].data.name"},
		{"gone", []Operation{{Kind: UpdateOperation, Table: "company", ID: ptr("99"), Data: data(`{"n":1}`)}}, "not_found operations[1].id"},
		{"gone, to be deleted", []Operation{{Kind: DeleteOperation, Table: "company", ID: ptr("x")}}, "not_found operations[1].id"},
		{"referred to", []Operation{{Kind: DeleteOperation, Table: "company", ID: ptr("1")}}, "conflict operations[1].data.id"},
		{"changed", []Operation{{Kind: DeleteOperation, Table: "company", ID: ptr("2"), IfMatch: &ETags{List: []string{`"x"`}}}}, "precondition_failed operations[1].if_match"},
		{"beyond 64 bits", []Operation{{Kind: UpdateOperation, Table: "company", ID: ptr("1"), Data: data(`{"n":{"$add":1}}`)}}, "validation_failed operations[1].data.n"},
		{"beyond 64 bits, many", []Operation{{Kind: UpdateOperation, Table: "company", All: true, Data: data(`{"n":{"$add":1}}`)}}, "validation_failed operations[1].data.n"},
		{"a skipped row", []Operation{{Kind: UpsertOperation, Table: "company", As: "s", OnConflict: &OnConflict{Columns: []string{"name"}}, Data: data(`{"name":"A"}`)},
			{Kind: InsertOperation, Table: "person", Data: data(`{"company_id":{"$ref":"s.id"}}`)}}, "validation_failed operations[2].data.company_id"},
		{"a value of another type", []Operation{{Kind: InsertOperation, Table: "person", Data: data(`{"company_id":{"$ref":"c.name"}}`)}}, "validation_failed operations[1].data.company_id"},
		{"a reference to itself and to a later one", []Operation{{Kind: InsertOperation, Table: "person", As: "p", Data: data(`{"id":{"$ref":"p.id"},"name":{"$ref":"q.name"}}`)},
			{Kind: InsertOperation, Table: "person", As: "q", Data: data(`{"id":{"$ref":"p.id"}}`)}}, "validation_failed operations[1].data.id operations[1].data.name"},
		{"references to nothing", []Operation{{Kind: InsertOperation, Table: "person", Data: data(`{"id":{"$ref":"c.zz"},"name":{"$ref":"c"},"company_id":{"$ref":1}}`)}},
			"validation_failed operations[1].data.id operations[1].data.name operations[1].data.company_id"},
		{"a column that does not exist", []Operation{{Kind: UpdateOperation, Table: "person", ID: ptr("1"), Data: data(`{"x":{"$ref":"c.id"},"y":{"$add":1},"z":{"a":1},"name":{}}`)}},
			"validation_failed operations[1].data.x operations[1].data.y operations[1].data.z operations[1].data.name"},
		{"what cannot be added", []Operation{{Kind: UpdateOperation, Table: "company", ID: ptr("1"), Data: data(`{"id":{"$add":1},"name":{"$add":1},"n":{"$add":0.5},"r":{"$add":"1"}}`)},
			{Kind: InsertOperation, Table: "company", Data: data(`{"name":"x","n":{"$add":1}}`)}},
			"validation_failed operations[1].data.id operations[1].data.name operations[1].data.n operations[1].data.r operations[2].data.n"},
		{"the same name twice", []Operation{first}, "validation_failed operations[1].as"},
		{"unknown tables", []Operation{{Kind: InsertOperation, Table: "nowhere", Data: data(`{}`)}, {Kind: InsertOperation, Table: "company", Data: data(`{}`)}}, "validation_failed operations[1].table operations[2].data.name"},
		{"no conditions", []Operation{{Kind: DeleteOperation, Table: "person"}, {Kind: UpdateOperation, Table: "person", Data: data(`{}`)}}, "validation_failed operations[1].where operations[2].data operations[2].where"},
		{"members that are not taken", []Operation{
			{Kind: DeleteOperation, Table: "person", ID: ptr("1"), Where: data(`{"id":1}`), Data: data(`{}`), As: "x", OnConflict: byName},
			{Kind: InsertOperation, Table: "person", ID: ptr("1"), Where: data(`{"id":1}`), Data: data(`{}`), IfMatch: &ETags{}},
			{Kind: UpdateOperation, Table: "person", Where: data(`{"id":1}`), As: "y", IfMatch: &ETags{}},
			{Kind: UpsertOperation, Table: "person", Data: data(`{}`)}},
			"validation_failed operations[1].where operations[1].data operations[1].on_conflict operations[1].as operations[2].id operations[2].where operations[2].if_match " +
				"operations[3].if_match operations[3].as operations[3].data operations[4].on_conflict"},
		{"another key", []Operation{{Kind: UpsertOperation, Table: "company", Data: data(`{"n":1}`), OnConflict: &OnConflict{Columns: []string{"n", "zz"}}}}, "validation_failed operations[1].on_conflict.columns[1] operations[1].data.name"},
	} {
		_, err := batchOf(db, BatchOptions{}, append([]Operation{first}, test.op...)...)
		got := complaint(err)
		if test.what == "another key" { // a new row may lack what it needs; only the key is wrong for sure
			got, test.want = strings.Fields(got)[1], strings.Fields(test.want)[1]
		}
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.what, got, test.want)
		}
		if after := dump(t, file); after != before {
			t.Fatalf("%s: something has changed:\n%s\nbefore:\n%s", test.what, after, before)
		}
	}
}

// TestBatchRights checks that one operation that is not permitted stops all of them.
func TestBatchRights(t *testing.T) {
	t.Parallel()
	db := openFirms(t)
	put(t, db, "company", `{"name":"A"}`)
	insert := Operation{Kind: InsertOperation, Table: "company", As: "c", Data: data(`{"name":"B","n":5}`)}
	writer := as(t, db, "company")
	for _, test := range []struct {
		what string
		o    BatchOptions
		op   Operation
		want string
	}{
		{"another table", BatchOptions{}, Operation{Kind: InsertOperation, Table: "person", Data: data(`{}`)}, "permission_denied operations[1]"},
		{"conditions", BatchOptions{}, Operation{Kind: DeleteOperation, Table: "company", Where: data(`{"n":1}`)}, "permission_denied operations[1]"},
		{"an ETag", BatchOptions{}, Operation{Kind: DeleteOperation, Table: "company", ID: ptr("1"), IfMatch: &ETags{Any: true}}, "permission_denied operations[1]"},
		{"what it was", BatchOptions{Shown: ShowBefore}, insert, "permission_denied operations[0] operations[1]"},
		{"what it became", BatchOptions{Shown: ShowAfter}, insert, "permission_denied operations[0] operations[1]"},
		{"a column that was not sent", BatchOptions{}, Operation{Kind: InsertOperation, Table: "company", Data: data(`{"name":{"$ref":"c.r"}}`)}, "validation_failed operations[1].data.name"},
		{"what was sent", BatchOptions{DryRun: true}, Operation{Kind: InsertOperation, Table: "company", Data: data(`{"name":{"$ref":"c.n"},"r":{"$ref":"c.id"}}`)}, "ok"},
	} {
		if _, err := batchOf(writer, test.o, insert, test.op); complaint(err) != test.want {
			t.Errorf("%s: %v, want %s", test.what, err, test.want)
		}
	}
	if got := ask(t, other(t, db), "SELECT count(*) FROM company"); got != "1" {
		t.Errorf("there are %s companies", got)
	}
}

// TestBatchesAreCallsInARow makes random batches, and the same calls one by one in
// another project: the batch succeeds if they all do, and leaves the same rows.
func TestBatchesAreCallsInARow(t *testing.T) {
	t.Parallel()
	batched, single := openFirms(t), openFirms(t)
	a, b := other(t, batched), other(t, single)
	random := rand.New(rand.NewPCG(1, 2))
	const rows = "SELECT * FROM company ORDER BY id"
	succeeded := 0
	for range 150 {
		var operations []Operation
		for range 1 + random.IntN(6) {
			operations = append(operations, randomOperation(random))
		}
		before := ask(t, a, rows)
		_, err := batchOf(batched, BatchOptions{Shown: []Shown{ShowRow, ShowBefore, ShowAfter, ShowNone}[random.IntN(4)]}, operations...)
		failed := -1
		undone := single.Change(ctx, new(problem.Faults), OwnTransaction, func(tx *Tx) error {
			for i, op := range operations {
				if err := alone(tx, op); err != nil {
					failed = i
					return err
				}
			}
			return nil
		})
		switch {
		case (err == nil) != (undone == nil) || err != nil && problem.From(err).Code != problem.From(undone).Code:
			t.Fatalf("%+v: the batch says %v, single calls %v", operations, err, undone)
		case err != nil && !strings.HasPrefix(problem.From(err).Details[0].Field, field(failed)):
			t.Fatalf("%+v: the batch blames %v, but %d failed", operations, err, failed)
		case err != nil && ask(t, a, rows) != before:
			t.Fatalf("%+v: a batch that failed has changed something", operations)
		case ask(t, a, rows) != ask(t, b, rows):
			t.Fatalf("%+v:\n%s\nsingle calls:\n%s", operations, ask(t, a, rows), ask(t, b, rows))
		}
		if err == nil {
			succeeded++
		}
	}
	if succeeded < 20 || succeeded > 130 {
		t.Errorf("%d batches of 150 succeeded: that tests little", succeeded)
	}
	sound(t, a)
}

func randomOperation(random *rand.Rand) Operation {
	name, n, id := string(rune('a'+random.IntN(12))), random.IntN(5), fmt.Sprint(1+random.IntN(15))
	switch random.IntN(6) {
	case 0, 1:
		return Operation{Kind: InsertOperation, Table: "company", Data: data(fmt.Sprintf(`{"name":%q,"n":%d}`, name, n))}
	case 2:
		return Operation{Kind: UpsertOperation, Table: "company", OnConflict: &OnConflict{Columns: []string{"name"}, Update: n > 1}, Data: data(fmt.Sprintf(`{"name":%q,"r":%d}`, name, n))}
	case 3:
		return Operation{Kind: UpdateOperation, Table: "company", Where: data(fmt.Sprintf(`{"n":%d}`, n)), Data: data(`{"n":7}`)}
	case 4:
		return Operation{Kind: UpsertOperation, Table: "company", OnConflict: byName, Data: data(fmt.Sprintf(`{"name":%q,"n":%d}`, name, n))}
	}
	return Operation{Kind: DeleteOperation, Table: "company", Where: data(`{"id":` + id + `}`)}
}

// alone makes an operation as a single call does.
func alone(tx *Tx, op Operation) (err error) {
	var faults problem.Faults
	switch op.Kind {
	case InsertOperation, UpsertOperation:
		_, err = tx.InsertRecord(&faults, op.Table, op.Data, InsertOptions{OnConflict: op.OnConflict})
	case UpdateOperation:
		_, err = tx.UpdateRecords(&faults, op.Table, op.Data, Match{Filters: op.Where})
	default:
		_, err = tx.DeleteRecords(&faults, op.Table, Match{Filters: op.Where})
	}
	return explain(err)
}
