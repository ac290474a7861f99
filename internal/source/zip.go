package source

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"golang.org/x/text/encoding/charmap"

	"github.com/zangtable/zangtable/internal/format"
)

// Limits of a ZIP file: the number of imported members, and the bytes of the central
// directory.
const (
	mostMembers   = 10_000
	mostDirectory = 16 << 20
)

// zipFile is a ZIP file whose member names have been checked.
type zipFile struct {
	file    *os.File
	read    *readerAt
	members []*zip.File // without folders
	scratch *scratch
}

// openZIP opens a ZIP file and checks its directory.
func (s *scratch) openZIP(path string) (*zipFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Unreadable(err)
	}
	z := &zipFile{file: f, scratch: s}
	if err := z.readDirectory(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return z, nil
}

// Close closes the file.
func (z *zipFile) Close() error { return z.file.Close() }

func (z *zipFile) readDirectory() error {
	info, err := z.file.Stat()
	if err != nil {
		return Unreadable(err)
	}
	z.read = &readerAt{r: z.file, size: info.Size(), left: mostDirectory}
	r, err := zip.NewReader(z.read, info.Size())
	switch {
	case errors.Is(err, errTooMuch):
		return Invalid("The ZIP file has too many members.")
	case err != nil:
		return Invalid("The ZIP file is damaged or was cut short: the list of its members cannot be read.").Because(err)
	}
	z.read.left = -1
	r.RegisterDecompressor(zip.Deflate, flate.NewReader)
	names := map[string]bool{}
	for _, member := range r.File {
		if err := checkMember(member); err != nil {
			return err
		}
		if names[member.Name] {
			return Invalid("The ZIP file has two members named %q.", member.Name)
		}
		if names[member.Name] = true; !strings.HasSuffix(member.Name, "/") {
			z.members = append(z.members, member)
		}
	}
	if len(z.members) == 0 {
		return Invalid("The ZIP file is empty.")
	}
	return nil
}

// checkMember refuses what no honest program packs. It converts the name to UTF-8.
func checkMember(member *zip.File) error {
	if !utf8.ValidString(member.Name) {
		// Names without a declared encoding use that of MS-DOS.
		name, err := charmap.CodePage437.NewDecoder().String(member.Name)
		if err != nil {
			return Invalid("The ZIP file has a member whose name is not text.").Because(err)
		}
		member.Name = name
	}
	name := member.Name
	switch clean := strings.TrimSuffix(name, "/"); {
	case name == "":
		return Invalid("The ZIP file has a member without a name.")
	case strings.ContainsRune(name, 0):
		return Invalid("The name of the member %q contains a NUL character.", name)
	case strings.HasPrefix(name, "/"), strings.ContainsRune(name, '\\'), len(name) > 1 && name[1] == ':', !fs.ValidPath(clean):
		return Invalid("The member %q has a name that leads out of the ZIP file.", name)
	case member.Flags&1 != 0:
		return Invalid("The member %q is encrypted. Unpack the ZIP file with its password, and import what is in it.", name)
	case member.Mode()&fs.ModeType&^fs.ModeDir != 0:
		return Invalid("The member %q is not a file but a link or the like.", name)
	case member.Method != zip.Store && member.Method != zip.Deflate:
		return Invalid("The member %q is compressed by an unknown method: use deflate, the usual one.", name)
	}
	return nil
}

// find returns a member, or nil.
func (z *zipFile) find(name string) *zip.File {
	for _, member := range z.members {
		if member.Name == name {
			return member
		}
	}
	return nil
}

// format returns the format that the members indicate.
func (z *zipFile) format() *format.Format {
	if f := format.All().RecognizeZIP(func(member string) bool { return z.find(member) != nil }); f != nil {
		return f
	}
	return zipFormat()
}

func zipFormat() *format.Format { return format.All().Get("zip") }

// data returns the members that hold data, and notes the others.
func (z *zipFile) data(found *Notes) ([]*zip.File, error) {
	var data []*zip.File
	for _, member := range z.members {
		switch {
		case strings.HasPrefix(member.Name, "__MACOSX/"), strings.HasPrefix(path.Base(member.Name), "."):
		case isDescription(member.Name):
			found.Add("member "+member.Name, "It describes others and was not imported.")
		default:
			data = append(data, member)
		}
	}
	switch {
	case len(data) == 0:
		return nil, Invalid("The ZIP file contains no data.")
	case len(data) > mostMembers:
		return nil, Invalid("The ZIP file has %d members; at most %d are imported.", len(data), mostMembers)
	}
	return data, nil
}

// isDescription reports whether a member describes others, judging by its name. Tables
// may have such names, too.
func isDescription(name string) bool {
	base := strings.ToLower(path.Base(name))
	if format.All().HoldsRows(base) {
		return false
	}
	for _, start := range []string{"readme", "license", "licence", "sha256sums", "md5sums", "checksums", "manifest.", "datapackage."} {
		if strings.HasPrefix(base, start) {
			return true
		}
	}
	return false
}

// unpack writes a member to a file and returns its path.
func (z *zipFile) unpack(ctx context.Context, member *zip.File) (path string, err error) {
	r, err := z.open(member)
	if err != nil {
		return "", err
	}
	defer r.Close()
	return z.scratch.create(ctx, r, z.packed)
}

// pass copies a member to w.
func (z *zipFile) pass(ctx context.Context, member *zip.File, w io.Writer) error {
	r, err := z.open(member)
	if err != nil {
		return err
	}
	defer r.Close()
	return z.scratch.copy(ctx, w, r, z.packed)
}

// packed returns how many bytes of the file have been read, at most its size. Members
// may overlap in order to unpack the same bytes again and again.
func (z *zipFile) packed() int64 { return min(z.read.n, z.read.size) }

func (z *zipFile) open(member *zip.File) (io.ReadCloser, error) {
	r, err := member.Open()
	if err != nil {
		return nil, badMember(member.Name, err)
	}
	return &memberReader{r, member.Name}, nil
}

// memberReader turns errors of unpacking into problems of the file.
type memberReader struct {
	io.ReadCloser
	name string
}

// Read reads the content of the member.
func (m *memberReader) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = badMember(m.name, err)
	}
	return n, err
}

func badMember(name string, err error) error {
	switch {
	case errors.Is(err, zip.ErrChecksum):
		return Invalid("The member %q is damaged: its checksum does not match.", name).Because(err)
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return Invalid("The member %q was cut short.", name).Because(err)
	}
	return Invalid("The member %q is damaged and cannot be unpacked.", name).Because(err)
}

// readerAt counts the bytes read and can limit them.
type readerAt struct {
	r    io.ReaderAt
	size int64
	n    int64
	left int64 // that may still be read; negative for no limit
}

var errTooMuch = errors.New("too much is read")

// ReadAt reads from the underlying reader.
func (r *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if r.left >= 0 {
		if r.left -= int64(len(p)); r.left < 0 {
			return 0, errTooMuch
		}
	}
	n, err := r.r.ReadAt(p, offset)
	r.n += int64(n)
	return n, err
}
