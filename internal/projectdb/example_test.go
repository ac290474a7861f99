package projectdb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// open makes a project with a table of accounts in a folder that close removes.
func open() (db *projectdb.DB, close func()) {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := projectdb.OpenDir(folder, projectdb.DirOptions{})
	if err != nil {
		log.Fatal(err)
	}
	err = dir.Create(ctx, 1, func(db *projectdb.DB) error {
		_, err := db.CreateTable(ctx, new(problem.Faults), projectdb.NewTable{
			Name:    "accounts",
			Columns: []projectdb.NewColumn{{Name: "owner", Unique: true}, {Name: "cents", Type: "INTEGER", NotNull: true}},
		})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	db, release, err := dir.Lease(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		release()
		dir.Close()
		os.RemoveAll(folder)
	}
}

// Several changes are made together, or none of them.
func ExampleDB_Change() {
	db, close := open()
	defer close()
	ctx, faults := context.Background(), new(problem.Faults)
	err := db.Change(ctx, faults, projectdb.OwnTransaction, func(tx *projectdb.Tx) error {
		for _, row := range []string{`{"owner": "Ada", "cents": 500}`, `{"owner": "Bob", "cents": 0}`} {
			if _, err := tx.InsertRecord(faults, "accounts", jsontext.Value(row), projectdb.InsertOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	failed := db.Change(ctx, faults, projectdb.OwnTransaction, func(tx *projectdb.Tx) error {
		if _, err := tx.UpdateRecord(faults, "accounts", "1", jsontext.Value(`{"cents": 0}`)); err != nil {
			return err
		}
		return errors.New("the money cannot be sent")
	})
	fmt.Println(failed)
	rows, err := db.GetRecord(ctx, faults, "accounts", "1", projectdb.Selection{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rows.Batch.Row(0)[2].Int(), "cents")
	// Output:
	// the money cannot be sent
	// 500 cents
}

// A call with a receipt runs once, however often it is repeated.
func ExampleDB_Once() {
	db, close := open()
	defer close()
	receipt := projectdb.Receipt{TokenID: 1, Key: "the client's key"}
	for range 2 {
		answer, replayed, err := db.Once(context.Background(), receipt, func(tx *projectdb.Tx) ([]byte, error) {
			done, err := tx.InsertRecord(new(problem.Faults), "accounts", jsontext.Value(`{"cents": 1}`), projectdb.InsertOptions{})
			return fmt.Appendf(nil, "%d inserted", done.Count), err
		})
		fmt.Println(string(answer), replayed, err)
	}
	// Output:
	// 1 inserted false <nil>
	// 1 inserted true <nil>
}
