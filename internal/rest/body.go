package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

const (
	maxDepth  = 64       // nesting depth of arrays and objects
	paceBytes = 64 << 10 // what a client must send within one BodyTimeout
)

// guardBody sets an initial deadline even for bodies that nobody will read: the server
// drains them before the next request of the connection.
func (c *call) guardBody() {
	if c.r.ContentLength != 0 {
		c.setDeadline(time.Now().Add(c.BodyTimeout)) // a socket's deadline is in real time
		// The deadline of the previous answer must not cut off "100 Continue".
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Time{})
	}
}

// setDeadline does nothing without a socket, as in tests.
func (c *call) setDeadline(at time.Time) {
	_ = http.NewResponseController(c.w).SetReadDeadline(at)
}

// pace reads a request's body as long as it does not arrive too slowly.
type pace struct {
	call  *call
	r     io.Reader
	began time.Time // when the current piece of paceBytes began
	read  int       // bytes read of the current piece
}

// Read extends the deadline: each 64 KiB earn another BodyTimeout, so that a large body
// may take long but can neither trickle nor stall.
func (p *pace) Read(into []byte) (int, error) {
	if p.read >= paceBytes {
		p.began, p.read = time.Now(), 0
	}
	p.call.setDeadline(p.began.Add(p.call.BodyTimeout))
	n, err := p.r.Read(into)
	p.read += n
	p.call.received += int64(n)
	if err == io.EOF {
		p.call.setDeadline(time.Time{})
	}
	return n, err
}

// body reads a request's body within its limits of size, time and nesting. The first
// exceeded limit stays in err: it explains the failure better than the error of a
// decoder.
type body struct {
	pace
	content io.Reader // what pace reads, decompressed
	length  int64     // of the content; negative if unknown
	nesting nesting
	size    int64 // read so far
	err     error
}

// openBody checks what can be checked before reading.
func (c *call) openBody() (*body, error) {
	limit := c.ep.BodyLimit
	if c.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	if c.r.ContentLength != 0 && !isJSON(c.r.Header.Get("Content-Type")) {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "The body must be JSON, sent with Content-Type: application/json.")
	}
	b := &body{pace: pace{call: c, r: http.MaxBytesReader(c.w, c.r.Body, limit), began: time.Now()}, length: c.r.ContentLength}
	b.content = &b.pace
	if coding := c.bodyCoding(); coding != "" {
		if !slices.Contains(codings, coding) {
			return nil, problem.New(problem.CodeUnsupportedMediaType, "The body must be sent without Content-Encoding, or with one of %s.", strings.Join(codings, ", "))
		}
		if err := c.part.Take(maxWindow); err != nil {
			return nil, err
		}
		b.content, b.length = c.unpack(coding, b.content, limit), -1
	}
	if c.keyed != nil {
		b.content = io.TeeReader(b.content, c.keyed.request)
	}
	return b, nil
}

// bodyCoding returns how the body is compressed; "" if it is not.
func (c *call) bodyCoding() string {
	coding := strings.ToLower(strings.Join(c.r.Header.Values("Content-Encoding"), ","))
	if coding == "identity" {
		return ""
	}
	return coding
}

// roomPatience is how long a large body waits for others to end.
const roomPatience = 10 * time.Second

// whole reads all of a large body of known length into a buffer of exactly that size: a
// decoder reading from the connection would need twice as much. It waits for room for
// the body and its results only once the first bytes have arrived: merely announcing a
// body takes nothing from others.
func (b *body) whole() (*bytes.Buffer, error) {
	c, first := b.call, make([]byte, smallBytes)
	if _, err := io.ReadFull(b, first); err != nil {
		return nil, err
	}
	if err := c.part.Await(c.r.Context(), bodyCost*b.length, roomPatience); err != nil {
		b.passOver()
		return nil, err
	}
	c.bodyBytes = b.length
	text := bytes.NewBuffer(make([]byte, 0, b.length+bytes.MinRead))
	text.Write(first)
	_, err := text.ReadFrom(b)
	return text, err
}

// passOver reads and discards the rest of a body: many clients look for an answer only
// after they have sent everything.
func (b *body) passOver() {
	for began := time.Now(); time.Since(began) < roomPatience; {
		if _, err := io.CopyN(io.Discard, &b.pace, paceBytes); err != nil {
			return // the end, or an error that the answer will run into too
		}
	}
}

// grow reserves room for the received bytes of a body of unknown length.
func (b *body) grow(n int) error {
	if b.size += int64(n); b.size <= smallBytes || b.length >= 0 {
		return nil
	}
	b.call.bodyBytes = b.size
	return b.call.part.Ensure(bodyCost * b.size)
}

func tooLarge(limit int64) error {
	return problem.New(problem.CodeBodyTooLarge, "The body is larger than %d MiB, the limit of this route.", limit>>20)
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	return err == nil && media == "application/json" && (charset == "" || charset == "utf-8" || charset == "utf8")
}

// Read reads the content and checks it against the limits.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.content.Read(p)
	if b.nesting.scan(p[:n]) > maxDepth {
		b.err = problem.New(problem.CodeInvalidJSON, "The body nests arrays and objects more than %d levels deep.", maxDepth)
		return 0, b.err
	}
	if err != nil && err != io.EOF {
		b.err = readFailure(err)
	} else if full := b.grow(n); full != nil {
		b.err = full
		return 0, full
	}
	return n, err
}

func readFailure(err error) error {
	var large *http.MaxBytesError
	switch {
	case isProblem(err):
		return err
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(problem.CodeRequestTimeout, problem.BodyTooSlow)
	}
	// The connection broke. The code is for the journal; nobody reads it.
	return problem.New(problem.CodeInvalidJSON, problem.BodyCutShort).Because(fmt.Errorf("read body: %w", err))
}

// explain turns an error from decoding this body into a problem.
func (b *body) explain(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case b.err != nil:
		return b.err
	case err == errTrailing:
		return problem.New(problem.CodeInvalidJSON, "The body is not valid JSON: %s.", err)
	case errors.As(err, &syntax):
		return problem.New(problem.CodeInvalidJSON, "The body is not valid JSON: %s.", strings.TrimPrefix(syntax.Error(), "jsontext: "))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return problem.New(problem.CodeInvalidJSON, "The body is not valid JSON: it ends early.")
	}
	return err
}

// nesting counts how deeply arrays and objects are nested, across pieces of one text.
// The decoder's own limit is 10,000.
type nesting struct {
	depth, deepest    int
	inString, escaped bool
}

// scan continues the count and returns the maximum depth so far.
func (n *nesting) scan(text []byte) int {
	for _, b := range text {
		switch {
		case n.escaped:
			n.escaped = false
		case n.inString:
			n.escaped = b == '\\'
			n.inString = b != '"'
		case b == '"':
			n.inString = true
		case b == '{' || b == '[':
			n.depth++
			n.deepest = max(n.deepest, n.depth)
		case b == '}' || b == ']':
			n.depth--
		}
	}
	return n.deepest
}
