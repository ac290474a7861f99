package rest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
)

// Download is the output of a handler whose answer is a file. If Content is an
// io.Closer, it is closed once it has been sent.
type Download struct {
	Disposition string // Content-Disposition, for files to be saved; empty for pages to be shown
	ContentType string
	SHA256      [32]byte // of the whole content
	Modified    time.Time
	Content     io.ReadSeeker
	Link        func(context.Context) (string, error) // returns an address elsewhere, or ""; nil for none
	Policy      string                                // Content-Security-Policy, for pages
	Header      map[string]string                     // other headers, and those in place of the usual ones
	Gzip        *Download                             // the same content as gzip, for clients that accept it; nil for none
}

// send answers with the file or the requested part of it. A failed condition of the
// request is still answered in the envelope.
func (d *Download) send(c *call) {
	if closer, ok := d.Content.(io.Closer); ok {
		defer closer.Close()
	}
	if c.redirect(d) {
		return
	}
	if d.Gzip != nil {
		c.w.Header().Add("Vary", "Accept-Encoding")
		if acceptedCoding(c.r.Header.Get("Accept-Encoding"), "gzip") != "" {
			d = d.Gzip
			c.w.Header().Set("Content-Encoding", "gzip")
		}
	}
	d.describe(c.w.Header())
	if !strings.HasPrefix(c.r.Header.Get("Range"), "bytes=") {
		c.r.Header.Del("Range") // RFC 9110, section 14.2: other units are ignored
	}
	w := &downloadWriter{ResponseWriter: c.w, call: c}
	content := &seeker{ReadSeeker: d.Content}
	http.ServeContent(w, c.r, "", d.Modified, content)
	if w.failed != nil {
		c.logCut(w.failed)
	}
	switch {
	case w.refused == 0:
	case content.failed != nil:
		c.dropFileHeaders()
		c.fail(fmt.Errorf("find the part of the file to send: %w", content.failed))
	case w.refused == http.StatusRequestedRangeNotSatisfiable:
		c.refuse(w.refused, "Range", "the range is outside the file")
	case w.refused == http.StatusPreconditionFailed:
		c.refuse(w.refused, "If-Match", "the file is not the one that the condition names")
	}
}

// logCut logs that a download was cut short. It is an error unless the client seems to
// have disconnected or stalled.
func (c *call) logCut(err error) {
	level, cause := slog.LevelError, "file"
	if c.r.Context().Err() != nil || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded) {
		level, cause = slog.LevelInfo, "client"
	}
	c.logRepeatable(level, "download cut short", cause, "error", err)
}

// redirect sends the client to where the content is, and reports whether it did. A
// request with conditions is answered here, because the ETag there is a different one.
func (c *call) redirect(d *Download) bool {
	if d.Link == nil || c.r.Method != http.MethodGet {
		return false
	}
	for _, condition := range []string{"If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"} {
		if c.r.Header.Get(condition) != "" {
			return false
		}
	}
	address, err := d.Link(c.r.Context())
	if err != nil {
		c.Log.Warn("link to a download", "request_id", c.id, "error", err)
	}
	if address == "" {
		return false
	}
	c.w.Header().Set("Location", address)
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

// describe sets the headers that describe the content.
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
	if d.Disposition != "" {
		header.Set("Content-Disposition", d.Disposition)
	}
	for name, value := range d.Header {
		header.Set(name, value)
	}
}

// downloadWriter holds back the plain text with which http.ServeContent refuses a
// request. The file itself goes through ReadFrom, so that the operating system may copy
// it to the socket.
type downloadWriter struct {
	http.ResponseWriter
	call    *call
	refused int
	failed  error // why the content was cut short, which http.ServeContent does not tell
}

func (w *downloadWriter) WriteHeader(status int) {
	switch status {
	case http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed, http.StatusInternalServerError:
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
	limited, ok := r.(*io.LimitedReader)
	if ok {
		if s, wrapped := limited.R.(*seeker); wrapped {
			limited.R = s.ReadSeeker // a file, that the system can copy
		}
	}
	n, err := io.Copy(w.ResponseWriter, r)
	if ok && err == nil && limited.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	w.failed = err
	return n, err
}

// seeker remembers why a seek failed, which http.ServeContent does not tell.
type seeker struct {
	io.ReadSeeker
	failed error
}

func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	at, err := s.ReadSeeker.Seek(offset, whence)
	if err != nil {
		s.failed = err
	}
	return at, err
}

// dropFileHeaders removes the headers that describe the file, for an answer without it;
// http.ServeContent has removed the others.
func (c *call) dropFileHeaders() {
	for _, name := range []string{"Content-Disposition", "Content-Encoding", "Repr-Digest", "Accept-Ranges"} {
		c.w.Header().Del(name)
	}
}

// refuse answers a failed condition. HTTP fixes the status of these two.
func (c *call) refuse(status int, header, message string) {
	c.dropFileHeaders()
	c.writeProblem(problem.Invalid(header, "%s", message), status)
}
