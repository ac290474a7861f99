// Package testkit is what the tests of several packages share.
package testkit

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program that a test takes as an independent
// judge. Without it the test is skipped, or fails if the environment variable
// ZANGTABLE_REQUIRE_TOOLS is set.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("ZANGTABLE_REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
