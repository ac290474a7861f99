package ingest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// tableSource is a table in a file. It can be read from its beginning any
// number of times, and gives the same rows each time.
type tableSource struct {
	name string // as the file calls it; the file's own where the table has none
	text bool   // every value is text: what looks like a number is taken for one
	nul  bool   // such text may hold NUL characters: nothing is detected by its content
	open func(ctx context.Context) (tableRows, error)

	sheet   bool // of a workbook
	rowless bool // there are no rows, and so nothing tells the columns
}

// tableRows reads the rows of a table of a file, and closes the file.
type tableRows interface {
	format.Rows
	// bytes returns how much of the file has been read, 0 when that is not known.
	bytes() int64
	// remarks returns, at the end, how the file was read if it is CSV, and what is
	// to be said of it.
	remarks() (*Dialect, notes)
}

// label is the name by which people speak of a column of the file.
func label(columns []format.Column, i int) string {
	if columns[i].Name != "" {
		return columns[i].Name
	}
	return "column_" + strconv.Itoa(i+1)
}

// fileRows are the rows of a file that is open for them.
type fileRows struct {
	format.Rows
	file *countedFile
}

func (r fileRows) bytes() int64 { return r.file.read }

// Close lets go of the file.
func (r fileRows) Close() error { return errors.Join(r.Rows.Close(), r.file.Close()) }

func (r fileRows) remarks() (*Dialect, notes) {
	csv, ok := r.Rows.(*format.CSVRows)
	if !ok {
		return nil, nil
	}
	d := csv.Dialect()
	var said notes
	if d.Encoding != format.UTF8 {
		said.add("file", "It was read as %s; texts are kept as UTF-8.", d.Encoding)
	}
	if invalid := csv.Invalid(); invalid > 0 {
		kept := "They are kept as they are."
		if d.Encoding != format.UTF8 {
			kept = "Each of them is now U+FFFD."
		}
		said.add("file", "%s bytes that are not %s. %s", strings.Replace(have(invalid), "row", "field", 1), strings.ToUpper(string(d.Encoding)), kept)
	}
	told := &Dialect{
		Encoding: string(d.Encoding), BOM: d.BOM, Delimiter: string(rune(d.Delimiter)), Header: d.Header, LineEnd: string(d.LineEnd),
	}
	if d.Quote != format.NoQuote {
		told.Quote = string(rune(d.Quote))
	}
	return told, said
}

// nullTextRows takes texts for NULL.
type nullTextRows struct {
	tableRows
	texts map[string]bool
}

func withNullTexts(rows tableRows, texts []string) tableRows {
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
	row, err := n.tableRows.Next()
	for i, v := range row {
		if v.Kind == sqlite.Text && n.texts[string(v.Bytes)] {
			row[i] = sqlite.Value{}
		}
	}
	return row, err
}

// noRows are the rows of a table that has none.
type noRows []format.Column

// withoutRows opens a table without rows, whose columns are those of which the
// types are told: in the order of their names, column_10 after column_9.
func withoutRows(types map[string]string) func(context.Context) (tableRows, error) {
	var columns noRows
	place := func(name string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "column_"))
		if err != nil {
			return 0
		}
		return n
	}
	for _, name := range slices.SortedFunc(maps.Keys(types), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b))
	}) {
		columns = append(columns, format.Column{Name: name})
	}
	return func(context.Context) (tableRows, error) { return columns, nil }
}

func (r noRows) Columns() []format.Column      { return r }
func (r noRows) Next() ([]sqlite.Value, error) { return nil, io.EOF }
func (r noRows) Line() int64                   { return 0 }
func (r noRows) bytes() int64                  { return 0 }
func (r noRows) remarks() (*Dialect, notes)    { return nil, nil }
func (r noRows) Close() error                  { return nil }

// countedFile is a file that is read until ctx ends. It is a format.Input.
type countedFile struct {
	*os.File
	ctx        context.Context
	read, size int64
}

func openCounted(ctx context.Context, path string) (*countedFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(unreadable(err), f.Close())
	}
	return &countedFile{File: f, ctx: ctx, size: info.Size()}, nil
}

// Size returns the size of the file in bytes.
func (f *countedFile) Size() int64 { return f.size }

// Err returns the error of ctx.
func (f *countedFile) Err() error { return f.ctx.Err() }

// Read reads on.
func (f *countedFile) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.File.Read(p)
	f.read += int64(n)
	return n, err
}

// ReadAt reads at any place. Of a file that is read so, the furthest place
// counts.
func (f *countedFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(p, at)
	f.read = max(f.read, at+int64(n))
	return n, err
}

// version is what changes when a file is written.
type version struct {
	size     int64
	modified time.Time
}

func versionOf(path string) (version, error) {
	info, err := os.Stat(path)
	if err != nil {
		return version{}, unreadable(err)
	}
	return version{info.Size(), info.ModTime()}, nil
}

// tables returns the tables of a file of rows.
func (p part) tables(ctx context.Context, o Options) (list []tableSource, err error) {
	if p.blank {
		return []tableSource{{name: p.tableName(), text: p.format.Dialects, rowless: true}}, nil
	}
	file, err := openCounted(ctx, p.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	tables, err := p.format.Tables(file, format.Reading{Name: p.tableName(), Dialect: o.dialect, Sheet: o.Sheet})
	for _, t := range tables {
		list = append(list, tableSource{
			name: t.Name, text: t.Text, nul: t.Told, sheet: t.Sheet, rowless: t.Rowless,
			open: func(ctx context.Context) (tableRows, error) { return openRows(ctx, p.path, t, o.NullTexts) },
		})
	}
	return list, err
}

// openRows opens a table of a file. In texts and cells, nullTexts stand for NULL.
func openRows(ctx context.Context, path string, t format.Table, nullTexts []string) (tableRows, error) {
	file, err := openCounted(ctx, path)
	if err != nil {
		return nil, err
	}
	rows, err := t.Open(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if t.Text || t.Sheet {
		return withNullTexts(fileRows{rows, file}, nullTexts), nil
	}
	return fileRows{rows, file}, nil
}
