package artifact

import (
	"io"
	"strconv"

	"github.com/zangtable/zangtable/internal/ids"
)

// Ref names an artifact.
type Ref struct {
	ProjectID ids.Project
	ID        string
	Ext       string
	Size      int64  // in bytes, of a published artifact
	Store     string // the name of the bucket that holds it, or "" for the directory
}

// file returns the name of the artifact in the directory of its project.
func (r Ref) file() string { return r.ID + "." + r.Ext }

// Key returns the name of the artifact in a bucket.
func (r Ref) Key() string { return strconv.FormatInt(int64(r.ProjectID), 10) + "/" + r.file() }

// File is the content of an artifact. Reads fail once the context that it was opened
// with ends.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
}
