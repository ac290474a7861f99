//go:build linux

// Package faultfs is a file system on top of a folder that does what disks do: it
// loses what was not synced when the power fails, and makes calls fail.
//
// All changes go to the folder immediately. In addition, the file system records what
// the folder would look like after a power failure: the blocks of each file as of its
// last fsync, and the entries of each directory as of its last fsync. The fsync of a
// newly created file also makes its entry durable, as on Linux file systems. Cut
// reverts the folder to that state, or to something between it and the present.
package faultfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// blockSize is the unit, in bytes, in which the content of a file survives or is lost.
const blockSize = 4096

// FS is a mounted file system.
type FS struct {
	folder, grave string // grave keeps removed files until their removal is durable
	at            string
	server        *fuse.Server
	random        *rand.Rand

	mu        sync.Mutex
	files     map[uint64]*file // by inode; only those with unsynced changes
	names     []change         // changes that are not durable yet, in order
	buried    int
	failWrite int // one in this many writes fails; 0 for none
	failSync  int
	delay     time.Duration // of every fsync
	frozen    bool          // set once the power has failed
	failed    int           // number of calls that were made to fail
	unsynced  []string
}

// Mount mounts a file system for folder at another folder. The seed determines the
// random choices of Cut and of failures.
func Mount(folder, at string, seed uint64) (*FS, error) {
	f := &FS{
		folder: folder, grave: folder + ".grave", at: at,
		random: rand.New(rand.NewPCG(seed, 1)),
		files:  map[uint64]*file{},
	}
	for _, path := range []string{folder, at, f.grave} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
	}
	root, err := fs.NewLoopbackRoot(folder)
	if err != nil {
		return nil, err
	}
	short := time.Duration(0)
	f.server, err = fs.Mount(at, &node{LoopbackNode: root.(*fs.LoopbackNode), fs: f}, &fs.Options{
		EntryTimeout: &short, AttrTimeout: &short,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "faultfs", Name: "faultfs", MaxWrite: 1 << 20},
	})
	if err != nil {
		return nil, fmt.Errorf("mount a file system: %w", err)
	}
	return f, nil
}

// Fail makes one in the given numbers of writes and of fsyncs fail with an I/O error
// from now on; 0 makes none fail.
func (f *FS) Fail(writes, syncs int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failWrite, f.failSync = writes, syncs
}

// Slow makes every fsync take at least the given time, as on real disks.
func (f *FS) Slow(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// wait sleeps for the duration of an fsync.
func (f *FS) wait() {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	time.Sleep(delay)
}

// Failed returns how many calls were made to fail.
func (f *FS) Failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// Unsynced returns the renames, from names ending in suffix, of files with unsynced
// content: after a power failure such a file exists under its new name, without its
// content.
func (f *FS) Unsynced(suffix string) (renames []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.unsynced {
		if from, _, _ := strings.Cut(name, " "); strings.HasSuffix(from, suffix) {
			renames = append(renames, name)
		}
	}
	return renames
}

// Freeze is the moment of the power failure: from now on nothing reaches the disk, and
// every call that changes something fails, even one that has already begun. Whatever
// was reported as durable before that is durable.
func (f *FS) Freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = true
}

// Unmount ends the file system. No process may have files open in it.
func (f *FS) Unmount() error {
	var err error
	for range 100 {
		if err = f.server.Unmount(); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("unmount %s: %w", f.at, err), syscall.Unmount(f.at, syscall.MNT_DETACH))
}

// Cut freezes and unmounts the file system, and leaves the folder as a power failure
// would. With all, everything unsynced is lost; otherwise it is decided at random
// block by block, and also how many of the last directory changes are lost.
func (f *FS) Cut(all bool) error {
	f.Freeze()
	if err := f.Unmount(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, open := range f.files {
		errs = append(errs, open.restore(func() bool { return all || f.random.IntN(2) == 0 }))
	}
	keep := 0
	if !all {
		keep = f.random.IntN(len(f.names) + 1)
	}
	for i := len(f.names) - 1; i >= keep; i-- {
		errs = append(errs, f.names[i].undo())
	}
	f.files, f.names = map[uint64]*file{}, nil
	return errors.Join(append(errs, os.RemoveAll(f.grave))...)
}

// forgettable reports whether the content of a file is irrelevant after a power
// failure. SQLite rebuilds the index of a log, and writes to it through memory.
func forgettable(path string) bool { return strings.HasSuffix(path, "-shm") }

// fails decides whether a call fails. f.mu must be held.
func (f *FS) fails(oneOf int) bool {
	if f.frozen {
		return true
	}
	if oneOf == 0 || f.random.IntN(oneOf) != 0 {
		return false
	}
	f.failed++
	return true
}

// change is a change of a directory that is not durable yet.
type change struct {
	folder, other string // the directories it affects
	name          string // the path of the file or directory that was created or removed
	undo          func() error
}

// note records a change of a directory. f.mu must be held.
func (f *FS) note(c change) { f.names = append(f.names, c) }

// durable drops the changes for which fn returns true. f.mu must be held.
func (f *FS) durable(fn func(change) bool) {
	kept := f.names[:0]
	for _, c := range f.names {
		if !fn(c) {
			kept = append(kept, c)
		}
	}
	f.names = kept
}

// synced drops the changes that an fsync of a path makes durable: a file that survives
// has its name, its directories have theirs, and what had these names before is gone.
// f.mu must be held.
func (f *FS) synced(path string) {
	f.durable(func(c change) bool {
		above := c.name != "" && (path == c.name || strings.HasPrefix(path, c.name+"/"))
		return above || c.folder == path || c.other == path
	})
}

// bury keeps a file that is about to lose its name, and returns a function that
// restores it. f.mu must be held.
func (f *FS) bury(path string) (back func() error) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return func() error { return nil }
	}
	f.buried++
	kept := filepath.Join(f.grave, fmt.Sprint(f.buried))
	if err := os.Link(path, kept); err != nil {
		return func() error { return err }
	}
	return func() error { return ignoreMissing(os.Rename(kept, path)) }
}

// ignoreMissing ignores the error that something is already gone, which is the goal.
func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
