package export

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
)

const (
	chunkBytes = 1 << 20
	chunks     = 6
)

// artifact is a file being written under another name than its own. What is
// written to it passes in chunks through a goroutine that hashes and one that
// writes; the chunks are used again. Either publish or discard ends it.
type artifact struct {
	path string
	file *os.File

	chunk   []byte // being filled
	free    chan []byte
	toHash  chan []byte
	toWrite chan []byte
	written chan struct{} // closed when everything handed over is written

	bytes  atomic.Int64
	failed atomic.Pointer[error]
	sum    [sha256.Size]byte // final when written is closed
}

// newArtifact begins the file path.
func newArtifact(path string) (*artifact, error) {
	file, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create an artifact: %w", err)
	}
	a := &artifact{
		path:    path,
		file:    file,
		free:    make(chan []byte, chunks),
		toHash:  make(chan []byte, chunks),
		toWrite: make(chan []byte, chunks),
		written: make(chan struct{}),
	}
	for range chunks - 1 {
		a.free <- nil
	}
	go a.hash()
	go a.write()
	return a, nil
}

func (a *artifact) hash() {
	h := sha256.New()
	for chunk := range a.toHash {
		h.Write(chunk)
		a.toWrite <- chunk
	}
	h.Sum(a.sum[:0])
	close(a.toWrite)
}

func (a *artifact) write() {
	defer close(a.written)
	for chunk := range a.toWrite {
		if a.failed.Load() == nil {
			if _, err := a.file.Write(chunk); err != nil {
				err = fmt.Errorf("write an artifact: %w", err)
				a.failed.Store(&err)
			}
		}
		a.free <- chunk[:0]
	}
}

// Write takes over a copy of p. It reports the first failure of an earlier
// write to the disk.
func (a *artifact) Write(p []byte) (n int, err error) {
	if failed := a.failed.Load(); failed != nil {
		return 0, *failed
	}
	for n < len(p) {
		if a.chunk == nil {
			a.chunk = make([]byte, 0, chunkBytes)
		}
		taken := min(len(p)-n, chunkBytes-len(a.chunk))
		a.chunk = append(a.chunk, p[n:n+taken]...)
		n += taken
		if len(a.chunk) == chunkBytes {
			a.toHash <- a.chunk
			a.chunk = <-a.free
		}
	}
	a.bytes.Add(int64(n))
	return n, nil
}

// publish brings everything to the disk and gives the file its name.
func (a *artifact) publish() error {
	a.toHash <- a.chunk
	a.finish()
	if failed := a.failed.Load(); failed != nil {
		return errors.Join(*failed, a.file.Close(), removeFile(a.path+".part"))
	}
	// A disk may tell only now that it is full.
	if err := errors.Join(a.file.Sync(), a.file.Close()); err != nil {
		return errors.Join(fmt.Errorf("sync an artifact: %w", err), removeFile(a.path+".part"))
	}
	if err := os.Rename(a.path+".part", a.path); err != nil {
		return errors.Join(fmt.Errorf("put an artifact in place: %w", err), removeFile(a.path+".part"))
	}
	if err := syncFolder(filepath.Dir(a.path)); err != nil {
		return errors.Join(fmt.Errorf("sync the folder of an artifact: %w", err), removeFile(a.path))
	}
	return nil
}

// discard removes what was written.
func (a *artifact) discard() error {
	a.finish()
	return errors.Join(a.file.Close(), removeFile(a.path+".part"))
}

func (a *artifact) finish() {
	close(a.toHash)
	<-a.written
}
