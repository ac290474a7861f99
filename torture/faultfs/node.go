//go:build linux

package faultfs

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or directory.
type node struct {
	*fs.LoopbackNode
	fs *FS
}

// WrapChild is called for every node that is looked up or created.
func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: ops.(*fs.LoopbackNode), fs: n.fs}
}

// path returns the path of the node in the folder.
func (n *node) path() string { return filepath.Join(n.fs.folder, n.Path(n.Root())) }

// handle returns an open file.
func (n *node) handle(file *os.File, path string) *handle {
	return &handle{fs: n.fs, path: path, fd: int(file.Fd()), file: fs.NewLoopbackFileFromOS(file), volatile: forgettable(path)}
}

// Open opens a file. Blocks are read before they are overwritten, so files are never
// opened write-only.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	path := n.path()
	if flags&syscall.O_TRUNC != 0 {
		n.fs.mu.Lock()
		defer n.fs.mu.Unlock()
	}
	file, err := os.OpenFile(path, readable(flags), 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	h := n.handle(file, path)
	if flags&syscall.O_TRUNC != 0 {
		if err := n.fs.truncated(h.fd, 0); err != nil {
			return nil, 0, fs.ToErrno(err)
		}
		if err := syscall.Ftruncate(h.fd, 0); err != nil {
			return nil, 0, fs.ToErrno(err)
		}
	}
	return h, 0, 0
}

func readable(flags uint32) int {
	mode := int(flags) &^ (syscall.O_APPEND | syscall.O_TRUNC | syscall.O_EXCL | syscall.O_CREAT | fuse.FMODE_EXEC)
	if mode&syscall.O_ACCMODE == syscall.O_WRONLY {
		mode = mode&^syscall.O_ACCMODE | syscall.O_RDWR
	}
	return mode
}

// Create creates a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.frozen {
		return nil, nil, 0, syscall.EIO
	}
	path := filepath.Join(n.path(), name)
	inode, made, _, errno := n.LoopbackNode.Create(ctx, name, uint32(readable(flags))|flags&syscall.O_EXCL, mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	if closing, ok := made.(fs.FileReleaser); ok {
		closing.Release(ctx)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	if !forgettable(path) {
		n.fs.note(change{folder: n.path(), name: path, undo: func() error { return ignoreMissing(os.Remove(path)) }})
	}
	return inode, n.handle(file, path), 0, 0
}

// Mkdir creates a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.frozen {
		return nil, syscall.EIO
	}
	path := filepath.Join(n.path(), name)
	inode, errno := n.LoopbackNode.Mkdir(ctx, name, mode, out)
	if errno == 0 {
		n.fs.note(change{folder: n.path(), name: path, undo: func() error { return os.RemoveAll(path) }})
	}
	return inode, errno
}

// Rmdir removes a directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.frozen {
		return syscall.EIO
	}
	path := filepath.Join(n.path(), name)
	errno := n.LoopbackNode.Rmdir(ctx, name)
	if errno == 0 {
		n.fs.note(change{folder: n.path(), name: path, undo: func() error { return ignoreMissing(os.Mkdir(path, 0o700)) }})
	}
	return errno
}

// Unlink removes a file.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.frozen {
		return syscall.EIO
	}
	path := filepath.Join(n.path(), name)
	back := n.fs.bury(path)
	errno := n.LoopbackNode.Unlink(ctx, name)
	if errno == 0 && !forgettable(path) {
		n.fs.note(change{folder: n.path(), name: path, undo: back})
	}
	return errno
}

// Rename renames a file or directory.
func (n *node) Rename(ctx context.Context, name string, into fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.frozen {
		return syscall.EIO
	}
	target, ok := into.(*node)
	if !ok {
		return syscall.EXDEV
	}
	from, to := filepath.Join(n.path(), name), filepath.Join(target.path(), newName)
	back := n.fs.bury(to)
	if errno := n.LoopbackNode.Rename(ctx, name, target.LoopbackNode, newName, flags); errno != 0 {
		return errno
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(to, &st); err == nil && n.fs.files[st.Ino] != nil {
		n.fs.unsynced = append(n.fs.unsynced, from+" to "+to)
	}
	n.fs.note(change{folder: n.path(), other: target.path(), undo: func() error {
		if err := os.Rename(to, from); err != nil {
			return ignoreMissing(err)
		}
		return back()
	}})
	return 0
}

// Link and similar calls would need records of their own; the server does not use
// them.
func (n *node) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Fsync makes the entries of a directory durable.
func (n *node) Fsync(_ context.Context, open fs.FileHandle, flags uint32) syscall.Errno {
	if h, ok := open.(*handle); ok {
		return h.Fsync(context.Background(), flags)
	}
	n.fs.wait()
	n.fs.mu.Lock()
	defer n.fs.mu.Unlock()
	if n.fs.fails(n.fs.failSync) {
		return syscall.EIO
	}
	n.fs.synced(n.path())
	return 0
}

// Setattr changes the size of a file, with or without a handle.
func (n *node) Setattr(ctx context.Context, open fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if h, ok := open.(*handle); ok {
		return h.Setattr(ctx, in, out)
	}
	if size, ok := in.GetSize(); ok {
		n.fs.mu.Lock()
		defer n.fs.mu.Unlock()
		file, err := os.OpenFile(n.path(), os.O_RDWR, 0)
		if err != nil {
			return fs.ToErrno(err)
		}
		defer file.Close()
		if err := n.fs.truncated(int(file.Fd()), int64(size)); err != nil {
			return fs.ToErrno(err)
		}
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}

// OpendirHandle lists a directory; the handle has no fsync of its own, so that Fsync
// of the node is called.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	stream, errno := fs.NewLoopbackDirStream(n.path())
	if errno != 0 {
		return nil, 0, errno
	}
	return &listing{stream}, 0, 0
}

// listing is an open directory.
type listing struct{ stream fs.DirStream }

func (l *listing) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if !l.stream.HasNext() {
		return nil, 0
	}
	entry, errno := l.stream.Next()
	return &entry, errno
}

func (l *listing) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	if seeker, ok := l.stream.(fs.FileSeekdirer); ok {
		return seeker.Seekdir(ctx, off)
	}
	return syscall.ENOTSUP
}

func (l *listing) Releasedir(context.Context, uint32) { l.stream.Close() }
