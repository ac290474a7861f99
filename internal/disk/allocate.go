package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
)

// Allocate makes a file that really occupies that many bytes of the disk. When
// there is not as much room, it leaves no file.
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

// fill writes bytes that no file system can compress or leave out.
func fill(f *os.File, bytes int64) error {
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), bytes); err != nil {
		return err
	}
	return f.Sync()
}
