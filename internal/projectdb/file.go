package projectdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// own are the server's tables in a project's database.
var own = [...]string{"_columns", "_tables", "_project", "_receipts", "_search_indexes", "_saved", "_changes", "_change_calls", "_changes_kept"}

// IsOwnTable reports whether a table of that name in a project's database is
// the server's own.
func IsOwnTable(name string) bool {
	return slices.Contains(own[:], name) || strings.HasPrefix(name, searchPrefix)
}

// WriteFile writes the whole state into the new database file path, without the
// server's own tables or any trace of them. draft is the path of a temporary file;
// after a failure the caller removes both. Canceling ctx stops it.
func (s *Snapshot) WriteFile(ctx context.Context, draft, path string) error {
	if err := s.conn().Backup(ctx, draft); err != nil {
		return fmt.Errorf("copy the database: %w", explain(err))
	}
	c, err := sqlite.OpenPrivate(ctx, draft)
	if err != nil {
		return explain(err)
	}
	if err := dropSearches(c, searchPrefix+"[0-9]*"); err != nil {
		return errors.Join(explain(err), c.Close())
	}
	for _, name := range own {
		if err := c.Exec("DROP TABLE " + name); err != nil {
			return errors.Join(explain(err), c.Close())
		}
	}
	return finishFile(c, draft, path)
}

// finishFile turns the draft into a database file without marks of this server, and
// checks it.
func finishFile(c *sqlite.Conn, draft, path string) error {
	err := c.Exec("PRAGMA application_id = 0")
	if err == nil {
		err = c.Exec("PRAGMA user_version = 0")
	}
	if err == nil {
		// Dropped content survives in free pages; a new file has none of it.
		err = c.VacuumInto(path)
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("write a database file: %w", explain(err))
	}
	if err := os.Remove(draft); err != nil {
		return fmt.Errorf("remove a draft: %w", err)
	}
	return checkFile(path)
}

func checkFile(path string) error {
	c, err := sqlite.OpenFile(path)
	if err != nil {
		return err
	}
	if err := errors.Join(c.CheckIntegrity(), c.Close()); err != nil {
		return fmt.Errorf("check a database file: %w", err)
	}
	return nil
}

// Counter returns the largest id that AUTOINCREMENT has assigned in the table, or 0.
func (s *Snapshot) Counter(t *Table) (int64, error) {
	if !t.Autoincrement {
		return 0, nil
	}
	n, err := s.conn().Int("SELECT seq FROM sqlite_sequence WHERE name = ?", t.Name)
	return n, explain(err)
}

// File is a new database file being filled with tables.
type File struct {
	c           *sqlite.Conn
	draft, path string
	inserter    *Inserter // the last one: a failure may have left it open
}

// NewFile starts the database file path. draft and ctx are as in Snapshot.WriteFile.
// The file must be ended with Finish or Discard.
func NewFile(ctx context.Context, draft, path string) (*File, error) {
	c, err := sqlite.OpenPrivate(ctx, draft)
	if err != nil {
		return nil, explain(err)
	}
	if err := c.Exec("BEGIN"); err != nil {
		return nil, errors.Join(explain(err), c.Close())
	}
	return &File{c: c, draft: draft, path: path}, nil
}

// CreateTable creates a table of the given shape, without its indexes.
func (f *File) CreateTable(t *Table) error { return explain(f.c.Exec(t.CreateSQL())) }

// CreateIndexes creates the indexes of a table that SQLite does not create itself.
func (f *File) CreateIndexes(t *Table) error {
	for _, x := range t.Indexes {
		if !x.Managed() {
			continue
		}
		if err := f.c.Exec(x.CreateSQL()); err != nil {
			return explain(err)
		}
	}
	return nil
}

// Insert starts inserting rows with the given columns into a table.
func (f *File) Insert(t *Table, columns []format.Column) (*Inserter, error) {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = column.Name
	}
	in, _, err := (&Loader{c: f.c}).Insert(t, names, false)
	f.inserter = in
	return in, explain(err)
}

// SetCounter sets the largest id that AUTOINCREMENT has assigned in the table.
func (f *File) SetCounter(t *Table, id int64) error { return explain(writeCounter(f.c, t, id)) }

// Finish completes the file and checks it.
func (f *File) Finish() error {
	if err := f.c.Exec("COMMIT"); err != nil {
		return errors.Join(explain(err), f.c.Close())
	}
	return finishFile(f.c, f.draft, f.path)
}

// Discard abandons the file. The caller removes what was written.
func (f *File) Discard() error {
	if f.inserter != nil {
		// A connection with open statements does not close, and would keep the disk
		// space of its file after the file is removed.
		f.inserter.Close()
	}
	return f.c.Close()
}

// Size returns the size of the whole state in bytes.
func (s *Snapshot) Size() (int64, error) {
	n, err := s.conn().Int("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
	return n, explain(err)
}
