//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentHasAPlaceForEachPart checks that docs/reliability.md has marks for the
// figures of each part.
func TestDocumentHasAPlaceForEachPart(t *testing.T) {
	document := read(t, "../docs/reliability.md")
	for _, p := range parts {
		if !strings.Contains(document, "<!-- figures: "+p.name+" -->\n") || !strings.Contains(document, "\n### "+p.name+"\n") {
			t.Errorf("docs/reliability.md has no place for the figures of %s", p.name)
		}
	}
}

// TestDocumentNamesTestsThatExist looks for each test named in docs/reliability.md in
// the package named with it.
func TestDocumentNamesTestsThatExist(t *testing.T) {
	named := regexp.MustCompile("((?:`(?:Test|Fuzz)[A-Za-z]+`(?:, )?)+)[^`]* in `([a-z/]+)`")
	found := 0
	for _, match := range named.FindAllStringSubmatch(read(t, "../docs/reliability.md"), -1) {
		var tests strings.Builder
		files, err := filepath.Glob(filepath.Join("..", match[2], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			tests.WriteString(read(t, file))
		}
		for name := range strings.SplitSeq(match[1], ", ") {
			found++
			if name = strings.Trim(name, "` "); !strings.Contains(tests.String(), "func "+name+"(") {
				t.Errorf("there is no test %s in %s", name, match[2])
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d names of tests were found", found)
	}
}

// TestMutantsFit checks that each deliberate fault still applies to the sources.
func TestMutantsFit(t *testing.T) {
	t.Chdir("..")
	for _, m := range mutants {
		if _, err := m.overlay(t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
