package api

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/problem"
)

// tusVersion is the version of the protocol for resumable uploads that is
// spoken, https://tus.io/protocols/resumable-upload.
const (
	tusHeader     = "Tus-Resumable"
	tusVersion    = "1.0.0"
	tusExtensions = "creation,creation-defer-length,expiration,termination"
	partType      = "application/offset+octet-stream"
)

// uploads marks a route as one of the protocol for resumable uploads. Its headers
// mean nothing to any other route.
func uploads(ep *endpoint) { ep.uploads = true }

// matchUpload finds the endpoint of a request that speaks the protocol, and
// reports whether there is one. A client that cannot send PATCH or DELETE names
// the method in a header.
func (c *call) matchUpload() bool {
	if c.r.Header.Get(tusHeader) == "" {
		return false
	}
	r := c.r
	if method := r.Header.Get("X-HTTP-Method-Override"); method != "" {
		r = r.WithContext(r.Context())
		r.Method = method
	}
	handler, _ := c.mux.Handler(r)
	ep, ok := handler.(*endpoint)
	if !ok || !ep.uploads {
		return false
	}
	c.r, c.ep = r, ep
	c.w.Header().Set(tusHeader, tusVersion) // in every answer, as the protocol asks
	return true
}

// speaksTus returns why a request is not processed: it asks for another version
// of the protocol. OPTIONS is how a client finds out which there is.
func (c *call) speaksTus() error {
	version := c.r.Header.Get(tusHeader)
	if !c.ep.uploads || version == "" || version == tusVersion || c.r.Method == http.MethodOptions {
		return nil
	}
	return &otherStatus{problem.Invalid(tusHeader, "Must be %s.", tusVersion), http.StatusPreconditionFailed}
}

// showTus tells what of the protocol is spoken.
func (h *handlers) showTus(context.Context, *Workspace, *struct{}) (*NoContent, error) {
	return &NoContent{map[string]string{
		tusHeader: tusVersion, "Tus-Version": tusVersion, "Tus-Extension": tusExtensions,
		"Tus-Max-Size": strconv.FormatInt(h.imports.MaxBytes(), 10),
	}}, nil
}

// sending is a file that a call brings, in whatever form.
type sending struct {
	options []byte
	file    io.Reader // nil when it comes later, in parts
	order   imports.Request
}

// open finds out in what form the file comes.
func (in *sendIn) open(faults *problem.Faults, limit int64) (s *sending, err error) {
	s = &sending{options: []byte(in.Options)}
	media, parameters := in.Body.Type()
	switch {
	case in.Resumable != "":
		err = s.begin(faults, in)
	case media == "multipart/form-data":
		err = s.openForm(in, parameters, limit)
	default:
		s.order.FileName, s.order.Size = fileName(in.FileName), in.Body.Size()
		s.file, err = in.Body.Open(limit)
	}
	s.order.SHA256 = digest(faults, "Repr-Digest", in.ReprDigest)
	if !utf8.ValidString(s.order.FileName) || len(s.order.FileName) > 1000 {
		faults.Add("X-File-Name", "Must be UTF-8 of at most 1000 bytes.")
	}
	return s, err
}

// fileName decodes a name as headers have it.
func fileName(header string) string {
	if name, err := url.PathUnescape(header); err == nil && utf8.ValidString(name) {
		return name
	}
	return header
}

// openForm reads the form as far as the file. The file's size is not known: the
// length of the body is that of the whole form.
func (s *sending) openForm(in *sendIn, parameters map[string]string, limit int64) error {
	body, err := in.Body.Open(limit + 2*maxOptions)
	if err != nil {
		return err
	}
	form, err := openForm(body, parameters)
	if err != nil {
		return err
	}
	if form.options != nil {
		s.options = form.options
	}
	s.file, s.order.FileName, s.order.Size = form.file, form.name, -1
	return nil
}

// begin reads what an upload in parts begins with.
func (s *sending) begin(faults *problem.Faults, in *sendIn) error {
	s.order.Resumable, s.order.Metadata = true, in.Metadata
	s.order.FileName, s.options = readMetadata(faults, in.Metadata)
	switch {
	case in.Deferred == "":
		s.order.Size = sizeOf(faults, "Upload-Length", in.Length)
	case in.Deferred != "1":
		return &otherStatus{problem.Invalid("Upload-Defer-Length", "Must be 1."), http.StatusBadRequest}
	case in.Length != "":
		faults.Add("Upload-Defer-Length", "Sent with Upload-Length.")
	default:
		s.order.Size = -1
	}
	return nil
}

// readMetadata reads the header Upload-Metadata. What else clients tell of a
// file is passed over.
func readMetadata(faults *problem.Faults, header string) (name string, options []byte) {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(header, ",") {
		key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
		value, err := base64Of(strings.TrimSpace(text))
		switch {
		case err != nil:
			faults.Add("Upload-Metadata", "The value of %q is not base64.", key)
		case seen[key]:
			faults.Add("Upload-Metadata", "%q is sent twice.", key)
		}
		switch seen[key] = true; key {
		case "filename":
			name = string(value)
		case "options":
			options = value
		}
	}
	return name, options
}

// withoutOptions returns the header Upload-Metadata without the options.
func withoutOptions(header string) string {
	pairs := slices.DeleteFunc(strings.Split(header, ","), func(pair string) bool {
		key, _, _ := strings.Cut(strings.TrimSpace(pair), " ")
		return key == "options"
	})
	return strings.Join(pairs, ",")
}

// otherStatus is a problem that is answered with another status than its code
// has, because a protocol asks for it.
type otherStatus struct {
	problem *problem.Error
	status  int
}

func (e *otherStatus) Error() string { return e.problem.Error() }
func (e *otherStatus) Unwrap() error { return e.problem }

func sizeOf(faults *problem.Faults, header, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		faults.WrongType(header, "a number of bytes")
		return 0
	}
	return n
}

func base64Of(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

// uploadHeaders tell how far an upload is.
func uploadHeaders(m *imports.Manifest) map[string]string {
	header := map[string]string{"Upload-Offset": strconv.FormatInt(m.ReceivedBytes, 10)}
	if m.SizeBytes != nil {
		header["Upload-Length"] = strconv.FormatInt(*m.SizeBytes, 10)
	} else {
		header["Upload-Defer-Length"] = "1"
	}
	if m.ExpiresAt != nil && m.Status == imports.Uploading {
		if at, err := time.Parse(time.RFC3339, *m.ExpiresAt); err == nil {
			header["Upload-Expires"] = at.UTC().Format(http.TimeFormat)
		}
	}
	return header
}

type showUploadIn struct {
	importIDIn
	Resumable string `header:"Tus-Resumable"`
}

func (h *handlers) showUpload(ctx context.Context, ws *Workspace, in *showUploadIn) (*NoContent, error) {
	m, err := h.importOf(ctx, ws, in.ID)
	if err != nil {
		return nil, err
	}
	if m.Status == imports.Expired || m.Status == imports.Canceled {
		return nil, problem.New(problem.CodeNotFound, "The upload is not kept any more.")
	}
	header := uploadHeaders(&m)
	header["Upload-Metadata"], err = h.imports.Metadata(ctx, ws.Project.ID, m.ID)
	return &NoContent{header}, err
}

type continueUploadIn struct {
	importIDIn
	Resumable     string `header:"Tus-Resumable" required:"true" doc:"1.0.0, the version of the protocol."`
	Offset        string `header:"Upload-Offset" required:"true" doc:"How many bytes of the file have arrived already."`
	Length        string `header:"Upload-Length" doc:"The size of the file in bytes, of an upload that was begun without."`
	ContentDigest string `header:"Content-Digest" doc:"sha-256=:base64: of the body, which is thrown away when it arrives as another (RFC 9530)."`
	Body          Incoming
}

func (h *handlers) continueUpload(ctx context.Context, ws *Workspace, in *continueUploadIn, faults *problem.Faults) (*NoContent, error) {
	if media, _ := in.Body.Type(); media != partType {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "A part of an upload is sent with Content-Type: %s.", partType)
	}
	part := imports.Part{Offset: sizeOf(faults, "Upload-Offset", in.Offset), SHA256: digest(faults, "Content-Digest", in.ContentDigest)}
	if in.Length != "" {
		size := sizeOf(faults, "Upload-Length", in.Length)
		part.Size = &size
	}
	if _, err := h.importOf(ctx, ws, in.ID); err != nil {
		return nil, err
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	ws.Close() // an upload takes long, and keeps no project from being deleted
	var err error
	if part.Body, err = in.Body.Open(h.imports.MaxBytes()); err != nil {
		return nil, err
	}
	m, _, err := h.imports.Receive(ctx, ws.Project.ID, in.ID, part)
	if err != nil {
		return nil, err
	}
	return &NoContent{uploadHeaders(&m)}, nil
}
