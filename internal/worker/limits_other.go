//go:build !linux

package worker

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

func limitProcess(config childConfig) ([]Bound, error) {
	return []Bound{
		{"heap limit", true, fmt.Sprintf("SQLite may use %d bytes.", config.Heap)},
		{"temporary files", true, fmt.Sprintf("SQLite may use %d bytes.", config.TempBytes)},
		{"rlimit data", false, "Only on Linux."},
		{"resident memory", false, "Only on Linux."},
		{"landlock", false, "Only on Linux."},
	}, nil
}

func restrictFiles(folder string, _ binding) error { return os.Chdir(folder) }

func childAttributes() *syscall.SysProcAttr { return nil }

func prepareSpawner() error { return nil }

func closeOnExec() {}

func executable() (string, error) { return os.Executable() }

func privateBytes(int) (int64, error) { return 0, errors.ErrUnsupported }

func parentOf(int) int { return 0 }

func killGroup(p *os.Process) { _ = p.Kill() }

// enlargePipe does nothing: on this system, the size of a pipe is fixed.
func enlargePipe(*os.File) {}
