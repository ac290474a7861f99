package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
)

// Allocate creates a file that really occupies the given number of bytes on disk. If
// there is not enough room, it leaves no file.
func Allocate(path string, bytes int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, bytes)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, RemoveFile(path))
	}
	return nil
}

// fill writes bytes that no file system can compress or store as holes.
func fill(f *os.File, bytes int64) error {
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), bytes); err != nil {
		return err
	}
	return f.Sync()
}
