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
	"github.com/zangtable/zangtable/internal/rest"
)

const (
	tusExtensions = "creation,creation-defer-length,expiration,termination"
	partType      = "application/offset+octet-stream" // of a part of an upload
)

// showTus says which parts of the protocol are supported.
func (h *handlers) showTus(context.Context, *Workspace, *struct{}) (*rest.NoContent, error) {
	return &rest.NoContent{Header: map[string]string{
		rest.TusHeader: rest.TusVersion, "Tus-Version": rest.TusVersion, "Tus-Extension": tusExtensions,
		"Tus-Max-Size": strconv.FormatInt(h.imports.MaxBytes(), 10),
	}}, nil
}

// sending is a file sent with a call, in any of the forms.
type sending struct {
	options []byte
	file    io.Reader // nil if the file follows later, in parts
	order   imports.Request
}

// open determines in what form the file is sent.
func (in *sendIn) open(faults *problem.Faults, limit int64) (s *sending, err error) {
	s = &sending{options: []byte(in.Options)}
	switch media, _ := in.Body.Type(); {
	case in.Resumable != "":
		err = s.begin(faults, in)
	case media == "multipart/form-data":
		err = s.openForm(in, limit)
	default:
		s.order.FileName, s.order.Size = fileName(in.FileName), in.Body.Size()
		s.file, err = in.Body.Open(limit)
	}
	s.order.SHA256 = digest(faults, "Repr-Digest", in.ReprDigest)
	if !utf8.ValidString(s.order.FileName) || len(s.order.FileName) > 1000 {
		faults.Add("X-File-Name", "Must be UTF-8 and at most 1000 bytes long.")
	}
	return s, err
}

// fileName decodes a name from a header.
func fileName(header string) string {
	if name, err := url.PathUnescape(header); err == nil && utf8.ValidString(name) {
		return name
	}
	return header
}

// openForm reads the form up to the file. The file's size is unknown: the length of the
// body is that of the whole form.
func (s *sending) openForm(in *sendIn, limit int64) error {
	form, err := in.Body.Form(limit)
	if err != nil {
		return err
	}
	if form.Options != nil {
		s.options = form.Options
	}
	s.file, s.order.FileName, s.order.Size = form.File, form.Name, -1
	return nil
}

// begin reads the headers that begin an upload in parts.
func (s *sending) begin(faults *problem.Faults, in *sendIn) error {
	s.order.Resumable, s.order.Metadata = true, in.Metadata
	s.order.FileName, s.options = readMetadata(faults, in.Metadata)
	switch {
	case in.Deferred == "":
		s.order.Size = sizeOf(faults, "Upload-Length", in.Length)
	case in.Deferred != "1":
		return rest.TusProblem(http.StatusBadRequest, problem.Invalid("Upload-Defer-Length", "Must be 1."))
	case in.Length != "":
		faults.Add("Upload-Defer-Length", "Must not be sent together with Upload-Length.")
	default:
		s.order.Size = -1
	}
	return nil
}

// readMetadata reads the header Upload-Metadata, ignoring everything but the name and
// the options.
func readMetadata(faults *problem.Faults, header string) (name string, options []byte) {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(header, ",") {
		key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
		value, err := base64Of(strings.TrimSpace(text))
		switch {
		case err != nil:
			faults.Add("Upload-Metadata", "The value of %q is not base64.", key)
		case seen[key]:
			faults.Add("Upload-Metadata", "%q is sent twice: send it once.", key)
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

func sizeOf(faults *problem.Faults, header, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		faults.WrongType(header, "a number of bytes")
		return 0
	}
	return n
}

func base64Of(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }

// uploadHeaders returns the headers that describe the progress of an upload.
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

func (h *handlers) showUpload(ctx context.Context, ws *Workspace, in *showUploadIn) (*rest.NoContent, error) {
	m, err := h.importJobs().get(ctx, ws, in.ID)
	if err != nil {
		return nil, err
	}
	if m.Status == imports.Expired || m.Status == imports.Canceled {
		return nil, problem.New(problem.CodeNotFound, "The upload is no longer kept.")
	}
	header := uploadHeaders(&m)
	header["Upload-Metadata"], err = h.imports.Metadata(ctx, ws.Project.ID, m.ID)
	return &rest.NoContent{Header: header}, err
}

type continueUploadIn struct {
	importIDIn
	Resumable     string `header:"Tus-Resumable" required:"true" doc:"1.0.0, the version of the protocol."`
	Offset        string `header:"Upload-Offset" required:"true" doc:"How many bytes of the file have arrived so far."`
	Length        string `header:"Upload-Length" doc:"The size of the file in bytes, if the upload was started without it."`
	ContentDigest string `header:"Content-Digest" doc:"sha-256=:base64: of the body, which is discarded if what arrives does not match (RFC 9530)."`
	Body          rest.Incoming
}

func (h *handlers) continueUpload(ctx context.Context, ws *Workspace, in *continueUploadIn, faults *problem.Faults) (*rest.NoContent, error) {
	if media, _ := in.Body.Type(); media != partType {
		return nil, problem.New(problem.CodeUnsupportedMediaType, "The body must be sent with Content-Type: %s.", partType)
	}
	part := imports.Part{Offset: sizeOf(faults, "Upload-Offset", in.Offset), SHA256: digest(faults, "Content-Digest", in.ContentDigest)}
	if in.Length != "" {
		size := sizeOf(faults, "Upload-Length", in.Length)
		part.Size = &size
	}
	if _, err := h.importJobs().get(ctx, ws, in.ID); err != nil {
		return nil, err
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	var err error
	if part.Body, err = in.Body.Open(h.imports.MaxBytes()); err != nil {
		return nil, err
	}
	m, _, err := h.imports.Receive(ctx, ws.Project.ID, in.ID, part)
	if err != nil {
		return nil, err
	}
	return &rest.NoContent{Header: uploadHeaders(&m)}, nil
}
