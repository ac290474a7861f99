package imports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ids"
)

// dir is the directory of uploads, <project id>/<import id>, with a scratch directory
// beside them in which running jobs unpack files.
type dir struct {
	disk.Projects
}

func openDir(path string) (dir, error) {
	projects, err := disk.OpenProjects(path)
	if err == nil {
		err = projects.MakeScratch()
	}
	return dir{projects}, err
}

func (d dir) upload(r *record) string { return filepath.Join(d.Of(r.projectID), r.manifest.ID) }

// open opens an upload for writing, and creates the file if necessary.
func (d dir) open(r *record) (*os.File, error) {
	if err := d.Make(r.projectID); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(d.upload(r), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = disk.SyncFolder(d.Of(r.projectID))
	}
	if err != nil {
		return nil, fmt.Errorf("open the upload %s: %w", r.manifest.ID, err)
	}
	return file, nil
}

// received returns how many bytes of an upload have arrived.
func (d dir) received(r *record) int64 {
	info, err := os.Stat(d.upload(r))
	if err != nil {
		return 0
	}
	return info.Size()
}

// keeps reports whether the complete file is still there.
func (d dir) keeps(r *record) bool {
	info, err := os.Stat(d.upload(r))
	return err == nil && r.manifest.SizeBytes != nil && info.Size() == *r.manifest.SizeBytes
}

func (d dir) remove(r *record) error {
	if err := disk.RemoveFile(d.upload(r)); err != nil {
		return fmt.Errorf("remove the upload %s: %w", r.manifest.ID, err)
	}
	return nil
}

// removeOrphans removes what a crash left behind: scratch files, and every upload that
// no import needs.
func (d dir) removeOrphans(wanted map[string]ids.Project) error {
	err := d.RemoveOrphans(func(projectID ids.Project, name string) bool {
		project, ok := wanted[name]
		return ok && project == projectID
	})
	return errors.Join(err, d.MakeScratch())
}

// loseAll moves all uploads to where nothing removes them, and returns how many there
// were.
func (d dir) loseAll() (moved int, err error) {
	err = d.Each(func(path string) error {
		moved++
		return d.Lose(path)
	})
	return moved, err
}
