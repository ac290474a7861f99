//go:build !plain

package sqlite

import (
	"errors"
	"math"
	"reflect"
	"unsafe"

	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// program returns the library's own representation of a statement.
func program(s *zs.Stmt) *lib.TVdbe {
	return view[lib.TVdbe](uintptr(reflect.ValueOf(s).Elem().FieldByName("stmt").Uint()))
}

// resultColumns returns the current number of columns in the statement's rows.
func resultColumns(p *lib.TVdbe) int { return int(p.FnResColumn) }

// appendRow takes the values of a row from the registers that hold them, starting at
// pResultRow. Calling the library for each value would take a sixth of the time of an
// export. It reports whether the row is within the batch's limit, which is checked
// before each value is copied.
func (s *Stmt) appendRow(b *Batch, p *lib.TVdbe) bool {
	row := unsafe.Slice(view[lib.TMem](p.FpResultRow), b.Columns)
	for i := range row {
		m := &row[i]
		size := 0
		if (b.Limit > 0 || b.CellLimit > 0) && m.Fflags&(lib.MEM_Str|lib.MEM_Blob) != 0 {
			size = valueSize(m)
		}
		if b.Limit > 0 && len(b.arena)+b.kept(size) > b.Limit {
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
				c = b.appendBytes(Text, m, size)
			} else {
				c = s.convert(b, i)
			}
		case lib.MEM_Blob:
			c = b.appendBytes(Blob, m, size)
		default:
			c = s.convert(b, i)
		}
		if size > b.kept(size) {
			c = b.shorten(c, i, size)
		}
		b.cells = append(b.cells, c)
	}
	b.Rows++
	return true
}

// valueSize returns the size of a text or blob in bytes, including zeros that have not
// been expanded yet.
func valueSize(m *lib.TMem) int {
	if m.Fflags&lib.MEM_Zero != 0 {
		return int(m.Fn) + int(*(*int32)(unsafe.Pointer(&m.Fu))) // a union
	}
	return int(m.Fn)
}

// appendBytes copies a text or blob into the arena. Of one of a size that will be cut,
// it copies no more than tells where.
func (b *Batch) appendBytes(kind Kind, m *lib.TMem, size int) Cell {
	at, n := len(b.arena), m.Fn
	if size > b.kept(size) {
		n = min(n, int32(b.CellLimit)+1)
	}
	b.arena = append(b.arena, unsafe.Slice(view[byte](m.Fz), n)...)
	return Cell{Kind: kind, bits: uint64(at), size: uint32(n)}
}

// parameters returns the parameters in the library's memory. They move when the
// library recompiles a statement because tables have changed.
func (s *Stmt) parameters(n int) []lib.TMem {
	return unsafe.Slice(view[lib.TMem](program(s.s).FaVar), n)
}

// release clears the values that place has set: the memory that they point to is
// reused.
func (s *Stmt) release(n int) {
	parameters := s.parameters(n)
	for i := range parameters {
		parameters[i].Fflags = lib.MEM_Null
	}
}

// place writes values to where the library keeps the parameters of a statement that is
// not running. Binding each of them would take longer than inserting a row.
func (s *Stmt) place(cells []Cell, arena []byte) error {
	// Only the part of the arena that these rows use is copied, once for all rows.
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
			s.s.BindNull(i + 1) // frees what an earlier Bind left behind
		}
		switch c.Kind {
		case Integer:
			m.Fu.Fr = math.Float64frombits(c.bits) // a union: these are the integer's bits
			m.Fflags = lib.MEM_Int
		case Real:
			m.Fu.Fr = c.Float()
			m.Fflags = lib.MEM_Real
		case Text:
			m.Fz, m.Fn, m.Fenc = address+uintptr(c.bits-begin), int32(c.size), lib.SQLITE_UTF8
			m.Fflags = lib.MEM_Str | lib.MEM_Static // the library copies what it keeps
		case Blob:
			m.Fz, m.Fn = address+uintptr(c.bits-begin), int32(c.size)
			m.Fflags = lib.MEM_Blob | lib.MEM_Static
		}
		// SQLite has no NaN; binding it binds NULL.
		if c.Kind == Null || c.Kind == Real && math.IsNaN(c.Float()) {
			m.Fflags = lib.MEM_Null
		}
	}
	return nil
}

// hold copies bytes to the library's memory, where they stay until the next call: the
// library must not hold pointers to Go memory.
func (c *Conn) hold(bytes []byte) (address uintptr, err error) {
	const usual, most = 64 << 10, 1 << 20 // bytes kept allocated
	if have := len(c.held); have < max(len(bytes), 1) || have > most && len(bytes) <= most {
		if err := c.makeRoom(max(len(bytes), usual)); err != nil {
			return 0, err
		}
	}
	copy(c.held, bytes)
	return uintptr(unsafe.Pointer(unsafe.SliceData(c.held))), nil
}

// makeRoom resizes the memory for held bytes; 0 frees it.
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
