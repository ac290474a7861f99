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

// tableRows reads the rows of a table.
type tableRows interface {
	// columns returns the columns, with their types where the file declares them.
	// The name of one that has none is empty.
	columns() []format.Column
	// next returns the next row, or io.EOF. The values are valid until the next
	// call; there may be more or fewer of them than columns. Faults of the file
	// are *format.FileError.
	next() ([]sqlite.Value, error)
	// line returns where the last row is: its line in a text, or else its number.
	line() int64
	// bytes returns how much of the file has been read, 0 when that is not known.
	bytes() int64
	// remarks returns, at the end, how the file was read if it is CSV, and what is
	// to be said of it.
	remarks() (*Dialect, notes)
	Close() error
}

// label is the name by which people speak of a column of the file.
func label(columns []format.Column, i int) string {
	if columns[i].Name != "" {
		return columns[i].Name
	}
	return "column_" + strconv.Itoa(i+1)
}

// csvRows are the rows of a CSV file.
type csvRows struct {
	reader *format.CSVReader
	file   *countedFile
	header []format.Column
	first  []format.Field // read before to know how many there are
	row    []sqlite.Value
}

const emptyLines = "The file contains only empty lines."

func openCSV(ctx context.Context, path string, d format.ReadDialect) (*csvRows, error) {
	file, err := openCounted(ctx, path)
	if err != nil {
		return nil, err
	}
	r := &csvRows{file: file}
	if err := r.begin(d); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

func (r *csvRows) begin(d format.ReadDialect) (err error) {
	if r.reader, err = format.NewCSVReader(r.file, d); err != nil {
		return err
	}
	for _, name := range r.reader.Header() {
		r.header = append(r.header, format.Column{Name: name})
	}
	if r.header != nil {
		return nil
	}
	if r.first, err = r.reader.Read(); err == io.EOF {
		return &format.FileError{Reason: emptyLines}
	}
	r.header = make([]format.Column, len(r.first))
	return err
}

func (r *csvRows) columns() []format.Column { return r.header }
func (r *csvRows) line() int64              { return r.reader.Line() }
func (r *csvRows) bytes() int64             { return r.file.read }
func (r *csvRows) Close() error             { return r.file.Close() }

func (r *csvRows) remarks() (*Dialect, notes) {
	d := r.reader.Dialect()
	var said notes
	if d.Encoding != format.UTF8 {
		said.add("file", "It was read as %s; texts are kept as UTF-8.", d.Encoding)
	}
	if invalid := r.reader.Invalid(); invalid > 0 {
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

func (r *csvRows) next() ([]sqlite.Value, error) {
	fields := r.first
	if r.first = nil; fields == nil {
		var err error
		if fields, err = r.reader.Read(); err != nil {
			return nil, err
		}
	}
	r.row = r.row[:0]
	for _, f := range fields {
		if f.Null {
			r.row = append(r.row, sqlite.Value{})
			continue
		}
		r.row = append(r.row, sqlite.Value{Kind: sqlite.Text, Bytes: f.Bytes})
	}
	return r.row, nil
}

// readerRows are the rows that a format.TableReader gives.
type readerRows struct {
	format.TableReader
	ctx   context.Context // few bytes of a file can stand for many rows
	read  func() int64
	close func() error
	batchCursor
}

const readerBatch = 256 // rows

// batchCursor gives the rows of one batch after another.
type batchCursor struct {
	batch  sqlite.Batch
	at     int // next row of the batch
	number int64
	row    []sqlite.Value
}

func (r *batchCursor) line() int64 { return r.number }

// step returns the next row of the batch, which must have one.
func (r *batchCursor) step() []sqlite.Value {
	r.row = r.batch.AppendValues(r.row[:0], r.at)
	r.at++
	r.number++
	return r.row
}

func (r *readerRows) columns() []format.Column { return r.Columns() }
func (r *readerRows) bytes() int64             { return r.read() }

func (r *readerRows) remarks() (*Dialect, notes) { return nil, nil }

func (r *readerRows) next() ([]sqlite.Value, error) {
	if r.at == r.batch.Rows {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		some, err := r.Read(&r.batch, readerBatch)
		if err != nil {
			return nil, err
		}
		if !some {
			return nil, io.EOF
		}
		r.at = 0
	}
	return r.step(), nil
}

func (r *readerRows) Close() error { return errors.Join(r.TableReader.Close(), r.close()) }

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

func (n nullTextRows) next() ([]sqlite.Value, error) {
	row, err := n.tableRows.next()
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

func (r noRows) columns() []format.Column      { return r }
func (r noRows) next() ([]sqlite.Value, error) { return nil, io.EOF }
func (r noRows) line() int64                   { return 0 }
func (r noRows) bytes() int64                  { return 0 }
func (r noRows) remarks() (*Dialect, notes)    { return nil, nil }
func (r noRows) Close() error                  { return nil }

// countedFile is a file that is read until ctx ends.
type countedFile struct {
	*os.File
	ctx  context.Context
	read int64
}

func openCounted(ctx context.Context, path string) (*countedFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	return &countedFile{File: f, ctx: ctx}, nil
}

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

// tables returns the tables of a file that is one table, or one for each sheet.
func (p part) tables(ctx context.Context, o Options) ([]tableSource, error) {
	path, name, kind := p.path, p.tableName(), p.kind
	switch {
	case p.blank:
		return []tableSource{{name: name, text: kind == KindCSV, rowless: true}}, nil
	case kind == KindJSON, kind == KindNDJSON:
		return jsonTable(ctx, path, name, kind)
	case kind == KindXLSX:
		return sheets(ctx, path, name, o)
	case kind == KindParquet:
		return []tableSource{{name: name, open: func(ctx context.Context) (tableRows, error) {
			return openReaderAt(ctx, path, func(f *countedFile, size int64) (format.TableReader, error) {
				return format.NewParquetReader(f, size)
			})
		}}}, nil
	}
	dialect := o.dialect(name)
	return []tableSource{{name: name, text: true, nul: dialect.Complete(), open: func(ctx context.Context) (tableRows, error) {
		rows, err := openCSV(ctx, path, dialect)
		if err != nil {
			return nil, err
		}
		return withNullTexts(rows, o.NullTexts), nil
	}}}, nil
}

// jsonTable returns the table of an array of objects, or of objects one per
// line, after it has read all of them for their keys.
func jsonTable(ctx context.Context, path, name string, kind Kind) ([]tableSource, error) {
	file, err := openCounted(ctx, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var t format.JSONTable
	if kind == KindNDJSON {
		t, err = format.ScanNDJSON(file)
	} else {
		var tables []format.JSONTable
		if tables, err = format.ScanJSON(file); err == nil {
			t = tables[0]
		}
	}
	if err != nil {
		return nil, err
	}
	if t.Rows == 0 && len(t.Columns) == 0 {
		return []tableSource{{name: name, rowless: true}}, nil
	}
	return []tableSource{{name: name, open: func(ctx context.Context) (tableRows, error) {
		return openReader(ctx, path, func(f *countedFile) (format.TableReader, error) {
			if kind == KindNDJSON {
				return format.NewNDJSONReader(f, t.Columns), nil
			}
			return format.NewJSONReader(f, t)
		})
	}}}, nil
}

// sheets returns a table for the sheet that is asked for, or for each one.
func sheets(ctx context.Context, path, name string, o Options) ([]tableSource, error) {
	book, err := openBook(ctx, path)
	if err != nil {
		return nil, err
	}
	names := book.Sheets()
	if o.Sheet != "" {
		found, err := known("sheet", "sheet", o.Sheet, "in the workbook", names)
		if err != nil {
			return nil, err
		}
		names = []string{found}
	}
	var tables []tableSource
	for _, sheet := range names {
		t := tableSource{name: sheet, sheet: true}
		if len(names) == 1 && o.Sheet == "" {
			t.name = name
		}
		header := o.dialect(t.name).Header != format.WithoutHeader
		t.open = func(ctx context.Context) (tableRows, error) {
			rows, err := openReaderAt(ctx, path, func(f *countedFile, size int64) (format.TableReader, error) {
				book, err := book.On(f, size)
				if err != nil {
					return nil, err
				}
				return book.Sheet(sheet, header)
			})
			if err != nil {
				return nil, err
			}
			return withNullTexts(rows, o.NullTexts), nil
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func openBook(ctx context.Context, path string) (*format.Workbook, error) {
	file, err := openCounted(ctx, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, unreadable(err)
	}
	return format.OpenWorkbook(file, info.Size())
}

func openReader(ctx context.Context, path string, open func(*countedFile) (format.TableReader, error)) (tableRows, error) {
	file, err := openCounted(ctx, path)
	if err != nil {
		return nil, err
	}
	reader, err := open(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &readerRows{TableReader: reader, ctx: ctx, read: func() int64 { return file.read }, close: file.Close}, nil
}

func openReaderAt(ctx context.Context, path string, open func(f *countedFile, size int64) (format.TableReader, error)) (tableRows, error) {
	return openReader(ctx, path, func(f *countedFile) (format.TableReader, error) {
		info, err := f.Stat()
		if err != nil {
			return nil, unreadable(err)
		}
		return open(f, info.Size())
	})
}
