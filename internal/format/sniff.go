package format

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	utf16 "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Detected describes how a CSV file is written.
type Detected struct {
	Encoding  Encoding
	BOM       bool
	Delimiter byte
	Quote     byte // '"' or NoQuote
	Header    bool
	LineEnd   LineEnd
	Columns   int // fields of the first row; 0 if the file was not examined
}

// sampleSize is how many bytes of a file are examined.
const sampleSize = 256 << 10

// Sniff detects how a CSV file is written from its first bytes, at most a few hundred
// kilobytes, which may end in the middle of a character or row.
//
//   - Encoding: a BOM decides; otherwise zero bytes on one side of each pair mean
//     UTF-16; otherwise the file is UTF-8, unless more bytes are invalid UTF-8 than
//     there are valid non-ASCII characters: then it is Windows-1252.
//   - Delimiter: of , ; tab and | the one for which the most rows have as many
//     fields as the first row, at least two; then the one that yields more fields.
//   - Quote: the double quote. Only tab-separated rows that make sense only
//     without quotes are read without.
//   - Header: the first row, if none of its fields looks like a value (a number,
//     date, address or truth value) or recurs in its own column. If one is empty
//     or two are equal, at least one must also be above nothing but values.
//   - Line ends: CR if there is no LF outside quotes.
//
// An empty file, or one that is not text, is refused with a *CSVError that says so.
func Sniff(sample []byte) (Detected, error) {
	return sniff(sample, false, ReadDialect{})
}

// sniff fills in what d leaves open; whole says that the sample is the entire file.
func sniff(sample []byte, whole bool, d ReadDialect) (Detected, error) {
	found := Detected{Encoding: d.Encoding, Delimiter: d.Delimiter, Quote: d.Quote, LineEnd: d.LineEnd, Header: d.Header == WithHeader}
	encoding, bom := sniffEncoding(sample, whole)
	found.Encoding = cmp.Or(found.Encoding, encoding)
	found.BOM = bom && found.Encoding == encoding
	if d.Complete() {
		return found, nil
	}
	text, err := sampleText(sample, found.Encoding, d.Encoding != "")
	if err != nil {
		return found, err
	}
	found.LineEnd = cmp.Or(found.LineEnd, sniffLineEnd(text))
	best := sniffDelimiter(text, whole, found)
	found.Delimiter, found.Quote = best.delimiter, best.quote
	if len(best.rows) > 0 {
		found.Columns = len(best.rows[0])
	}
	if d.Header == DetectHeader {
		found.Header = isHeader(best.rows)
	}
	return found, nil
}

// sampleText returns a sample as UTF-8, or why it is not text. If told, the caller gave
// the encoding, so the sample is text whatever it looks like.
func sampleText(sample []byte, e Encoding, told bool) ([]byte, error) {
	if known := notText(sample); known != "" {
		return nil, &CSVError{Reason: "The file is " + known + ", not CSV text."}
	}
	text, err := io.ReadAll(decode(bytes.NewReader(sample), e))
	if err != nil {
		return nil, fmt.Errorf("decode the start of the file: %w", err)
	}
	if len(text) == 0 {
		return nil, &CSVError{Reason: "The file is empty."}
	}
	if told {
		return text, nil
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, &CSVError{Reason: "The file contains NUL bytes, so it is not CSV text."}
	}
	if controlBytes(text)*50 > len(text) {
		return nil, &CSVError{Reason: "The file is binary, not CSV text."}
	}
	return text, nil
}

// controlBytes counts the control characters that do not occur in text files.
func controlBytes(text []byte) int {
	n := 0
	for _, c := range text {
		if c < ' ' && (c < '\t' || c > '\r') && c != '\x1b' {
			n++
		}
	}
	return n
}

// decode returns r as UTF-8 without BOM.
func decode(r io.Reader, e Encoding) io.Reader {
	switch e {
	case UTF16LE:
		return transform.NewReader(r, utf16.UTF16(utf16.LittleEndian, utf16.UseBOM).NewDecoder())
	case UTF16BE:
		return transform.NewReader(r, utf16.UTF16(utf16.BigEndian, utf16.UseBOM).NewDecoder())
	case Windows1252:
		return transform.NewReader(r, charmap.Windows1252.NewDecoder())
	}
	return &bomSkipper{r: r}
}

// bomSkipper reads r without a leading UTF-8 BOM.
type bomSkipper struct {
	r    io.Reader
	past bool
}

func (s *bomSkipper) Read(p []byte) (int, error) {
	if s.past {
		return s.r.Read(p)
	}
	s.past = true
	var head [len(bom)]byte
	n, err := io.ReadFull(s.r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	if string(head[:n]) != bom {
		s.r = io.MultiReader(strings.NewReader(string(head[:n])), s.r)
	}
	return s.r.Read(p)
}

func sniffEncoding(sample []byte, whole bool) (e Encoding, hasBOM bool) {
	switch {
	case bytes.HasPrefix(sample, []byte(bom)):
		return UTF8, true
	case bytes.HasPrefix(sample, []byte("\xff\xfe")):
		return UTF16LE, true
	case bytes.HasPrefix(sample, []byte("\xfe\xff")):
		return UTF16BE, true
	}
	var zeros [2]int
	for i, c := range sample {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch many, few := len(sample)/6, len(sample)/100; {
	case zeros[1] > many && zeros[0] <= few:
		return UTF16LE, false
	case zeros[0] > many && zeros[1] <= few:
		return UTF16BE, false
	}
	if !whole {
		sample = trimPartialRune(sample)
	}
	if valid, invalid := countRunes(sample); invalid > valid {
		return Windows1252, false
	}
	return UTF8, false
}

// countRunes counts the non-ASCII characters and the bytes that are not UTF-8.
func countRunes(b []byte) (valid, invalid int) {
	if utf8.Valid(b) {
		return 0, 0
	}
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case size > 1:
			valid++
		case r == utf8.RuneError:
			invalid++
		}
		b = b[size:]
	}
	return valid, invalid
}

func trimPartialRune(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}

// sniffLineEnd counts line ends outside quotes. A doubled quote closes and reopens at
// once, so every quote may be counted.
func sniffLineEnd(text []byte) LineEnd {
	var lf, crlf, cr int
	quoted := false
	for i, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n' && i > 0 && text[i-1] == '\r':
			crlf++
		case c == '\n':
			lf++
		case c == '\r' && i+1 < len(text) && text[i+1] != '\n':
			cr++
		}
	}
	switch {
	case lf+crlf == 0 && cr > 0:
		return CR
	case crlf > lf:
		return CRLF
	}
	return LF
}

// reading is one way to read the sample.
type reading struct {
	delimiter, quote byte
	rows             [][]string // without blank lines
	broken           bool       // quotes are malformed
	share            float64    // fraction of the rows with as many fields as the first
}

func (r reading) split() bool { return len(r.rows) > 0 && len(r.rows[0]) > 1 }

// compare ranks two readings; the better one is greater.
func (r reading) compare(o reading) int {
	return cmp.Or(
		compareBool(r.split(), o.split()),
		compareBool(!r.broken, !o.broken),
		cmp.Compare(r.share, o.share),
		cmp.Compare(r.first(), o.first()),
	)
}

func (r reading) first() int {
	if len(r.rows) == 0 {
		return 0
	}
	return len(r.rows[0])
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// sniffDelimiter returns the best reading of the sample, with the delimiter and quote of
// d where given.
func sniffDelimiter(text []byte, whole bool, d Detected) reading {
	delimiters := []byte(",;\t|")
	if d.Delimiter != 0 {
		delimiters = []byte{d.Delimiter}
	}
	quote := cmp.Or(d.Quote, '"')
	var best reading
	for i, delimiter := range delimiters {
		r := readSample(text, whole, d, delimiter, quote)
		if i == 0 || r.compare(best) > 0 {
			best = r
		}
	}
	if d.Quote == 0 && best.delimiter == '\t' && best.broken {
		if r := readSample(text, whole, d, '\t', NoQuote); r.share == 1 && r.split() {
			return r
		}
	}
	return best
}

// readSample reads up to 1,000 rows. A last row that is cut off by the end of the sample
// does not count, unless it is the only one.
func readSample(text []byte, whole bool, d Detected, delimiter, quote byte) reading {
	const enough = 1000
	d.Delimiter, d.Quote, d.Columns = delimiter, quote, 2
	out := reading{delimiter: delimiter, quote: quote}
	r := newReader(bytes.NewReader(text), d, len(text), len(text)+1)
	for len(out.rows) < enough {
		fields, err := r.Read()
		if err != nil {
			out.broken = err != io.EOF && (whole || !isUnclosed(err))
			break
		}
		row := make([]string, len(fields))
		for i, f := range fields {
			row[i] = string(f.Bytes)
		}
		out.rows = append(out.rows, row)
	}
	if n := len(out.rows); n > 1 && !whole && n < enough && text[len(text)-1] != r.lineByte {
		out.rows = out.rows[:n-1]
	}
	same := 0
	for _, row := range out.rows {
		if len(row) == len(out.rows[0]) {
			same++
		}
	}
	out.share = float64(same) / float64(max(1, len(out.rows)))
	return out
}

func isUnclosed(err error) bool {
	e, ok := err.(*CSVError)
	return ok && e.Reason == unclosedQuote
}

// isHeader reports whether the first row looks like names, as Sniff describes.
func isHeader(rows [][]string) bool {
	if len(rows) == 0 {
		return false
	}
	seen := map[string]bool{}
	clean, above := true, false
	for i, name := range rows[0] {
		key := strings.ToLower(strings.TrimSpace(name))
		clean = clean && key != "" && !seen[key]
		seen[key] = true
		if key == "" {
			continue
		}
		again := func(row []string) bool { return i < len(row) && row[i] == name }
		if looksLikeValue(key) || slices.ContainsFunc(rows[1:], again) {
			return false
		}
		above = above || onlyValues(rows[1:], i)
	}
	return clean || above
}

// onlyValues reports whether a column contains values and no other text, ignoring empty
// fields.
func onlyValues(rows [][]string, column int) bool {
	some := false
	for _, row := range rows {
		if column >= len(row) || row[column] == "" {
			continue
		}
		if some = looksLikeValue(strings.ToLower(strings.TrimSpace(row[column]))); !some {
			return false
		}
	}
	return some
}

// looksLikeValue reports whether s, in lower case, looks like a value as Sniff
// describes.
func looksLikeValue(s string) bool {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return true
	}
	switch s {
	case "true", "false", "yes", "no", "null":
		return true
	}
	if strings.Contains(s, "@") || strings.Contains(s, "://") {
		return true
	}
	digit := strings.IndexFunc(strings.TrimLeft(s, "+-.$€£("), unicode.IsDigit) == 0
	letter := func(r rune) bool { return unicode.IsLetter(r) && r != 't' && r != 'z' }
	return digit && !strings.ContainsFunc(s, letter)
}
