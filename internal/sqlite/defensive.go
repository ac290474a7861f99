package sqlite

import (
	"errors"
	"fmt"
	"reflect"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// setDefensive forbids the language features that can damage a database file on
// purpose (https://sqlite.org/c3ref/c_dbconfig_defensive.html).
//
// The driver's own SetDefensive must not be used: it passes one argument where
// SQLite takes two, so that SQLite reads the second, an address to write to,
// from memory that is not its own. Now and then that ends the process. The
// driver has no way to its handles, hence the reflection; a test holds both.
func setDefensive(c *zs.Conn) error {
	fields := reflect.ValueOf(c).Elem()
	tls, handle := fields.FieldByName("tls"), fields.FieldByName("conn")
	if tls.Kind() != reflect.Pointer || handle.Kind() != reflect.Uintptr {
		return errors.New("the driver has other fields than this program was built for")
	}
	thread := (*libc.TLS)(tls.UnsafePointer())
	args := libc.NewVaList(int32(1), uintptr(0))
	if args == 0 {
		return errors.New("out of memory")
	}
	defer libc.Xfree(thread, args)
	code := lib.Xsqlite3_db_config(thread, uintptr(handle.Uint()), lib.SQLITE_DBCONFIG_DEFENSIVE, args)
	if code != lib.SQLITE_OK {
		return fmt.Errorf("set defensive mode: %w", zs.ResultCode(code).ToError())
	}
	return nil
}
