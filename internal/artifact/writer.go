package artifact

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync/atomic"

	"github.com/zangtable/zangtable/internal/disk"
)

const (
	// smallBytes is how many bytes are buffered before they are worth a write.
	smallBytes = 64 << 10
	// needEvery is how many bytes may be written before the free space is checked
	// again.
	needEvery = 64 << 20
)

// Writer writes an artifact under a temporary name, and hashes it on the way.
// [Stores.Publish] or Discard ends it. Except for Bytes, its methods are called from
// one goroutine.
type Writer struct {
	path string
	file *os.File
	step func(string) // see Config.Step
	need func() error // fails when the disk has too little space to go on

	collected []byte    // buffered small writes
	err       error     // from the disk
	hash      hash.Hash // nil when a worker process has written the file
	md5       hash.Hash // for a bucket; nil for none
	md5Sum    []byte    // as the worker process reports it

	sinceNeed int64 // bytes written since the free space was last checked

	bytes atomic.Int64
	sum   [sha256.Size]byte // final when complete
}

func newWriter(file *os.File) *Writer {
	return &Writer{file: file, collected: make([]byte, 0, smallBytes), hash: sha256.New()}
}

// Inherit continues in a worker process an artifact that the server has begun: the
// worker writes the file, and the server, which watches the free space, publishes or
// discards it.
func Inherit(file *os.File, withMD5 bool) *Writer {
	w := newWriter(file)
	w.need = func() error { return nil }
	if withMD5 {
		w.md5 = md5.New()
	}
	return w
}

// File returns the file, for a worker process to inherit.
func (w *Writer) File() *os.File { return w.file }

// WithMD5 reports whether the artifact needs an MD5 sum, which buckets check.
func (w *Writer) WithMD5() bool { return w.md5 != nil }

// Bytes returns how many bytes have been written.
func (w *Writer) Bytes() int64 { return w.bytes.Load() }

// SHA256 returns the hash of a published artifact.
func (w *Writer) SHA256() []byte { return w.sum[:] }

// Sums ends the writing in a worker process, and returns what the server needs to know.
func (w *Writer) Sums() (size int64, sha, md []byte, err error) {
	w.flush()
	if w.md5 != nil {
		md = w.md5.Sum(nil)
	}
	return w.Bytes(), w.hash.Sum(nil), md, w.err
}

// Accept takes over the artifact that a worker process has written.
func (w *Writer) Accept(size int64, sha, md []byte) error {
	info, err := w.file.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("look at an artifact: %w", err)
	case info.Size() != size || len(sha) != len(w.sum):
		return fmt.Errorf("a worker reports an artifact of %d bytes, and the file has %d", size, info.Size())
	}
	w.bytes.Store(size)
	w.hash, w.md5Sum = nil, md
	copy(w.sum[:], sha)
	return nil
}

// Grow records how many bytes a worker process has written so far. It fails when the
// disk has too little space to go on.
func (w *Writer) Grow(bytes int64) error { return w.grown(bytes - w.bytes.Swap(bytes)) }

// Write writes or buffers p. After a failure it keeps returning the same error.
func (w *Writer) Write(p []byte) (int, error) {
	if len(w.collected)+len(p) > smallBytes {
		w.flush()
	}
	if len(p) > smallBytes {
		w.write(p)
	} else {
		w.collected = append(w.collected, p...)
	}
	if w.err != nil {
		return 0, w.err
	}
	w.bytes.Add(int64(len(p)))
	return len(p), nil
}

func (w *Writer) flush() {
	if len(w.collected) > 0 {
		w.write(w.collected)
		w.collected = w.collected[:0]
	}
}

// write hashes and writes p at the same time.
func (w *Writer) write(p []byte) {
	if w.err != nil {
		return
	}
	hashed := make(chan struct{})
	go func() {
		defer close(hashed)
		w.hash.Write(p)
		if w.md5 != nil {
			w.md5.Write(p)
		}
	}()
	if _, err := w.file.Write(p); err != nil {
		w.err = fmt.Errorf("write an artifact: %w", err)
	}
	<-hashed
	if w.err == nil {
		w.err = w.grown(int64(len(p)))
	}
}

// grown checks the free space when the file has grown enough.
func (w *Writer) grown(bytes int64) error {
	if w.sinceNeed += bytes; w.sinceNeed < needEvery {
		return nil
	}
	w.sinceNeed = 0
	return w.need()
}

// md5sum returns the MD5 sum of what was written.
func (w *Writer) md5sum() []byte {
	if w.md5Sum != nil {
		return w.md5Sum
	}
	return w.md5.Sum(nil)
}

// complete writes the buffered bytes, and computes the sums.
func (w *Writer) complete() error {
	w.flush()
	if w.err != nil {
		return errors.Join(w.err, w.Discard())
	}
	if w.hash != nil {
		w.hash.Sum(w.sum[:0])
	}
	return nil
}

// finish completes the file and closes it. Its content is durable by then, but the file
// does not have its final name yet.
func (w *Writer) finish() error {
	if err := w.complete(); err != nil {
		return err
	}
	// Some file systems report a full disk only now.
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return errors.Join(fmt.Errorf("sync an artifact: %w", err), w.drop())
	}
	return nil
}

// publish makes the file durable under its final name.
func (w *Writer) publish() error {
	if err := w.complete(); err != nil {
		return err
	}
	return disk.Publish(w.file, w.path, w.step)
}

// Discard removes what was written.
func (w *Writer) Discard() error { return errors.Join(w.file.Close(), w.drop()) }

// drop removes the closed file before it is published.
func (w *Writer) drop() error { return disk.RemoveFile(w.file.Name()) }
