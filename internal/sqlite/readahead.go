//go:build !plain

package sqlite

import (
	"errors"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// readAhead sits between SQLite and the database file of one connection. SQLite
// requests each 4 KiB page from the system separately; when pages are read
// sequentially, readAhead requests many at once.
//
// The connection must stay in one read transaction: as long as it lasts, no checkpoint
// changes what the connection reads from the file rather than the log.
type readAhead struct {
	methods lib.Tsqlite3_io_methods // must be first, because it is all that SQLite knows of
	plain   *lib.Tsqlite3_io_methods
	file    *lib.Tsqlite3_file

	size       int64 // of the file; nothing beyond it is read ahead
	next       int64 // where the last read ended
	begin, end int64 // the part of the file that is in window
	window     [64 << 10]byte
}

// The signatures of the file functions used here, as the library declares them.
type (
	readMethod = func(thread *libc.TLS, file, p uintptr, n int32, offset int64) (code int32)
	sizeMethod = func(thread *libc.TLS, file, size uintptr) (code int32)
)

// startReadAhead starts reading ahead on a connection that is in a read transaction.
// stop must be called before the connection is closed.
func startReadAhead(c *zs.Conn) (stop func(), err error) {
	thread, db, err := handles(c)
	if err != nil {
		return nil, err
	}
	// SQLite keeps its address, so it must be in memory that Go does not move.
	place := lib.Xsqlite3_malloc64(thread, uint64(unsafe.Sizeof(readAhead{})))
	if place == 0 {
		return nil, errors.New("out of memory")
	}
	r := view[readAhead](place)
	*r = readAhead{}
	if code := r.open(thread, db); code != lib.SQLITE_OK {
		lib.Xsqlite3_free(thread, place)
		return nil, zs.ResultCode(code).ToError()
	}
	r.file.FpMethods = place
	return func() {
		r.file.FpMethods = uintptr(unsafe.Pointer(r.plain))
		lib.Xsqlite3_free(thread, place)
	}, nil
}

func (r *readAhead) open(thread *libc.TLS, db uintptr) (code int32) {
	code = lib.Xsqlite3_file_control(thread, db, 0, lib.SQLITE_FCNTL_FILE_POINTER, uintptr(unsafe.Pointer(&r.file)))
	if code != lib.SQLITE_OK {
		return code
	}
	r.plain = view[lib.Tsqlite3_io_methods](r.file.FpMethods)
	r.methods = *r.plain
	r.methods.FxRead = functionAddress(readMethod(readWindow))
	return function[sizeMethod](r.plain.FxFileSize)(thread, uintptr(unsafe.Pointer(r.file)), uintptr(unsafe.Pointer(&r.size)))
}

// readWindow reads like the plain method, which it calls for non-sequential reads and
// at the end of the file.
func readWindow(thread *libc.TLS, file, p uintptr, n int32, offset int64) (code int32) {
	r := view[readAhead](view[lib.Tsqlite3_file](file).FpMethods)
	read := function[readMethod](r.plain.FxRead)
	goesOn, end := offset == r.next, offset+int64(n)
	r.next = end
	if offset < r.begin || end > r.end {
		if !goesOn || offset+int64(len(r.window)) > r.size || int(n) > len(r.window) {
			return read(thread, file, p, n, offset)
		}
		r.begin, r.end = 0, 0 // if the read fails, the window holds nothing
		if read(thread, file, uintptr(unsafe.Pointer(&r.window)), int32(len(r.window)), offset) != lib.SQLITE_OK {
			return read(thread, file, p, n, offset)
		}
		r.begin, r.end = offset, offset+int64(len(r.window))
	}
	copy(unsafe.Slice(view[byte](p), n), r.window[offset-r.begin:])
	return lib.SQLITE_OK
}
