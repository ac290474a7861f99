package projectdb

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

var things = NewTable{Name: "things", Columns: []NewColumn{{Name: "name", NotNull: true}}}

// openAt opens a project with the table things and the clock now.
func openAt(t *testing.T, now *time.Time) *DB {
	t.Helper()
	return openWith(t, DirOptions{Now: func() time.Time { return *now }}, things)
}

// insertOnce inserts a row with the given receipt and answers with its id.
func insertOnce(db *DB, r Receipt, row string) (answer string, replayed bool, err error) {
	text, replayed, err := db.Once(ctx, r, func(tx *Tx) ([]byte, error) {
		if _, err := tx.Table("things"); err != nil { // look first, as a handler does
			return nil, err
		}
		done, err := tx.InsertRecord(new(problem.Faults), "things", jsontext.Value(row), InsertOptions{})
		if err != nil {
			return nil, err
		}
		return fmt.Appendf(nil, "row %d", done.Batch.Row(0)[0].Int()), nil
	})
	return string(text), replayed, err
}

func TestOnce(t *testing.T) {
	for kind := range LoadTransaction + 1 {
		now := time.Date(2026, 6, 2, 1, 23, 45, 0, time.UTC)
		db := openAt(t, &now)
		mine := Receipt{TokenID: 1, Key: "k", Request: [32]byte{1}, Kind: kind}
		theirs, further, changed := mine, mine, mine
		theirs.TokenID, further.Key, changed.Request = 2, "l", [32]byte{2}
		steps := []struct {
			receipt  Receipt
			row      string
			later    time.Duration
			want     string
			replayed bool
		}{
			{mine, `{"nick":"Ada"}`, 0, "validation_failed nick name", false},
			{mine, `{}`, 0, "validation_failed name", false},
			{mine, `{"name":"Ada"}`, 0, "row 1", false},
			{mine, `{"name":"Ada"}`, 0, "row 1", true},
			{mine, `{"nick":"Ada"}`, 0, "row 1", true}, // the receipt alone identifies the request
			{changed, `{"name":"Bob"}`, 0, "other", false},
			{theirs, `{"name":"Ada"}`, 0, "row 2", false},
			{further, `{"name":"Ada"}`, 0, "row 3", false},
			{mine, `{"name":"Ada"}`, 24*time.Hour - time.Second, "row 1", true},
			{mine, `{"name":"Ada"}`, time.Second, "row 4", false},
			{changed, `{"name":"Ada"}`, 23 * time.Hour, "other", false},
			{changed, `{"name":"Ada"}`, time.Hour, "row 5", false},
		}
		for i, step := range steps {
			now = now.Add(step.later)
			got, replayed, err := insertOnce(db, step.receipt, step.row)
			switch {
			case errors.Is(err, ErrOtherRequest):
				got = "other"
			case err != nil:
				got = complaint(err)
			}
			if got != step.want || replayed != step.replayed {
				t.Errorf("kind %d, step %d: got %s, replayed %t", kind, i, got, replayed)
			}
		}
		if got := ask(t, other(t, db), "SELECT (SELECT count(*) FROM things), (SELECT count(*) FROM _receipts)"); got != "5|1" {
			t.Errorf("kind %d: rows and receipts are %s", kind, got)
		}
	}
}

func TestEveryWriteSweepsReceipts(t *testing.T) {
	now := time.Date(2026, 6, 2, 1, 23, 45, 0, time.UTC)
	db := openAt(t, &now)
	if _, _, err := insertOnce(db, Receipt{Key: "k"}, `{"name":"Ada"}`); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		later time.Duration
		want  string
	}{{24*time.Hour - time.Second, "1"}, {time.Second, "0"}} {
		now = now.Add(step.later)
		put(t, db, "things", `{"name":"Bob"}`)
		if got := ask(t, other(t, db), "SELECT count(*) FROM _receipts"); got != step.want {
			t.Errorf("after %s %s receipts are kept", step.later, got)
		}
	}
}

func TestReplayIsNoCommit(t *testing.T) {
	db := openProject(t, things)
	commits := func() string { return ask(t, other(t, db), "SELECT commits FROM _project") }
	for kind := range LoadTransaction + 1 {
		r := Receipt{Key: fmt.Sprint(kind), Kind: kind}
		if _, _, err := insertOnce(db, r, `{"name":"Ada"}`); err != nil {
			t.Fatal(err)
		}
		before := commits()
		if _, replayed, err := insertOnce(db, r, `{"name":"Ada"}`); err != nil || !replayed || commits() != before {
			t.Errorf("kind %d: replayed %t, %v, commits %s, then %s", kind, replayed, err, before, commits())
		}
	}
}

func TestOnceAmongMany(t *testing.T) {
	db := openProject(t, things)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if _, _, err := insertOnce(db, Receipt{Key: "k"}, `{"name":"Ada"}`); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		wg.Go(func() { // another call in the shared transaction
			if _, err := db.InsertRecord(ctx, new(problem.Faults), "things", jsontext.Value(`{"name":"Eve"}`), InsertOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := ask(t, other(t, db), "SELECT count(*) FROM things WHERE name = 'Ada'"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

// TestOnceOfSchemas makes one schema change of each kind that takes a receipt.
func TestOnceOfSchemas(t *testing.T) {
	db := openProject(t, things, NewTable{Name: "parents"})
	define(t, db, "children", "CREATE TABLE children (id INTEGER PRIMARY KEY, thing INTEGER REFERENCES things (id) ON DELETE CASCADE) STRICT")
	put(t, db, "things", `{"name":"Ada"}`)
	put(t, db, "children", `{"thing":1}`)
	changes := map[string]struct {
		kind TransactionKind
		fn   func(*Tx) error
	}{
		"table": {SchemaTransaction, func(tx *Tx) error {
			_, err := tx.CreateTable(new(problem.Faults), NewTable{Name: "more"})
			return err
		}},
		"index": {SchemaTransaction, func(tx *Tx) error {
			_, err := tx.CreateIndex(new(problem.Faults), "things", NewIndex{Columns: []string{"name"}})
			return err
		}},
		"rebuilt": {RebuildTransaction, func(tx *Tx) error {
			_, _, err := tx.AddColumn(new(problem.Faults), "things", NewColumn{Name: "code", Unique: true})
			return err
		}},
		"rows": {OwnTransaction, func(tx *Tx) error {
			_, err := tx.InsertRecords(new(problem.Faults), "parents", jsontext.Value(`[{},{}]`), InsertOptions{})
			return err
		}},
	}
	for name, change := range changes {
		for i := range 3 {
			_, replayed, err := db.Once(ctx, Receipt{Key: name, Kind: change.kind}, func(tx *Tx) ([]byte, error) {
				return []byte(name), change.fn(tx)
			})
			if err != nil || replayed != (i > 0) {
				t.Errorf("%s, call %d: replayed %t, %v", name, i, replayed, err)
			}
		}
	}
	got := ask(t, other(t, db), "SELECT (SELECT count(*) FROM children), (SELECT count(*) FROM parents), (SELECT count(*) FROM _receipts)")
	if got != "1|2|4" {
		t.Error("children, parents and receipts are", got)
	}
	sound(t, other(t, db))
	_, _, err := db.Once(ctx, Receipt{Key: "misused", Kind: OwnTransaction}, func(tx *Tx) ([]byte, error) {
		_, _, err := tx.AddColumn(new(problem.Faults), "things", NewColumn{Name: "late"})
		return nil, err
	})
	if err == nil {
		t.Error("a table was rebuilt with foreign keys on")
	}
}

func TestOnceOutlivesNothingThatFailed(t *testing.T) {
	db := openProject(t, things)
	before := dump(t, other(t, db))
	for kind := range LoadTransaction + 1 {
		_, _, err := db.Once(ctx, Receipt{Key: "k", Kind: kind}, func(tx *Tx) ([]byte, error) {
			if _, err := tx.InsertRecord(new(problem.Faults), "things", jsontext.Value(`{"name":"Ada"}`), InsertOptions{}); err != nil {
				t.Error(err)
			}
			return nil, errors.New("the answer could not be made")
		})
		if err == nil {
			t.Error("no error")
		}
	}
	func() {
		defer func() { _ = recover() }()
		_, _, _ = db.Once(ctx, Receipt{Key: "k"}, func(tx *Tx) ([]byte, error) {
			if _, err := tx.InsertRecord(new(problem.Faults), "things", jsontext.Value(`{"name":"Ada"}`), InsertOptions{}); err != nil {
				t.Error(err)
			}
			panic("a defect")
		})
		t.Error("no panic")
	}()
	if after := dump(t, other(t, db)); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
