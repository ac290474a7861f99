//go:build !linux

// Command torture needs Linux: it kills processes, mounts file systems and
// reads /proc.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "torture: only Linux has what this needs")
	os.Exit(1)
}
