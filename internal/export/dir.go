package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/disk"
)

// folder is where artifacts lie: <project id>/<export id>.<ext>, and with the
// further ending .part while they are written.
type dir struct {
	path string
}

func openDir(path string) (dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return dir{}, fmt.Errorf("create the folder of exports: %w", err)
	}
	return dir{path}, nil
}

func (d dir) of(projectID int64) string {
	return filepath.Join(d.path, strconv.FormatInt(projectID, 10))
}

func (d dir) artifact(r *record) string { return filepath.Join(d.of(r.projectID), r.file()) }

// create begins the artifact of an export.
func (d dir) create(r *record) (*artifact, error) {
	if err := disk.MakeFolder(d.of(r.projectID)); err != nil {
		return nil, fmt.Errorf("create the folder of project %d: %w", r.projectID, err)
	}
	return newArtifact(d.artifact(r))
}

// private returns paths for files that are needed while an export is made. What
// a crash leaves there is removed as an orphan.
func (d dir) private(r *record) (draft, finished string, err error) {
	folder := filepath.Join(d.path, "tmp")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", "", fmt.Errorf("create a folder for drafts: %w", err)
	}
	base := filepath.Join(folder, r.manifest.ID)
	return base + ".draft", base + ".sqlite", nil
}

func (d dir) publish(_ *job, a *artifact) error { return a.publish() }

func (d dir) open(_ context.Context, r *record) (File, error) {
	file, err := os.Open(d.artifact(r))
	if err != nil {
		return nil, fmt.Errorf("open the artifact of %s: %w", r.manifest.ID, err)
	}
	if info, err := file.Stat(); err != nil || info.Size() != *r.manifest.SizeBytes {
		return nil, errors.Join(fs.ErrNotExist, err, file.Close())
	}
	return file, nil
}

// exists reports whether the artifact of an export is there.
func (d dir) exists(r *record) bool {
	info, err := os.Stat(d.artifact(r))
	return err == nil && info.Mode().IsRegular() && info.Size() == *r.manifest.SizeBytes
}

func (d dir) remove(r *record) error { return removeFile(d.artifact(r)) }

func (d dir) removeProject(projectID int64) error {
	if err := os.RemoveAll(d.of(projectID)); err != nil {
		return fmt.Errorf("remove the artifacts of project %d: %w", projectID, err)
	}
	return nil
}

// removeOrphans removes every file that is neither the artifact of a ready export
// nor its note: what a crash has left.
func (d dir) removeOrphans(artifacts, noted map[string]int64) error {
	return filepath.WalkDir(d.path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == filepath.Join(d.path, "lost"):
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		id, ext, _ := strings.Cut(entry.Name(), ".")
		ready := artifacts
		if ext == noteExt {
			ready = noted
		}
		project, ok := ready[id]
		if ok && filepath.Dir(path) == d.of(project) && !strings.HasSuffix(ext, "part") {
			return nil
		}
		return removeFile(path)
	})
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an artifact: %w", err)
	}
	return nil
}
