package sqlite

// Fold returns the form of a name by which SQLite compares it: the letters A to
// Z in lower case. It takes no other letters for the same.
func Fold(name string) string {
	folded := []byte(name)
	for i, b := range folded {
		if 'A' <= b && b <= 'Z' {
			folded[i] = b + 'a' - 'A'
		}
	}
	return string(folded)
}
