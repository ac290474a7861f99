// Package testkit has the helpers shared by the tests of several packages.
package testkit

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program that a test uses as an independent judge. If it is
// missing, the test is skipped, or fails if the environment variable
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
