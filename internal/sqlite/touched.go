package sqlite

import (
	"sync"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// observer is told about every row before a connection changes it.
type observer struct {
	last      uintptr // the address of the last table name seen: consecutive rows are mostly of the same table
	name      string  // that name
	touched   map[string]bool
	recording *Recording
}

// watched maps the library's handle of every watched connection to its observer: what
// SQLite calls must not refer to memory that Go moves.
var watched sync.Map

// rowHook is the function that the library calls before it changes a row.
type rowHook = func(thread *libc.TLS, arg, db uintptr, op int32, database, table uintptr, before, after int64)

func noteRow(_ *libc.TLS, _, db uintptr, op int32, _, table uintptr, before, after int64) {
	found, _ := watched.Load(db)
	o, ok := found.(*observer)
	if !ok {
		return
	}
	if o.last != table {
		o.last, o.name = table, libc.GoString(table)
		if o.touched != nil {
			o.touched[o.name] = true
		}
	}
	if o.recording != nil {
		o.recording.note(o.name, op, before, after)
	}
}

// watch returns the observer of the connection. The outermost call installs it, and
// its release removes it.
func (c *Conn) watch() (o *observer, release func(), err error) {
	thread, db, err := handles(c.c)
	if err != nil {
		return nil, nil, err
	}
	if found, ok := watched.Load(db); ok {
		o := found.(*observer)
		o.last = 0 // whoever joins has not seen the table yet
		return o, func() {}, nil
	}
	o = &observer{}
	watched.Store(db, o)
	lib.Xsqlite3_preupdate_hook(thread, db, functionAddress(rowHook(noteRow)), 0)
	return o, func() {
		lib.Xsqlite3_preupdate_hook(thread, db, 0, 0)
		watched.Delete(db)
	}, nil
}

// Touched runs fn and returns the tables in which it inserted, changed or deleted
// rows, including those reached only by foreign key actions. A DELETE without WHERE is
// not seen: SQLite drops all rows at once.
func (c *Conn) Touched(fn func() error) (tables []string, err error) {
	o, release, err := c.watch()
	if err != nil {
		return nil, err
	}
	defer release()
	o.touched = map[string]bool{}
	defer func() { o.touched = nil }()
	err = fn()
	for name := range o.touched {
		tables = append(tables, name)
	}
	return tables, err
}
