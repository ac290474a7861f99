package export

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/format"
)

// words returns the format names in a table cell.
func words(cell string) (list []string) {
	for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		list = append(list, found[1])
	}
	return list
}

// TestDocumentedFormats compares the tables of the documentation with the formats that
// exist.
func TestDocumentedFormats(t *testing.T) {
	page := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for line := range strings.Lines(page("exports.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`POST /projects/{project}/export/") {
			continue
		}
		path := strings.Trim(strings.TrimPrefix(strings.Trim(cells[1], " `"), "POST /projects/{project}/export/"), "`")
		kind := map[string]Kind{"table/{table}": TableExport, "database": DatabaseExport, "schema": SchemaExport, "query": QueryExport}[path]
		said, want := words(cells[3]), FormatNames(kind)
		if kind == QueryExport {
			said = FormatNames(TableExport) // same as for a table
		}
		if !slices.Equal(said, want) {
			t.Errorf("exports.md says %q of %s, want %q", said, path, want)
		}
	}
	_, files, _ := strings.Cut(page("imports.md"), "\n## Files\n")
	var said []string
	for line := range strings.Lines(files) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			said = append(said, words(cells[1])...)
		} else if said != nil {
			break
		}
	}
	want := format.All().Importing()
	slices.Sort(want)
	if slices.Sort(said); !slices.Equal(said, want) {
		t.Errorf("imports.md has %q, want %q", said, want)
	}
}
