// Package templates holds ready-made blueprints: bodies of a bootstrap request
// with tables, indexes and first rows, without the user that such a request
// names. All people and companies in them are made up.
package templates

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.json
var files embed.FS

// Names returns the names of the templates, in order of the alphabet.
func Names() []string {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		panic(err) // only for a malformed pattern
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, ".json")
	}
	return names
}

// Read returns the template with the given name, JSON in UTF-8. Its project's
// slug is its name.
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no template %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return b, nil
}
