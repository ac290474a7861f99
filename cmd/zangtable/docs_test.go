package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestSettingsAreDocumented holds docs/operating.md against the command line:
// every flag that the environment can set is in its table, with its default.
func TestSettingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var walk func(*kong.Node)
	walk = func(node *kong.Node) {
		for _, f := range node.Flags {
			for _, env := range f.Envs {
				standard := "none |"
				if f.Default != "" {
					standard = "`" + f.Default + "` "
				}
				row := "| `--" + f.Name + "` | `" + env + "` | " + standard
				if !strings.Contains(string(page), row) {
					t.Errorf("docs/operating.md has no line that begins %s", row)
				}
				seen[env] = true
			}
		}
		for _, child := range node.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	for _, word := range strings.FieldsFunc(string(page), func(r rune) bool { return r == '`' || r == ' ' || r == '\n' }) {
		if strings.HasPrefix(word, "ZANGTABLE_") && !seen[word] {
			t.Errorf("docs/operating.md names %s, which no flag has", word)
		}
	}
}
