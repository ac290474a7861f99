package api

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
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
	tusHeader  = "Tus-Resumable"
	tusVersion = "1.0.0"
	partType   = "application/offset+octet-stream"
)

// sending is a file that a call brings, in whatever form.
type sending struct {
	options []byte
	file    io.Reader // nil when it comes later, in parts
	order   imports.Order
}

// open finds out in what form the file comes.
func (in *sendIn) open(limit int64) (s *sending, err error) {
	s = &sending{options: []byte(in.Options)}
	media, parameters := in.Body.Type()
	switch {
	case in.Resumable != "":
		err = s.begin(in)
	case media == "multipart/form-data":
		err = s.openForm(in, parameters, limit)
	default:
		s.order.FileName, s.order.Size = fileName(in.FileName), in.Body.Size()
		s.file, err = in.Body.Open(limit)
	}
	if err == nil {
		s.order.SHA256, err = digest("Repr-Digest", in.ReprDigest)
	}
	if err == nil && (!utf8.ValidString(s.order.FileName) || len(s.order.FileName) > 1000) {
		err = problem.Invalid("X-File-Name", "must be UTF-8 of at most 1000 bytes")
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
func (s *sending) begin(in *sendIn) (err error) {
	if err := speaksTus(in.Resumable); err != nil {
		return err
	}
	s.order.Resumable = true
	if s.order.Size, err = sizeOf("Upload-Length", in.Length); err != nil {
		return err
	}
	s.order.FileName, s.options, err = readMetadata(in.Metadata)
	return err
}

// readMetadata reads the header Upload-Metadata. What else clients tell of a
// file is passed over.
func readMetadata(header string) (name string, options []byte, err error) {
	for pair := range strings.SplitSeq(header, ",") {
		key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
		value, err := base64Of(strings.TrimSpace(text))
		if err != nil {
			return "", nil, problem.Invalid("Upload-Metadata", "the value of %q is not base64", key)
		}
		switch key {
		case "filename":
			name = string(value)
		case "options":
			options = value
		}
	}
	return name, options, nil
}

// otherStatus is a problem that is answered with another status than its code
// has, because a protocol asks for it.
type otherStatus struct {
	problem *problem.Error
	status  int
}

func (e *otherStatus) Error() string { return e.problem.Error() }
func (e *otherStatus) Unwrap() error { return e.problem }

func speaksTus(version string) error {
	if version == tusVersion {
		return nil
	}
	return &otherStatus{problem.Invalid(tusHeader, "must be %s", tusVersion), http.StatusPreconditionFailed}
}

func sizeOf(header, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, problem.Invalid(header, "expected a number of bytes")
	}
	return n, nil
}

func base64Of(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

// uploadHeaders tell how far an upload is.
func uploadHeaders(m *imports.Manifest) map[string]string {
	header := map[string]string{"Upload-Offset": strconv.FormatInt(m.ReceivedBytes, 10)}
	if m.SizeBytes != nil {
		header["Upload-Length"] = strconv.FormatInt(*m.SizeBytes, 10)
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
	if in.Resumable != "" {
		if err := speaksTus(in.Resumable); err != nil {
			return nil, err
		}
	}
	m, err := h.importOf(ctx, ws, in.ID)
	if err != nil {
		return nil, err
	}
	if m.Status == imports.Expired || m.Status == imports.Canceled {
		return nil, problem.New(problem.CodeNotFound, "The upload is not kept any more.")
	}
	return &NoContent{uploadHeaders(&m)}, nil
}

type continueUploadIn struct {
	importIDIn
	Resumable     string `header:"Tus-Resumable" required:"true" doc:"1.0.0, the version of the protocol."`
	Offset        string `header:"Upload-Offset" required:"true" doc:"How many bytes of the file have arrived already."`
	ContentDigest string `header:"Content-Digest" doc:"sha-256=:base64: of the body, which is thrown away when it arrives as another (RFC 9530)."`
	Body          Incoming
}

func (h *handlers) continueUpload(ctx context.Context, ws *Workspace, in *continueUploadIn) (*NoContent, error) {
	if err := speaksTus(in.Resumable); err != nil {
		return nil, err
	}
	if media, _ := in.Body.Type(); media != partType {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "A part of an upload is sent with Content-Type: %s.", partType)
	}
	part := imports.Part{}
	var err error
	if part.Offset, err = sizeOf("Upload-Offset", in.Offset); err != nil {
		return nil, err
	}
	if part.SHA256, err = digest("Content-Digest", in.ContentDigest); err != nil {
		return nil, err
	}
	if _, err := h.importOf(ctx, ws, in.ID); err != nil {
		return nil, err
	}
	ws.Close() // an upload takes long, and keeps no project from being deleted
	if part.Body, err = in.Body.Open(h.imports.MaxBytes()); err != nil {
		return nil, err
	}
	m, _, err := h.imports.Receive(ctx, ws.Project.ID, in.ID, part)
	if err != nil {
		return nil, err
	}
	return &NoContent{uploadHeaders(&m)}, nil
}
