package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/zangtable/zangtable/internal/limits"
)

// TestSettingsAreDocumented compares docs/operating.md with the command line: every
// flag that the environment can set is in its table, with its default.
func TestSettingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&commands{}, flagVariables())
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

// TestStandardLimits compares the defaults of the flags with those that quickstart
// uses.
func TestStandardLimits(t *testing.T) {
	var cli commands
	parser, err := kong.New(&cli, flagVariables())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	if got := cli.Serve.limitFlags.settings(); got != limits.Defaults() {
		t.Errorf("the flags say %+v, the package %+v", got, limits.Defaults())
	}
	for _, arg := range []string{"--max-tables=-1", "--memory-budget=1000", "--memory-budget=-1"} {
		if _, err := parser.Parse([]string{"serve", arg}); err == nil {
			t.Errorf("%s is taken", arg)
		}
	}
}
