// Package disk does with files and disks what the standard library leaves to its
// users: it determines how much space there is ([Space], [Budget]), allocates space in
// advance ([Allocate]), and makes files and their names survive a power failure
// ([Publish], [WriteFile], [MakeFolder]). It knows nothing about the content of files.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Publish gives the finished file f its final name: it syncs and closes f, renames it,
// and syncs the folder, so that after a power failure either the complete file exists
// under its name or nothing does. step, if not nil, is called with "synced" and
// "renamed" after these steps. If Publish fails, neither name is left.
//
// A failed sync is final. The system may have dropped the pages that it could not
// write and marked them clean, so that a second sync would succeed without writing
// anything; the content has to be written again.
func Publish(f *os.File, name string, step func(string)) error {
	if step == nil {
		step = func(string) {}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", f.Name(), err), RemoveFile(f.Name()))
	}
	step("synced")
	if err := os.Rename(f.Name(), name); err != nil {
		return errors.Join(fmt.Errorf("put a file in place: %w", err), RemoveFile(f.Name()))
	}
	step("renamed")
	if err := SyncFolder(filepath.Dir(name)); err != nil {
		return errors.Join(err, RemoveFile(name))
	}
	return nil
}

// WriteFile publishes content under a name. It atomically replaces an existing file of
// that name.
func WriteFile(name string, content []byte) error {
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close(), RemoveFile(f.Name()))
	}
	return Publish(f, name, nil)
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync the folder %s: %w", path, err)
	}
	return nil
}

// MakeFolder creates a private folder and makes its name durable. An existing folder
// is not an error.
func MakeFolder(path string) error {
	switch err := os.Mkdir(path, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return SyncFolder(filepath.Dir(path))
}
