// Package source detects what a file from someone else holds, however it is packed: it
// unpacks compressed files and ZIP files, recognizes the format, and turns dumps and
// documents into SQLite databases. The result is a [File], which either is a database,
// read in a worker ([File.Database]), or has tables of rows ([File.Tables]).
//
// The files are untrusted. They are only ever read; what has to be unpacked goes into a
// private folder, within limits on size and ratio; databases are opened, and statements
// run, only in separate processes (packages foreign and worker). Everything wrong with a
// file is a problem on the field "file" that says where. The package knows nothing about
// projects.
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

// Opening says which file to open, and how.
type Opening struct {
	Path        string
	Workers     *worker.Pool // the processes that read databases
	Name        string       // as given by the sender, for table names; "" takes it from Path
	Scratch     string       // folder for unpacked or copied files; "" is the system's
	Format      string       // name of its format, see format.All(); "" detects it
	MaxUnpacked int64        // bytes that compressed content may unpack to; 0: DefaultMaxUnpacked
	SHA256      string       // of the file in hexadecimal, if known
}

// Reading says how to read the tables of a file.
type Reading struct {
	Dialect   func(table string) format.ReadDialect // for CSV; also says whether sheets have a header
	Sheet     string                                // of a workbook; "" reads every sheet with rows
	JSONPath  string                                // where the rows of a JSON file are; "" detects it
	Wanted    func(table string) bool               // nil for all; other tables cannot be opened
	NullTexts []string                              // texts that also stand for NULL, in CSV and in text cells
}

// File is a file that has been opened and recognized.
type File struct {
	path     string // without symbolic links
	name     string // as given
	sha256   string
	version  version // of the file when it was opened
	scratch  *scratch
	contents *contents
}

// Open unpacks a file and recognizes it by its content. A file that cannot be imported
// is a validation_failed problem on the field "file" that says why. The caller closes
// the file.
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

// headSize is how many bytes of a file are used to recognize it.
const headSize = 256 << 10

func readHead(path string) (resolved string, head []byte, err error) {
	if resolved, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, Unreadable(err)
	}
	if resolved, err = filepath.Abs(resolved); err != nil { // workers run in another folder
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

// Close closes the file and removes what was unpacked.
func (f *File) Close() error {
	var err error
	if f.contents != nil && f.contents.db != nil {
		err = f.contents.db.Close()
	}
	return errors.Join(err, f.scratch.Close())
}

// Name returns the name of the file, as given.
func (f *File) Name() string { return f.name }

// Format returns the name of the file's format, inside any compression.
func (f *File) Format() string { return f.contents.format.Name }

// SHA256 returns the SHA-256 of the file in hexadecimal; the write-ahead log of a SQLite
// file, unless empty, is hashed as its continuation.
func (f *File) SHA256() string { return f.sha256 }

// Notes returns the notes on what is left out.
func (f *File) Notes() Notes { return f.contents.notes }

// Database returns the file's database, or nil if it is not one.
func (f *File) Database() *Database { return f.contents.db }

// Size returns the number of bytes to read.
func (f *File) Size() int64 {
	if f.contents.db != nil {
		return f.version.size
	}
	return f.contents.size()
}

// IsBlank reports whether the file is empty, which makes it a table without rows.
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

// Unchanged returns an error if the file has changed since it was opened.
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

// readFile copies a file to w until ctx ends.
func readFile(ctx context.Context, path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, UntilDone(ctx, f))
	return err
}

// Invalid returns a problem of the file as a whole.
func Invalid(format string, args ...any) *problem.Error {
	return problem.Invalid("file", format, args...)
}

// Unreadable returns the problem of a file that the system does not let us read. It does
// not contain the path, which the client knows.
func Unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Invalid("The file does not exist.").Because(err)
	case errors.Is(err, fs.ErrPermission):
		return Invalid("The file may not be read: permission denied.").Because(err)
	}
	return Invalid("The file cannot be read.").Because(err)
}
