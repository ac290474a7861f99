package sqlite

import (
	"context"
	"fmt"

	zs "zombiezen.com/go/sqlite"
)

// backupPages is the number of pages copied between two checks of the context: 4 MiB.
const backupPages = 1024

// Backup copies the whole database, as seen by the open transaction of c, to the new
// file path. Writers are not blocked. Canceling ctx stops it.
func (c *Conn) Backup(ctx context.Context, path string) error {
	to, err := zs.OpenConn(path, zs.OpenReadWrite|zs.OpenCreate)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer to.Close()
	backup, err := zs.NewBackup(to, "main", c.c, "main")
	if err != nil {
		return err
	}
	defer backup.Close()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if more, err = backup.Step(backupPages); err != nil {
			return err
		}
	}
	return nil
}

// OpenPrivate opens a file that nobody else uses and that is discarded after a crash,
// and creates it if it is missing. It is fast, has no write-ahead log and does not
// check foreign keys. Canceling ctx interrupts whatever runs on it.
func OpenPrivate(ctx context.Context, path string) (*Conn, error) {
	c, err := openConn(path, zs.OpenReadWrite|zs.OpenCreate,
		"PRAGMA journal_mode = DELETE", "PRAGMA synchronous = OFF", "PRAGMA foreign_keys = OFF")
	if err != nil {
		return nil, fmt.Errorf("open a private file: %w", err)
	}
	c.bound(ctx)
	return c, nil
}

// VacuumInto writes the database into the new file path, without free pages and their
// old content.
func (c *Conn) VacuumInto(path string) error {
	return c.Exec("VACUUM INTO ?", path)
}

// CheckIntegrity fails if the database is corrupt.
func (c *Conn) CheckIntegrity() error {
	verdict, err := c.Text("PRAGMA integrity_check(1)")
	if err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("the integrity check says: %s", verdict)
	}
	return nil
}
