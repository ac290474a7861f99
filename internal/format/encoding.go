package format

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	utf16 "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// sampleText returns a sample as UTF-8, or why it is not text. If told, the caller gave
// the encoding, so the sample is text whatever it looks like.
func sampleText(sample []byte, e Encoding, told bool) ([]byte, error) {
	if known := notText(sample); known != "" {
		return nil, &CSVError{Reason: "The file is " + known + ", not CSV text."}
	}
	text, err := io.ReadAll(decode(bytes.NewReader(sample), e))
	if err != nil {
		return nil, fmt.Errorf("decode the start of the file: %w", err)
	}
	if len(text) == 0 {
		return nil, &CSVError{Reason: "The file is empty."}
	}
	if told {
		return text, nil
	}
	if whole := bytes.TrimRight(text, "\x00"); len(whole) == 0 || bytes.IndexByte(whole, 0) >= 0 {
		return nil, &CSVError{Reason: "The file contains NUL bytes, so it is not CSV text."}
	}
	if controlBytes(text)*50 > len(text) {
		return nil, &CSVError{Reason: "The file is binary, not CSV text."}
	}
	return text, nil
}

// controlBytes counts the control characters that do not occur in text files, apart from
// those that separate fields, mark the end of a file or pad it.
func controlBytes(text []byte) int {
	n := 0
	for _, c := range text {
		if c < ' ' && (c < '\t' || c > '\r') && !bytes.ContainsRune([]byte("\x00\x1a\x1b\x1e\x1f"), rune(c)) {
			n++
		}
	}
	return n
}

// decode returns r as UTF-8 without BOM.
func decode(r io.Reader, e Encoding) io.Reader {
	switch e {
	case UTF16LE:
		return transform.NewReader(r, utf16.UTF16(utf16.LittleEndian, utf16.UseBOM).NewDecoder())
	case UTF16BE:
		return transform.NewReader(r, utf16.UTF16(utf16.BigEndian, utf16.UseBOM).NewDecoder())
	case Windows1252:
		return transform.NewReader(r, charmap.Windows1252.NewDecoder())
	}
	return &bomSkipper{r: r}
}

// bomSkipper reads r without a leading UTF-8 BOM.
type bomSkipper struct {
	r    io.Reader
	past bool
}

func (s *bomSkipper) Read(p []byte) (int, error) {
	if s.past {
		return s.r.Read(p)
	}
	s.past = true
	var head [len(bom)]byte
	n, err := io.ReadFull(s.r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	if string(head[:n]) != bom {
		s.r = io.MultiReader(strings.NewReader(string(head[:n])), s.r)
	}
	return s.r.Read(p)
}

func sniffEncoding(sample []byte, whole bool) (e Encoding, hasBOM bool) {
	switch {
	case bytes.HasPrefix(sample, []byte(bom)):
		return UTF8, true
	case bytes.HasPrefix(sample, []byte("\xff\xfe")):
		return UTF16LE, true
	case bytes.HasPrefix(sample, []byte("\xfe\xff")):
		return UTF16BE, true
	}
	var zeros [2]int
	for i, c := range bytes.TrimRight(sample, "\x00") {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch many, few := len(sample)/6, len(sample)/100; {
	case zeros[1] > many && zeros[0] <= few:
		return UTF16LE, false
	case zeros[0] > many && zeros[1] <= few:
		return UTF16BE, false
	}
	if !whole {
		sample = trimPartialRune(sample)
	}
	if valid, invalid := countRunes(sample); invalid > valid {
		return Windows1252, false
	}
	return UTF8, false
}

// countRunes counts the non-ASCII characters and the bytes that are not UTF-8.
func countRunes(b []byte) (valid, invalid int) {
	if utf8.Valid(b) {
		return 0, 0
	}
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case size > 1:
			valid++
		case r == utf8.RuneError:
			invalid++
		}
		b = b[size:]
	}
	return valid, invalid
}

func trimPartialRune(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}
