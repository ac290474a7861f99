package sqlite

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	lib "modernc.org/sqlite/lib"
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
		if int(p.FnResColumn) < b.Columns {
			return false, ErrOtherColumns
		}
		if before := len(b.arena); !s.appendRow(b, p) {
			b.Cut(b.Rows, before)
			return false, ErrTooLarge
		}
	}
	return true, nil
}

// appendRow takes the values of a row from the registers that hold them, those
// from pResultRow on. Calls of the library for each would take a sixth of the time
// of an export. It reports whether the row is within the batch's limit, which is
// looked at before each value is copied.
func (s *Stmt) appendRow(b *Batch, p *lib.TVdbe) bool {
	row := unsafe.Slice(view[lib.TMem](p.FpResultRow), b.Columns)
	for i := range row {
		m := &row[i]
		if b.Limit > 0 && m.Fflags&(lib.MEM_Str|lib.MEM_Blob) != 0 && len(b.arena)+valueSize(m) > b.Limit {
			return false
		}
		var c Cell
		switch m.Fflags & (lib.MEM_AffMask | lib.MEM_Zero) {
		case lib.MEM_Null:
		case lib.MEM_Int:
			c = Cell{Kind: Integer, bits: math.Float64bits(m.Fu.Fr)} // a union
		case lib.MEM_Real:
			c = realCell(m.Fu.Fr)
		case lib.MEM_Str:
			if m.Fenc == lib.SQLITE_UTF8 {
				c = b.appendBytes(Text, m)
			} else {
				c = s.convert(b, i)
			}
		case lib.MEM_Blob:
			c = b.appendBytes(Blob, m)
		default:
			c = s.convert(b, i)
		}
		b.cells = append(b.cells, c)
	}
	b.Rows++
	return true
}

// valueSize returns how many bytes a text or blob has, with the zeros that are
// not there yet.
func valueSize(m *lib.TMem) int {
	if m.Fflags&lib.MEM_Zero != 0 {
		return int(m.Fn) + int(*(*int32)(unsafe.Pointer(&m.Fu))) // a union
	}
	return int(m.Fn)
}

// appendBytes copies a text or blob into the arena.
func (b *Batch) appendBytes(kind Kind, m *lib.TMem) Cell {
	at := len(b.arena)
	b.arena = append(b.arena, unsafe.Slice(view[byte](m.Fz), m.Fn)...)
	return Cell{Kind: kind, bits: uint64(at), size: uint32(m.Fn)}
}

// convert appends what the library must convert first, such as text in UTF-16.
func (s *Stmt) convert(b *Batch, i int) Cell {
	return b.cell(s.Value(i))
}

// Run runs a statement that gives no rows, with the values of n rows of b, from
// row i on, as its parameters. After a failure it can run again. The values are
// put where the library keeps parameters: binding each of them would take longer
// than to insert a row.
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
	parameters := s.parameters(len(cells))
	for i := range parameters {
		parameters[i].Fflags = lib.MEM_Null // what they point at is used again
	}
	return stepFailure(err)
}

// parameters returns where the library keeps them. When it compiles a statement
// anew, because tables have changed, that is another place.
func (s *Stmt) parameters(n int) []lib.TMem {
	return unsafe.Slice(view[lib.TMem](program(s.s).FaVar), n)
}

// place puts values where the library keeps the parameters of a statement that is
// not running.
func (s *Stmt) place(cells []Cell, arena []byte) error {
	begin, end := uint64(len(arena)), uint64(0)
	for _, c := range cells {
		if c.Kind == Text || c.Kind == Blob {
			begin, end = min(begin, c.bits), max(end, c.bits+uint64(c.size))
		}
	}
	var bytes []byte
	if begin < end {
		bytes = arena[begin:end]
	}
	address, err := s.conn.hold(bytes)
	if err != nil {
		return err
	}
	parameters := s.parameters(len(cells))
	for i, c := range cells {
		m := &parameters[i]
		if m.Fflags&lib.MEM_Dyn != 0 {
			s.s.BindNull(i + 1) // frees what Bind has left
		}
		switch c.Kind {
		case Integer:
			m.Fu.Fr = math.Float64frombits(c.bits) // a union
			m.Fflags = lib.MEM_Int
		case Real:
			m.Fu.Fr = c.Float()
			m.Fflags = lib.MEM_Real
		case Text:
			m.Fz, m.Fn, m.Fenc = address+uintptr(c.bits-begin), int32(c.size), lib.SQLITE_UTF8
			m.Fflags = lib.MEM_Str | lib.MEM_Static
		case Blob:
			m.Fz, m.Fn = address+uintptr(c.bits-begin), int32(c.size)
			m.Fflags = lib.MEM_Blob | lib.MEM_Static
		}
		if c.Kind == Null || c.Kind == Real && math.IsNaN(c.Float()) {
			m.Fflags = lib.MEM_Null
		}
	}
	return nil
}

// hold copies bytes to memory of the library, where they stay until the next
// call: it must have no pointers to memory of Go.
func (c *Conn) hold(bytes []byte) (address uintptr, err error) {
	const usual, most = 64 << 10, 1 << 20 // bytes that are kept
	if have := len(c.held); have < max(len(bytes), 1) || have > most && len(bytes) <= most {
		if err := c.makeRoom(max(len(bytes), usual)); err != nil {
			return 0, err
		}
	}
	copy(c.held, bytes)
	return uintptr(unsafe.Pointer(unsafe.SliceData(c.held))), nil
}

// makeRoom gives the memory for what is held another size, 0 for none.
func (c *Conn) makeRoom(size int) error {
	if size == len(c.held) {
		return nil
	}
	thread, _, err := handles(c.c)
	if err != nil {
		return err
	}
	lib.Xsqlite3_free(thread, uintptr(unsafe.Pointer(unsafe.SliceData(c.held))))
	c.held = nil
	if size == 0 {
		return nil
	}
	address := lib.Xsqlite3_malloc64(thread, uint64(size))
	if address == 0 {
		return errors.New("out of memory")
	}
	c.held = unsafe.Slice(view[byte](address), size)
	return nil
}
