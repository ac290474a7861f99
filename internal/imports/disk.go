package imports

import (
	"fmt"

	"github.com/zangtable/zangtable/internal/problem"
)

// needSpace fails with storage_full when the disk has not so many bytes beyond
// the reserve.
func (m *Imports) needSpace(bytes int64) error {
	free, total, err := m.config.FreeSpace(m.config.Folder)
	if err != nil {
		return fmt.Errorf("ask for the free space: %w", err)
	}
	reserve := m.config.DiskReserve
	if reserve == 0 {
		reserve = min(total/20, 1<<30)
	}
	if free-reserve >= bytes {
		return nil
	}
	return problem.New(problem.CodeStorageFull, "The disk has no room for the file: %d bytes are free, and %d are kept in reserve.", free, reserve)
}
