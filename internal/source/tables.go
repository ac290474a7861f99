package source

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Rows are copied in batches of at most this size.
const (
	BatchRows  = 1000
	BatchBytes = 1 << 20
)

// Table is a table in a file. It can be read from the start any number of times, and
// yields the same rows each time.
type Table struct {
	Name string // name in the file; if the table has none, the file's name
	Text bool   // every value is text: values that look like numbers count as numbers
	Told bool   // texts may contain NUL, since nothing is detected from the content
	Open func(ctx context.Context) (Rows, error)

	Sheet   bool     // it is a sheet of a workbook
	Rowless bool     // it has no rows, so its columns are unknown
	Notes   []string // sentences on how it is read
}

// Rows reads the rows of a table in a file, and closes the file.
type Rows interface {
	format.Rows
	// Bytes returns how many bytes of the file have been read, 0 if unknown.
	Bytes() int64
	// Remarks returns, once all rows are read, how the file was read if it is CSV, and
	// notes on it.
	Remarks() (*Dialect, Notes)
}

// fileRows reads the rows of a file opened for this purpose.
type fileRows struct {
	format.Rows
	file  *countedFile
	table string // its name
}

func (r fileRows) Bytes() int64 { return r.file.read }

// Close closes the rows and the file.
func (r fileRows) Close() error { return errors.Join(r.Rows.Close(), r.file.Close()) }

func (r fileRows) Remarks() (*Dialect, Notes) {
	var said Notes
	if noted, ok := r.Rows.(interface{ Notes() []string }); ok {
		for _, note := range noted.Notes() {
			said.Add("table "+r.table, "%s", note)
		}
	}
	csv, ok := r.Rows.(*format.CSVRows)
	if !ok {
		return nil, said
	}
	d := csv.Dialect()
	told := &Dialect{
		Encoding: string(d.Encoding), BOM: d.BOM, Delimiter: d.Separator(), Header: d.Header, LineEnd: string(d.LineEnd), SkipRows: d.SkipRows,
	}
	if d.Quote != format.NoQuote {
		told.Quote = string(rune(d.Quote))
	}
	return told, append(said, csvNotes(csv)...)
}

// nullTextRows replaces certain texts by NULL.
type nullTextRows struct {
	Rows
	texts map[string]bool
}

func withNullTexts(rows Rows, texts []string) Rows {
	if len(texts) == 0 {
		return rows
	}
	n := nullTextRows{rows, map[string]bool{}}
	for _, text := range texts {
		n.texts[text] = true
	}
	return n
}

// Next returns the next row.
func (n nullTextRows) Next() ([]sqlite.Value, error) {
	row, err := n.Rows.Next()
	for i, v := range row {
		if v.Kind == sqlite.Text && n.texts[string(v.Bytes)] {
			row[i] = sqlite.Value{}
		}
	}
	return row, err
}

// countedFile is a file that counts the bytes read and fails once ctx ends. It is a
// format.Input.
type countedFile struct {
	*os.File
	ctx        context.Context
	read, size int64
}

func openCounted(ctx context.Context, path string) (*countedFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Unreadable(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(Unreadable(err), f.Close())
	}
	return &countedFile{File: f, ctx: ctx, size: info.Size()}, nil
}

// Size returns the size of the file in bytes.
func (f *countedFile) Size() int64 { return f.size }

// Err returns the error of ctx.
func (f *countedFile) Err() error { return f.ctx.Err() }

// Read reads from the file.
func (f *countedFile) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.File.Read(p)
	f.read += int64(n)
	return n, err
}

// ReadAt reads at an offset. The furthest position read counts as progress.
func (f *countedFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(p, at)
	f.read = max(f.read, at+int64(n))
	return n, err
}

// version identifies a state of a file: it changes when the file is written.
type version struct {
	size     int64
	modified time.Time
}

func versionOf(path string) (version, error) {
	info, err := os.Stat(path)
	if err != nil {
		return version{}, Unreadable(err)
	}
	return version{info.Size(), info.ModTime()}, nil
}

// tables returns the tables of a file of rows.
func (p part) tables(ctx context.Context, o Reading) (list []Table, err error) {
	if p.blank {
		return []Table{{Name: p.tableName(), Text: p.format.Dialects, Rowless: true}}, nil
	}
	file, err := openCounted(ctx, p.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if own := p.dialect; own.Complete() {
		asked := o.Dialect
		o.Dialect = func(table string) format.ReadDialect {
			if d := asked(table); d != (format.ReadDialect{}) {
				return d
			}
			return own
		}
	}
	tables, err := p.format.Tables(file, format.Reading{
		Name: p.tableName(), Dialect: o.Dialect, Sheet: o.Sheet, Wanted: o.Wanted, Path: o.JSONPath, Ext: strings.ToLower(strings.TrimPrefix(path.Ext(p.name), ".")),
	})
	for _, t := range tables {
		list = append(list, Table{
			Name: t.Name, Text: t.Text, Told: t.Told, Sheet: t.Sheet, Rowless: t.Rowless, Notes: t.Notes,
			Open: func(ctx context.Context) (Rows, error) { return openRows(ctx, p.path, t, o.NullTexts) },
		})
	}
	return list, err
}

// openRows opens a table in a file. In text formats and cells, nullTexts stand for NULL.
func openRows(ctx context.Context, path string, t format.Table, nullTexts []string) (Rows, error) {
	file, err := openCounted(ctx, path)
	if err != nil {
		return nil, err
	}
	rows, err := t.Open(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if t.Text || t.Sheet {
		return withNullTexts(fileRows{rows, file, t.Name}, nullTexts), nil
	}
	return fileRows{rows, file, t.Name}, nil
}
