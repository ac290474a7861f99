package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zangtable/zangtable/templates"
)

// TestTemplatesAreMadeAndExported creates a project from each template, and has the
// main job export, download and verify it.
func TestTemplatesAreMadeAndExported(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, data, "", "")
	for _, name := range templates.Names() {
		t.Run(name, func(t *testing.T) {
			blueprint, err := templates.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), name+".json")
			if err := os.WriteFile(file, blueprint, 0o600); err != nil {
				t.Fatal(err)
			}
			slug := command(t, "bootstrap", file, "--data", data)
			token := command(t, "token", "create", "--project", slug, "--data", data)
			j := job{client: &client{url: p.url, project: slug, token: token}, folder: t.TempDir()}
			if err := j.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(j.files) != 3 || len(j.tables) < 3 || j.shown.total < 10 {
				t.Errorf("%d files of %d tables, the largest with %d rows", len(j.files), len(j.tables), j.shown.total)
			}
		})
	}
}
