// Package source finds out what is in a file of somebody else, whatever is around
// it: it undoes compressions and ZIP files, recognizes the format, and turns dumps
// and documents into SQLite databases. What comes out is a [File], which either is
// a database, read in a worker ([File.Database]), or has tables of rows
// ([File.Tables]).
//
// The files are untrusted. They are only ever read; what has to be unpacked goes
// into a private folder, in bounds of size and ratio; databases are opened, and
// statements run, only in processes of their own (packages foreign and worker).
// Everything wrong with a file is a problem of the field "file" that says where.
// The package knows nothing of projects.
package source

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

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/worker"
)

// Opening says which file is opened, and how.
type Opening struct {
	Path        string
	Workers     *worker.Pool // of the processes that read databases
	Name        string       // as its sender calls it, for names of tables; "" is that of the path
	Scratch     string       // folder for what has to be unpacked or copied; "" is that of the system
	Format      string       // the name of its format, see format.All(); "" is recognized by content
	MaxUnpacked int64        // bytes that compressed content may become in all; 0 means DefaultMaxUnpacked
	SHA256      string       // of the file in hexadecimal digits, when it is known
}

// Reading says how the tables of a file are read.
type Reading struct {
	Dialect   func(table string) format.ReadDialect // of CSV, and whether sheets have a header
	Sheet     string                                // of a workbook; "" takes every sheet that has rows
	NullTexts []string                              // further texts that stand for NULL, in CSV and in text cells
}

// File is a file that has been opened and recognized.
type File struct {
	path     string // without symbolic links
	name     string // as it was given
	sha256   string
	version  version // of the file when it was opened
	scratch  *scratch
	contents *contents
}

// Open recognizes a file by its content, and undoes what is around it. One that
// cannot be imported is a validation_failed problem about the field "file" that
// says why. The caller closes the file.
func Open(ctx context.Context, o Opening) (*File, error) {
	resolved, head, err := readHead(o.Path)
	if err != nil {
		return nil, err
	}
	f := &File{path: resolved, name: filepath.Base(cmp.Or(o.Name, o.Path))}
	if f.version, err = versionOf(resolved); err != nil {
		return nil, err
	}
	files := []string{resolved}
	if bytes.HasPrefix(head, []byte(format.SQLiteMagic)) {
		files = withLog(resolved)
	}
	if f.sha256 = o.SHA256; f.sha256 == "" {
		if f.sha256, err = hashFiles(ctx, files...); err != nil {
			return nil, cmp.Or(ctx.Err(), Unreadable(err))
		}
	}
	if f.scratch, err = newScratch(o); err != nil {
		return nil, err
	}
	if f.contents, err = f.scratch.unpackContents(ctx, f.path, f.name, o.Format); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// headSize is how much of a file is looked at to recognize it.
const headSize = 256 << 10

func readHead(path string) (resolved string, head []byte, err error) {
	if resolved, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, Unreadable(err)
	}
	if resolved, err = filepath.Abs(resolved); err != nil { // workers have another working folder
		return "", nil, err
	}
	info, err := os.Stat(resolved)
	switch {
	case err != nil:
		return "", nil, Unreadable(err)
	case info.IsDir():
		return "", nil, Invalid("This is a folder, not a file.")
	case !info.Mode().IsRegular():
		return "", nil, Invalid("This is not a regular file.")
	}
	f, err := os.Open(resolved)
	if err != nil {
		return "", nil, Unreadable(err)
	}
	defer f.Close()
	head, err = io.ReadAll(io.LimitReader(f, headSize))
	if err != nil {
		return "", nil, Unreadable(err)
	}
	return resolved, head, nil
}

// Close lets go of the file and removes what was unpacked.
func (f *File) Close() error {
	var err error
	if f.contents != nil && f.contents.db != nil {
		err = f.contents.db.Close()
	}
	return errors.Join(err, f.scratch.Close())
}

// Name returns the name of the file, as it was given.
func (f *File) Name() string { return f.name }

// Format returns the name of its format, whatever compression is around it.
func (f *File) Format() string { return f.contents.format.Name }

// SHA256 returns the SHA-256 of the file in hexadecimal digits; a SQLite file's
// write-ahead log, if it holds anything, counts as its continuation.
func (f *File) SHA256() string { return f.sha256 }

// Notes returns what is to be said about what is left out.
func (f *File) Notes() Notes { return f.contents.notes }

// Database returns the database that the file is, or nil.
func (f *File) Database() *Database { return f.contents.db }

// Size returns how many bytes there are to read.
func (f *File) Size() int64 {
	if f.contents.db != nil {
		return f.version.size
	}
	return f.contents.size()
}

// IsBlank reports whether nothing is in the file, which then is a table without
// rows.
func (f *File) IsBlank() bool { return len(f.contents.files) == 1 && f.contents.files[0].blank }

// Tables returns the tables of a file that is not a database.
func (f *File) Tables(ctx context.Context, o Reading) (tables []Table, err error) {
	for _, p := range f.contents.files {
		own, err := p.tables(ctx, o)
		if err != nil {
			return nil, p.explain(ctx, err)
		}
		for _, t := range own {
			tables = append(tables, p.source(t))
		}
	}
	return tables, nil
}

// Unchanged makes sure that the file is still the one that was opened.
func (f *File) Unchanged() error {
	now, err := versionOf(f.path)
	if err == nil && now != f.version {
		err = Invalid("The file was changed while it was read.")
	}
	return err
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

// Invalid is a problem of the file as a whole.
func Invalid(format string, args ...any) *problem.Error {
	return problem.Invalid("file", format, args...)
}

// Unreadable is the problem of a file that the system does not let us read. It
// names no path: the client knows it.
func Unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Invalid("The file does not exist.").Because(err)
	case errors.Is(err, fs.ErrPermission):
		return Invalid("The file may not be read: permission denied.").Because(err)
	}
	return Invalid("The file cannot be read.").Because(err)
}
