package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/worker"
)

// DefaultMaxUnpacked is how many bytes compressed content may expand to, unless the
// Opening says otherwise.
const DefaultMaxUnpacked = 32 << 30

// Compressed content that expands to more than harmless bytes and to more than mostRatio
// times its size is treated as an attack. Deflate reaches 1,032 with zeros, and no table
// of a thousand distinct rows comes close.
const (
	harmless  = 100 << 20
	mostRatio = 1000
)

// scratch is a private folder for what has to be unpacked or copied.
type scratch struct {
	folder string
	most   int64 // bytes that content may expand to in total
	left   int64 // remaining of most
	files  int

	workers  *worker.Pool
	patience time.Duration // with a dump, however short it is
}

// newScratch creates a folder in o.Scratch; "" is the system's.
func newScratch(o Opening) (*scratch, error) {
	most := cmp.Or(o.MaxUnpacked, DefaultMaxUnpacked)
	folder, err := os.MkdirTemp(o.Scratch, "zangtable-import-")
	if err == nil {
		folder, err = filepath.Abs(folder) // workers run in another folder
	}
	if err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	return &scratch{folder: folder, most: most, left: most, workers: o.Workers, patience: time.Minute}, nil
}

// Close removes the folder.
func (s *scratch) Close() error {
	if err := os.RemoveAll(s.folder); err != nil {
		return fmt.Errorf("remove a scratch folder: %w", err)
	}
	return nil
}

// path returns an unused path in the folder.
func (s *scratch) path() string {
	s.files++
	return filepath.Join(s.folder, fmt.Sprintf("%d", s.files))
}

// discard removes a file that is no longer needed, if it is in the folder.
func (s *scratch) discard(path string) error {
	if filepath.Dir(path) != s.folder {
		return nil
	}
	return os.Remove(path)
}

// create writes r to a new file and returns its path. packed returns the compressed
// bytes read so far.
func (s *scratch) create(ctx context.Context, r io.Reader, packed func() int64) (path string, err error) {
	path = s.path()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return path, s.copy(ctx, f, r, packed)
}

// copyFile copies an uncompressed file.
func (s *scratch) copyFile(ctx context.Context, from, to string) (err error) {
	f, err := os.Open(from)
	if err != nil {
		return Unreadable(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Unreadable(err)
	}
	if err := s.disk().Need(info.Size()); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, UntilDone(ctx, f))
	return err
}

// copy copies r to w. packed returns the compressed bytes read so far.
func (s *scratch) copy(ctx context.Context, w io.Writer, r io.Reader, packed func() int64) error {
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, readErr := io.ReadFull(r, buffer)
		if s.left -= int64(n); s.left < 0 {
			return Invalid("The file unpacks to more than %d bytes, which is the limit.", s.most)
		}
		if unpacked := s.most - s.left; unpacked > harmless && unpacked/mostRatio > packed() {
			return Invalid("The file unpacks to more than %d times its size, like files that are made to fill a disk.", mostRatio)
		}
		if err := s.disk().Need(int64(n)); err != nil {
			return err
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		switch readErr {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return readErr
		}
	}
}

// disk returns the budget that unpacking has to respect.
func (s *scratch) disk() disk.Budget { return disk.Budget{Folder: s.folder} }

// room returns how many bytes a database built here may take up.
func (s *scratch) room() (int64, error) {
	free, err := s.disk().Room()
	return min(s.left, free), err
}

// full returns the error for a database that outgrew its room.
func (s *scratch) full(room int64, err error) error {
	if room < s.left {
		return problem.New(problem.CodeStorageFull, "The disk is too full for the file: its database is larger than the %d bytes that are free beyond the reserve.", room).Because(err)
	}
	return Invalid("The file makes a database of more than %d bytes, which is the limit.", room).Because(err)
}

// mostLayers is the number of nested compressions that are undone.
const mostLayers = 2

// unwrap decompresses a file. It returns the path and name of the content, or those
// given if the file is not compressed.
func (s *scratch) unwrap(ctx context.Context, path, name string) (innerPath, innerName string, err error) {
	for layer := 0; ; layer++ {
		f, err := os.Open(path)
		if err != nil {
			return "", "", Unreadable(err)
		}
		inner, compression, err := s.uncompress(ctx, f)
		f.Close()
		switch {
		case err != nil:
			return "", "", err
		case compression == nil:
			return path, name, nil
		case layer == mostLayers:
			return "", "", Invalid("The file is compressed more than %d times over.", mostLayers)
		}
		if err := s.discard(path); err != nil {
			return "", "", err
		}
		path, name = inner, withoutExt(name, compression)
	}
}

// uncompress decompresses a file and returns the compression, or nil if there is none.
func (s *scratch) uncompress(ctx context.Context, f io.Reader) (path string, by *format.Compression, err error) {
	packed := &counter{r: f}
	head := make([]byte, 4)
	n, err := io.ReadFull(packed, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", nil, Unreadable(err)
	}
	for _, c := range format.Compressions {
		if !bytes.HasPrefix(head[:n], []byte(c.Magic)) {
			continue
		}
		r, err := c.NewReader(io.MultiReader(bytes.NewReader(head[:n]), packed))
		if err != nil {
			return "", c, badCompression(c.Name, err)
		}
		defer r.Close()
		path, err := s.create(ctx, &faultReader{r: r, name: c.Name}, func() int64 { return packed.n })
		return path, c, err
	}
	return "", nil, nil
}

// counter counts the bytes read.
type counter struct {
	r io.Reader
	n int64
}

// Read reads from the underlying reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// UntilDone returns a reader of r that fails once ctx has ended.
func UntilDone(ctx context.Context, r io.Reader) io.Reader { return &ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads from the underlying reader.
func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// faultReader turns errors of a decompressor into problems of the file.
type faultReader struct {
	r    io.Reader
	name string
}

// Read reads from the decompressor.
func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		err = badCompression(f.name, err)
	}
	return n, err
}

func badCompression(name string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return Invalid("The file was cut short: its %s data ends too early.", name).Because(err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return Invalid("The file needs too much memory to unpack: compress it with a window of 128 MiB at most.").Because(err)
	}
	return Invalid("The file is damaged: its %s data cannot be unpacked.", name).Because(err)
}

// withoutExt removes a compression's extension from a name.
func withoutExt(name string, by *format.Compression) string {
	for _, ext := range append([]string{by.Ext}, by.OtherExts...) {
		if base := len(name) - len(ext) - 1; base > 0 && strings.EqualFold(name[base:], "."+ext) {
			return name[:base]
		}
	}
	return name
}
