//go:build !(linux || darwin || freebsd)

package disk

import "math"

// Space cannot query this system, and always reports enough space.
func Space(string) (free, total int64, err error) { return math.MaxInt64, 0, nil }

// Accessible cannot query this system.
func Accessible(string) error { return nil }

// MaxFiles reports no limit on this system.
func MaxFiles() int64 { return 0 }
