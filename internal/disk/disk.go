// Package disk does with files and disks what the standard library leaves to its
// users: it tells how much room there is ([Space], [Budget]), takes room in advance
// ([Allocate]), and makes files and their names survive a power cut ([Publish],
// [WriteFile], [MakeFolder]). It knows nothing of what is in the files.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Publish gives the finished file f its name for good: it syncs and closes f,
// renames it, and syncs the folder, so that after a power cut either the whole
// file is there under its name or nothing is. step, unless nil, is called with
// "synced" and "renamed" after these steps. When Publish fails, neither name is left.
//
// A sync that fails is final. The system may have dropped the pages that it
// could not write and call them clean, so that a second sync would succeed
// without having written anything; the content has to be made again.
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

// WriteFile publishes content under a name. What had the name is replaced as a
// whole.
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

// MakeFolder creates a private folder and makes its name durable. One that exists
// already is not an error.
func MakeFolder(path string) error {
	switch err := os.Mkdir(path, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return SyncFolder(filepath.Dir(path))
}
