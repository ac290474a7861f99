package arch

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	pictured = regexp.MustCompile(`(?m)^([a-z]+)? +([a-z]+(?:/[a-z]+)?) {2,}\S`)
	tabled   = regexp.MustCompile("(?m)^\\| ([a-z]+) \\| (`[^|]+`) \\|")
)

// layer is one row of the picture: its name, and the packages in it.
type layer struct {
	name     string
	packages []string
}

// TestLayersAreDescribed holds the picture in docs/architecture.md and the table
// in CONTRIBUTING.md to the packages that there are, and the imports to both.
func TestLayersAreDescribed(t *testing.T) {
	picture, table := pictureLayers(t), tableLayers(t)
	if !slices.EqualFunc(picture, table, func(a, b layer) bool {
		return a.name == b.name && slices.Equal(a.packages, b.packages)
	}) {
		t.Errorf("docs/architecture.md shows %v, CONTRIBUTING.md %v", picture, table)
	}
	height := map[string]int{}
	for i, l := range picture {
		for _, pkg := range l.packages {
			if !strings.HasPrefix(pkg, "cmd/") {
				pkg = "internal/" + pkg
			}
			height[pkg] = len(picture) - i
		}
	}
	there := map[string]bool{}
	for _, f := range files(t) {
		pkg := f.pkg()
		if f.isTest() || slices.Contains(testOnly, pkg) || !strings.HasPrefix(pkg, "internal/") && !strings.HasPrefix(pkg, "cmd/") {
			continue
		}
		there[pkg] = true
		for _, imported := range f.imports {
			below, ours := strings.CutPrefix(imported, module)
			if ours && height[below] > height[pkg] {
				t.Errorf("%s imports %s, which stands above it in the picture", f.name, below)
			}
		}
	}
	described := slices.Sorted(maps.Keys(height))
	if all := slices.Sorted(maps.Keys(there)); !slices.Equal(described, all) {
		t.Errorf("described are %v, there are %v", described, all)
	}
}

func pictureLayers(t *testing.T) (layers []layer) {
	_, after, _ := strings.Cut(read(t, "docs/architecture.md"), "```\n")
	picture, _, _ := strings.Cut(after, "```")
	for _, row := range pictured.FindAllStringSubmatch(picture, -1) {
		if row[1] != "" {
			layers = append(layers, layer{name: row[1]})
		}
		last := &layers[len(layers)-1]
		last.packages = append(last.packages, row[2])
	}
	return layers
}

func tableLayers(t *testing.T) (layers []layer) {
	for _, row := range tabled.FindAllStringSubmatch(read(t, "CONTRIBUTING.md"), -1) {
		layers = append(layers, layer{row[1], strings.Split(strings.ReplaceAll(row[2], "`", ""), ", ")})
	}
	return layers
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var sourceFile = regexp.MustCompile("`([a-z/]+/[a-z_0-9]+\\.go)`")

// TestArchitectureNamesFilesThatExist looks for every file that the map sends a
// reader to.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	found := sourceFile.FindAllStringSubmatch(read(t, "docs/architecture.md"), -1)
	if len(found) < 15 {
		t.Errorf("only %d files are named", len(found))
	}
	for _, match := range found {
		name := filepath.FromSlash(match[1])
		_, inside := os.Stat(filepath.Join("..", name))
		_, outside := os.Stat(filepath.Join("..", "..", name))
		if inside != nil && outside != nil {
			t.Errorf("docs/architecture.md names %s, which does not exist", match[1])
		}
	}
}
