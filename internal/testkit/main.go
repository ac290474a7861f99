package testkit

import (
	"fmt"
	"io"
	"os"
	"testing"
)

// RunWith runs the tests of a package beside what open opens in a temporary folder, and
// returns the exit code.
func RunWith(m *testing.M, open func(folder string) (io.Closer, error)) (code int) {
	folder, err := os.MkdirTemp("", "zangtable-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	opened, err := open(folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer opened.Close()
	return m.Run()
}
