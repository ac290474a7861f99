package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/zangtable/zangtable/internal/ids"
)

// Projects is a directory with one directory per project, named by the project's id.
// Next to them it can have a directory of scratch files and one of lost files, which
// are kept although nobody knows what they belong to.
type Projects struct {
	Path string
}

// OpenProjects opens such a directory, creating it if it is missing.
func OpenProjects(path string) (Projects, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return Projects{}, fmt.Errorf("create the folder %s: %w", filepath.Base(path), err)
	}
	return Projects{path}, nil
}

// Of returns the directory of a project.
func (d Projects) Of(projectID ids.Project) string {
	return filepath.Join(d.Path, strconv.FormatInt(int64(projectID), 10))
}

// Make creates the directory of a project and makes its name durable. An existing
// directory is not an error.
func (d Projects) Make(projectID ids.Project) error {
	if err := MakeFolder(d.Of(projectID)); err != nil {
		return fmt.Errorf("create the folder of project %d: %w", projectID, err)
	}
	return nil
}

// RemoveProject removes everything that belongs to a project.
func (d Projects) RemoveProject(projectID ids.Project) error {
	if err := os.RemoveAll(d.Of(projectID)); err != nil {
		return fmt.Errorf("remove the folder of project %d: %w", projectID, err)
	}
	return nil
}

// Scratch returns the directory of files that are only needed while a job runs.
func (d Projects) Scratch() string { return filepath.Join(d.Path, "tmp") }

// MakeScratch creates the directory of scratch files if it is missing.
func (d Projects) MakeScratch() error {
	if err := os.MkdirAll(d.Scratch(), 0o700); err != nil {
		return fmt.Errorf("create a folder for scratch files: %w", err)
	}
	return nil
}

// Lost returns the directory of unidentified files, which nothing removes.
func (d Projects) Lost() string { return filepath.Join(d.Path, "lost") }

// Each calls fn with the path of each file in a project's directory.
func (d Projects) Each(fn func(path string) error) error {
	projects, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, project := range projects {
		if _, err := strconv.ParseInt(project.Name(), 10, 64); err != nil {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(d.Path, project.Name()))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := fn(filepath.Join(d.Path, project.Name(), entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lose moves a file of a project to the lost files, under the same project.
func (d Projects) Lose(path string) error {
	to := filepath.Join(d.Lost(), filepath.Base(filepath.Dir(path)))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(to, filepath.Base(path)))
}

// RemoveOrphans removes the leftovers of a crash: scratch files, and every file in a
// project's directory that is not wanted there. Lost files stay.
func (d Projects) RemoveOrphans(wanted func(projectID ids.Project, name string) bool) error {
	if err := os.RemoveAll(d.Scratch()); err != nil {
		return fmt.Errorf("remove scratch files: %w", err)
	}
	return filepath.WalkDir(d.Path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == d.Lost():
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		}
		number, err := strconv.ParseInt(filepath.Base(filepath.Dir(path)), 10, 64)
		project := ids.Project(number)
		if err == nil && filepath.Dir(path) == d.Of(project) && wanted(project, entry.Name()) {
			return nil
		}
		return RemoveFile(path)
	})
}

// RemoveFile removes a file. A missing file is not an error.
func RemoveFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
