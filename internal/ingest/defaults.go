package ingest

import (
	"strconv"
	"strings"
)

// defaultFits reports whether a column of a STRICT table can hold the default, an SQL
// expression as returned by LiteralDefault. Expressions that are not literals are taken
// to fit.
func defaultFits(columnType, expression string) bool {
	text, isText := strings.CutPrefix(expression, "'")
	text = strings.TrimSuffix(text, "'")
	isBlob := len(expression) > 2 && strings.EqualFold(expression[:2], "x'")
	isTime := strings.HasPrefix(strings.ToUpper(expression), "CURRENT_")
	number, err := strconv.ParseFloat(text, 64)
	isNumber := err == nil && !isBlob
	switch {
	case columnType == "INTEGER" && isNumber:
		return number == float64(int64(number))
	case columnType == "INTEGER", columnType == "REAL":
		return isNumber && columnType == "REAL" || !isText && !isBlob && !isTime
	case columnType == "TEXT":
		return !isBlob
	case columnType == "BLOB":
		return isBlob || !isText && !isTime && !isNumber
	}
	return true
}
