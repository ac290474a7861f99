package sqlite

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// Bounds limit what all connections of a process may use together. They are meant for
// a process that serves one stranger at a time: in one that serves many, a statement
// that hits them would make those of others fail too.
type Bounds struct {
	Heap      int64 // bytes of memory that SQLite may hold at once
	TempBytes int64 // bytes of temporary files that SQLite may have at once
	// Room returns how many bytes are available for temporary files on their disk:
	// when there are none left, the files cannot grow. Nil disables the check.
	Room func() (int64, error)
}

// Confine sets the bounds. It must be called once, before the process opens its first
// connection.
func Confine(b Bounds) error {
	thread := libc.NewTLS()
	defer thread.Close()
	// The library is built without memory statistics, and without them the heap limit
	// is accepted but limits nothing.
	args := libc.NewVaList(int32(1))
	if args == 0 {
		return errors.New("out of memory")
	}
	defer libc.Xfree(thread, args)
	if code := lib.Xsqlite3_config(thread, lib.SQLITE_CONFIG_MEMSTATUS, args); code != lib.SQLITE_OK {
		return fmt.Errorf("switch the statistics of memory on: %w", zs.ResultCode(code).ToError())
	}
	if code := lib.Xsqlite3_initialize(thread); code != lib.SQLITE_OK {
		return fmt.Errorf("initialize SQLite: %w", zs.ResultCode(code).ToError())
	}
	lib.Xsqlite3_hard_heap_limit64(thread, b.Heap)
	return temporary.watch(thread, b)
}

// TempExceeded reports whether a write to a temporary file has been refused because of
// the bound since the last call. SQLite reports it as a full disk.
func TempExceeded() bool {
	temporary.mu.Lock()
	defer temporary.mu.Unlock()
	refused := temporary.refused
	temporary.refused = false
	return refused
}

// temporaryFiles counts the bytes of SQLite's temporary files: those of sorts,
// materialized views and statement journals. RLIMIT_FSIZE would bound each of them
// separately, and also the artifacts that a process writes.
type temporaryFiles struct {
	mu       sync.Mutex
	max      int64
	total    int64
	room     func() (int64, error)    // see Bounds
	looked   int64                    // the total when Room was last called
	refused  bool                     // a write was refused because of the bound
	sizes    map[uintptr]int64        // by file
	plain    *lib.Tsqlite3_io_methods // the original methods of the files
	counting lib.Tsqlite3_io_methods  // the methods that SQLite calls instead
	openFile openMethod               // the library's method
	address  uintptr                  // of counting, in the library's memory
}

var temporary = temporaryFiles{sizes: map[uintptr]int64{}}

// The signatures of the file system and file functions used here, as the library
// declares them.
type (
	openMethod     = func(thread *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) (code int32)
	writeMethod    = func(thread *libc.TLS, file, p uintptr, n int32, offset int64) (code int32)
	truncateMethod = func(thread *libc.TLS, file uintptr, size int64) (code int32)
	closeMethod    = func(thread *libc.TLS, file uintptr) (code int32)
)

// watch makes the default file system count the bytes written to temporary files.
func (t *temporaryFiles) watch(thread *libc.TLS, b Bounds) error {
	vfs := lib.Xsqlite3_vfs_find(thread, 0)
	if vfs == 0 {
		return errors.New("SQLite has no file system")
	}
	t.max, t.room = b.TempBytes, b.Room
	system := view[lib.Tsqlite3_vfs](vfs)
	t.openFile = function[openMethod](system.FxOpen)
	system.FxOpen = functionAddress(openMethod(openCounted))
	return nil
}

// openCounted opens a file as the library does, and counts it if it is temporary.
func openCounted(thread *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) (code int32) {
	t := &temporary
	code = t.openFile(thread, vfs, name, file, flags, outFlags)
	const kinds = lib.SQLITE_OPEN_TEMP_DB | lib.SQLITE_OPEN_TRANSIENT_DB | lib.SQLITE_OPEN_TEMP_JOURNAL | lib.SQLITE_OPEN_SUBJOURNAL
	if code != lib.SQLITE_OK || flags&kinds == 0 {
		return code
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := view[lib.Tsqlite3_file](file)
	if t.plain == nil {
		t.plain = view[lib.Tsqlite3_io_methods](f.FpMethods)
		t.counting = *t.plain
		t.counting.FxWrite = functionAddress(writeMethod(writeCounted))
		t.counting.FxTruncate = functionAddress(truncateMethod(truncateCounted))
		t.counting.FxClose = functionAddress(closeMethod(closeCounted))
		// SQLite keeps the address, so it must be in memory that Go does not move.
		t.address = lib.Xsqlite3_malloc64(thread, uint64(unsafe.Sizeof(t.counting)))
		if t.address == 0 {
			t.plain = nil
			function[closeMethod](view[lib.Tsqlite3_io_methods](f.FpMethods).FxClose)(thread, file)
			f.FpMethods = 0
			return lib.SQLITE_NOMEM
		}
		*view[lib.Tsqlite3_io_methods](t.address) = t.counting
	}
	t.sizes[file] = 0
	f.FpMethods = t.address
	return code
}

func writeCounted(thread *libc.TLS, file, p uintptr, n int32, offset int64) (code int32) {
	t := &temporary
	if !t.resize(file, max(t.size(file), offset+int64(n))) {
		return lib.SQLITE_FULL
	}
	return function[writeMethod](t.plain.FxWrite)(thread, file, p, n, offset)
}

func truncateCounted(thread *libc.TLS, file uintptr, size int64) (code int32) {
	t := &temporary
	code = function[truncateMethod](t.plain.FxTruncate)(thread, file, size)
	if code == lib.SQLITE_OK {
		t.resize(file, size)
	}
	return code
}

func closeCounted(thread *libc.TLS, file uintptr) (code int32) {
	t := &temporary
	t.mu.Lock()
	t.total -= t.sizes[file]
	delete(t.sizes, file)
	t.mu.Unlock()
	return function[closeMethod](t.plain.FxClose)(thread, file)
}

func (t *temporaryFiles) size(file uintptr) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sizes[file]
}

// resize records the size of a file, unless the total would be too large.
func (t *temporaryFiles) resize(file uintptr, size int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	grows := size - t.sizes[file]
	if grows > 0 && t.total+grows > t.max {
		t.refused = true
		return false
	}
	if grows > 0 && !t.hasRoom(t.total+grows) {
		return false
	}
	t.total += grows
	t.sizes[file] = size
	return true
}

// lookEvery is how many bytes temporary files may grow between two checks of the disk.
const lookEvery = 8 << 20

// hasRoom reports whether the disk had room for the given number of bytes when it was
// last checked.
func (t *temporaryFiles) hasRoom(total int64) bool {
	if t.room == nil || total < t.looked+lookEvery {
		t.looked = min(t.looked, total)
		return true
	}
	t.looked = total
	room, err := t.room()
	return err != nil || room > 0
}
