package sqlite

import (
	"errors"
	"fmt"
)

// ErrOtherColumns is returned by Fill when the statement has fewer columns than
// the batch was made for, because SQLite has compiled it anew for another schema.
var ErrOtherColumns = errors.New("the statement has other columns than before")

// ErrTooLarge is returned by Fill when the next row would take the batch beyond
// its limit. The batch then holds the rows before.
var ErrTooLarge = errors.New("the rows are larger than allowed")

// Fill steps through the statement and appends its rows to b, until b holds
// maxRows rows or maxBytes bytes. b must have been reset to the statement's
// number of columns, or to fewer: then the others are left out. It reports
// whether there may be more rows; if so, the statement is at the last one taken.
func (s *Stmt) Fill(b *Batch, maxRows, maxBytes int) (more bool, err error) {
	p := program(s.s)
	for b.Rows < maxRows && len(b.arena) < maxBytes {
		if more, err = s.Step(); err != nil || !more {
			return false, err
		}
		// Each Step may compile the statement anew. The registers behind those of
		// its row hold whatever the library had there before.
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

// convert appends what the library must convert first, such as text in UTF-16.
func (s *Stmt) convert(b *Batch, i int) Cell {
	return b.cell(s.Value(i))
}

// Run runs a statement that gives no rows, with the values of n rows of b, from
// row i on, as its parameters. After a failure it can run again.
func (s *Stmt) Run(b *Batch, i, n int) error {
	cells := b.cells[i*b.Columns : (i+n)*b.Columns]
	if s.Parameters() != len(cells) {
		return fmt.Errorf("run a statement: %d values for %d parameters", len(cells), s.Parameters())
	}
	if err := s.place(cells, b.arena); err != nil {
		return err
	}
	_, err := s.s.Step()
	if err == nil {
		err = s.s.Reset() // after a failure the driver has done it
	}
	s.release(len(cells))
	return stepFailure(err)
}
