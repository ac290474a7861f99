package sqlite

import (
	"fmt"
	"sync/atomic"

	zs "zombiezen.com/go/sqlite"
)

// Files bounds how many file descriptors several databases use together. The zero
// Files has no bound.
type Files struct {
	// Max is how many descriptors the databases may use before Spare is called; 0
	// means no bound. It is not a hard limit: databases that are all in use may exceed
	// it, until the system refuses to open more files.
	Max int64
	// Spare closes a database that nobody uses, and reports whether there was one.
	Spare func() bool

	used atomic.Int64
}

// filesPerConn is the number of files that a connection holds open: the database and
// its log. The shared-memory file is open once for all connections of a database.
const filesPerConn = 2

// maxSpared is the maximum number of databases closed to open one connection.
const maxSpared = 8

// Used returns the approximate number of descriptors in use.
func (f *Files) Used() int64 { return f.used.Load() }

func (f *Files) spare() bool { return f != nil && f.Spare != nil && f.Spare() }

// makeRoom closes unused databases while too many files are open.
func (f *Files) makeRoom() {
	if f == nil || f.Max == 0 {
		return
	}
	for range maxSpared {
		if f.used.Load()+filesPerConn <= f.Max || !f.spare() {
			return
		}
	}
}

func (f *Files) count(n int64) {
	if f != nil {
		f.used.Add(n)
	}
}

// connect opens a connection of the database. If the system is out of descriptors, it
// closes unused databases and tries again.
func (db *DB) connect(open func() (*Conn, error)) (*Conn, error) {
	files := db.options.Files
	files.makeRoom()
	for tried := 0; ; tried++ {
		c, err := open()
		if err == nil {
			c.files, c.generation = files, db.generation.Load()
			files.count(filesPerConn)
			return c, nil
		}
		if !CannotOpen(err) || tried == maxSpared || !files.spare() {
			return nil, fmt.Errorf("open %s: %w", db.path, err)
		}
	}
}

// openWriter opens the single write connection.
func (db *DB) openWriter(flags zs.OpenFlags) (*Conn, error) {
	synchronous := "PRAGMA synchronous = FULL"
	if db.options.Relaxed {
		synchronous = "PRAGMA synchronous = NORMAL"
	}
	return db.connect(func() (*Conn, error) {
		c, err := openConn(db.path, flags)
		if err != nil {
			return nil, err
		}
		if err := c.adopt(db.options.Schema, "PRAGMA journal_mode = WAL", synchronous, fmt.Sprintf("PRAGMA journal_size_limit = %d", maxLog)); err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	})
}

// openReader opens a read connection. It runs the first statement, which opens the
// log, right away, while a shortage of descriptors can still be handled.
func (db *DB) openReader() (*Conn, error) {
	return db.connect(func() (*Conn, error) {
		return openConn(db.path, zs.OpenReadOnly, "PRAGMA query_only = ON", "PRAGMA schema_version")
	})
}
