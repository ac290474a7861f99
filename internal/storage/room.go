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
// little more than that is left, nothing that grows is begun, and what frees room
// may use the reserve. The methods of a nil Room put nothing in the way.
//
//	free beyond the reserve file   what grows   what frees room
//	more than half of it           goes on      goes on
//	less                           refused      goes on
//	none                           refused      goes on, in the place of the reserve file
type Room struct {
	folder string
	path   string // of the reserve file
	size   int64  // of the reserve file; 0: there is none
	free   func(folder string) (free, total int64, err error)
	log    *slog.Logger

	next atomic.Int64 // when to look again, in nanoseconds since the start of the process
	low  atomic.Bool

	mu    sync.Mutex
	given bool // the reserve file has been given up
}

// RoomOptions say how large a reserve is.
type RoomOptions struct {
	// Reserve is how large the reserve file is, in bytes, though at most a quarter
	// of the disk. 0 leaves a file as it is that is there; negative: no reserve.
	Reserve int64
	Log     *slog.Logger // nil for none
	// Free returns how many bytes are free on the disk of a folder, and how many it
	// has; nil asks the system.
	Free func(folder string) (free, total int64, err error)
}

const (
	// lookEvery is for how long the answer of the system is good, and lookOften for
	// how long while less than near is left above the mark: a disk can be filled by
	// a megabyte in a few milliseconds.
	lookEvery = 100 * time.Millisecond
	lookOften = 3 * time.Millisecond
	near      = 256 << 20
	// slack is what has to be free besides, so that the reserve file is not made by
	// using the last block.
	slack = 64 << 10
)

var start = time.Now()

// OpenRoom makes the reserve file of a data folder as large as is wanted. On a
// disk that has no room for it, it is made later.
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

// Low reports whether so little room is left that nothing may grow. It asks the
// system once in a while only.
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

// MayGrow fails with storage_full when so little room is left that nothing may
// grow.
func (r *Room) MayGrow() error {
	if !r.Low() {
		return nil
	}
	return TooFull()
}

// TooFull is the answer to what would grow while there is still a little room.
func TooFull() *problem.Error {
	return problem.New(problem.CodeStorageFull, "The disk is full. Nothing was written; deleting rows, tables, exports, imports, projects and tokens still works.")
}

// look asks how much is free, and takes the reserve back when there is room.
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

// take makes the reserve file. The caller holds mu.
func (r *Room) take() bool {
	if err := disk.Allocate(r.path, r.size); err != nil {
		r.log.Warn("the reserve on the disk cannot be made now", "error", err)
		_ = r.remove()
		return false
	}
	r.given = false
	return true
}

// Free runs fn, which frees room or takes none to speak of. When it fails for
// want of room, the reserve file is given up, and fn runs again.
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

// give gives the reserve file up, and reports whether there was one.
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
