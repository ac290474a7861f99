//go:build linux || darwin || freebsd

package disk

import "golang.org/x/sys/unix"

// Space returns how many bytes are free on the disk of a folder, and how many it
// has.
func Space(folder string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, 0, err
	}
	block := int64(s.Bsize)
	return int64(s.Bavail) * block, int64(s.Blocks) * block, nil
}
