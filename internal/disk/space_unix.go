//go:build linux || darwin || freebsd

package disk

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Space returns how many bytes are free on the disk of a folder, and the size of the
// disk.
func Space(folder string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, 0, err
	}
	block := int64(s.Bsize)
	return int64(s.Bavail) * block, int64(s.Blocks) * block, nil
}

// Accessible fails if the process may not read and write a file. It does not open the
// file.
func Accessible(path string) error {
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}

// MaxFiles raises the process's limit on open files as far as the system allows, and
// returns it; 0 if no limit is known.
func MaxFiles() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	if limit.Cur < limit.Max {
		raised := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	return int64(min(uint64(limit.Cur), 1<<31))
}
