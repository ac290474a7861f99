package projectdb

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// TestTxSeesItsOwnChanges creates a table, uses it in the same transaction, and rolls
// everything back.
func TestTxSeesItsOwnChanges(t *testing.T) {
	db := openProject(t, things)
	no := errors.New("no")
	work := func(tx *Tx) error {
		if _, err := tx.Table("things"); err != nil { // the catalog is cached now
			return err
		}
		faults := new(problem.Faults)
		if _, err := tx.CreateTable(faults, NewTable{Name: "more"}); err != nil {
			return err
		}
		if _, _, err := tx.AddColumn(faults, "more", NewColumn{Name: "code", Unique: true}); err != nil {
			return err
		}
		if _, err := tx.InsertRecords(faults, "more", jsontext.Value(`[{"code":"a"},{"code":"b"}]`), InsertOptions{}); err != nil {
			return err
		}
		if _, err := tx.UpdateRecord(faults, "more", "1", jsontext.Value(`{"code":"c"}`)); err != nil {
			return err
		}
		page, err := tx.ListRecords(faults, "more", ListOptions{Selection: Selection{Limit: 10}})
		if got := objects(page.Rows); err != nil || got != `{"id":1,"code":"c"}{"id":2,"code":"b"}` {
			t.Errorf("inside: %s, %v", got, err)
		}
		if deleted, err := tx.DeleteRecords(faults, "more", Match{All: true}); err != nil || deleted != (Affected{"more", 2}) {
			t.Errorf("deleted: %v, %v", deleted, err)
		}
		return no
	}
	if err := db.Change(ctx, new(problem.Faults), RebuildTransaction, work); err != no {
		t.Fatal(err)
	}
	if _, err := db.Table(ctx, "more"); complaint(err) != "not_found" {
		t.Errorf("after the roll-back: %v", err)
	}
	if err := db.View(ctx, viewed(isFresh)); err != nil {
		t.Error(err)
	}
}

// A transaction cannot make changes that need a later kind.
func TestKindsOfTransactions(t *testing.T) {
	db := openProject(t, things)
	for kind := range LoadTransaction + 1 {
		create := db.Change(ctx, new(problem.Faults), kind, func(tx *Tx) error {
			_, err := tx.CreateTable(new(problem.Faults), NewTable{Name: "new" + itoa(int(kind))})
			return err
		})
		if made := create == nil; made != (kind >= SchemaTransaction) {
			t.Errorf("kind %d: create a table: %v", kind, create)
		}
		alter := db.Change(ctx, new(problem.Faults), kind, func(tx *Tx) error {
			_, _, err := tx.AddColumn(new(problem.Faults), "things", NewColumn{Name: "new" + itoa(int(kind)), Unique: true})
			return err
		})
		if made := alter == nil; made != (kind >= RebuildTransaction) {
			t.Errorf("kind %d: add a column: %v", kind, alter)
		}
	}
	if err := db.View(ctx, viewed(isFresh)); err != nil {
		t.Error(err)
	}
}

// If there are faults already, nothing is changed, whatever the function tries.
func TestFaultsMakeAChangeAView(t *testing.T) {
	db := openProject(t, things)
	before := dump(t, other(t, db))
	var faults problem.Faults
	faults.Add("limit", "Too large.")
	err := db.Change(ctx, &faults, OwnTransaction, func(tx *Tx) error {
		if _, err := tx.InsertRecord(new(problem.Faults), "things", jsontext.Value(`{"name":"Ada"}`), InsertOptions{}); err == nil {
			t.Error("a row was inserted")
		}
		return faults.Err()
	})
	if complaint(err) != "validation_failed limit" || dump(t, other(t, db)) != before {
		t.Errorf("%v", err)
	}
}

// Without the right to read a table, its records cannot be listed or read, and a
// missing table is reported before a missing right.
func TestReadingNeedsTheRight(t *testing.T) {
	db := openProject(t, things)
	put(t, db, "things", `{"name":"Ada"}`)
	writer := as(t, db, "things")
	for table, want := range map[string]string{"things": "permission_denied", "1": "permission_denied", "nothing": "not_found"} {
		_, list := writer.ListRecords(ctx, new(problem.Faults), table, ListOptions{Selection: Selection{Limit: 1}})
		_, get := writer.GetRecord(ctx, new(problem.Faults), table, "1", Selection{})
		if complaint(list) != want || complaint(get) != want {
			t.Errorf("%s: %v, %v", table, list, get)
		}
	}
	if _, err := db.GetRecord(ctx, new(problem.Faults), "things", "1", Selection{}); err != nil {
		t.Error(err)
	}
}

func TestRecall(t *testing.T) {
	db := openProject(t, things)
	receipt := Receipt{TokenID: 1, Key: "k", Request: [32]byte{1}}
	if answer, err := db.Recall(ctx, receipt); answer != nil || err != nil {
		t.Errorf("before: %q, %v", answer, err)
	}
	if _, _, err := insertOnce(db, receipt, `{"name":"Ada"}`); err != nil {
		t.Fatal(err)
	}
	if answer, err := db.Recall(ctx, receipt); string(answer) != "row 1" || err != nil {
		t.Errorf("after: %q, %v", answer, err)
	}
	receipt.Request[0]++
	if _, err := db.Recall(ctx, receipt); !errors.Is(err, ErrOtherRequest) {
		t.Errorf("another request: %v", err)
	}
}
