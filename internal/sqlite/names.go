package sqlite

import (
	"slices"

	"github.com/zangtable/zangtable/internal/sqltext"
)

// Fold returns the form of a name by which SQLite compares it: with the letters A to Z
// in lower case. SQLite ignores the case of no other letters.
func Fold(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}

// SameName reports whether SQLite considers two names the same.
func SameName(a, b string) bool { return sqltext.Same(a, b) }

// ContainsName reports whether names contains a name that is the [SameName] as name.
func ContainsName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return SameName(n, name) })
}
