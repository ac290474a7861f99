package sqlite

import (
	"sync"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// touched collects the tables whose rows a connection changes.
type touched struct {
	last  uintptr // the address of the last name seen: consecutive rows are mostly of the same table
	names map[string]bool
}

// watched maps the library's handle of every connection inside Touched to its touched:
// what SQLite calls must not refer to memory that Go moves.
var watched sync.Map

// rowHook is the function that the library calls before it changes a row.
type rowHook = func(thread *libc.TLS, arg, db uintptr, op int32, database, table uintptr, before, after int64)

// noteRow records the table of a row.
func noteRow(_ *libc.TLS, _, db uintptr, _ int32, _, table uintptr, _, _ int64) {
	found, _ := watched.Load(db)
	if t, ok := found.(*touched); ok && t.last != table {
		t.last = table
		t.names[libc.GoString(table)] = true
	}
}

// Touched runs fn and returns the tables in which it inserted, changed or deleted
// rows, including those reached only by foreign key actions. A DELETE without WHERE is
// not seen: SQLite drops all rows at once.
func (c *Conn) Touched(fn func() error) (tables []string, err error) {
	thread, db, err := handles(c.c)
	if err != nil {
		return nil, err
	}
	t := &touched{names: map[string]bool{}}
	watched.Store(db, t)
	lib.Xsqlite3_preupdate_hook(thread, db, functionAddress(rowHook(noteRow)), 0)
	defer func() {
		lib.Xsqlite3_preupdate_hook(thread, db, 0, 0)
		watched.Delete(db)
	}()
	err = fn()
	for name := range t.names {
		tables = append(tables, name)
	}
	return tables, err
}
