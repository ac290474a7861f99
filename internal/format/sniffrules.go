package format

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The rules and weights by which the structure of a CSV file is recognized. Whatever is
// guessed follows from this file; TestSniffRules has a table of cases.

// delimiterWeights lists the delimiters that are recognized. A weight below 1 says how
// much plainer the fields must be for a delimiter to win.
var delimiterWeights = []struct {
	delimiter string
	weight    float64
}{
	{",", 1}, {";", 1}, {"\t", 1}, {"|", 0.8}, {"~", 0.8}, {"^", 0.8}, {"\x1f", 1},
	{"||", 1}, {"::", 0.8}, {"~~", 0.9}, {"^^", 0.9}, {"|~|", 1}, {"~|~", 1}, {"^|^", 1},
}

// What else weighs on a reading of the sample.
const (
	preferredWeight  = 1.5 // the delimiter is the one that the file's name promises
	apostropheWeight = 0.9 // the quote is the apostrophe
	brokenWeight     = 0.3 // the quotes cannot be read to the end
	aboveWeight      = 0.8 // there are lines above the table
	emptyWeight      = 0.7 // a column has neither a name nor a value
	irregularWeight  = 0.5 // each row has a field whose quotes break the rules

	leastShare  = 0.5 // of the rows must have the same number of fields
	oneColumn   = 0.1 // the score of a table of one column
	ratedRows   = 200 // rows whose fields are looked at
	mostRows    = 0.9 // the share of values that decide the kind of a column
	proseBlanks = 0.8 // the share of delimiters followed by a blank that makes them punctuation
)

// footerStarts are the beginnings of single words that stand below a table.
var footerStarts = []string{"total", "subtotal", "sum", "eof", "(", "#", "*", "---", "===", "source", "note"}

// How plain a field is. Fields that are plain under a wrong delimiter are rare.
const (
	plainValue      = 1.0
	plainEmpty      = 0.95
	plainText       = 0.9
	plainLong       = 0.8 // a text of more than 100 bytes
	plainApostrophe = 0.5
	plainDelimited  = 0.3 // it contains another delimiter
	plainQuote      = 0.2 // it contains a quote
	plainLines      = 0   // it contains a line end
)

// rate finds the width of most rows, and returns how well the sample reads.
func (r *reading) rate(prefers byte) float64 {
	counts, best := map[int]int{}, 0
	for _, row := range r.rows {
		counts[len(row.fields)]++
	}
	for width, n := range counts {
		if width > 1 && (n > counts[best] || n == counts[best] && width > best) {
			best = width
		}
	}
	above, below := r.around(best)
	rows := max(1, len(r.rows)-above-below)
	share := float64(counts[best]) / float64(rows)
	if best < 2 || counts[best] == 1 && len(r.rows) > 2 || share < leastShare || (share < mostRows || above > 0) && r.isProse() {
		r.width = 1
		if len(counts) > 1 || counts[1] == 0 {
			return oneColumn / 10 * r.plainness(0)
		}
		return oneColumn * r.plainness(1)
	}
	r.width = best
	score := share * share * (1 - 0.5/float64(best)) * r.plainness(best) * r.weight(prefers)
	if above > 0 {
		score *= aboveWeight
	}
	return score
}

// around counts the rows above and below the table that are narrower than it: comments,
// titles and totals.
func (r *reading) around(width int) (above, below int) {
	for above < len(r.rows) && len(r.rows[above].fields) < width {
		above++
	}
	if above == 1 && len(r.rows[0].fields) > 1 { // the names of a table whose rows are wider
		above = 0
	}
	for below < len(r.rows)-above && len(r.rows[len(r.rows)-1-below].fields) == 1 {
		below++
	}
	return above, below
}

// isProse reports whether the delimiter is punctuation: a blank follows it.
func (r *reading) isProse() bool {
	all, blanks := 0, 0
	for _, row := range r.rows {
		for _, f := range row.fields[1:] {
			if all++; !f.quoted && strings.HasPrefix(f.text, " ") {
				blanks++
			}
		}
	}
	return all > 0 && float64(blanks) >= proseBlanks*float64(all)
}

// weight returns the weight of the delimiter, quote and line ends.
func (r *reading) weight(prefers byte) float64 {
	weight := 1.0
	for _, known := range delimiterWeights {
		if known.delimiter == r.Separator() {
			weight = known.weight
		}
	}
	if prefers != 0 && r.Delimiter == prefers && r.Rest == "" {
		weight *= preferredWeight
	}
	if r.Quote == '\'' {
		weight *= apostropheWeight
	}
	if r.broken {
		weight *= brokenWeight
	}
	return weight * (1 - irregularWeight*min(1, float64(r.irregular)/float64(max(1, len(r.rows)))))
}

// plainness returns how plain the fields of rows of a width are, on average; 0 stands for
// any width.
func (r *reading) plainness(width int) float64 {
	sum, n, looked := 0.0, 0, 0
	empty := make([]bool, width)
	for i := range empty {
		empty[i] = true
	}
	for _, row := range r.rows {
		if width > 0 && len(row.fields) != width {
			continue
		}
		if looked++; looked > ratedRows {
			break
		}
		for i, f := range row.fields {
			sum += f.plainness(r)
			n++
			if width > 0 && f.text != "" {
				empty[i] = false
			}
		}
	}
	average := sum / float64(max(1, n))
	if width > 1 && slices.Contains(empty[:width-1], true) {
		average *= emptyWeight
	}
	return average
}

func (f sampleField) plainness(r *reading) float64 {
	switch {
	case f.text == "":
		return plainEmpty
	case f.quoted:
		return plainText
	case strings.ContainsAny(f.text, "\r\n"):
		return plainLines
	case strings.Contains(f.text, `"`):
		return plainQuote
	case isValue(kindOf(f.text)):
		return plainValue
	case strings.ContainsAny(f.text, ",;\t|~^\x1f"):
		return plainDelimited
	case len(f.text) > 1 && f.text[0] == '\'' && f.text[len(f.text)-1] == '\'':
		return plainApostrophe
	case len(f.text) > 100:
		return plainLong
	}
	return plainText
}

// kind is what a field looks like.
type kind uint8

const (
	kindNone kind = iota // nothing, or a word for nothing
	kindText
	kindNumber
	kindAmount // a number with a percent or currency sign
	kindDate
	kindTruth
	kindAddress // of a person or page
)

func isValue(k kind) bool { return k > kindText }

// kindOf returns what a field looks like.
func kindOf(s string) kind {
	s = strings.TrimSpace(s)
	switch strings.ToLower(s) {
	case "", "-", ".", "na", "n/a", "nan", "null", "none", `\n`:
		return kindNone
	case "true", "false", "yes", "no":
		return kindTruth
	}
	const longest = 60
	switch {
	case strings.Contains(s, "://"):
		return kindAddress
	case strings.IndexByte(s, '@') > 0 && !strings.Contains(s, " ") && strings.Contains(s[strings.IndexByte(s, '@'):], "."):
		return kindAddress
	case len(s) > longest:
		return kindText
	case isNumeric(s):
		return kindNumber
	case isAmount(s):
		return kindAmount
	case isDateLike(s):
		return kindDate
	}
	return kindText
}

// isNumeric reports whether s is a number in any notation: digits in groups, with a
// decimal point or comma, a sign or an exponent.
func isNumeric(s string) bool {
	s = strings.TrimLeft(s, "+-")
	if _, err := strconv.ParseFloat(s, 64); err == nil && s[0] <= '9' {
		return true
	}
	digits, marks, last := 0, 0, byte('.')
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
			last = c
		case c == '.' || c == ',' || c == '\'' || c == ' ':
			if last < '0' || last > '9' {
				return false
			}
			marks++
			last = c
		default:
			return false
		}
	}
	return digits > 0 && last >= '0' && last <= '9' && (marks < 2 || grouped(s))
}

// grouped reports whether all but the last of several groups of digits have three.
func grouped(s string) bool {
	groups := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if len(groups) < 2 || len(groups[0]) > 3 {
		return false
	}
	for _, group := range groups[1 : len(groups)-1] {
		if len(group) != 3 {
			return false
		}
	}
	return true
}

// isAmount reports whether s is a number with a percent or currency sign.
func isAmount(s string) bool {
	bare := strings.TrimFunc(s, func(r rune) bool { return r == '%' || r == '(' || r == ')' || unicode.Is(unicode.Sc, r) || r == ' ' })
	return bare != s && bare != "" && isNumeric(bare)
}

// isDateLike reports whether s consists of digits and what separates them in dates and
// times.
func isDateLike(s string) bool {
	digits, marks := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case strings.IndexByte("-/.:+ ", c) >= 0:
			marks++
		case c != 'T' && c != 'Z':
			return false
		}
	}
	return s[0] >= '0' && s[0] <= '9' && marks > 0 && digits >= 4 && (len(s) >= 6 || strings.Contains(s, ":"))
}

// column is what the sample says about the values below a name.
type column struct {
	kind     kind // of most values
	full     bool // no value is missing
	recurs   bool // the name is also a value
	smallest float64
	largest  float64
}

func columnOf(rows [][]string, i int, name string) column {
	counts, values := map[kind]int{}, 0
	out := column{full: len(rows) > 1}
	some := false
	for _, row := range rows {
		if i >= len(row) {
			continue
		}
		k := kindOf(row[i])
		out.full = out.full && row[i] != ""
		out.recurs = out.recurs || name != "" && row[i] == name
		if k == kindNone {
			continue
		}
		counts[k]++
		values++
		if f, err := strconv.ParseFloat(row[i], 64); err == nil {
			if !some || f < out.smallest {
				out.smallest = f
			}
			if !some || f > out.largest {
				out.largest = f
			}
			some = true
		}
	}
	if values > 0 {
		out.kind = kindText
	}
	for k, n := range counts {
		if float64(n) >= mostRows*float64(values) {
			out.kind = k
		}
	}
	return out
}

// judgeHeader reports whether the first row names the columns, and what speaks against
// that. A text above values, or a value above values of another kind, speaks for names;
// a value above values of its own kind, or above texts, speaks for a row. Numbers that
// count the columns, or are years above other numbers, speak for neither, and in the end
// names are likelier than a row. A first row whose texts all occur again below is one
// row among many.
func judgeHeader(rows [][]string, columns int) (header bool, doubt Doubt) {
	if len(rows) == 0 {
		return false, NoDoubt
	}
	names, body := rows[0], withoutRepeats(rows, columns)
	numbered := isNumbered(names, body, columns)
	var texts, empty, values, pro, contra, recurring int
	seen := map[string]bool{}
	twice := false
	for i, name := range names[:min(len(names), columns)] {
		k, below := kindOf(name), columnOf(body, i, name)
		key := strings.ToLower(strings.TrimSpace(name))
		if k == kindNone && key != "" {
			k = kindText
		}
		twice = twice || key != "" && seen[key]
		if seen[key] = true; below.recurs {
			recurring++
		}
		switch {
		case key == "":
			if empty++; below.full {
				pro++
			}
		case k == kindText:
			if texts++; isValue(below.kind) {
				pro++
			}
		case k == kindNumber && numbered:
			values++
		case k == kindTruth && below.kind == kindText, below.kind == kindNone && len(body) > 0:
			values++
		case isValue(below.kind) && below.kind != k:
			values++
			pro++
		default:
			values++
			contra++
		}
	}
	filled := texts + values
	switch {
	case filled == 0:
	case len(body) == 0:
		header = values == 0 && empty == 0 && !twice
	case pro > contra:
		header = true
	case contra > 0 || empty > 0 || recurring == filled:
	default:
		header = true
	}
	switch {
	case header && (values > 0 || empty > 0 || twice):
		doubt = NamesOrRow
	case !header && texts > 0 && len(body) > 0:
		doubt = RowNotHeader
	}
	return header, doubt
}

// withoutRepeats returns the rows below the first, without those that repeat it. In a
// table of one column, equal texts are no repetition.
func withoutRepeats(rows [][]string, columns int) [][]string {
	if columns < 2 {
		return rows[1:]
	}
	return slices.DeleteFunc(slices.Clone(rows[1:]), func(row []string) bool { return slices.Equal(row, rows[0]) })
}

// isNumbered reports whether the numbers in the first row number the columns, as 1, 2, 3
// or 2022, 2023 do, while those below do not.
func isNumbered(names []string, body [][]string, columns int) bool {
	var list []float64
	text, years := false, true
	for i, name := range names[:min(len(names), columns)] {
		f, err := strconv.ParseFloat(strings.TrimSpace(name), 64)
		if err != nil {
			text = text || kindOf(name) == kindText
			continue
		}
		list = append(list, f)
		below := columnOf(body, i, "")
		years = years && isYear(f) && f == float64(int(f)) && !(isYear(below.smallest) && isYear(below.largest))
	}
	if len(list) == 0 || !text {
		return false
	}
	if years {
		return true
	}
	counting := 0
	for _, row := range body {
		var numbers []float64
		for _, field := range row {
			if f, err := strconv.ParseFloat(strings.TrimSpace(field), 64); err == nil {
				numbers = append(numbers, f)
			}
		}
		if counts(numbers) {
			counting++
		}
	}
	return counts(list) && 2*counting < max(1, len(body))
}

func isYear(f float64) bool { return f >= 1500 && f <= 2100 }

// counts reports whether at least three numbers rise in equal steps.
func counts(list []float64) bool {
	if len(list) < 3 || list[1] <= list[0] {
		return false
	}
	for i := 2; i < len(list); i++ {
		if list[i]-list[i-1] != list[1]-list[0] {
			return false
		}
	}
	return true
}

// judgeBelow looks at the rows below the names: whether one that repeats the names is
// not a row, since the columns hold values, and whether the first is one of units.
func judgeBelow(rows [][]string, columns int) (repeats, units bool) {
	if columns < 2 || len(rows) < 2 {
		return false, false
	}
	body := withoutRepeats(rows, columns)
	for i, name := range rows[0][:min(len(rows[0]), columns)] {
		if kindOf(name) == kindText && isValue(columnOf(body, i, "").kind) {
			repeats = true
		}
	}
	const few = 2
	if len(body) < few {
		return repeats, false
	}
	for i, unit := range body[0][:min(len(body[0]), columns)] {
		switch k := kindOf(unit); {
		case isValue(k) && k != kindAmount:
			return repeats, false
		case k == kindText && columnOf(body[1:], i, "").kind == kindNumber:
			units = true
		}
	}
	return repeats, units
}
