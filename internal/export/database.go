package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// writeDatabase writes an SQLite database file to w.
func (e *Exports) writeDatabase(j *job, s *source, w io.Writer) error {
	return e.withDatabase(j, s, func(path string) error { return copyFile(j.ctx, w, path) })
}

// withDatabase creates a database file with the requested content, calls use with its
// path, and removes it.
func (e *Exports) withDatabase(j *job, s *source, use func(path string) error) (err error) {
	draft, path, err := e.scratch(j.record)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeDatabase(draft), removeDatabase(path)) }()
	if s.isWhole() {
		err = j.copyDatabase(s, draft, path)
	} else {
		err = j.fillDatabase(s, draft, path)
	}
	if err != nil {
		return err
	}
	return use(path)
}

// isWhole reports whether the source is the whole project.
func (s *source) isWhole() bool {
	return len(s.tables) == len(s.snapshot.Tables) && len(s.spec.Selections) == 0 && s.spec.Tables == nil
}

// copyDatabase copies the whole database, page by page. Row counts and hashes are read
// from the snapshot itself.
func (j *job) copyDatabase(s *source, draft, path string) error {
	if err := s.snapshot.WriteFile(j.ctx, draft, path); err != nil {
		return err
	}
	for i, t := range s.tables {
		if err := j.readTable(s, t, &j.record.manifest.Tables[i]); err != nil {
			return err
		}
	}
	return nil
}

// readTable records the count and hash of the rows of a table without writing them
// anywhere.
func (j *job) readTable(s *source, t *projectdb.Table, result *TableResult) error {
	rows, err := s.open(t, result.RowsExpected)
	if err != nil {
		return err
	}
	defer rows.close()
	content, err := rows.copy(j.ctx, unwritten{}, j.writer(io.Discard, result))
	if err != nil {
		return err
	}
	result.hold(rows.columns, content)
	return result.check(unwritten{})
}

// unwritten is an encoder that discards its rows.
type unwritten struct{}

func (unwritten) Head(dst []byte) []byte                          { return dst }
func (unwritten) Rows(dst []byte, _ *sqlite.Batch, _ bool) []byte { return dst }
func (unwritten) Tail(dst []byte, _ bool) []byte                  { return dst }

// fillDatabase creates a database file with some of the tables, or with parts of them.
func (j *job) fillDatabase(whole *source, draft, path string) error {
	s, shapes, err := whole.shapes()
	if err != nil {
		return err
	}
	file, err := projectdb.NewFile(j.ctx, draft, path)
	if err != nil {
		return err
	}
	for i := range shapes {
		if err := j.fillTable(s, file, &shapes[i], &j.record.manifest.Tables[i], s.tables[i]); err != nil {
			return errors.Join(err, file.Discard())
		}
	}
	return file.Finish()
}

func (j *job) fillTable(s *source, file *projectdb.File, shape *shape, result *TableResult, t *projectdb.Table) error {
	if err := file.CreateTable(shape.table); err != nil {
		return fmt.Errorf("create the table %s: %w", t.Name, err)
	}
	err := j.writeTable(s, t, result, func(columns []format.Column) (format.TableWriter, error) {
		in, err := file.Insert(shape.table, columns)
		return insertWriter{in}, err
	})
	if err == nil && shape.counter > 0 {
		err = file.SetCounter(shape.table, shape.counter)
	}
	if err == nil {
		err = file.CreateIndexes(shape.table)
	}
	return err
}

// scratch returns paths for temporary files of an export in progress. Files left there
// by a crash are removed with the orphans.
func (e *Exports) scratch(r *record) (draft, finished string, err error) {
	base := filepath.Join(e.artifacts.Scratch(), r.manifest.ID)
	return base + ".draft", base + ".sqlite", e.artifacts.MakeScratch()
}

// copyFile copies a file to w, and stops when ctx ends.
func copyFile(ctx context.Context, w io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open a database file: %w", err)
	}
	defer file.Close()
	buffer := make([]byte, 1<<20)
	for {
		n, err := file.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read a database file: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// removeDatabase removes a database file and the files that SQLite creates beside it.
func removeDatabase(path string) error {
	return errors.Join(disk.RemoveFile(path), disk.RemoveFile(path+"-journal"), disk.RemoveFile(path+"-wal"), disk.RemoveFile(path+"-shm"))
}
