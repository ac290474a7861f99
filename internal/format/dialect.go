package format

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/problem"
)

// Dialect says how a CSV file is written. Dialects differ in how a file looks, never in
// what can be read back from it: Reading undoes each of them.
type Dialect struct {
	Delimiter string `json:"delimiter"` // , ; | or tab: bytes that never occur in numbers and base64
	Header    bool   `json:"header"`    // the first row names the columns
	BOM       bool   `json:"bom"`       // the file starts with U+FEFF

	// NullText stands for NULL, without quotes. A text equal to it is quoted.
	NullText string `json:"null_text"`

	LineEnding LineEnd `json:"line_ending"` // LF or CRLF; ends rows, never changes cells
	Quote      Quoting `json:"quote"`

	// FormulaGuard puts an apostrophe before a text or column name that a spreadsheet
	// would take for a formula, because it starts with = + - @ tab or CR. If apostrophes
	// precede these, one more is added, so that readers can remove it again. Base64,
	// which may start with +, counts as text. Numbers are never changed, including -5
	// and -Infinity.
	FormulaGuard bool `json:"formula_guard"`
}

// Quoting says which values are written in quotes.
type Quoting string

// The ways to quote. NULL is never quoted, which distinguishes it from a text that looks
// like it.
const (
	QuoteMinimal Quoting = "minimal" // only what would be misread otherwise
	QuoteAll     Quoting = "all"     // everything but NULL, including column names and numbers
)

// DefaultDialect returns the dialect of exports, which is the profile lossless.
func DefaultDialect() Dialect {
	return Dialect{Delimiter: ",", Header: true, LineEnding: LF, Quote: QuoteMinimal}
}

// Profile returns the dialect with the given name. All have a header row and
// quote where needed. An unknown name is a fault of the field "profile".
//
//   - lossless: comma, LF; NULL is nothing and the empty text is "". This is the
//     form described in the package comment.
//   - excel: comma, CRLF, BOM, formula guard. Without the BOM Excel reads UTF-8 in
//     the system's code page. The guard is needed because Excel runs anything that
//     starts like a formula, in quotes or not. Excel turns text that looks like a
//     number or date into one (007, 1-2, 1E5), keeps 15 digits of a number, and
//     shows NULL and the empty text alike; only XLSX prevents that.
//   - excel-eu: the same with semicolons, the list separator of systems whose
//     decimal separator is the comma. Reals keep their point; such a system reads
//     1.5 as text or a date unless the point is chosen on import.
//   - postgres: like lossless, which is what COPY … WITH (FORMAT csv, HEADER)
//     reads: NULL unquoted, the empty text quoted. Blobs need decode(…,'base64').
//   - bigquery: NULL is \N, because an empty field of a STRING column loads as
//     the empty text once a null marker is set. Load with --null_marker='\N'
//     --skip_leading_rows=1 --allow_quoted_newlines. BYTES columns read base64.
//   - duckdb: NULL is \N, because DuckDB also takes "" for NULL if NULL is
//     nothing. Read with read_csv(…, header = true, nullstr = '\N',
//     allow_quoted_nulls = false). Blobs need from_base64(…).
func Profile(name string) (Dialect, error) {
	d := DefaultDialect()
	switch name {
	case "lossless", "postgres":
	case "excel":
		d.BOM, d.LineEnding, d.FormulaGuard = true, CRLF, true
	case "excel-eu":
		d.Delimiter, d.BOM, d.LineEnding, d.FormulaGuard = ";", true, CRLF, true
	case "bigquery", "duckdb":
		d.NullText = `\N`
	default:
		return Dialect{}, problem.InvalidChoice("profile", Profiles())
	}
	return d, nil
}

// Profiles returns the names that Profile accepts.
func Profiles() []string {
	return []string{"lossless", "excel", "excel-eu", "postgres", "bigquery", "duckdb"}
}

// Validate returns nil or a *problem.Error that names each invalid field by its JSON
// name.
func (d Dialect) Validate() error {
	var f problem.Faults
	if !slices.Contains([]string{",", ";", "\t", "|"}, d.Delimiter) {
		f.Add("delimiter", "The delimiter must be a comma, a semicolon, a tab or a vertical bar.")
	}
	if reason := nullTextFault(d.NullText); reason != "" {
		f.Add("null_text", "The text for NULL %s.", reason)
	}
	if d.LineEnding != LF && d.LineEnding != CRLF {
		f.WrongChoice("line_ending", []string{string(LF), string(CRLF)})
	}
	if d.Quote != QuoteMinimal && d.Quote != QuoteAll {
		f.WrongChoice("quote", []string{string(QuoteMinimal), string(QuoteAll)})
	}
	return f.Err()
}

// nullTextFault says what in s could make NULL unreadable, or returns "".
func nullTextFault(s string) string {
	const longest = 32
	number := strings.TrimPrefix(s, "-")
	switch {
	case len(s) > longest:
		return "must have at most 32 bytes"
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "must not contain control characters or invalid UTF-8"
	case strings.ContainsAny(s, `",;|`):
		return "must not contain quotes or delimiters"
	case strings.TrimSpace(s) != s:
		return "must not begin or end with a space"
	case number != "" && unicode.IsDigit(rune(number[0])) || number == "Infinity":
		return "must not look like a number"
	case strings.HasPrefix(s, "'") || s == `\.`:
		return "must not begin with an apostrophe or be \\."
	}
	return ""
}

// Reading returns the dialect that reads what d writes, with nothing left to detect. d
// must be valid.
func (d Dialect) Reading() ReadDialect {
	header := WithoutHeader
	if d.Header {
		header = WithHeader
	}
	return ReadDialect{
		Encoding: UTF8, Delimiter: d.Delimiter[0], Quote: '"', Header: header, LineEnd: cmp.Or(d.LineEnding, LF),
		NullText: d.NullText, FormulaGuard: d.FormulaGuard,
	}
}

// isFormula reports whether the formula guard is put before s.
func isFormula(s []byte) bool {
	for _, c := range s {
		if c != '\'' {
			return c == '=' || c == '+' || c == '-' || c == '@' || c == '\t' || c == '\r'
		}
	}
	return false
}

// unguard removes the apostrophe that the formula guard put before s.
func unguard(s []byte) []byte {
	if len(s) > 0 && s[0] == '\'' && isFormula(s) {
		return s[1:]
	}
	return s
}
