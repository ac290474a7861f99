package export

import (
	"cmp"
	"fmt"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/problem"
)

// needSpace fails with storage_full when the disk has not so many bytes beyond
// the reserve.
func (e *Exports) needSpace(bytes int64) error {
	free, total, err := e.config.FreeSpace(e.config.Folder)
	if err != nil {
		return fmt.Errorf("ask for the free space: %w", err)
	}
	reserve := cmp.Or(e.config.DiskReserve, disk.Reserve(total))
	switch {
	case free-reserve >= bytes:
		return nil
	case bytes == 0:
		return problem.New(problem.CodeStorageFull, "The disk is full: %d bytes are free, and %d are kept in reserve. Nothing was written.", free, reserve)
	}
	return problem.New(problem.CodeStorageFull,
		"The export needs about %d bytes, and %d are free beyond the reserve. Nothing was written.", bytes, max(0, free-reserve))
}
