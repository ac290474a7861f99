package format

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// utf8Part returns a part of a workbook as UTF-8. XML may also be UTF-16, which the
// decoder cannot read.
func utf8Part(r io.ReadCloser) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(4)
	if err != nil && err != io.EOF {
		r.Close()
		return nil, err
	}
	var utf16 encoding.Encoding
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("<\x00")):
		utf16 = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
		if head[0] == '<' {
			utf16 = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
		}
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.HasPrefix(head, []byte("\x00<")):
		utf16 = unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
		if head[0] == 0 {
			utf16 = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
		}
	case bytes.HasPrefix(head, []byte(bom)):
		_, err = b.Discard(len(bom))
		return readCloser{b, r}, err
	default:
		return readCloser{b, r}, nil
	}
	return readCloser{utf16.NewDecoder().Reader(b), r}, nil
}

// readCloser reads from one place and closes another.
type readCloser struct {
	io.Reader
	io.Closer
}

// newXMLDecoder returns a decoder of what utf8Part reads, or of XML that declares another
// encoding.
func newXMLDecoder(r io.Reader) *xml.Decoder {
	d := xml.NewDecoder(r)
	d.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		if strings.HasPrefix(strings.ToLower(label), "utf") || strings.EqualFold(label, "ucs-2") {
			return r, nil
		}
		e, err := htmlindex.Get(label)
		if err != nil {
			return nil, fmt.Errorf("the encoding %.40q is unknown", label)
		}
		return e.NewDecoder().Reader(r), nil
	}
	return d
}
