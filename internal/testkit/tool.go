// Package testkit has the helpers shared by the tests of several packages.
package testkit

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program that a test uses as an independent judge. See
// [Missing] for what happens without it.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "%s is not installed", name)
	}
	return path
}

// Missing skips a test that lacks something, or fails it if the environment variable
// ZANGTABLE_REQUIRE_TOOLS is set.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("ZANGTABLE_REQUIRE_TOOLS") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
