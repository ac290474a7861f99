package export

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// formatVersion is the version of the manifest format; it increases with every change
// that readers must know about.
const formatVersion = 1

// Verification is the result of reading an artifact again and checking it.
type Verification struct {
	OK        bool     `json:"ok" doc:"Whether everything matches the manifest."`
	SizeBytes int64    `json:"size_bytes"`
	SHA256    string   `json:"sha256"`
	Members   int      `json:"members_checked" doc:"Members of a ZIP file whose bytes were compared."`
	Faults    []string `json:"faults" doc:"What differs from the manifest."`
}

func (v *Verification) fault(text string, args ...any) {
	v.Faults = append(v.Faults, fmt.Sprintf(text, args...))
}

// Verify reads the artifact of an export again, and compares it and its members with
// the manifest. An artifact that is not available gives the same errors as Artifact.
func (e *Exports) Verify(ctx context.Context, projectID ids.Project, id string) (Verification, error) {
	a, err := e.Artifact(ctx, projectID, id)
	if err != nil {
		return Verification{}, err
	}
	v, err := verify(ctx, a.File, &a.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		err = e.whyGone(ctx, projectID, id)
	}
	return v, errors.Join(err, a.File.Close())
}

// ReadManifest reads the JSON manifest of a ready export, either inside an answer of
// the server or by itself.
func ReadManifest(text []byte) (*Manifest, error) {
	var answer struct {
		Data struct {
			Export Manifest `json:"export"`
		} `json:"data"`
		Export Manifest `json:"export"`
	}
	var m Manifest
	if err := errors.Join(json.Unmarshal(text, &m), json.Unmarshal(text, &answer)); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	for _, wrapped := range []Manifest{answer.Data.Export, answer.Export} {
		if wrapped.ID != "" {
			m = wrapped
		}
	}
	switch {
	case m.ID == "" || m.SHA256 == nil || m.SizeBytes == nil:
		return nil, errors.New("read the manifest: it is not that of a ready export")
	case m.FormatVersion > formatVersion:
		return nil, fmt.Errorf("read the manifest: its format %d is newer than %d, please update the program", m.FormatVersion, formatVersion)
	case !m.Options.readable():
		return nil, errors.New("read the manifest: it describes a dialect of CSV that there is not")
	}
	return &m, nil
}

// readable reports whether all dialects are ones that the server writes.
func (o *Options) readable() bool {
	for _, own := range o.TableOptions {
		if !own.readable() {
			return false
		}
	}
	return o.Dialect == nil || o.Dialect.Validate() == nil
}

// VerifyFile compares the file at path with a manifest. It needs no server.
func VerifyFile(ctx context.Context, path string, m *Manifest) (Verification, error) {
	file, err := os.Open(path)
	if err != nil {
		return Verification{}, err
	}
	v, err := verify(ctx, file, m)
	return v, errors.Join(err, file.Close())
}

func verify(ctx context.Context, file artifact.File, m *Manifest) (v Verification, err error) {
	v.Faults = []string{}
	if v.SizeBytes, v.SHA256, err = sumOf(ctx, file); err != nil {
		return v, fmt.Errorf("read the artifact: %w", err)
	}
	if v.SizeBytes != *m.SizeBytes {
		v.fault("The file has %d bytes, the manifest says %d.", v.SizeBytes, *m.SizeBytes)
	}
	if v.SHA256 != *m.SHA256 {
		v.fault("The SHA-256 of the file is %s, the manifest says %s.", v.SHA256, *m.SHA256)
	}
	if len(m.Members) > 0 {
		err = v.members(ctx, file, m.Members)
	}
	v.OK = err == nil && len(v.Faults) == 0
	return v, err
}

// members compares the members of a ZIP file. A file that is not a ZIP file is a fault.
func (v *Verification) members(ctx context.Context, file artifact.File, want []Member) error {
	r, err := zip.NewReader(file, v.SizeBytes)
	if problem.Is(err, problem.CodeBusy) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		v.fault("The file is not a whole ZIP file: %s.", err)
		return nil
	}
	if len(r.File) != len(want) {
		v.fault("The file has %d members, the manifest says %d.", len(r.File), len(want))
	}
	for i := range min(len(r.File), len(want)) {
		if err := v.member(ctx, r.File[i], want[i]); err != nil {
			return err
		}
	}
	return nil
}

func (v *Verification) member(ctx context.Context, file *zip.File, want Member) error {
	if file.Name != want.Name {
		v.fault("A member has the name %q, the manifest says %q.", file.Name, want.Name)
		return nil
	}
	r, err := file.Open()
	if err != nil {
		v.fault("The member %s cannot be opened: %s.", want.Name, err)
		return nil
	}
	defer r.Close()
	size, sum, err := sumOf(ctx, r)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case problem.Is(err, problem.CodeBusy), errors.Is(err, fs.ErrNotExist):
		return err // the failure is not in the member
	case err != nil:
		v.fault("The member %s cannot be read: %s.", want.Name, err)
	case size != want.SizeBytes || sum != want.SHA256:
		v.fault("The member %s has %d bytes with the SHA-256 %s, the manifest says %d with %s.", want.Name, size, sum, want.SizeBytes, want.SHA256)
	}
	v.Members++
	return nil
}

// sumOf reads r to the end and returns its size and SHA-256.
func sumOf(ctx context.Context, r io.Reader) (size int64, sum string, err error) {
	h := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		n, err := r.Read(buffer)
		h.Write(buffer[:n])
		size += int64(n)
		switch {
		case err == io.EOF:
			return size, hex.EncodeToString(h.Sum(nil)), nil
		case err != nil:
			return size, "", err
		case ctx.Err() != nil:
			return size, "", ctx.Err()
		}
	}
}
