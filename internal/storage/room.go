package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/problem"
)

// Room keeps a full disk from becoming a dead end. It holds a reserve file; when
// little more than that is left, nothing that grows may start, and operations that
// free space may use the reserve. A nil Room never refuses anything.
//
//	free beyond the reserve file   what grows   what frees room
//	more than half of it           goes on      goes on
//	less                           refused      goes on
//	none                           refused      goes on, in the place of the reserve file
type Room struct {
	folder string
	path   string // of the reserve file
	size   int64  // of the reserve file; 0 if there is none
	free   func(folder string) (free, total int64, err error)
	log    *slog.Logger

	next atomic.Int64 // when to check again, in nanoseconds since the start of the process
	low  atomic.Bool

	mu    sync.Mutex
	given bool // the reserve file has been given up
}

// RoomOptions configure the size of the reserve.
type RoomOptions struct {
	// Reserve is the size of the reserve file in bytes, capped at a quarter of the
	// disk. 0 leaves an existing file as it is; negative means no reserve.
	Reserve int64
	Log     *slog.Logger // nil for none
	// Free returns how many bytes are free on the disk of a folder, and the size of
	// the disk; nil asks the system.
	Free func(folder string) (free, total int64, err error)
}

const (
	// lookEvery is how long the system's answer stays valid, and lookOften how long if
	// less than near is left above the mark: a disk can fill by a megabyte within
	// milliseconds.
	lookEvery = 100 * time.Millisecond
	lookOften = 3 * time.Millisecond
	near      = 256 << 20
	// slack must be free in addition, so that creating the reserve file does not use
	// the last block.
	slack = 64 << 10
)

var start = time.Now()

// OpenRoom makes the reserve file of a data folder as large as requested. On a disk
// that has no room for it, it is created later.
func OpenRoom(folder string, options RoomOptions) (*Room, error) {
	r := &Room{folder: folder, path: filepath.Join(folder, "reserve"), free: options.Free, log: options.Log}
	if r.free == nil {
		r.free = disk.Space
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	_, total, err := r.free(folder)
	if err != nil {
		return nil, fmt.Errorf("ask for the size of the disk: %w", err)
	}
	there, err := os.Stat(r.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case options.Reserve > 0:
		r.size = min(options.Reserve, total/4)
	case options.Reserve == 0 && err == nil:
		r.size = there.Size()
	}
	if r.size <= 0 {
		r.size = 0
		return r, r.remove()
	}
	if err != nil || there.Size() != r.size {
		r.given = true
		if err := r.remove(); err != nil {
			return nil, err
		}
	}
	r.look()
	return r, nil
}

// Low reports whether so little space is left that nothing may grow. It only asks the
// system now and then.
func (r *Room) Low() bool {
	if r == nil || r.size == 0 {
		return false
	}
	now := int64(time.Since(start))
	if next := r.next.Load(); now >= next && r.next.CompareAndSwap(next, now+int64(lookEvery)) {
		r.look()
	}
	return r.low.Load()
}

// Held returns the size of the reserve file in bytes, 0 while there is none.
func (r *Room) Held() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given {
		return 0
	}
	return r.size
}

// MayGrow fails with storage_full if so little space is left that nothing may grow.
func (r *Room) MayGrow() error {
	if !r.Low() {
		return nil
	}
	return TooFull()
}

// TooFull returns the error of growth while there is still a little space.
func TooFull() *problem.Error {
	return problem.New(problem.CodeStorageFull, "The disk is full. Nothing was written; deleting rows, tables, exports, imports, projects and tokens still works.")
}

// look checks how much is free, and recreates the reserve if there is room.
func (r *Room) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, _, err := r.free(r.folder)
	if err != nil {
		r.log.Error("ask for the free space", "error", err)
		return
	}
	if r.given && free >= r.size+slack && r.take() {
		free -= r.size
	}
	if free < r.size/2+near {
		r.next.Store(int64(time.Since(start) + lookOften))
	}
	low := r.given || free < r.size/2
	if r.low.Swap(low) == low {
		return
	}
	if low {
		r.log.Warn("the disk is nearly full: calls that need more space are refused", "free", free, "reserve_held", !r.given)
	} else {
		r.log.Info("there is room on the disk again", "free", free)
	}
}

// take creates the reserve file. The caller must hold mu.
func (r *Room) take() bool {
	if err := disk.Allocate(r.path, r.size); err != nil {
		r.log.Warn("the reserve on the disk cannot be made now", "error", err)
		_ = r.remove()
		return false
	}
	r.given = false
	return true
}

// Free runs fn, which frees space or uses hardly any. If it fails for lack of space,
// the reserve file is removed and fn runs again.
func (r *Room) Free(fn func() error) error {
	err := fn()
	if r == nil || r.size == 0 || !IsFull(err) {
		return err
	}
	if !r.give() {
		return err
	}
	err = fn()
	r.look()
	return err
}

// give removes the reserve file, and reports whether there was one.
func (r *Room) give() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.low.Store(true)
	if r.given {
		return false
	}
	if err := r.remove(); err != nil {
		r.log.Error("give the reserve on the disk up", "error", err)
		return false
	}
	r.given = true
	r.log.Warn("the disk is full: the reserve is given up, so that room can be made")
	return true
}

func (r *Room) remove() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
