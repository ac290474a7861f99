package panel

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// What the policy forbids must not be written in the first place, and whatever is sent
// to browsers must be readable.
func TestFilesOfThePanel(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\sstyle=|\son[a-z]+="|javascript:|<script>|https?://`)
	n, scripts := 0, 0
	for _, files := range []fs.FS{assetFiles, templateFiles} {
		err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			n++
			content := strings.ReplaceAll(string(text), `xmlns="http://www.w3.org/2000/svg"`, "")
			if found := forbidden.FindString(content); found != "" {
				t.Errorf("%s contains %q", name, found)
			}
			lines := strings.Split(content, "\n")
			if strings.HasSuffix(name, ".js") {
				scripts += len(lines)
				if first, isComment := strings.CutPrefix(lines[0], "// "); !isComment || !strings.HasSuffix(first, ".") {
					t.Errorf("%s does not begin with a sentence", name)
				}
			}
			if len(lines) > 500 {
				t.Errorf("%s has %d lines", name, len(lines))
			}
			for i, line := range lines {
				if len(line) > 600 {
					t.Errorf("%s:%d has %d characters", name, i+1, len(line))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if scripts > 4000 {
		t.Errorf("the scripts have %d lines", scripts)
	}
	if n < 10 {
		t.Errorf("only %d files were found", n)
	}
}

func TestOnlyPagesOfThePanelAreNext(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/admin/p/shop/t/a%2Fb?sort=x": "/admin/p/shop/t/a%2Fb?sort=x",
		"https://evil.example/admin/":  Prefix,
		"//evil.example/admin/x":       Prefix,
		`/\evil.example/admin/`:        Prefix,
		`/admin/\evil.example`:         Prefix,
		"/projects/shop":               Prefix,
		"/administrator":               Prefix,
		"javascript:alert(1)":          Prefix,
		"":                             Prefix,
	} {
		if got := nextPage(text); got != want {
			t.Errorf("after %q comes %q, want %q", text, got, want)
		}
	}
}
