package export

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

// smallBytes is how many bytes are collected before they are worth a write.
const smallBytes = 64 << 10

// artifact is a file being written under another name than its own. It is
// hashed while it is written. Either publish or discard ends it.
type artifact struct {
	step func(string) // see Config.Failpoint
	path string
	file *os.File

	collected []byte // of small writes
	err       error  // of the disk
	hash      hash.Hash
	md5       hash.Hash // for a bucket; nil for none

	bytes atomic.Int64
	sum   [sha256.Size]byte // final after publish
}

// newArtifact begins the file path.
func newArtifact(path string) (*artifact, error) {
	file, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create an artifact: %w", err)
	}
	return &artifact{path: path, file: file, collected: make([]byte, 0, smallBytes), hash: sha256.New()}, nil
}

// Write writes p, or collects it. After a failure it repeats the same error.
func (a *artifact) Write(p []byte) (int, error) {
	if len(a.collected)+len(p) > smallBytes {
		a.flush()
	}
	if len(p) > smallBytes {
		a.write(p)
	} else {
		a.collected = append(a.collected, p...)
	}
	if a.err != nil {
		return 0, a.err
	}
	a.bytes.Add(int64(len(p)))
	return len(p), nil
}

func (a *artifact) flush() {
	if len(a.collected) > 0 {
		a.write(a.collected)
		a.collected = a.collected[:0]
	}
}

// write hashes and writes p at the same time.
func (a *artifact) write(p []byte) {
	if a.err != nil {
		return
	}
	hashed := make(chan struct{})
	go func() {
		defer close(hashed)
		a.hash.Write(p)
		if a.md5 != nil {
			a.md5.Write(p)
		}
	}()
	if _, err := a.file.Write(p); err != nil {
		a.err = fmt.Errorf("write an artifact: %w", err)
	}
	<-hashed
}

// part is the path of the file until it is published.
func (a *artifact) part() string { return a.path + ".part" }

// forBucket prepares for an upload: stores compare MD5 sums.
func (a *artifact) forBucket() { a.md5 = md5.New() }

// finish writes what is left to the file and closes it. Its content is on the
// disk then, but not yet under its name.
func (a *artifact) finish() error {
	if err := a.complete(); err != nil {
		return err
	}
	// A disk may tell only now that it is full.
	if err := errors.Join(a.file.Sync(), a.file.Close()); err != nil {
		return errors.Join(fmt.Errorf("sync an artifact: %w", err), a.drop())
	}
	return nil
}

// complete writes what has been collected, and sums up.
func (a *artifact) complete() error {
	a.flush()
	if a.err != nil {
		return errors.Join(a.err, a.discard())
	}
	a.hash.Sum(a.sum[:0])
	return nil
}

// publish brings everything to the disk and gives the file its name.
func (a *artifact) publish() error {
	if err := a.complete(); err != nil {
		return err
	}
	return disk.Publish(a.file, a.path, a.step)
}

// discard removes what was written.
func (a *artifact) discard() error {
	return errors.Join(a.file.Close(), a.drop())
}

// drop removes the closed file before it is published.
func (a *artifact) drop() error { return removeFile(a.part()) }
