//go:build linux

// Package faultfs is a file system on top of a folder that can do what disks do:
// forget what was not synced when the power fails, and fail calls.
//
// Everything goes through to the folder at once. Beside it the file system keeps
// what the folder would look like after a power cut: of each file the blocks
// as they were at its last fsync, of each directory the entries as they were at its
// last fsync. A file's own fsync makes its entry durable, too, if it was created:
// so do the file systems of Linux. Cut brings the folder back to that, or to
// something between that and the present.
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

// blockSize is how much of a file survives or is lost as a whole, in bytes.
const blockSize = 4096

// FS is a mounted file system.
type FS struct {
	folder, grave string // grave keeps files that were removed until that is durable
	at            string
	server        *fuse.Server
	random        *rand.Rand

	mu        sync.Mutex
	files     map[uint64]*file // by inode, those with something not synced
	names     []change         // not durable, in order
	buried    int
	failWrite int // one of so many writes fails; 0 for none
	failSync  int
	delay     time.Duration // of every fsync
	frozen    bool          // the power has failed
	failed    int           // calls that were made to fail
	unsynced  []string
}

// Mount mounts a file system for folder at another folder. It needs a seed for
// what Cut and failures leave to chance.
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

// Fail lets one of so many writes and one of so many fsyncs fail with an I/O
// error from now on; 0 lets none fail.
func (f *FS) Fail(writes, syncs int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failWrite, f.failSync = writes, syncs
}

// Slow lets every fsync take so long at least, as those of real disks do.
func (f *FS) Slow(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// wait takes the time of an fsync.
func (f *FS) wait() {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	time.Sleep(delay)
}

// Failed returns how many calls have failed.
func (f *FS) Failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// Unsynced returns the renames from a name that ends in suffix of files that had
// content which was not synced: after a power cut such a file is there by its
// new name, without its content.
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

// Freeze is the moment at which the power fails: from now on nothing reaches the
// disk, and every call that changes something fails, also one that has begun.
// Whoever was told before that something is on the disk was told the truth.
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

// Cut freezes and unmounts the file system, and leaves the folder as a power cut would. With
// all, whatever was not synced is lost; else chance decides block by block, and
// how many of the last changes of directories are lost.
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

// forgettable reports whether a file matters after a power cut. SQLite makes the
// index of a log anew, and writes to it through memory.
func forgettable(path string) bool { return strings.HasSuffix(path, "-shm") }

// fails decides whether a call fails. f.mu is held.
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
	folder, other string // the directories it is in
	created       string // the path of a file or directory that was created
	undo          func() error
}

// note keeps a change of a directory. f.mu is held.
func (f *FS) note(c change) { f.names = append(f.names, c) }

// durable drops the changes for which fn holds. f.mu is held.
func (f *FS) durable(fn func(change) bool) {
	kept := f.names[:0]
	for _, c := range f.names {
		if !fn(c) {
			kept = append(kept, c)
		}
	}
	f.names = kept
}

// synced drops the changes that an fsync of a path makes durable. f.mu is held.
func (f *FS) synced(path string) {
	f.durable(func(c change) bool {
		above := c.created != "" && (path == c.created || strings.HasPrefix(path, c.created+"/"))
		return above || c.folder == path || c.other == path
	})
}

// bury keeps a file that is about to lose its name, and returns what brings it
// back. f.mu is held.
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

// ignoreMissing says that something is gone already, which is what was wanted.
func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
