package format

import (
	"archive/zip"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ZIP writes a ZIP file as a stream, one member after another. A member is compressed on
// several processors; sizes beyond 4 GiB work.
type ZIP struct {
	w *zip.Writer
}

// NewZIP returns a writer of a ZIP file to w.
func NewZIP(w io.Writer) *ZIP {
	z := &ZIP{w: zip.NewWriter(w)}
	d := newDeflater(min(runtime.GOMAXPROCS(0), mostDeflaters))
	// archive/zip closes a member before it starts the next, so one deflater serves all.
	z.w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		d.reset(w)
		return d, nil
	})
	return z
}

// Create starts a member, which ends with the next call of Create or Close.
func (z *ZIP) Create(name string, modified time.Time) (io.Writer, error) {
	return z.Describe(name, modified, "")
}

// Describe starts a member like [ZIP.Create], with a comment of at most 65,535 bytes in
// the central directory.
func (z *ZIP) Describe(name string, modified time.Time, comment string) (io.Writer, error) {
	return z.w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified.UTC(), Comment: comment})
}

// Close writes the central directory. It does not close the underlying writer.
func (z *ZIP) Close() error { return z.w.Close() }

// MemberName returns a file name for a table that every system can unpack: without
// separators and control characters, not reserved by Windows, of bounded length, and
// different from those in taken, ignoring case. It adds the name to taken.
func MemberName(table, ext string, taken map[string]bool) string {
	base := safeName(table)
	name := base + "." + ext
	for n := 2; taken[fold(name)]; n++ {
		name = base + "_" + strconv.Itoa(n) + "." + ext
	}
	taken[fold(name)] = true
	return name
}

// fold maps names that some file system treats as equal to the same string.
func fold(name string) string { return norm.NFC.String(strings.ToLower(name)) }

func safeName(s string) string {
	const longest = 200 // bytes; file systems allow 255
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) || strings.ContainsRune(`<>:"/\|?*`, r) {
			return '_'
		}
		return r
	}, s)
	if len(s) > longest {
		s = s[:longest]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	s = strings.Trim(s, ". ")
	if s == "" {
		return "table"
	}
	if stem, _, _ := strings.Cut(s, "."); reservedByWindows(strings.TrimSpace(stem)) {
		return "_" + s
	}
	return s
}

func reservedByWindows(stem string) bool {
	stem = strings.ToUpper(stem)
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	device, number := strings.CutPrefix(stem, "COM")
	if !number {
		device, number = strings.CutPrefix(stem, "LPT")
	}
	return number && utf8.RuneCountInString(device) == 1 && strings.Contains("0123456789¹²³", device)
}
