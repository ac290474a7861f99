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
	need func() error // fails when the disk has too little room to go on
	path string
	file *os.File

	collected []byte    // of small writes
	err       error     // of the disk
	hash      hash.Hash // nil when a worker has written the file
	md5       hash.Hash // for a bucket; nil for none
	md5Sum    []byte    // as a worker has told it

	sinceAsked int64 // bytes since the room on the disk was looked at

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

// inheritArtifact continues in a worker what the server has begun: the worker
// writes the file, and the server publishes or discards it. It is the server that
// looks at the room on the disk.
func inheritArtifact(file *os.File, withMD5 bool) *artifact {
	a := &artifact{need: func() error { return nil }, file: file, collected: make([]byte, 0, smallBytes), hash: sha256.New()}
	if withMD5 {
		a.forBucket()
	}
	return a
}

// sums ends the writing in a worker, and returns what the server must know.
func (a *artifact) sums() (size int64, sha, md []byte, err error) {
	a.flush()
	if a.md5 != nil {
		md = a.md5.Sum(nil)
	}
	return a.bytes.Load(), a.hash.Sum(nil), md, a.err
}

// takeOver makes the artifact the one that a worker has written.
func (a *artifact) takeOver(size int64, sha, md []byte) error {
	info, err := a.file.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("look at an artifact: %w", err)
	case info.Size() != size || len(sha) != len(a.sum):
		return fmt.Errorf("a worker tells of an artifact of %d bytes, and the file has %d", size, info.Size())
	}
	a.bytes.Store(size)
	a.hash, a.md5Sum = nil, md
	copy(a.sum[:], sha)
	return nil
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
	if a.err == nil {
		a.err = a.grown(int64(len(p)))
	}
}

// grown looks at the room on the disk when the file has grown by much.
func (a *artifact) grown(bytes int64) error {
	if a.sinceAsked += bytes; a.sinceAsked < askEvery {
		return nil
	}
	a.sinceAsked = 0
	return a.need()
}

// askEvery is after how many bytes the room on the disk is looked at again.
const askEvery = 64 << 20

// part is the path of the file until it is published.
func (a *artifact) part() string { return a.path + ".part" }

// forBucket prepares for an upload: stores compare MD5 sums.
func (a *artifact) forBucket() { a.md5 = md5.New() }

// md5sum returns the MD5 sum of what was written.
func (a *artifact) md5sum() []byte {
	if a.md5Sum != nil {
		return a.md5Sum
	}
	return a.md5.Sum(nil)
}

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
	if a.hash != nil {
		a.hash.Sum(a.sum[:0])
	}
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
