//go:build !linux

package disk

import "os"

// allocate makes a file occupy the given number of bytes on disk.
func allocate(f *os.File, bytes int64) error { return fill(f, bytes) }
