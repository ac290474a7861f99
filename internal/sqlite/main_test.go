package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testSchema = Schema{ApplicationID: 0x5a547431, Migrations: []string{
	"CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT; -- the first form",
}}

// open opens a new database with testSchema and options; it is closed when the test
// ends.
func open(t testing.TB, options Options) *DB {
	t.Helper()
	if options.Schema.Migrations == nil {
		options.Schema = testSchema
	}
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// script runs SQL in a write transaction.
func script(t testing.TB, db *DB, sql string) {
	t.Helper()
	if err := db.Exclusive(t.Context(), func(c *Conn) error { return c.Script(sql) }); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, db *DB, query string, args ...any) (n int64) {
	t.Helper()
	err := db.Read(context.Background(), func(c *Conn) (err error) {
		n, err = c.Int(query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func insertItem(name string) func(*Conn) error {
	return func(c *Conn) error { return c.Exec("INSERT INTO item (name) VALUES (?)", name) }
}

func checkIntegrity(t testing.TB, db *DB) {
	t.Helper()
	err := db.Read(context.Background(), func(c *Conn) error {
		text, err := c.Text("PRAGMA integrity_check")
		if err == nil && text != "ok" {
			err = fmt.Errorf("integrity_check: %s", text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
