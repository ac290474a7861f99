package projectdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
	"github.com/zangtable/zangtable/internal/worker"
)

// Dir is the folder of project databases, one file <id>.db each. Databases are opened
// on demand and closed when too many are open.
type Dir struct {
	folder  string
	options DirOptions

	mu       sync.Mutex
	open     map[ids.Project]*lease
	building map[ids.Project]bool // projects that Create is building
	feeds    feeds
	closed   bool
	closing  sync.WaitGroup // waits for surplus databases
	workers  *worker.Pool   // owned by the Dir; nil for none
}

// DirOptions configure how project databases are opened.
type DirOptions struct {
	MaxOpen   int // maximum number of idle databases kept open; 0 means 256
	MaxTables int // maximum number of tables of a project; 0 means no limit
	// MaxFiles is how many file descriptors databases may use before idle ones are
	// closed; 0 means no limit.
	MaxFiles int64
	Log      *slog.Logger     // nil for none
	Room     *storage.Room    // nil if the disk is not watched
	Quotas   *storage.Quotas  // of the projects; nil for none
	Relaxed  bool             // synchronous=NORMAL, see sqlite.Options
	Now      func() time.Time // nil means time.Now
	Workers  *worker.Pool     // run the SQL of clients; nil means that the Dir starts its own
	Bounds   Bounds
	// Committed, if not nil, is called after each shared commit of small writes with
	// their number.
	Committed func(writes int)

	files *sqlite.Files // set by OpenDir
}

// lease is one open database and its number of users.
type lease struct {
	users  int
	used   time.Time
	ready  chan struct{} // closed when db or err is set
	db     *DB
	err    error
	remove bool // the project is being deleted: no new users are let in
	idle   chan struct{}
}

// OpenDir opens the folder and creates it if it is missing.
func OpenDir(folder string, options DirOptions) (*Dir, error) {
	if options.MaxOpen == 0 {
		options.MaxOpen = 256
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	options.Bounds.Wait = cmp.Or(options.Bounds.Wait, DefaultWait)
	options.Bounds.Records = cmp.Or(options.Bounds.Records, DefaultRecords)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of projects: %w", err)
	}
	d := &Dir{folder: folder, options: options, open: map[ids.Project]*lease{}, building: map[ids.Project]bool{}}
	d.feeds.now = options.Now
	d.options.files = &sqlite.Files{Max: options.MaxFiles, Spare: d.spare}
	if options.Workers == nil {
		own, err := worker.Open(worker.Options{Folder: filepath.Join(folder, "workers")})
		if err != nil {
			return nil, err
		}
		d.workers, d.options.Workers = own, own
	}
	return d, nil
}

// Workers returns the workers that run the SQL of clients.
func (d *Dir) Workers() *worker.Pool { return d.options.Workers }

// Opened returns how many databases are open.
func (d *Dir) Opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// Logs returns the size of the write-ahead logs of all open databases together, and of
// the largest one, in bytes.
func (d *Dir) Logs() (total, largest int64) {
	d.mu.Lock()
	open := slices.Collect(maps.Keys(d.open))
	d.mu.Unlock()
	for _, id := range open {
		if info, err := os.Stat(d.path(id) + "-wal"); err == nil { // else it has just been closed
			total += info.Size()
			largest = max(largest, info.Size())
		}
	}
	return total, largest
}

// path returns the path of a project's database.
func (d *Dir) path(id ids.Project) string {
	return filepath.Join(d.folder, strconv.FormatInt(int64(id), 10)+".db")
}

// Create makes the database of a new project. It is built under a temporary name and
// moved into place once build has succeeded and everything is on disk; a failure
// leaves nothing behind.
func (d *Dir) Create(ctx context.Context, id ids.Project, build func(*DB) error) error {
	if err := d.options.Room.MayGrow(); err != nil {
		return err
	}
	if err := d.claim(id); err != nil {
		return err
	}
	defer d.unclaim(id)
	building := filepath.Join(d.folder, strconv.FormatInt(int64(id), 10)+buildingSuffix)
	defer removeDatabase(building)
	if err := removeDatabase(building); err != nil {
		return fmt.Errorf("clear the place of project %d: %w", id, err)
	}
	if err := d.build(ctx, id, building, build); err != nil {
		return err
	}
	// Nobody has the database open: closing a descriptor of a file that SQLite uses
	// would drop its locks.
	file, err := os.OpenFile(building, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return disk.Publish(file, d.path(id), nil)
}

// buildingSuffix is the suffix of a database that is being built.
const buildingSuffix = ".building"

// claim makes sure that nobody else is making, or has made, a project with the id.
func (d *Dir) claim(id ids.Project) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Lstat(d.path(id)); d.building[id] || !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the database of project %d is there already", id)
	}
	d.building[id] = true
	return nil
}

func (d *Dir) unclaim(id ids.Project) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.building, id)
}

func (d *Dir) build(ctx context.Context, id ids.Project, path string, build func(*DB) error) (err error) {
	db, err := openDB(path, id, d.options, nil)
	if err != nil {
		return explain(err)
	}
	// Closing checkpoints the log, so that the one file holds everything.
	defer func() { err = errors.Join(err, db.close()) }()
	if build == nil {
		return nil
	}
	return build(db)
}

// removeDatabase deletes a database file with its log. A missing file is not an error.
func removeDatabase(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Lease opens the database of a project, or shares it if it is already open, until
// release is called. A missing or unreadable file is project_damaged.
func (d *Dir) Lease(ctx context.Context, id ids.Project) (db *DB, release func(), err error) {
	l, mine, err := d.join(id)
	if err != nil {
		return nil, nil, err
	}
	if mine {
		l.db, l.err = d.openExisting(id)
		close(l.ready)
	}
	select {
	case <-l.ready:
	case <-ctx.Done():
		d.leave(id, l)
		return nil, nil, ctx.Err()
	}
	if l.err != nil {
		d.leave(id, l)
		return nil, nil, l.err
	}
	return l.db, sync.OnceFunc(func() { d.leave(id, l) }), nil
}

// join adds a user to the lease of a project. If mine is true, the lease is new and
// the caller opens the database.
func (d *Dir) join(id ids.Project) (l *lease, mine bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, false, storage.Explain(sqlite.ErrClosed)
	}
	l, ok := d.open[id]
	if !ok {
		l = &lease{ready: make(chan struct{}), idle: make(chan struct{})}
		d.open[id] = l
	}
	if l.remove {
		return nil, false, errBeingDeleted()
	}
	l.users++
	return l, !ok, nil
}

func errBeingDeleted() error {
	return problem.New(problem.CodeNotFound, "The project is being deleted.")
}

func (d *Dir) openExisting(id ids.Project) (*DB, error) {
	path := d.path(id)
	err := checkFileOf(path)
	if err == nil {
		var db *DB
		feed, leave := d.feeds.enter(id)
		err = d.options.Room.Free(func() (err error) {
			db, err = openDB(path, id, d.options, feed)
			return err
		})
		if err == nil {
			db.leaveFeed = leave
			return db, nil
		}
		leave()
	}
	// Only errors of the file itself count as damage: a full disk, an unreadable disk
	// and too many open files are passed on.
	if explained := storage.Explain(err); problem.Is(explained, problem.CodeBusy) || problem.Is(explained, problem.CodeStorageFull) {
		return nil, explained
	}
	return nil, damaged(err)
}

// checkFileOf fails if there can be no database at path. It does not open the file:
// closing it again could drop the locks of whoever has it open.
func checkFileOf(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return fmt.Errorf("%s is not a database file", path)
	}
	return disk.Accessible(path)
}

// leave removes a user from a lease. A database that could not be opened is forgotten,
// so that the next request tries again.
func (d *Dir) leave(id ids.Project, l *lease) {
	d.mu.Lock()
	l.users--
	l.used = d.options.Now()
	if l.users == 0 && l.err != nil && !l.remove && d.open[id] == l {
		delete(d.open, id)
	}
	if l.users == 0 && l.remove {
		close(l.idle)
	}
	surplus := d.takeSurplus()
	d.closing.Add(1)
	d.mu.Unlock()
	defer d.closing.Done()
	closeAll(surplus)
}

// takeSurplus removes the longest-idle databases from the list until at most MaxOpen
// are left or all are in use, and returns them.
func (d *Dir) takeSurplus() []*DB {
	var surplus []*DB
	for len(d.open) > d.options.MaxOpen {
		db := d.takeIdlest()
		if db == nil {
			break
		}
		surplus = append(surplus, db)
	}
	return surplus
}

// takeIdlest removes the longest-idle database from the list and returns it; nil if
// all are in use.
func (d *Dir) takeIdlest() *DB {
	var oldest ids.Project
	var found *lease
	for id, l := range d.open {
		if l.users == 0 && !l.remove && (found == nil || l.used.Before(found.used)) {
			oldest, found = id, l
		}
	}
	if found == nil {
		return nil
	}
	delete(d.open, oldest)
	return found.db
}

// spare closes the longest-idle database to free file descriptors. It reports whether
// there was one.
func (d *Dir) spare() bool {
	d.mu.Lock()
	db := d.takeIdlest()
	d.closing.Add(1)
	d.mu.Unlock()
	defer d.closing.Done()
	if db == nil {
		return false
	}
	closeAll([]*DB{db})
	return true
}

// closeAll closes databases. A database that is already closed is not an error.
func closeAll(dbs []*DB) error {
	var errs []error
	for _, db := range dbs {
		if err := db.close(); !errors.Is(err, sqlite.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Remove deletes the database of a project once its current users are done; new users
// are refused. A project that is already being removed is not_found.
func (d *Dir) Remove(id ids.Project) error {
	d.mu.Lock()
	l, ok := d.open[id]
	if !ok {
		l = &lease{idle: make(chan struct{})}
		d.open[id] = l
	}
	if l.remove {
		d.mu.Unlock()
		return errBeingDeleted()
	}
	l.remove = true
	if l.users == 0 {
		close(l.idle)
	}
	d.mu.Unlock()
	d.feeds.end(id)
	<-l.idle
	defer d.forget(id)
	if l.db != nil {
		if err := closeAll([]*DB{l.db}); err != nil {
			return err
		}
	}
	return removeDatabase(d.path(id))
}

func (d *Dir) forget(id ids.Project) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, id)
}

// IDs returns the ids of the projects that have a database file, and removes leftovers
// of interrupted calls of Create.
func (d *Dir) IDs() ([]ids.Project, error) {
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		return nil, fmt.Errorf("list the projects: %w", err)
	}
	var list []ids.Project
	for _, e := range entries {
		name, suffix, _ := strings.Cut(e.Name(), ".")
		number, err := strconv.ParseInt(name, 10, 64)
		id := ids.Project(number)
		switch suffix = "." + suffix; {
		case err != nil:
		case suffix == ".db":
			list = append(list, id)
		case strings.HasPrefix(suffix, buildingSuffix):
			if err := d.removeUnfinished(id); err != nil {
				return nil, fmt.Errorf("remove the unfinished project %d: %w", id, err)
			}
		}
	}
	return list, nil
}

func (d *Dir) removeUnfinished(id ids.Project) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.building[id] {
		return nil
	}
	return removeDatabase(filepath.Join(d.folder, strconv.FormatInt(int64(id), 10)+buildingSuffix))
}

// Close closes every database, after waiting for those in use.
func (d *Dir) Close() error {
	err := d.closeDatabases()
	if d.workers != nil {
		err = errors.Join(err, d.workers.Close())
	}
	return err
}

func (d *Dir) closeDatabases() error {
	d.mu.Lock()
	d.closed = true
	leases := slices.Collect(maps.Values(d.open))
	clear(d.open)
	d.mu.Unlock()
	defer d.closing.Wait()
	var dbs []*DB
	for _, l := range leases {
		if l.ready == nil {
			continue // it is only listed to be removed
		}
		if <-l.ready; l.db != nil {
			dbs = append(dbs, l.db)
		}
	}
	return closeAll(dbs)
}
