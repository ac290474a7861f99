package sqlite

import (
	"errors"
	"reflect"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// The driver gives no access to what it wraps, hence the reflection. Tests fail if a
// driver version has other fields.

// handles returns the library's own handle of a connection.
func handles(c *zs.Conn) (thread *libc.TLS, db uintptr, err error) {
	fields := reflect.ValueOf(c).Elem()
	tls, handle := fields.FieldByName("tls"), fields.FieldByName("conn")
	if tls.Kind() != reflect.Pointer || handle.Kind() != reflect.Uintptr {
		return nil, 0, errors.New("the driver has other fields than this program was built for")
	}
	return (*libc.TLS)(tls.UnsafePointer()), uintptr(handle.Uint()), nil
}

// columnName returns the name of a result column. The driver's own function finds only
// one of several columns with the same name.
func columnName(s *zs.Stmt, i int) string {
	fields := reflect.ValueOf(s).Elem()
	thread, _, err := handles((*zs.Conn)(fields.FieldByName("conn").UnsafePointer()))
	if err != nil {
		return s.ColumnName(i)
	}
	return libc.GoString(lib.Xsqlite3_column_name(thread, uintptr(fields.FieldByName("stmt").Uint()), int32(i)))
}

// view returns the value at an address in the library's memory, which Go's garbage
// collector does not manage.
func view[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function converts an address from the library to a Go function, and functionAddress
// does the reverse.
func function[F any](address uintptr) F  { return *(*F)(unsafe.Pointer(&address)) }
func functionAddress[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }
