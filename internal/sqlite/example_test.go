package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// A database is opened with its schema. Writes may share a transaction with those of
// other goroutines; a read sees one state.
func Example() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	db, err := sqlite.Open(filepath.Join(folder, "notes.db"), sqlite.Options{Schema: sqlite.Schema{
		ApplicationID: 0x6e6f7465,
		Migrations:    []string{"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	err = db.Write(ctx, func(c *sqlite.Conn) error { return c.Exec("INSERT INTO notes (text) VALUES (?), (?)", "one", "two") })
	if err != nil {
		log.Fatal(err)
	}
	err = db.Read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT id, text FROM notes ORDER BY id", nil, func(s *sqlite.Stmt) error {
			fmt.Println(s.Int(0), s.Text(1))
			return nil
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 one
	// 2 two
}

// Many rows are read into a batch, whose cells are not boxed.
func ExampleStmt_Fill() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	db, err := sqlite.Open(filepath.Join(folder, "empty.db"), sqlite.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	err = db.Read(context.Background(), func(c *sqlite.Conn) error {
		stmt, err := c.Prepare("VALUES (1, 'one'), (2, NULL)")
		if err != nil {
			return err
		}
		defer stmt.Close()
		var batch sqlite.Batch
		batch.Reset(stmt.Columns())
		if _, err := stmt.Fill(&batch, 100, 1<<20); err != nil {
			return err
		}
		for i := range batch.Rows {
			row := batch.Row(i)
			fmt.Printf("%d %q\n", row[0].Int(), batch.Bytes(row[1]))
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 "one"
	// 2 ""
}
