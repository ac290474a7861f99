//go:build linux

package faultfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// file holds the unsynced state of one file.
type file struct {
	disk   *os.File         // the file in the folder
	size   int64            // at the last fsync
	blocks map[int64][]byte // their content at that time, by number; nil for one beyond the end
	doomed map[int64]bool   // blocks whose fsync has failed: only rewriting them helps
}

// track returns the record of a file that is about to change, creating it if needed.
// f.mu must be held.
func (f *FS) track(fd int) (*file, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if known := f.files[st.Ino]; known != nil {
		return known, nil
	}
	disk, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	begun := &file{disk: disk, size: st.Size, blocks: map[int64][]byte{}, doomed: map[int64]bool{}}
	f.files[st.Ino] = begun
	return begun, nil
}

// before saves the blocks from off to end as they are now, unless they have already
// changed since the last fsync.
func (k *file) before(off, end int64) error {
	for n := off / blockSize; n*blockSize < end; n++ {
		delete(k.doomed, n)
		if _, known := k.blocks[n]; known {
			continue
		}
		k.blocks[n] = nil
		if n*blockSize >= k.size {
			continue
		}
		block := make([]byte, min(blockSize, k.size-n*blockSize))
		if _, err := k.disk.ReadAt(block, n*blockSize); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		k.blocks[n] = block
	}
	return nil
}

// restore reverts the blocks for which lost returns true, and the size if all are lost
// or at random.
func (k *file) restore(lost func() bool) error {
	defer k.disk.Close()
	numbers := make([]int64, 0, len(k.blocks))
	for n := range k.blocks {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers) // random choices must not depend on map order
	info, err := k.disk.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if lost() {
		size = k.size
	}
	errs := []error{k.disk.Truncate(max(size, k.size))}
	for _, n := range numbers {
		if !lost() {
			continue
		}
		block := k.blocks[n]
		if block == nil {
			block = make([]byte, blockSize)
		}
		_, err := k.disk.WriteAt(block, n*blockSize)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, k.disk.Truncate(size))...)
}

// synced makes what was written durable, except for blocks whose fsync has failed.
func (k *file) synced(size int64) {
	for n := range k.blocks {
		if !k.doomed[n] {
			delete(k.blocks, n)
		}
	}
	k.size = size
}

// handle is an open file.
type handle struct {
	fs       *FS
	file     *fs.LoopbackFile
	fd       int
	path     string // as of opening
	volatile bool   // see forgettable
}

func (h *handle) Read(ctx context.Context, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return h.file.Read(ctx, buf, off)
}

func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if h.volatile {
		return h.file.Write(ctx, data, off)
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.fails(h.fs.failWrite) {
		return 0, syscall.EIO
	}
	k, err := h.fs.track(h.fd)
	if err == nil {
		err = k.before(off, off+int64(len(data)))
	}
	if err != nil {
		return 0, fs.ToErrno(err)
	}
	return h.file.Write(ctx, data, off)
}

func (h *handle) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if h.volatile {
		return 0
	}
	h.fs.wait()
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	var st syscall.Stat_t
	if err := syscall.Fstat(h.fd, &st); err != nil {
		return fs.ToErrno(err)
	}
	k := h.fs.files[st.Ino]
	if h.fs.fails(h.fs.failSync) {
		// The system considers such pages clean: a second fsync would succeed without
		// writing anything.
		if k != nil {
			for n := range k.blocks {
				k.doomed[n] = true
			}
		}
		return syscall.EIO
	}
	if k != nil {
		if k.synced(st.Size); len(k.blocks) == 0 {
			k.disk.Close()
			delete(h.fs.files, st.Ino)
		}
	}
	h.fs.synced(h.path)
	return 0 // the underlying folder need not survive a real power failure
}

func (h *handle) Setattr(ctx context.Context, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok && !h.volatile {
		h.fs.mu.Lock()
		defer h.fs.mu.Unlock()
		if err := h.fs.truncated(h.fd, int64(size)); err != nil {
			return fs.ToErrno(err)
		}
	}
	return h.file.Setattr(ctx, in, out)
}

// truncated saves what a truncation is about to remove. f.mu must be held.
func (f *FS) truncated(fd int, size int64) error {
	if f.frozen {
		return syscall.EIO
	}
	k, err := f.track(fd)
	if err != nil {
		return err
	}
	return k.before(size, max(k.size, size))
}

func (h *handle) Release(ctx context.Context) syscall.Errno { return h.file.Release(ctx) }
func (h *handle) Flush(ctx context.Context) syscall.Errno   { return h.file.Flush(ctx) }
func (h *handle) Getattr(ctx context.Context, out *fuse.AttrOut) syscall.Errno {
	return h.file.Getattr(ctx, out)
}
func (h *handle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	return h.file.Lseek(ctx, off, whence)
}

func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if k, err := h.fs.track(h.fd); err != nil {
		return fs.ToErrno(err)
	} else if err := k.before(int64(off), int64(off+size)); err != nil {
		return fs.ToErrno(err)
	}
	return h.file.Allocate(ctx, off, size, mode)
}
