package disk

import (
	"fmt"

	"github.com/zangtable/zangtable/internal/problem"
)

// Budget is the disk space that work may use: what is free beyond a reserve. The zero
// values of Reserve and Free have the meanings given here.
type Budget struct {
	Folder  string // on the disk
	Reserve int64  // bytes that stay free; 0 means 5 % of the disk or 1 GiB, whichever is less
	// Free returns how many bytes are free on the disk of a folder, and the size of
	// the disk; nil asks the system.
	Free func(folder string) (free, total int64, err error)
}

// Room returns how many bytes are free beyond the reserve, or 0 if the reserve is in
// use.
func (b Budget) Room() (int64, error) {
	free, reserve, err := b.look()
	return max(0, free-reserve), err
}

// Need fails with storage_full unless the disk has the given number of bytes beyond
// the reserve. Need(0) fails only if the reserve is in use.
func (b Budget) Need(bytes int64) error {
	free, reserve, err := b.look()
	switch {
	case err != nil:
		return err
	case free-reserve >= bytes:
		return nil
	case bytes == 0:
		return problem.New(problem.CodeStorageFull, "The disk is full: %d bytes are free, and %d are kept in reserve. Nothing was written.", free, reserve)
	}
	return problem.New(problem.CodeStorageFull, "The disk is too full: about %d bytes are needed, but only %d are free beyond the reserve. Nothing was written.", bytes, max(0, free-reserve))
}

func (b Budget) look() (free, reserve int64, err error) {
	ask := b.Free
	if ask == nil {
		ask = Space
	}
	free, total, err := ask(b.Folder)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the free space: %w", err)
	}
	if reserve = b.Reserve; reserve == 0 {
		reserve = min(total/20, 1<<30)
	}
	return free, reserve, nil
}
