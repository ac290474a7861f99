package sqlite

import (
	"fmt"

	lib "modernc.org/sqlite/lib"
)

// minimumVersion is 3.51.3: older releases can corrupt a database when a
// write-ahead log is reset (https://sqlite.org/releaselog/3_51_3.html).
const minimumVersion = 3_051_003

// Version returns the version of the SQLite library, such as "3.54.1".
func Version() string { return lib.SQLITE_VERSION }

// CheckVersion fails if the SQLite library is too old to be trusted with data. A
// server calls it before it opens anything.
func CheckVersion() error {
	if lib.SQLITE_VERSION_NUMBER < minimumVersion {
		return fmt.Errorf("SQLite %s is too old: 3.51.3 or newer is needed", Version())
	}
	return nil
}
