package sqlite

import (
	"sync"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// lockByDescription makes SQLite's locks on database files belong to the open file
// description instead of the process. A POSIX lock is lost as soon as the process
// closes any descriptor of the file, whoever opened it; other users of the database,
// such as another process, would then not see that it is in use. Kernels without such
// locks continue to use POSIX locks.
//
// It must be called before the first database is opened; later it has no effect.
var lockByDescription = sync.OnceFunc(func() {
	tls := libc.NewTLS()
	defer tls.Close()
	lib.Xmodernc_ofd_locking(tls, 1)
})
