package format

import (
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/zangtable/zangtable/internal/problem"
)

// Compression is a way to compress a file as a whole, whatever its format.
type Compression struct {
	Name        string
	Ext         string // that it adds to a file name, without the dot
	OtherExts   []string
	ContentType string
	Magic       string // the first bytes of a compressed file

	// NewWriter returns a writer that compresses to w. Its Close ends the compressed
	// stream but does not close w. The output depends only on what is written. A writer
	// can be abandoned without Close and leaves nothing behind.
	NewWriter func(w io.Writer) (io.WriteCloser, error)
	// NewReader returns a reader of the decompressed content of r. The caller closes it.
	NewReader func(r io.Reader) (io.ReadCloser, error)
}

// window is the most memory that a zstd file may ask for: the default limit of the zstd
// command.
const window = 128 << 20

// Compressions lists the compressions that exports can use and that imports undo.
var Compressions = []*Compression{
	{
		Name: "gzip", Ext: "gz", OtherExts: []string{"gzip"}, ContentType: "application/gzip", Magic: "\x1f\x8b",
		NewWriter: func(w io.Writer) (io.WriteCloser, error) { return newGzip(w), nil },
		NewReader: func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) },
	},
	{
		Name: "zstd", Ext: "zst", OtherExts: []string{"zstd"}, ContentType: "application/zstd", Magic: "\x28\xb5\x2f\xfd",
		NewWriter: func(w io.Writer) (io.WriteCloser, error) {
			// With more than one worker, the encoder keeps goroutines until Close.
			return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		},
		NewReader: func(r io.Reader) (io.ReadCloser, error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
			if err != nil {
				return nil, err
			}
			return z.IOReadCloser(), nil
		},
	},
}

// CompressionNames returns the names of the compressions.
func CompressionNames() (names []string) {
	for _, c := range Compressions {
		names = append(names, c.Name)
	}
	return names
}

// FindCompression returns the compression of the given name, or nil.
func FindCompression(name string) *Compression {
	for _, c := range Compressions {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// NewCompressor returns a writer for the compression of the given name. An unknown name
// is a fault of the field "compression".
func NewCompressor(name string, w io.Writer) (io.WriteCloser, error) {
	if c := FindCompression(name); c != nil {
		return c.NewWriter(w)
	}
	return nil, problem.InvalidChoice("compression", CompressionNames())
}

// gzipWriter writes a gzip file of one member, compressed in parallel.
type gzipWriter struct {
	w       io.Writer
	deflate *deflater
	sum     hash.Hash32
	size    uint32 // modulo 2^32, as gzip stores it
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

// Close writes the remaining data and the checksum.
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

// begin writes the header: deflate, no name or time, the fastest method, an unknown
// system.
func (g *gzipWriter) begin() error {
	if g.begun {
		return nil
	}
	g.begun = true
	_, err := g.w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255})
	return err
}
