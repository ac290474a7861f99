// Package disk asks the system what the standard library does not: how much
// room a disk has, and that the names in a folder outlive a power cut.
package disk

import (
	"errors"
	"os"
)

// SyncFolder makes sure that the names in a folder are on the disk.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Reserve returns how many bytes are to stay free on a disk that has so many: 5 %
// of them or 1 GiB, whichever is less.
func Reserve(total int64) int64 { return min(total/20, 1<<30) }
