package sqlite

import "slices"

// Fold returns the form of a name by which SQLite compares it: the letters A to
// Z in lower case. No other letters have a case for SQLite.
func Fold(name string) string {
	folded := []byte(name)
	for i := range folded {
		folded[i] = lower(folded[i])
	}
	return string(folded)
}

// SameName reports whether SQLite takes two names for the same.
func SameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// ContainsName reports whether one of the names is the [SameName] as name.
func ContainsName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return SameName(n, name) })
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
