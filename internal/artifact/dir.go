package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ids"
)

const (
	partExt     = "part"
	manifestExt = "manifest"
)

// Dir is the directory of artifacts and of the manifests beside them.
type Dir struct {
	disk.Projects

	step func(string)
	need func() error
}

// Path returns the path of an artifact.
func (d Dir) Path(r Ref) string { return filepath.Join(d.Of(r.ProjectID), r.file()) }

// Create begins an artifact.
func (d Dir) Create(r Ref) (*Writer, error) {
	if err := d.Make(r.ProjectID); err != nil {
		return nil, err
	}
	path := d.Path(r)
	file, err := os.OpenFile(path+"."+partExt, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create an artifact: %w", err)
	}
	w := newWriter(file)
	w.path, w.step, w.need = path, d.step, d.need
	return w, nil
}

func (d Dir) open(r Ref) (File, error) {
	file, err := os.Open(d.Path(r))
	if err != nil {
		return nil, fmt.Errorf("open the artifact of %s: %w", r.ID, err)
	}
	if info, err := file.Stat(); err != nil || info.Size() != r.Size {
		return nil, errors.Join(fs.ErrNotExist, err, file.Close())
	}
	return file, nil
}

// Exists reports whether an artifact is in the directory.
func (d Dir) Exists(r Ref) bool {
	info, err := os.Stat(d.Path(r))
	return err == nil && info.Mode().IsRegular() && info.Size() == r.Size
}

// ManifestPath returns the path of the manifest beside an artifact.
func (d Dir) ManifestPath(r Ref) string {
	return filepath.Join(d.Of(r.ProjectID), r.ID+"."+manifestExt)
}

// WriteManifest makes the manifest beside an artifact durable.
func (d Dir) WriteManifest(r Ref, content []byte) error {
	if err := disk.WriteFile(d.ManifestPath(r), content); err != nil {
		return fmt.Errorf("write the manifest beside %s: %w", r.ID, err)
	}
	return nil
}

// EachManifest calls fn with each manifest, including those without an artifact.
func (d Dir) EachManifest(fn func(path string, content []byte) error) error {
	return d.Each(func(path string) error {
		if filepath.Ext(path) != "."+manifestExt {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return fn(path, content)
	})
}

// LoseOthers moves every file not in keep to where nothing removes it, and returns how
// many there were. Files that were still being written are not worth keeping.
func (d Dir) LoseOthers(keep map[string]bool) (lost int, err error) {
	err = d.Each(func(path string) error {
		if keep[path] || strings.HasSuffix(path, "."+partExt) {
			return nil
		}
		lost++
		return d.Lose(path)
	})
	return lost, err
}

// RemoveOrphans removes what a crash left behind: every file that is neither an
// artifact nor a manifest of the given ids, each with its project.
func (d Dir) RemoveOrphans(artifacts, manifests map[string]ids.Project) error {
	return d.Projects.RemoveOrphans(func(projectID ids.Project, name string) bool {
		id, ext, _ := strings.Cut(name, ".")
		wanted := artifacts
		if ext == manifestExt {
			wanted = manifests
		}
		project, ok := wanted[id]
		return ok && project == projectID && !strings.HasSuffix(ext, partExt)
	})
}
