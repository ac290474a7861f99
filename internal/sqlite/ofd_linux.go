package sqlite

import (
	"sync"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// lockByDescription has SQLite take its locks on database files in the name of
// the open file and not of the process. A POSIX lock is lost as soon as the
// process closes any descriptor of the file, whoever has opened it; others who
// then use the database, such as another process, would not see that it is in
// use. Kernels without such locks go on with POSIX locks.
//
// It must be called before the first database is opened; later it does nothing.
var lockByDescription = sync.OnceFunc(func() {
	tls := libc.NewTLS()
	defer tls.Close()
	lib.Xmodernc_ofd_locking(tls, 1)
})
