package imports

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// lost is where uploads are kept that no job store knows. They can be imported again by
// hand.
func (d dir) lost() string { return filepath.Join(d.path, "lost") }

// loseFiles moves every upload to where nothing removes it. Without the job store
// nobody knows what was to be done with them.
func (im *Imports) loseFiles() error {
	projects, err := os.ReadDir(im.dir.path)
	if err != nil {
		return err
	}
	moved := 0
	for _, project := range projects {
		if _, err := strconv.ParseInt(project.Name(), 10, 64); err != nil {
			continue
		}
		from, to := filepath.Join(im.dir.path, project.Name()), filepath.Join(im.dir.lost(), project.Name())
		n, err := moveFiles(from, to)
		if moved += n; err != nil {
			return fmt.Errorf("keep uploads without the jobs: %w", err)
		}
	}
	if moved > 0 {
		im.log.Warn("imports.db was not there: uploads were moved to where they stay", "files", moved, "folder", im.dir.lost())
	}
	return nil
}

func moveFiles(from, to string) (moved int, err error) {
	entries, err := os.ReadDir(from)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return 0, err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return moved, err
		}
		moved++
	}
	return moved, nil
}
