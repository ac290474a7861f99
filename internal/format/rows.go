package format

import (
	"errors"
	"io"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Rows reads the rows of a table one after another.
type Rows interface {
	// Columns returns the columns, with their types where the file declares them. A
	// column without a name has the name "".
	Columns() []Column
	// Next returns the next row, or io.EOF. The values are valid until the next
	// call; there may be more or fewer values than columns. Faults of the file
	// are *FileError.
	Next() ([]sqlite.Value, error)
	// Line returns the position of the last row: its line in a text file, else its
	// number.
	Line() int64
	// Close releases what the reader holds, but does not close the file.
	Close() error
}

// BatchRows is a [Rows] that reads rows a batch at a time.
type BatchRows struct {
	columns []Column
	fill    func(b *sqlite.Batch) (some bool, err error)
	close   func() error
	notes   func() []string
	batch   sqlite.Batch
	at      int // index of the next row in batch
	number  int64
	row     []sqlite.Value
}

// RowsPerBatch is the number of rows read at a time.
const RowsPerBatch = 256

// NewBatchRows returns the rows that fill puts into a batch. It calls fill until there
// are no more.
func NewBatchRows(columns []Column, fill func(b *sqlite.Batch) (some bool, err error), close func() error) *BatchRows {
	return &BatchRows{columns: columns, fill: fill, close: close}
}

// Columns returns the columns.
func (r *BatchRows) Columns() []Column { return r.columns }

// Line returns the number of the last row.
func (r *BatchRows) Line() int64 { return r.number }

// Notes returns what was guessed or left out, once all rows are read.
func (r *BatchRows) Notes() []string {
	if r.notes == nil {
		return nil
	}
	return r.notes()
}

// Close closes the source of the rows.
func (r *BatchRows) Close() error { return r.close() }

// Next returns the next row.
func (r *BatchRows) Next() ([]sqlite.Value, error) {
	if r.at == r.batch.Rows {
		some, err := r.fill(&r.batch)
		if err != nil {
			return nil, err
		}
		if !some {
			return nil, io.EOF
		}
		r.at = 0
	}
	r.row = r.batch.AppendValues(r.row[:0], r.at)
	r.at++
	r.number++
	return r.row, nil
}

// opening turns a function that opens a TableReader into the Open of a table. It checks
// for cancellation between batches, since a few bytes of a file can stand for many rows.
func opening(open func(in Input) (TableReader, error)) func(Input) (Rows, error) {
	return func(in Input) (Rows, error) {
		reader, err := open(in)
		if err != nil {
			return nil, err
		}
		fill := func(b *sqlite.Batch) (bool, error) {
			if err := in.Err(); err != nil {
				return false, err
			}
			return reader.Read(b, RowsPerBatch)
		}
		rows := NewBatchRows(reader.Columns(), fill, reader.Close)
		if noted, ok := reader.(interface{ Notes() []string }); ok {
			rows.notes = noted.Notes
		}
		return rows, nil
	}
}

// xlsxTables returns a table for each wanted sheet. If a workbook has only one sheet,
// its table is named after the file.
func xlsxTables(in Input, o Reading) ([]Table, error) {
	book, err := OpenWorkbook(in, in.Size())
	if err != nil {
		return nil, err
	}
	return sheetTables(book.Sheets(), o, func(i int, d ReadDialect) (*sheetLayout, func(Input) (TableReader, error), error) {
		sheet := book.sheets[i]
		layout, err := book.layOut(sheet, d)
		return layout, func(in Input) (TableReader, error) {
			book, err := book.On(in, in.Size())
			if err != nil {
				return nil, err
			}
			return newSheetReader(book.source(sheet), layout)
		}, err
	})
}

// sheetTables returns a table for each wanted sheet of those named. layOut finds the
// table in a sheet and returns how to read it.
func sheetTables(names []string, o Reading, layOut func(i int, d ReadDialect) (*sheetLayout, func(Input) (TableReader, error), error)) (tables []Table, err error) {
	single := len(names) == 1 && o.Sheet == ""
	known := o.Sheet == ""
	for i, sheet := range names {
		if o.Sheet != "" && (known || !sqlite.SameName(sheet, o.Sheet)) {
			continue
		}
		known = true
		t := Table{Name: sheet, Sheet: true}
		if single {
			t.Name = o.Name
		}
		if o.Wanted == nil || o.Wanted(t.Name) {
			layout, open, err := layOut(i, o.Dialect(t.Name))
			if err != nil {
				return nil, inSheet(sheet, len(names), err)
			}
			t.Rowless = layout == nil
			t.Open = opening(open)
		}
		tables = append(tables, t)
	}
	if !known {
		return nil, noSheet(o.Sheet, names)
	}
	return tables, nil
}

// inSheet adds the name of one of several sheets to a fault.
func inSheet(name string, sheets int, err error) error {
	var fault *FileError
	if sheets < 2 || !errors.As(err, &fault) || fault.Cell == "" {
		return err
	}
	return &FileError{Cell: fault.Cell + " of the sheet " + name, Reason: fault.Reason}
}

func parquetTables(_ Input, o Reading) ([]Table, error) {
	return []Table{{Name: o.Name, Open: opening(func(in Input) (TableReader, error) { return NewParquetReader(in, in.Size()) })}}, nil
}
