package sqlite

import (
	"errors"
	"fmt"

	zs "zombiezen.com/go/sqlite"
)

// ErrUnsound is returned for a database that can be opened, but in which SQLite finds
// errors.
var ErrUnsound = errors.New("the database is not sound")

// QuickCheck fails if a quick check of the database file, which nobody has open, finds
// it unreadable or corrupt.
func QuickCheck(path string) error {
	c, err := openConn(path, zs.OpenReadWrite)
	if err != nil {
		return err
	}
	verdict, err := c.Text("PRAGMA quick_check(1)")
	if err == nil && verdict != "ok" {
		err = fmt.Errorf("%w: %s", ErrUnsound, verdict)
	}
	return errors.Join(err, c.Close())
}

// Examination is the result of Examine.
type Examination struct {
	ApplicationID int64
	Version       int64    // number of migrations applied
	Faults        []string // what is wrong with the file
}

// Examine checks a whole database file: its integrity and its foreign keys. Others may
// have it open and keep writing.
func Examine(path string) (e Examination, err error) {
	c, err := openConn(path, zs.OpenReadOnly, "PRAGMA query_only = ON")
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if e.ApplicationID, err = c.Int("PRAGMA application_id"); err != nil {
		return e, err
	}
	if e.Version, err = c.Int("PRAGMA user_version"); err != nil {
		return e, err
	}
	err = c.Query("PRAGMA integrity_check(10)", nil, func(s *Stmt) error {
		if verdict := s.Text(0); verdict != "ok" {
			e.Faults = append(e.Faults, verdict)
		}
		return nil
	})
	if err != nil {
		return e, err
	}
	if err = c.CheckForeignKeys(); err != nil {
		if broken := (*BrokenReference)(nil); errors.As(err, &broken) {
			e.Faults, err = append(e.Faults, broken.Error()), nil
		}
	}
	return e, err
}
