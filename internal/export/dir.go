package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zangtable/zangtable/internal/disk"
)

// dir is where artifacts lie: <project id>/<export id>.<ext>, and with the
// further ending .part while they are written.
type dir struct {
	disk.Projects
}

func openDir(path string) (dir, error) {
	projects, err := disk.OpenProjects(path)
	return dir{projects}, err
}

func (d dir) artifact(r *record) string { return filepath.Join(d.Of(r.projectID), r.file()) }

// create begins the artifact of an export.
func (d dir) create(r *record) (*artifact, error) {
	if err := d.Make(r.projectID); err != nil {
		return nil, err
	}
	return newArtifact(d.artifact(r))
}

// private returns paths for files that are needed while an export is made. What
// a crash leaves there is removed as an orphan.
func (d dir) private(r *record) (draft, finished string, err error) {
	if err := d.MakeScratch(); err != nil {
		return "", "", err
	}
	base := filepath.Join(d.Scratch(), r.manifest.ID)
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

// removeOrphans removes every file that is neither the artifact of a ready export
// nor its note: what a crash has left.
func (d dir) removeOrphans(artifacts, noted map[string]int64) error {
	return d.RemoveOrphans(func(projectID int64, name string) bool {
		id, ext, _ := strings.Cut(name, ".")
		ready := artifacts
		if ext == noteExt {
			ready = noted
		}
		project, ok := ready[id]
		return ok && project == projectID && !strings.HasSuffix(ext, "part")
	})
}

func removeFile(path string) error {
	if err := disk.RemoveFile(path); err != nil {
		return fmt.Errorf("remove an artifact: %w", err)
	}
	return nil
}
