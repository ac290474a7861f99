package format

import (
	"fmt"
	"io"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// TableWriter writes the rows of one table as one file, or as the part of a
// file that an Encoder's bytes are. One that is given up need not be closed and
// leaves nothing behind.
type TableWriter interface {
	// Rows writes the rows of b.
	Rows(b *sqlite.Batch) error
	// Close writes what stands after the last row. It does not close the
	// underlying writer.
	Close() error
}

// LimitError says what of a table a file format cannot hold, and where it is.
type LimitError struct {
	Row    int64  // of the table, from 1; 0 for the names of the columns
	Column string // name of the column; empty when not one column is at fault
	Cell   string // in a sheet, such as B7; empty elsewhere
	Reason string
}

// Error gives the place and the reason.
func (e *LimitError) Error() string {
	switch {
	case e.Column == "":
		return e.Reason
	case e.Cell == "":
		return fmt.Sprintf("row %d, column %q: %s", e.Row, e.Column, e.Reason)
	}
	return fmt.Sprintf("cell %s (row %d, column %q): %s", e.Cell, e.Row, e.Column, e.Reason)
}

// NewTableWriter returns a TableWriter that writes to w what e appends.
func NewTableWriter(w io.Writer, e Encoder) TableWriter {
	return &encoderWriter{w: w, encoder: e}
}

type encoderWriter struct {
	w       io.Writer
	encoder Encoder
	begun   bool // the head is written or in the buffer
	some    bool // a row was written
	buffer  []byte
}

func (t *encoderWriter) Rows(b *sqlite.Batch) error {
	t.begin()
	t.buffer = t.encoder.Rows(t.buffer, b, !t.some)
	t.some = t.some || b.Rows > 0
	return t.flush()
}

func (t *encoderWriter) Close() error {
	t.begin()
	t.buffer = t.encoder.Tail(t.buffer, t.some)
	return t.flush()
}

// Replaced returns how many values the encoder could not write as they are.
func (t *encoderWriter) Replaced() int64 {
	if counts, ok := t.encoder.(interface{ Replaced() int64 }); ok {
		return counts.Replaced()
	}
	return 0
}

func (t *encoderWriter) begin() {
	if !t.begun {
		t.buffer = t.encoder.Head(t.buffer)
		t.begun = true
	}
}

func (t *encoderWriter) flush() error {
	_, err := t.w.Write(t.buffer)
	t.buffer = t.buffer[:0]
	return err
}

// TableReader reads the rows of one table from a file.
type TableReader interface {
	// Columns returns the columns in the order of the cells that Read gives.
	Columns() []Column
	// Read empties b and fills it with the next rows: maxRows at most, fewer where
	// they are long. It reports whether there were any. Faults of the file are
	// *FileError.
	Read(b *sqlite.Batch, maxRows int) (some bool, err error)
	// Close lets go of what the reader holds, but not of the file.
	Close() error
}

// A reader regards a batch as full that holds so many bytes of texts and blobs,
// or so many values.
const (
	batchBytes = 1 << 20
	batchCells = 128 << 10
)

// FileError says what is wrong with a file that is read, and where.
type FileError struct {
	Line, Column int64  // from 1, the column in bytes of UTF-8; 0 when the whole file is meant
	Cell         string // in a sheet, such as B7
	Reason       string
}

// Error gives the place and the reason.
func (e *FileError) Error() string {
	switch {
	case e.Cell != "":
		return fmt.Sprintf("cell %s: %s", e.Cell, e.Reason)
	case e.Line == 0:
		return e.Reason
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}
