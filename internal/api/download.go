package api

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
)

// Download is the output of a handler whose answer is a file. Content is
// closed after it was sent when it is an io.Closer.
type Download struct {
	Name        string // offered to the client for saving; empty: shown, not saved
	ContentType string
	SHA256      [32]byte // of the whole content
	Modified    time.Time
	Content     io.ReadSeeker
	Policy      string // Content-Security-Policy, for pages
}

// serveDownload answers with the file or the asked part of it. What is wrong
// with the request's conditions is still answered in the envelope.
func (c *call) serveDownload(d *Download) {
	if closer, ok := d.Content.(io.Closer); ok {
		defer closer.Close()
	}
	d.describe(c.w.Header())
	w := &downloadWriter{ResponseWriter: c.w, call: c}
	http.ServeContent(w, c.r, "", d.Modified, d.Content)
	switch w.refused {
	case http.StatusRequestedRangeNotSatisfiable:
		c.refuse(w.refused, "Range", "the range does not lie within the file")
	case http.StatusPreconditionFailed:
		c.refuse(w.refused, "If-Match", "the file is another one than the condition names")
	}
}

// describe sets the headers that tell what the content is.
func (d *Download) describe(header http.Header) {
	header.Set("Content-Type", d.ContentType)
	header.Set("ETag", `"`+hex.EncodeToString(d.SHA256[:])+`"`)
	header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(d.SHA256[:])+":")
	header.Set("Cache-Control", "private")
	header.Set("X-Content-Type-Options", "nosniff")
	if d.Policy != "" {
		header.Set("Content-Security-Policy", d.Policy)
		header.Set("Referrer-Policy", "no-referrer")
	}
	if d.Name != "" {
		header.Set("Content-Disposition", attachment(d.Name))
	}
}

// attachment returns a Content-Disposition with the name in ASCII and, where
// that differs from the name, in UTF-8 as well (RFC 6266, RFC 8187).
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '/' {
			return '_'
		}
		return r
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + percentEncode(name)
	}
	return value
}

// percentEncode keeps only the characters that RFC 8187 calls attr-char.
func percentEncode(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var out strings.Builder
	for _, b := range []byte(s) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("!#$&+-.^_`|~", b) >= 0:
			out.WriteByte(b)
		default:
			out.WriteString("%" + string(hexDigits[b>>4]) + string(hexDigits[b&15]))
		}
	}
	return out.String()
}

// downloadWriter holds back the plain text with which http.ServeContent
// refuses a request. The file itself goes through ReadFrom, so that the
// operating system may copy it to the socket.
type downloadWriter struct {
	http.ResponseWriter
	call    *call
	refused int
}

func (w *downloadWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable || status == http.StatusPreconditionFailed {
		w.refused = status
		return
	}
	w.call.streaming = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *downloadWriter) Write(p []byte) (int, error) {
	if w.refused != 0 {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

func (w *downloadWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(w.ResponseWriter, r)
}

// refuse answers a condition that failed. HTTP fixes the status of these two.
func (c *call) refuse(status int, header, message string) {
	for _, name := range []string{"Content-Disposition", "Repr-Digest", "Accept-Ranges"} {
		c.w.Header().Del(name)
	}
	c.writeProblem(problem.Invalid(header, "%s", message), status)
}
