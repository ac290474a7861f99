package ingest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// sqliteFile is a SQLite file of somebody else, open for reading in one
// transaction.
type sqliteFile struct {
	*sqlite.Conn
	described []projectdb.TableDescription // of an archive of ours
}

// openSQLite opens a database, given as its file and perhaps its write-ahead
// log, and makes sure that it is sound, unless it was made here. A private copy, if
// one is needed, is put into the scratch folder.
func openSQLite(ctx context.Context, files []string, scratch *scratch, made bool) (*sqliteFile, error) {
	f := &sqliteFile{}
	err := f.open(ctx, files, scratch)
	if err == nil && !made {
		err = f.check(ctx)
	}
	if err != nil {
		f.Close()
		return nil, cmp.Or(ctx.Err(), err)
	}
	return f, nil
}

func (f *sqliteFile) open(ctx context.Context, files []string, scratch *scratch) error {
	path, wal := files[0], len(files) > 1
	mode, err := usesWAL(path)
	if err != nil {
		return unreadable(err)
	}
	if wal || mode {
		if path, err = scratch.copyDatabase(ctx, files); err != nil {
			return err
		}
	}
	if f.Conn, err = sqlite.OpenFile(path); err != nil {
		return damaged(err)
	}
	defer f.Interrupt(ctx)()
	for _, statement := range []string{
		// A CHECK may call what we do not have, and quick_check would fail.
		"PRAGMA ignore_check_constraints = ON",
		"BEGIN",
	} {
		if err := f.Exec(statement); err != nil {
			return damaged(err)
		}
	}
	return nil
}

// usesWAL reports whether the header says that the database is in write-ahead
// mode: then SQLite cannot open it without creating files beside it.
func usesWAL(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var versions [2]byte
	if _, err := f.ReadAt(versions[:], 18); err != nil && err != io.EOF {
		return false, err
	}
	return versions[0] == 2 || versions[1] == 2, nil
}

// copyDatabase puts a private copy of the database into the folder and returns
// its path. A copy during which the original has changed is refused.
func (s *scratch) copyDatabase(ctx context.Context, files []string) (path string, err error) {
	before := stamps(files)
	path = s.path()
	for i, suffix := range []string{"", "-wal"}[:len(files)] {
		if err := s.copyFile(ctx, files[i], path+suffix); err != nil {
			return "", err
		}
	}
	if len(files) == 1 {
		err = setRollbackMode(path)
	}
	if err == nil && stamps(files) != before {
		err = invalid("The database was changed while it was read: close the program that uses it, and try again.")
	}
	return path, err
}

// stamps returns what changes when a file is written.
func stamps(files []string) string {
	var b strings.Builder
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			b.WriteString(info.ModTime().String() + " " + info.Mode().String() + "\n")
		}
	}
	return b.String()
}

// setRollbackMode takes a database without a log out of write-ahead mode.
func setRollbackMode(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteAt([]byte{1, 1}, 18)
	return err
}

// check refuses a database whose structure is damaged. What quick_check says of
// single values is left to the copying: it finds the same.
func (f *sqliteFile) check(ctx context.Context) error {
	defer f.Interrupt(ctx)()
	var finding string
	err := f.Query("PRAGMA quick_check(1000000)", nil, func(s *sqlite.Stmt) error {
		if text := s.Text(0); finding == "" && !aboutValues(text) {
			finding = text
		}
		return nil
	})
	switch {
	case sqlite.FaultOf(err).InSQL():
		return f.readSchema()
	case err != nil:
		return damaged(err)
	case finding != "":
		return invalid("The database is damaged, SQLite says: %s. The sqlite3 shell's .recover may save what is left.", oneLine(finding))
	}
	return nil
}

// readSchema makes sure that at least the list of tables can be read; each
// table is then checked by reading it.
func (f *sqliteFile) readSchema() error {
	if err := f.Exec("SELECT * FROM sqlite_schema"); err != nil {
		return damaged(err)
	}
	return nil
}

// aboutValues reports whether a finding of quick_check is about a value that
// breaks a constraint, and not about the structure of the file.
func aboutValues(finding string) bool {
	for _, start := range []string{"ok", "NULL value in ", "TEXT value in ", "NUMERIC value in ", "non-", "CHECK constraint failed in "} {
		if strings.HasPrefix(finding, start) {
			return true
		}
	}
	return false
}

// damaged says why SQLite cannot read a database.
func damaged(err error) error {
	message := sqlite.Message(err)
	switch sqlite.FaultOf(err) {
	case sqlite.Busy:
		return invalid("The database is locked: close the program that writes to it, and try again.").Because(err)
	case sqlite.IO:
		return invalid("The database cannot be opened without changing it. Perhaps a program has not finished writing it (a file that ends in -journal lies beside it): open it once with that program, and try again.").Because(err)
	case sqlite.Damaged:
		return invalid("The database is damaged or was cut short, SQLite says: %s.", oneLine(message)).Because(err)
	}
	return invalid("The database cannot be read, SQLite says: %s.", oneLine(message)).Because(err)
}

// oneLine makes a message of SQLite part of a sentence.
func oneLine(message string) string {
	const most = 300
	message = strings.TrimRight(strings.Join(strings.Fields(message), " "), ".")
	return message[:min(len(message), most)]
}

// Close closes the database.
func (f *sqliteFile) Close() error {
	if f.Conn == nil {
		return nil
	}
	return f.Conn.Close()
}
