//go:build linux || darwin || freebsd

package ingest

import "golang.org/x/sys/unix"

// freeSpace asks the system how many bytes are free on the disk of a folder.
func freeSpace(folder string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
