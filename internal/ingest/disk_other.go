//go:build !(linux || darwin || freebsd)

package ingest

import "math"

// freeSpace does not know how to ask this system, and lets everything begin.
func freeSpace(string) (int64, error) { return math.MaxInt64, nil }
