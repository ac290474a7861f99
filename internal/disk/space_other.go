//go:build !(linux || darwin || freebsd)

package disk

import "math"

// Space does not know how to ask this system, and lets everything begin.
func Space(string) (free, total int64, err error) { return math.MaxInt64, 0, nil }

// Accessible does not know how to ask this system.
func Accessible(string) error { return nil }

// MaxFiles does not know of a limit of this system.
func MaxFiles() int64 { return 0 }
