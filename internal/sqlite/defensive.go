package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// setDefensive disables the language features that can deliberately damage a database
// file (https://sqlite.org/c3ref/c_dbconfig_defensive.html).
//
// The driver's own SetDefensive must not be used: it passes one argument where SQLite
// takes two, so that SQLite reads the second, an address to write to, from memory
// beyond the arguments. This occasionally crashes the process.
func setDefensive(c *zs.Conn) error {
	thread, db, err := handles(c)
	if err != nil {
		return err
	}
	args := libc.NewVaList(int32(1), uintptr(0))
	if args == 0 {
		return errors.New("out of memory")
	}
	defer libc.Xfree(thread, args)
	code := lib.Xsqlite3_db_config(thread, db, lib.SQLITE_DBCONFIG_DEFENSIVE, args)
	if code != lib.SQLITE_OK {
		return fmt.Errorf("set defensive mode: %w", zs.ResultCode(code).ToError())
	}
	return nil
}
