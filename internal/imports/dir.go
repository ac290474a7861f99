package imports

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/zangtable/zangtable/internal/disk"
)

// folder is where uploads lie, <project id>/<import id>, and beside them tmp,
// where a running job unpacks what it reads.
type dir struct {
	path string
}

func openDir(path string) (dir, error) {
	for _, p := range []string{path, filepath.Join(path, "tmp")} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return dir{}, fmt.Errorf("create the folder of imports: %w", err)
		}
	}
	return dir{path}, nil
}

func (d dir) of(projectID int64) string {
	return filepath.Join(d.path, strconv.FormatInt(projectID, 10))
}

func (d dir) upload(r *record) string { return filepath.Join(d.of(r.projectID), r.manifest.ID) }

func (d dir) scratch() string { return filepath.Join(d.path, "tmp") }

// open opens an upload for writing, and makes it when it has not begun.
func (d dir) open(r *record) (*os.File, error) {
	if err := disk.MakeFolder(d.of(r.projectID)); err != nil {
		return nil, fmt.Errorf("create the folder of project %d: %w", r.projectID, err)
	}
	file, err := os.OpenFile(d.upload(r), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = disk.SyncFolder(d.of(r.projectID))
	}
	if err != nil {
		return nil, fmt.Errorf("open the upload %s: %w", r.manifest.ID, err)
	}
	return file, nil
}

// received returns how many bytes of an upload are there.
func (d dir) received(r *record) int64 {
	info, err := os.Stat(d.upload(r))
	if err != nil {
		return 0
	}
	return info.Size()
}

// keeps reports whether the whole file is there.
func (d dir) keeps(r *record) bool {
	info, err := os.Stat(d.upload(r))
	return err == nil && r.manifest.SizeBytes != nil && info.Size() == *r.manifest.SizeBytes
}

func (d dir) remove(r *record) error {
	if err := os.Remove(d.upload(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the upload %s: %w", r.manifest.ID, err)
	}
	return nil
}

func (d dir) removeProject(projectID int64) error {
	if err := os.RemoveAll(d.of(projectID)); err != nil {
		return fmt.Errorf("remove the uploads of project %d: %w", projectID, err)
	}
	return nil
}

// removeOrphans removes what a crash has left: the files of jobs that were
// running, and every upload that is not wanted any more.
func (d dir) removeOrphans(wanted map[string]int64) error {
	if err := os.RemoveAll(d.scratch()); err != nil {
		return fmt.Errorf("clear the scratch folder of imports: %w", err)
	}
	if err := os.Mkdir(d.scratch(), 0o700); err != nil {
		return fmt.Errorf("create the scratch folder of imports: %w", err)
	}
	return filepath.WalkDir(d.path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == d.lost():
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		if project, ok := wanted[entry.Name()]; ok && filepath.Dir(path) == d.of(project) {
			return nil
		}
		return os.Remove(path)
	})
}
