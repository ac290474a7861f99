package problem

import "strings"

// maxNear is the maximum length, in bytes, of names considered similar.
const maxNear = 100

// Nearest returns the candidate that a possibly mistyped name most likely means, in
// any letter case, or "" if none is similar. Long names are never similar.
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

// editDistance returns the Levenshtein distance in bytes.
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
