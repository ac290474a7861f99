package sqlite

import (
	"path/filepath"
	"testing"
)

// TestDefensive tries what only defensive mode forbids. It also shows that the driver
// still has the fields that setDefensive reads.
func TestDefensive(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "a.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Exclusive(t.Context(), func(c *Conn) error {
		if err := c.Exec("CREATE TABLE a (x)"); err != nil {
			return err
		}
		if err := c.Exec("PRAGMA writable_schema = ON"); err != nil {
			return err
		}
		if err := c.Exec("UPDATE sqlite_schema SET sql = 'CREATE TABLE a (y)' WHERE name = 'a'"); err == nil {
			t.Error("sqlite_schema could be written")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
