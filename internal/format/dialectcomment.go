package format

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
)

// dialectMark begins the comment of a member of a ZIP file that says how we wrote it.
const dialectMark = "zangtable-csv "

// DialectComment returns the comment of a member of a ZIP file that says how its CSV is
// written, so that an import need not guess.
func DialectComment(d Dialect) (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("describe a dialect: %w", err)
	}
	return dialectMark + string(text), nil
}

// CommentDialect returns the dialect in a comment, and whether there is one.
func CommentDialect(comment string) (d Dialect, ok bool) {
	text, ours := strings.CutPrefix(comment, dialectMark)
	if !ours || json.Unmarshal([]byte(text), &d) != nil || d.Validate() != nil {
		return Dialect{}, false
	}
	return d, true
}
