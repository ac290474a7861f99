package format

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/flate"

	"github.com/zangtable/zangtable/internal/problem"
)

const (
	deflateBlock  = 1 << 20
	deflateWindow = 32 << 10
	deflateLevel  = flate.BestSpeed
	mostDeflaters = 4 // in flight per stream; each uses about 3 MiB
)

// deflater compresses one stream in blocks, several at a time. Each block refers back to
// the 32 KiB before it, as deflate allows, and ends at a byte boundary, so that the
// concatenated blocks are one ordinary deflate stream. The output does not depend on the
// number of workers.
//
// Goroutines compress the blocks, each touching only its own, and the caller's goroutine
// writes them; a deflater can be abandoned and leaves nothing behind.
type deflater struct {
	w       io.Writer
	err     error
	workers int
	filling *block
	pending []*block // in order; being compressed
	free    []*block
}

// block is a piece of the stream with everything needed to compress it.
type block struct {
	window []byte // what comes before it in the stream
	in     []byte
	out    bytes.Buffer
	last   bool
	flate  *flate.Writer
	done   chan error
}

func newDeflater(workers int) *deflater {
	return &deflater{workers: max(1, workers)}
}

// reset starts a new stream. The previous one must be closed or have failed.
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

// Write queues p for compression.
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

// hand starts compressing the filled block and begins the next. A stream of one block
// needs no goroutine.
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

// write waits for the oldest block and writes it.
func (d *deflater) write() {
	b, err := d.take()
	if d.err == nil {
		d.err = err
	}
	if d.err == nil {
		_, d.err = d.w.Write(b.out.Bytes())
	}
}

// take waits for the oldest block to be compressed and removes it from pending.
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
	defer problem.Recovered(&err) // in a goroutine, a panic would end the program
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
