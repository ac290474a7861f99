package format

import (
	"bytes"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/klauspost/compress/flate"
)

const (
	deflateBlock  = 1 << 20
	deflateWindow = 32 << 10
	deflateLevel  = flate.BestSpeed
	mostDeflaters = 4 // at the same time for one stream; each costs about 3 MiB
)

// deflater compresses one stream in blocks, several at the same time. Each
// block knows the last 32 KiB before it, as deflate allows, and ends at a byte
// boundary, so that the blocks put together are one ordinary deflate stream.
// The stream does not depend on the number of workers.
//
// Blocks are compressed by goroutines which touch nothing but their own block,
// and written by the caller's; a deflater that is given up leaves nothing
// behind.
type deflater struct {
	w       io.Writer
	err     error
	workers int
	filling *block
	pending []*block // in order; being compressed
	free    []*block
}

// block is a piece of the stream with all that it takes to compress it.
type block struct {
	window []byte // what stands before in the stream
	in     []byte
	out    bytes.Buffer
	last   bool
	flate  *flate.Writer
	done   chan error
}

func newDeflater(workers int) *deflater {
	return &deflater{workers: max(1, workers)}
}

// reset begins a new stream. The one before must be closed, or have failed.
func (d *deflater) reset(w io.Writer) {
	for len(d.pending) > 0 {
		d.take()
	}
	d.w, d.err = w, nil
	if d.filling == nil {
		d.filling = d.unused()
	}
	d.filling.window, d.filling.in = d.filling.window[:0], d.filling.in[:0]
}

// Write compresses p, sooner or later.
func (d *deflater) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && d.err == nil {
		n := min(len(p), deflateBlock-len(d.filling.in))
		d.filling.in = append(d.filling.in, p[:n]...)
		p, written = p[n:], written+n
		if len(d.filling.in) == deflateBlock {
			d.hand(false)
		}
	}
	return written, d.err
}

// Close ends the stream and returns the first error.
func (d *deflater) Close() error {
	if d.err == nil {
		d.hand(true)
	}
	for len(d.pending) > 0 {
		d.write()
	}
	return d.err
}

// hand has the filled block compressed and begins the next. A stream of one
// block needs no goroutine.
func (d *deflater) hand(last bool) {
	b, next := d.filling, d.unused()
	b.last = last
	next.in = next.in[:0]
	next.window = append(next.window[:0], b.in[max(0, len(b.in)-deflateWindow):]...)
	d.filling = next
	d.pending = append(d.pending, b)
	if last && len(d.pending) == 1 {
		b.done <- b.compress()
	} else {
		go func() { b.done <- b.compress() }()
	}
	for len(d.pending) > d.workers {
		d.write()
	}
}

// write writes the oldest block, when it is compressed.
func (d *deflater) write() {
	b, err := d.take()
	if d.err == nil {
		d.err = err
	}
	if d.err == nil {
		_, d.err = d.w.Write(b.out.Bytes())
	}
}

// take waits for the oldest block.
func (d *deflater) take() (*block, error) {
	b := d.pending[0]
	d.pending = append(d.pending[:0], d.pending[1:]...)
	err := <-b.done
	d.free = append(d.free, b)
	return b, err
}

func (d *deflater) unused() *block {
	if n := len(d.free); n > 0 {
		b := d.free[n-1]
		d.free = d.free[:n-1]
		return b
	}
	return &block{done: make(chan error, 1)}
}

func (b *block) compress() (err error) {
	// It runs in a goroutine, whose panic would end the program.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("deflate: panic: %v\n%s", p, debug.Stack())
		}
	}()
	b.out.Reset()
	if err := b.begin(); err != nil {
		return err
	}
	if _, err := b.flate.Write(b.in); err != nil {
		return err
	}
	if b.last {
		return b.flate.Close()
	}
	return b.flate.Flush()
}

func (b *block) begin() (err error) {
	if b.flate == nil {
		b.flate, err = flate.NewWriterDict(&b.out, deflateLevel, b.window)
		return err
	}
	b.flate.ResetDict(&b.out, b.window)
	return nil
}
