package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionIsRecentEnough(t *testing.T) {
	if err := CheckVersion(); err != nil {
		t.Fatal(err)
	}
	c := memoryConn(t)
	if running, err := c.Text("SELECT sqlite_version()"); err != nil || running != Version() {
		t.Errorf("the running library is %q (%v), Version says %q", running, err, Version())
	}
}

// The library is C translated against one exact version of its C runtime; a different
// version may be subtly wrong.
func TestRuntimeMatchesLibrary(t *testing.T) {
	module := func(verb, path string) string {
		out, err := exec.Command("go", "list", "-m", "-f", "{{."+verb+"}}", path).Output()
		if err != nil || len(strings.TrimSpace(string(out))) == 0 {
			t.Skipf("go list -m %s: the module cache is not available", path)
		}
		return strings.TrimSpace(string(out))
	}
	wanted, err := os.ReadFile(filepath.Join(module("Dir", "modernc.org/sqlite"), "go.mod"))
	if err != nil {
		t.Skipf("the module cache is not available: %v", err)
	}
	if line := "modernc.org/libc " + module("Version", "modernc.org/libc"); !strings.Contains(string(wanted), line+"\n") {
		t.Errorf("go.mod selects %s, which is not what modernc.org/sqlite's own go.mod names", line)
	}
}
