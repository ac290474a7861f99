package sqlite

import (
	"errors"
	"fmt"
)

// ErrOtherColumns is returned by Fill if the statement has fewer columns than the
// batch was made for, because SQLite has recompiled it for a changed schema.
var ErrOtherColumns = errors.New("the statement has other columns than before")

// ErrTooLarge is returned by Fill if the next row would exceed the limit of the batch.
// The batch then holds the rows before it.
var ErrTooLarge = errors.New("the rows are larger than allowed")

// Fill steps through the statement and appends its rows to b, until b holds maxRows
// rows or maxBytes bytes. b must have been reset to the statement's number of columns,
// or to fewer: then the remaining columns are omitted. It reports whether there may be
// more rows; if so, the statement is positioned on the last row taken.
func (s *Stmt) Fill(b *Batch, maxRows, maxBytes int) (more bool, err error) {
	p := program(s.s)
	for b.Rows < maxRows && len(b.arena) < maxBytes {
		if more, err = s.Step(); err != nil || !more {
			return false, err
		}
		// Each Step may recompile the statement. The registers after those of its row
		// hold whatever the library left there.
		if resultColumns(p) < b.Columns {
			return false, ErrOtherColumns
		}
		if before := len(b.arena); !s.appendRow(b, p) {
			b.Cut(b.Rows, before)
			return false, ErrTooLarge
		}
	}
	return true, nil
}

// convert appends a value that the library must convert first, such as text in UTF-16.
func (s *Stmt) convert(b *Batch, i int) Cell {
	return b.cell(s.Value(i))
}

// Run runs a statement that returns no rows, with the values of n rows of b, starting
// at row i, as its parameters. After a failure it can run again.
func (s *Stmt) Run(b *Batch, i, n int) error {
	cells := b.cells[i*b.Columns : (i+n)*b.Columns]
	if s.Parameters() != len(cells) {
		return fmt.Errorf("run a statement: %d values for %d parameters", len(cells), s.Parameters())
	}
	if err := s.place(cells, b.arena); err != nil {
		return err
	}
	before := s.conn.recording.mark()
	_, err := s.s.Step()
	if err != nil {
		s.conn.recording.cut(before)
	} else {
		err = s.s.Reset() // after a failure the driver has already done it
	}
	s.release(len(cells))
	return stepFailure(err)
}
