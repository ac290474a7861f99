package rest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/zangtable/zangtable/internal/problem"
)

// codings are the supported compressions of bodies and answers, best first.
var codings = []string{"zstd", "gzip"}

const (
	// minPacked is the size from which an answer is worth compressing.
	minPacked = 1 << 10

	// maxWindow limits the memory that a compressed body may ask for.
	maxWindow = 8 << 20
)

// acceptedCoding returns which of the codings an answer gets according to the header
// Accept-Encoding (RFC 9110, section 12.5.3); "" for none.
func acceptedCoding(header string, codings ...string) string {
	weights := map[string]float64{}
	for item := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		weight := 1.0
		if key, text, ok := strings.Cut(strings.TrimSpace(parameters), "="); ok && strings.EqualFold(strings.TrimSpace(key), "q") {
			var err error
			if weight, err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
				weight = 0
			}
		}
		weights[strings.ToLower(strings.TrimSpace(name))] = weight
	}
	best, most := "", 0.0
	for _, coding := range codings {
		weight, named := weights[coding]
		if !named {
			weight = weights["*"]
		}
		if weight > most {
			best, most = coding, weight
		}
	}
	return best
}

// answerCoding returns the coding for an answer of the given size, and sets Vary
// accordingly. Answers that may hold secrets are not compressed, because their length
// would then depend on the secret.
func (c *call) answerCoding(size int) string {
	if c.ep == nil || c.ep.keyUse == keyRefused {
		return ""
	}
	c.w.Header().Add("Vary", "Accept-Encoding")
	if size < minPacked {
		return ""
	}
	return acceptedCoding(c.r.Header.Get("Accept-Encoding"), codings...)
}

// packer compresses one stream after another.
type packer interface {
	io.WriteCloser
	Reset(io.Writer)
}

var packers = map[string]*sync.Pool{
	"gzip": {New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
		return w
	}},
	"zstd": {New: func() any {
		w, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true)) // the options are valid
		return w
	}},
}

// sendPacked has send write an answer through the coding; "" for none.
func (c *call) sendPacked(coding string, send func(io.Writer) error) error {
	if coding == "" {
		return send(c.w)
	}
	pool := packers[coding]
	w := pool.Get().(packer)
	defer pool.Put(w)
	w.Reset(c.w)
	err := send(w)
	if err == nil {
		err = w.Close()
	}
	w.Reset(nil) // drops the reference to the connection
	return err
}

// unpack returns the decompressed content of a body, within the limit of the route.
func (c *call) unpack(coding string, r io.Reader, limit int64) io.Reader {
	u := &unpacker{coding: coding, packed: watched{Reader: r}}
	c.unpacker = u
	return http.MaxBytesReader(c.w, u, limit)
}

// unpacker opens the compressed stream on the first Read, because opening reads from
// it.
type unpacker struct {
	coding string
	packed watched
	r      io.ReadCloser
}

func (u *unpacker) Read(p []byte) (n int, err error) {
	if u.r == nil {
		u.r, err = u.open()
	}
	if err == nil {
		n, err = u.r.Read(p)
	}
	if err != nil && err != io.EOF {
		if err = u.packed.err; err == nil || err == io.EOF {
			err = problem.New(problem.CodeInvalidJSON, "The body is not valid %s, which its Content-Encoding says.", u.coding)
		}
	}
	return n, err
}

func (u *unpacker) open() (io.ReadCloser, error) {
	if u.coding == "gzip" {
		r, err := gzip.NewReader(&u.packed)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	d, err := zstd.NewReader(&u.packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// Close releases what the stream holds.
func (u *unpacker) Close() error {
	if u.r == nil {
		return nil
	}
	return u.r.Close()
}

// watched remembers why reading ended.
type watched struct {
	io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
