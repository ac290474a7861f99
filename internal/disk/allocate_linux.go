package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes a file occupy the given number of bytes on disk.
func allocate(f *os.File, bytes int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return fill(f, bytes)
	}
	return err
}
