package artifact

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"gocloud.dev/blob"
)

const (
	// firstWindow is how many bytes are requested at the start of a read. While reading
	// stays sequential, each further request is four times larger, up to lastWindow.
	firstWindow, lastWindow = 1 << 20, 1 << 30
	// smallGap is how many bytes are read and discarded rather than starting a new
	// request.
	smallGap = 64 << 10
	// readTries is how often the same byte is requested.
	readTries = 4
)

// object is an artifact in a bucket, open for reading. It requests only what is read,
// and repeats the request when a connection breaks.
type object struct {
	ctx    context.Context
	bucket *bucket
	key    string
	size   int64

	mu     sync.Mutex
	offset int64 // of Read

	stream  *blob.Reader // nil: no stream is open
	at, end int64        // of the stream
	window  int64        // of the last request
}

func (o *object) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.read(p, o.offset)
	o.offset += int64(n)
	return n, err
}

func (o *object) ReadAt(p []byte, offset int64) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(p) && err == nil {
		var more int
		more, err = o.read(p[n:], offset+int64(n))
		n += more
	}
	return n, err
}

func (o *object) Seek(offset int64, whence int) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += o.offset
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning of an artifact")
	}
	o.offset = offset
	return offset, nil
}

func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop()
	return nil
}

// drop closes the stream. Ending early is not a failure.
func (o *object) drop() {
	if o.stream != nil {
		_ = o.stream.Close()
		o.stream = nil
	}
}

// read reads some bytes at offset.
func (o *object) read(p []byte, offset int64) (n int, err error) {
	if offset >= o.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	err = o.bucket.Retry(o.ctx, readTries, IsMissing, func() error {
		n, err = o.readStream(p, offset)
		if n > 0 {
			return nil
		}
		return cmp.Or(err, io.ErrNoProgress)
	})
	switch {
	case n > 0:
		return n, nil
	case o.ctx.Err() != nil:
		return 0, o.ctx.Err()
	case IsMissing(err):
		return 0, fs.ErrNotExist
	}
	return 0, unreachable(err)
}

// readStream reads from the stream, after moving it to offset. After a failure the next
// call opens a new stream.
func (o *object) readStream(p []byte, offset int64) (int, error) {
	if err := o.seekStream(offset); err != nil {
		o.drop()
		return 0, err
	}
	n, err := o.stream.Read(p[:min(int64(len(p)), o.end-o.at)])
	o.at += int64(n)
	if err != nil || o.at == o.end {
		o.drop()
	}
	if err == io.EOF && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (o *object) seekStream(offset int64) error {
	if gap := offset - o.at; o.stream != nil && gap >= 0 && gap <= smallGap && offset < o.end {
		skipped, err := io.CopyN(io.Discard, o.stream, gap)
		o.at += skipped
		return err
	}
	o.drop()
	o.window = max(firstWindow, min(4*o.window, lastWindow))
	if offset != o.end {
		o.window = firstWindow
	}
	length := min(o.window, o.size-offset)
	stream, err := o.bucket.Objects.NewRangeReader(o.ctx, o.key, offset, length, nil)
	if err != nil {
		return err
	}
	o.stream, o.at, o.end = stream, offset, offset+length
	return nil
}
