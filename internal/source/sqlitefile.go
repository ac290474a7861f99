package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/zangtable/zangtable/internal/foreign"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// Database is a stranger's SQLite file, open for reading in a worker.
type Database struct {
	*foreign.DB
	Described []projectdb.TableDescription // from one of our archives
}

// openSQLite opens a database, given as its file and possibly its write-ahead log, and
// checks that it is sound, unless it was made here. If a private copy is needed, it is
// put into the scratch folder.
func openSQLite(ctx context.Context, files []string, scratch *scratch, made bool) (*Database, error) {
	path, wal := files[0], len(files) > 1
	mode, err := usesWAL(path)
	if err != nil {
		return nil, Unreadable(err)
	}
	o := foreign.Options{Check: !made, Files: []string{path + "-journal"}}
	if wal || mode {
		if path, err = scratch.copyDatabase(ctx, files); err != nil {
			return nil, err
		}
		o.Files = nil
	}
	if wal {
		// SQLite keeps the shared index of the log in a file that the worker may not
		// create.
		shared := path + "-shm"
		if err := os.WriteFile(shared, nil, 0o600); err != nil {
			return nil, fmt.Errorf("copy a database: %w", err)
		}
		o.Write, o.Files = true, []string{path + "-wal", shared}
	}
	db, err := foreign.Open(ctx, scratch.workers, path, o)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	return &Database{DB: db}, nil
}

// usesWAL reports whether the header puts the database in write-ahead mode: then SQLite
// cannot open it without creating files next to it.
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

// copyDatabase makes a private copy of the database in the scratch folder and returns
// its path. It fails if the original changes in the meantime.
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
		err = Invalid("The database was changed while it was read: close the program that uses it, and try again.")
	}
	return path, errors.Join(err, s.discard(files[0]))
}

// stamps returns a text that changes when one of the files is written.
func stamps(files []string) string {
	var b strings.Builder
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			b.WriteString(info.ModTime().String() + " " + info.Mode().String() + "\n")
		}
	}
	return b.String()
}

// setRollbackMode switches a database without a log from write-ahead to rollback mode.
func setRollbackMode(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteAt([]byte{1, 1}, 18)
	return err
}

// OneLine turns an SQLite message into part of a sentence.
func OneLine(message string) string {
	const most = 300
	message = strings.TrimRight(strings.Join(strings.Fields(message), " "), ".")
	return strings.ToValidUTF8(message[:min(len(message), most)], "")
}
