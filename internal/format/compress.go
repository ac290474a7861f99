package format

import (
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"github.com/zangtable/zangtable/internal/problem"
)

// Compressions returns the names that NewCompressor knows.
func Compressions() []string { return []string{"gzip", "zstd"} }

// CompressionExt returns what a compression adds to the name of a file, such as
// ".gz", and nothing for a name that is unknown.
func CompressionExt(name string) string {
	switch name {
	case "gzip":
		return ".gz"
	case "zstd":
		return ".zst"
	}
	return ""
}

// NewCompressor returns a writer that compresses to w what is written to it. Its
// Close ends the compressed stream, and does not close w. The bytes depend on
// nothing but what is written. A writer that is given up leaves nothing behind.
// A name that is unknown is a fault of the field "compression".
func NewCompressor(name string, w io.Writer) (io.WriteCloser, error) {
	switch name {
	case "gzip":
		return newGzip(w), nil
	case "zstd":
		// With more than one worker, the encoder keeps goroutines until Close.
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	return nil, problem.InvalidChoice("compression", []string{"gzip", "zstd"})
}

// gzipWriter writes a gzip file of one member, deflated in parallel.
type gzipWriter struct {
	w       io.Writer
	deflate *deflater
	sum     hash.Hash32
	size    uint32 // modulo 2^32, as gzip has it
	begun   bool
}

func newGzip(w io.Writer) *gzipWriter {
	g := &gzipWriter{w: w, deflate: newDeflater(min(runtime.GOMAXPROCS(0), mostDeflaters)), sum: crc32.NewIEEE()}
	g.deflate.reset(w)
	return g
}

func (g *gzipWriter) Write(p []byte) (int, error) {
	if err := g.begin(); err != nil {
		return 0, err
	}
	g.sum.Write(p)
	g.size += uint32(len(p))
	return g.deflate.Write(p)
}

// Close writes what is left and the checksum.
func (g *gzipWriter) Close() error {
	if err := g.begin(); err != nil {
		return err
	}
	if err := g.deflate.Close(); err != nil {
		return err
	}
	trailer := binary.LittleEndian.AppendUint32(nil, g.sum.Sum32())
	_, err := g.w.Write(binary.LittleEndian.AppendUint32(trailer, g.size))
	return err
}

// begin writes the header: deflate, without name and time, by the fastest
// method, on an unknown system.
func (g *gzipWriter) begin() error {
	if g.begun {
		return nil
	}
	g.begun = true
	_, err := g.w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255})
	return err
}
