package rest

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
)

// Incoming stands for a request's body that the handler reads itself, as it arrives.
type Incoming struct {
	call *call
}

// Size returns the length of the body, negative if the client has not announced it.
func (in Incoming) Size() int64 { return in.call.r.ContentLength }

// Type returns the media type of the body and its parameters.
func (in Incoming) Type() (media string, parameters map[string]string) {
	media, parameters, _ = mime.ParseMediaType(in.call.r.Header.Get("Content-Type")) // no type is a type of its own
	return media, parameters
}

// Open returns the body, limited to the given number of bytes. Its errors are problems.
func (in Incoming) Open(limit int64) (io.Reader, error) {
	if in.Size() > limit {
		return nil, problem.New(problem.CodeBodyTooLarge, "The body is larger than %d bytes, the limit of this route.", limit)
	}
	r := http.MaxBytesReader(in.call.w, in.call.r.Body, limit)
	return &incomingBody{pace{call: in.call, r: r, began: time.Now()}}, nil
}

type incomingBody struct{ pace }

func (b *incomingBody) Read(p []byte) (int, error) {
	n, err := b.pace.Read(p)
	if err != nil && err != io.EOF {
		err = readFailure(err)
	}
	return n, err
}

// maxFormOptions limits the part of a form that is read into memory.
const maxFormOptions = 1 << 20

// Form is a multipart/form-data body with the parts options, which may be omitted, and
// file, in this order.
type Form struct {
	Options []byte
	Name    string // of the file
	File    io.Reader

	parts *multipart.Reader
}

// Form reads the form up to its file, which is limited to the given number of bytes.
func (in Incoming) Form(limit int64) (*Form, error) {
	body, err := in.Open(limit + 2*maxFormOptions)
	if err != nil {
		return nil, err
	}
	_, parameters := in.Type()
	return readForm(body, parameters["boundary"])
}

func readForm(body io.Reader, boundary string) (*Form, error) {
	f := &Form{parts: multipart.NewReader(body, boundary)}
	for {
		part, err := f.parts.NextPart()
		if err != nil {
			return nil, formFault(err, "The form has no part named file.")
		}
		switch name := part.FormName(); {
		case name == "file":
			f.Name, f.File = part.FileName(), fileOfForm{part, f}
			return f, nil
		case name != "options":
			return nil, problem.Invalid(name, "Unknown part: a form has the parts options and file, in this order.")
		case f.Options != nil:
			return nil, problem.Invalid(name, "Sent twice: send it once.")
		}
		if f.Options, err = io.ReadAll(io.LimitReader(part, maxFormOptions+1)); err != nil {
			return nil, formFault(err, "The form ended early.")
		}
		if len(f.Options) > maxFormOptions {
			return nil, problem.New(problem.CodeBodyTooLarge, "The options are larger than %d bytes.", maxFormOptions)
		}
	}
}

// fileOfForm is the file in a form. It ends without an error only if the form does.
type fileOfForm struct {
	io.Reader
	form *Form
}

func (r fileOfForm) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	switch {
	case err == io.EOF:
		if fault := r.form.ends(); fault != nil {
			err = fault
		}
	case err != nil:
		err = formFault(err, "The form ended early.")
	}
	return n, err
}

// ends returns an error if anything follows the file.
func (f *Form) ends() error {
	part, err := f.parts.NextPart()
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return formFault(err, "The form ended early.")
	}
	return problem.Invalid(part.FormName(), "Comes after the file, which must be the last part.")
}

func formFault(err error, sentence string) error {
	var known *problem.Error
	if errors.As(err, &known) {
		return known
	}
	return problem.New(problem.CodeInvalidJSON, "%s", sentence).Because(err)
}
