//go:build !linux

package disk

import "os"

// allocate makes a file occupy that many bytes of the disk.
func allocate(f *os.File, bytes int64) error { return fill(f, bytes) }
