package imports

import (
	"cmp"
	"fmt"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
)

// needSpace fails with storage_full when the disk has not so many bytes beyond
// the reserve.
func (m *Imports) needSpace(bytes int64) error {
	free, total, err := m.config.FreeSpace(m.config.Folder)
	if err != nil {
		return fmt.Errorf("ask for the free space: %w", err)
	}
	reserve := cmp.Or(m.config.DiskReserve, disk.Reserve(total))
	if free-reserve >= bytes {
		return nil
	}
	return problem.New(problem.CodeStorageFull, "The disk has no room for the file: %d bytes are free, and %d are kept in reserve. Nothing was imported.", free, reserve)
}

// leaveRoom ends a job before the disk is full for everybody. What has come in
// stands in the log of the project, and once more in its database after the
// commit.
func (m *Imports) leaveRoom(j *job, p ingest.Progress) {
	if j.record.manifest.DryRun {
		return
	}
	if err := m.needSpace(p.Bytes); err != nil {
		j.cancel(err)
	}
}
