package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDependenciesAreExplained holds docs/dependencies.md to go.mod: each module
// that we import has its line there, and no other has one.
func TestDependenciesAreExplained(t *testing.T) {
	root := filepath.Join("..", "..")
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(module), -1) {
		direct[line[1]] = true
	}
	explained := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			explained[name[1]] = true
		}
	}
	covers := func(name, module string) bool {
		prefix, open := strings.CutSuffix(name, "…")
		return name == module || open && strings.HasPrefix(module, prefix)
	}
	for module := range direct {
		found := false
		for name := range explained {
			found = found || covers(name, module)
		}
		if !found {
			t.Errorf("%s has no line in docs/dependencies.md", module)
		}
	}
	for name := range explained {
		found := false
		for module := range direct {
			found = found || covers(name, module)
		}
		if !found {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not require", name)
		}
	}
}
