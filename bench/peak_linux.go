package main

import (
	"os"
	"syscall"
)

// peakMemory returns the peak memory, in bytes, of a process that has ended.
func peakMemory(state *os.ProcessState) int64 {
	used, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return used.Maxrss << 10
}
