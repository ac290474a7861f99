package format

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// TableWriter writes the rows of one table as a file, or as the part of a file that an
// Encoder writes. It can be abandoned without Close and leaves nothing behind.
type TableWriter interface {
	// Rows writes the rows of b.
	Rows(b *sqlite.Batch) error
	// Close writes what comes after the last row. It does not close the underlying
	// writer.
	Close() error
}

// LimitError says what in a table a file format cannot hold, and where it is.
type LimitError struct {
	Row    int64  // of the table, from 1; 0 for the column names
	Column string // empty if no single column is at fault
	Cell   string // in a sheet, such as B7; empty otherwise
	Reason string
}

// Error returns the location and the reason.
func (e *LimitError) Error() string {
	switch {
	case e.Column == "":
		return e.Reason
	case e.Cell == "":
		return fmt.Sprintf("row %d, column %q: %s", e.Row, e.Column, e.Reason)
	}
	return fmt.Sprintf("cell %s (row %d, column %q): %s", e.Cell, e.Row, e.Column, e.Reason)
}

// NewTableWriter returns a TableWriter that writes the output of e to w.
func NewTableWriter(w io.Writer, e Encoder) TableWriter {
	return &encoderWriter{w: w, encoder: e}
}

type encoderWriter struct {
	w       io.Writer
	encoder Encoder
	begun   bool // the head has been written or buffered
	some    bool // a row has been written
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

// Replaced returns the number of values that the encoder could not write unchanged.
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
	// Columns returns the columns, in the order of the cells that Read returns.
	Columns() []Column
	// Read empties b and fills it with the next rows: at most maxRows, or fewer if they
	// are long. It reports whether there were any. Faults of the file are *FileError.
	Read(b *sqlite.Batch, maxRows int) (some bool, err error)
	// Close releases what the reader holds, but does not close the file.
	Close() error
}

// A reader considers a batch full when it holds this many bytes of texts and blobs, or
// this many values.
const (
	batchBytes = 1 << 20
	batchCells = 128 << 10
)

// FileError says what is wrong with a file being read, and where.
type FileError struct {
	Line, Column int64  // from 1, the column in bytes of UTF-8; 0 if it concerns the whole file
	Cell         string // in a sheet, such as B7
	Reason       string
}

// Error returns the location and the reason.
func (e *FileError) Error() string {
	switch {
	case e.Cell != "":
		return fmt.Sprintf("cell %s: %s", e.Cell, e.Reason)
	case e.Line == 0:
		return e.Reason
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// withoutPath returns the text of an error without the path of a file of ours, which
// errors of the system name.
func withoutPath(err error) string {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return strings.ReplaceAll(err.Error(), path.Error(), path.Err.Error())
	}
	return err.Error()
}
