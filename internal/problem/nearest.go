package problem

import "strings"

// maxNear is the length of the longest names that can be near, in bytes.
const maxNear = 100

// Nearest returns the candidate that is meant by a name in which something is
// mistyped, in any letter case, or "" when none is near. Long names are never
// near.
func Nearest(name string, candidates []string) string {
	if len(name) > maxNear {
		return ""
	}
	best, nearest := min(len(name)/3+2, max(len(name), 1)), ""
	for _, candidate := range candidates {
		if len(candidate) > maxNear {
			continue
		}
		if distance := editDistance(strings.ToLower(name), strings.ToLower(candidate)); distance < best {
			best, nearest = distance, candidate
		}
	}
	return nearest
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
