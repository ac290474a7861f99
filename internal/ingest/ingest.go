// Package ingest takes files of others into a project: it makes tables of what
// they hold, without changing a value, and says in sentences what it had to
// adjust or leave out. The files are untrusted and only ever read. The package
// knows nothing of how a file came here, and of no project but the one it fills.
package ingest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// Source is a file that has been opened and recognized.
type Source struct {
	path     string // without symbolic links
	name     string // of the file, as it was given
	sha256   string
	version  version // of the file when it was opened
	scratch  *scratch
	contents *contents
	progress func(Progress)
}

// Open recognizes a file by its content, and undoes what is around it. One that
// cannot be imported is a validation_failed problem about the field "file" that
// says why. The caller closes the source.
func Open(ctx context.Context, o Opening) (*Source, error) {
	resolved, head, err := readHead(o.Path)
	if err != nil {
		return nil, err
	}
	s := &Source{path: resolved, name: filepath.Base(cmp.Or(o.Name, o.Path)), progress: o.Progress}
	if s.version, err = versionOf(resolved); err != nil {
		return nil, err
	}
	files := []string{resolved}
	if bytes.HasPrefix(head, []byte(format.SQLiteMagic)) {
		files = withLog(resolved)
	}
	if s.sha256 = o.SHA256; s.sha256 == "" {
		if s.sha256, err = hashFiles(ctx, files...); err != nil {
			return nil, cmp.Or(ctx.Err(), unreadable(err))
		}
	}
	if s.scratch, err = newScratch(o); err != nil {
		return nil, err
	}
	if s.contents, err = s.scratch.unpackContents(ctx, s.path, s.name, o.Format); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// headSize is how much of a file is looked at to recognize it.
const headSize = 256 << 10

func readHead(path string) (resolved string, head []byte, err error) {
	if resolved, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, unreadable(err)
	}
	if resolved, err = filepath.Abs(resolved); err != nil { // workers have another working folder
		return "", nil, err
	}
	info, err := os.Stat(resolved)
	switch {
	case err != nil:
		return "", nil, unreadable(err)
	case info.IsDir():
		return "", nil, invalid("This is a folder, not a file.")
	case !info.Mode().IsRegular():
		return "", nil, invalid("This is not a regular file.")
	}
	f, err := os.Open(resolved)
	if err != nil {
		return "", nil, unreadable(err)
	}
	defer f.Close()
	head, err = io.ReadAll(io.LimitReader(f, headSize))
	if err != nil {
		return "", nil, unreadable(err)
	}
	return resolved, head, nil
}

// Close lets go of the file and removes what was unpacked.
func (s *Source) Close() error {
	var err error
	if s.contents != nil && s.contents.db != nil {
		err = s.contents.db.Close()
	}
	return errors.Join(err, s.scratch.Close())
}

// Format returns the name of its format, whatever compression is around it.
func (s *Source) Format() string { return s.contents.format.Name }

// SHA256 returns the SHA-256 of the file in hexadecimal digits; a SQLite file's
// write-ahead log, if it holds anything, counts as its continuation.
func (s *Source) SHA256() string { return s.sha256 }

// Load makes tables of the file in the project, in one transaction: on an error
// nothing is changed. Faults of the file are *problem.Error about the field
// "file" with their place; a name that the project has already is a conflict.
func (s *Source) Load(ctx context.Context, db *projectdb.DB, o Options) (Report, error) {
	return s.load(ctx, func(fill func(*projectdb.Loader) error) error { return db.Load(ctx, fill) }, o)
}

// transaction runs fill in a transaction that takes in tables.
type transaction func(fill func(*projectdb.Loader) error) error

func (s *Source) load(ctx context.Context, in transaction, o Options) (Report, error) {
	report := Report{Source: s.name, SHA256: s.sha256, Kind: s.Format(), Tables: []TableReport{}, Notes: append([]Note{}, s.contents.notes...)}
	if s.contents.db != nil {
		err := s.loadDatabase(ctx, in, o, &report)
		return report, err
	}
	t, err := s.tables(ctx, o)
	if err == nil {
		err = t.load(ctx, in, &report)
	}
	return report, err
}

// LoadOnce is Load under a receipt, which is kept in the transaction of the rows
// with the report as its answer: a second call with it returns that report.
func (s *Source) LoadOnce(ctx context.Context, db *projectdb.DB, o Options, receipt projectdb.Receipt) (report Report, err error) {
	answer, replayed, err := db.Once(ctx, receipt, func(tx *projectdb.Tx) ([]byte, error) {
		var err error
		if report, err = s.load(ctx, tx.Load, o); err != nil {
			return nil, err
		}
		return json.Marshal(report, jsontext.AllowInvalidUTF8(true)) // it may show texts of the file
	})
	if err == nil && replayed {
		report = Report{}
		err = json.Unmarshal(answer, &report)
	}
	return report, err
}

// tables returns the tables of files on their way.
func (s *Source) tables(ctx context.Context, o Options) (*tableLoad, error) {
	var tables []tableSource
	for _, p := range s.contents.files {
		own, err := p.tables(ctx, o)
		if err != nil {
			return nil, p.explain(ctx, err)
		}
		for _, t := range own {
			tables = append(tables, p.source(t))
		}
	}
	if files := s.contents.files; len(files) == 1 && files[0].blank {
		own, _ := o.table(tables[0].name)
		if len(own.Types)+len(o.Target.Types) == 0 {
			return nil, invalid("%s", errBlank) // who replaces all rows by none has to say it in another way
		}
	}
	assigned, said, err := assign(tables, o)
	return &tableLoad{options: o, tell: s.progress, size: s.contents.size(), assigned: assigned, notes: said, unchanged: s.unchanged}, err
}

// Reach returns the tables of the project that a Load writes to, and whether it
// makes others. It reads nothing of the rows.
func (s *Source) Reach(ctx context.Context, db *projectdb.DB, o Options) (into []projectdb.Table, others bool, err error) {
	var assigned []assignment
	if s.contents.db != nil {
		defer s.contents.db.Interrupt(ctx)()
		assigned, err = new(plan).assign(s.contents.db, o)
	} else if t, tablesErr := s.tables(ctx, o); tablesErr != nil {
		err = tablesErr
	} else {
		assigned = t.assigned
	}
	if err != nil {
		return nil, false, err
	}
	tables, err := db.Tables(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, a := range assigned {
		if a.makes() {
			others = true
			continue
		}
		table, err := a.existing(tables)
		if err != nil {
			return nil, false, err
		}
		into = append(into, *table)
	}
	return into, others, nil
}

// unchanged makes sure that the file is still what was opened.
func (s *Source) unchanged() error {
	now, err := versionOf(s.path)
	if err == nil && now != s.version {
		err = invalid("The file was changed while it was read.")
	}
	return err
}

// Preview says what Load would do. Without db the project is a new one.
func (s *Source) Preview(ctx context.Context, db *projectdb.DB, o Options) (Preview, error) {
	preview := Preview{Source: s.name, SHA256: s.sha256, Kind: s.Format(), Tables: []TablePreview{}, Notes: append([]Note{}, s.contents.notes...)}
	if s.contents.db != nil {
		err := s.previewDatabase(ctx, db, o, &preview)
		return preview, err
	}
	t, err := s.tables(ctx, o)
	if err == nil {
		err = t.preview(ctx, db, &preview)
	}
	return preview, err
}

func hashFiles(ctx context.Context, paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		if err := readFile(ctx, path, sum); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// readFile copies a file to w, until ctx ends.
func readFile(ctx context.Context, path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, &ctxReader{ctx, f})
	return err
}

// invalid is a problem of the file as a whole.
func invalid(format string, args ...any) *problem.Error {
	return problem.Invalid("file", format, args...)
}

// unreadable is the problem of a file that the system does not let us read. It
// names no path: the client knows it.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return invalid("The file does not exist.").Because(err)
	case errors.Is(err, fs.ErrPermission):
		return invalid("The file may not be read: permission denied.").Because(err)
	}
	return invalid("The file cannot be read.").Because(err)
}
