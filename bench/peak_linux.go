package main

import (
	"os"
	"syscall"
)

// peakMemory returns how many bytes a process that has ended had in memory at most.
func peakMemory(state *os.ProcessState) int64 {
	used, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return used.Maxrss << 10
}
