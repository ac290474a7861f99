package projectdb

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// MaxName is the longest name of a table, column or index, in characters.
const MaxName = 63

// MaxColumns is the maximum number of columns of a table, and of a result of SQLite.
const MaxColumns = 2000

var namePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// CheckName notes in faults what is wrong with the name of a table, column or
// index, if anything.
func CheckName(faults *problem.Faults, field, name string) {
	switch {
	case name == "":
		faults.Add(field, "A name is required.")
	case len(name) > MaxName:
		faults.Add(field, "The name has %d characters; at most %d are allowed.", len(name), MaxName)
	case strings.HasPrefix(sqlite.Fold(name), "sqlite_"):
		faults.Add(field, "Names that begin with sqlite_ are reserved by SQLite.")
	case !namePattern.MatchString(name):
		faults.Add(field, "The name must begin with a letter and may contain only letters, digits and _.")
	}
}

// AdjustName returns a valid name as close as possible to name and different from all
// names in taken (folded), and adds it there.
func AdjustName(name, otherwise string, taken map[string]bool) string {
	adjusted := allowedForm(name, otherwise)
	for n := 2; taken[sqlite.Fold(adjusted)]; n++ {
		suffix := "_" + itoa(n)
		base := allowedForm(name, otherwise)
		adjusted = base[:min(len(base), MaxName-len(suffix))] + suffix
	}
	taken[sqlite.Fold(adjusted)] = true
	return adjusted
}

// letters replaces letters that are not a Latin letter with a mark but read like one.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "Æ", "AE", "œ", "oe", "Œ", "OE", "ø", "o", "Ø", "O", "ł", "l", "Ł", "L", "đ", "d", "Đ", "D", "ı", "i")

// withoutMarks removes the marks from Latin letters: Überläufe becomes Uberlaufe.
func withoutMarks(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(letters.Replace(name)))
}

func allowedForm(name, otherwise string) string {
	var faults problem.Faults
	if CheckName(&faults, "", name); faults.Len() == 0 {
		return name
	}
	b := make([]byte, 0, len(name))
	for _, r := range withoutMarks(name) {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			b = append(b, byte(r))
		case len(b) > 0 && b[len(b)-1] != '_':
			b = append(b, '_')
		}
	}
	adjusted := strings.Trim(string(b), "_")
	if strings.HasPrefix(sqlite.Fold(adjusted), "sqlite_") {
		adjusted = "x_" + adjusted
	}
	switch {
	case adjusted == "":
		adjusted = otherwise
	case adjusted[0] >= '0' && adjusted[0] <= '9':
		adjusted = otherwise + "_" + adjusted
	}
	return adjusted[:min(len(adjusted), MaxName)]
}
