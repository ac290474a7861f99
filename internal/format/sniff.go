package format

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"
)

// Detected describes how a CSV file is written.
type Detected struct {
	Encoding  Encoding
	BOM       bool
	Delimiter byte
	Rest      string // what follows Delimiter in a delimiter of several bytes
	Quote     byte   // '"', an apostrophe, or NoQuote
	Escape    byte   // stands before a quote inside quotes that is not doubled; 0 for none
	Blanks    bool   // blanks may precede an opening quote
	Header    bool
	LineEnd   LineEnd
	Columns   int // of the table; 0 if the file was not examined

	SkipRows  int    // lines above the table
	Above     string // the start of the first of them
	HeaderRow int    // the line with the names, if the caller gave it
	SkipBelow int    // rows left out below the header
	Comment   byte   // starts lines that are left out; 0 for none
	Told      bool   // the caller gave the comment, so even lines as wide as the table are left out
	RowNames  bool   // the header lacks a name for the first column
	Trailing  bool   // the rows end with a delimiter, behind which there is nothing
	Repeats   bool   // rows that repeat the header are left out
	Doubt     Doubt  // about the header
	Units     bool   // the row below the header keeps the columns below it from being numbers

	Complete  bool // the caller gave everything, so nothing was detected
	QuoteTold bool // the caller gave the quote
	lenient   bool // something was detected, so quotes may break the rules
}

// Doubt says what speaks against the header that was detected.
type Doubt uint8

// The doubts about a header.
const (
	NoDoubt      Doubt = iota
	NamesOrRow         // names were detected, though some look like values
	RowNotHeader       // a row was detected, though it contains texts
)

// sampleSize is how many bytes of a file are examined.
const sampleSize = 256 << 10

// Separator returns the whole delimiter.
func (d Detected) Separator() string { return string(rune(d.Delimiter)) + d.Rest }

// Sniff detects how a CSV file is written from its first bytes, at most a few hundred
// kilobytes, which may end in the middle of a character or row. The rules, and the
// weights behind them, are in sniffrules.go.
//
//   - Encoding: a BOM decides; otherwise zero bytes on one side of each pair mean
//     UTF-16; otherwise the file is UTF-8, unless more bytes are invalid UTF-8 than
//     there are valid non-ASCII characters: then it is Windows-1252.
//   - Delimiter, quote, line ends: those that give the most rows the same number of
//     fields, and the fields the plainest content.
//   - The table: it starts with the first row as wide as most; lines above it are left
//     out if they are comments, titles or above a header.
//   - Header: judged by the row as a whole; see header.judge.
//
// An empty file, or one that is not text, is refused with a *CSVError that says so.
func Sniff(sample []byte) (Detected, error) {
	return sniff(sample, false, ReadDialect{})
}

// sniff fills in what d leaves open; whole says that the sample is the entire file.
func sniff(sample []byte, whole bool, d ReadDialect) (Detected, error) {
	found := Detected{
		Encoding: d.Encoding, Delimiter: d.Delimiter, Rest: d.Rest, Quote: d.Quote, LineEnd: d.LineEnd, Header: d.Header == WithHeader || d.HeaderRow > 0,
		HeaderRow: d.HeaderRow, SkipBelow: d.SkipBelow, Comment: d.Comment, Told: d.Comment != 0, SkipRows: max(0, d.SkipRows),
	}
	if found.Comment == NoComment {
		found.Comment = 0
	}
	if d.HeaderRow > 0 {
		found.SkipRows = d.HeaderRow - 1
	}
	encoding, bom := sniffEncoding(sample, whole)
	found.Encoding = cmp.Or(found.Encoding, encoding)
	found.BOM = bom && found.Encoding == encoding
	found.QuoteTold = d.Quote != 0
	if found.Complete = d.Complete(); found.Complete {
		return found, nil
	}
	found.lenient = true
	text, err := sampleText(sample, found.Encoding, d.Encoding != "")
	if err != nil {
		return found, err
	}
	s := sniffer{text: text, whole: whole, asked: d, found: found}
	s.skipLines(found.SkipRows)
	s.readSeparatorLine()
	s.chooseReading()
	s.placeTable()
	return s.found, nil
}

// sniffer finds out how a sample is written.
type sniffer struct {
	text  []byte // what is left of the sample
	whole bool   // it is the rest of the file
	asked ReadDialect
	found Detected
	best  reading
}

// skipLines leaves out lines at the start of the sample.
func (s *sniffer) skipLines(n int) {
	for range n {
		at := bytes.IndexAny(s.text, "\r\n")
		if at < 0 {
			s.text = nil
			return
		}
		if bytes.HasPrefix(s.text[at:], []byte("\r\n")) {
			at++
		}
		s.text = s.text[at+1:]
	}
}

// readSeparatorLine heeds a first line such as sep=; which spreadsheets write.
func (s *sniffer) readSeparatorLine() {
	if s.asked.SkipRows != 0 || s.asked.HeaderRow > 0 {
		return
	}
	line, _, _ := bytes.Cut(s.text[:min(len(s.text), 20)], []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	if len(line) > 2 && line[0] == '"' {
		line = bytes.Trim(line, `"`)
	}
	if len(line) != len("sep=,") || !strings.EqualFold(string(line[:4]), "sep=") {
		return
	}
	s.found.Above, s.found.SkipRows = string(line), 1
	if s.skipLines(1); s.asked.Delimiter == 0 {
		s.found.Delimiter = line[4]
	}
}

// reading is one way to read the sample.
type reading struct {
	Detected
	rows      []sampleRow // without blank lines
	irregular int64       // fields whose quotes break the rules
	broken    bool        // it cannot be read to the end
	width     int         // of most rows
	score     float64
}

// sampleRow is a row of the sample.
type sampleRow struct {
	line   int64
	fields []sampleField
}

type sampleField struct {
	text   string
	quoted bool
}

// enoughRows is how many rows of the sample are read.
const enoughRows = 1000

// chooseReading picks the delimiter, the quote and the line ends.
func (s *sniffer) chooseReading() {
	ends := []LineEnd{s.found.LineEnd}
	if s.found.LineEnd == "" {
		ends = sniffLineEnds(s.text)
	}
	first := true
	for _, end := range ends {
		for _, delimiter := range s.delimiters() {
			for _, d := range s.quotings(delimiter, end) {
				r := s.read(d)
				if r.score = r.rate(s.asked.Prefers); first || r.score > s.best.score {
					s.best, first = r, false
				}
			}
		}
	}
	s.found = s.best.Detected
}

// delimiters returns the delimiters that occur in the sample, or the one that is known.
func (s *sniffer) delimiters() (list []string) {
	if s.found.Delimiter != 0 {
		return []string{s.found.Separator()}
	}
	var present [256]bool
	for _, c := range s.text {
		present[c] = true
	}
	for _, known := range delimiterWeights {
		if present[known.delimiter[0]] && strings.Contains(string(s.text), known.delimiter) {
			list = append(list, known.delimiter)
		}
	}
	for _, known := range delimiterWeights { // to read the lines as one column
		if !present[known.delimiter[0]] {
			return append(list, known.delimiter)
		}
	}
	return append(list, "\x1d")
}

// quotings returns the ways of quoting worth trying with a delimiter.
func (s *sniffer) quotings(delimiter string, end LineEnd) []Detected {
	d := s.found
	d.Delimiter, d.Rest, d.LineEnd, d.Columns = delimiter[0], delimiter[1:], end, 2
	if s.found.Quote == NoQuote {
		return []Detected{d}
	}
	d.Quote = cmp.Or(d.Quote, '"')
	list := []Detected{d}
	quote := string(rune(d.Quote))
	if bytes.Contains(s.text, []byte(`\`+quote)) {
		escaped := d
		escaped.Escape = '\\'
		list = append(list, escaped)
	}
	if bytes.Contains(s.text, []byte(delimiter+" "+quote)) {
		apart := d
		apart.Blanks = true
		list = append(list, apart)
	}
	if s.found.Quote != 0 {
		return list
	}
	if bytes.Contains(s.text, []byte(delimiter+"'")) || bytes.Contains(s.text, []byte("'"+delimiter)) {
		single := d
		single.Quote = '\''
		list = append(list, single)
	}
	if delimiter == "\t" && bytes.IndexByte(s.text, '"') >= 0 {
		none := d
		none.Quote = NoQuote
		list = append(list, none)
	}
	return list
}

// read reads up to enoughRows rows of the sample. A last row that is cut off by the end of the sample
// does not count, unless it is the only one.
func (s *sniffer) read(d Detected) reading {
	out := reading{Detected: d}
	r := newReader(bytes.NewReader(s.text), d, len(s.text), len(s.text)+1)
	r.sample = !s.whole
	for len(out.rows) < enoughRows {
		fields, err := r.Read()
		if err != nil {
			out.broken = err != io.EOF && (s.whole || !isUnclosed(err))
			break
		}
		row := sampleRow{line: r.Line(), fields: make([]sampleField, len(fields))}
		for i, f := range fields {
			row.fields[i] = sampleField{string(f.Bytes), f.Quoted}
		}
		out.rows = append(out.rows, row)
	}
	out.irregular = r.irregular
	if n := len(out.rows); n > 1 && !s.whole && n < enoughRows && s.text[len(s.text)-1] != r.lineByte {
		out.rows = out.rows[:n-1]
	}
	return out
}

func isUnclosed(err error) bool {
	e, ok := err.(*CSVError)
	return ok && strings.HasPrefix(e.Reason, unclosedQuote)
}

// sniffLineEnds returns the line ends worth trying, the likeliest first. A doubled quote
// closes and reopens at once, so every quote may be counted.
func sniffLineEnds(text []byte) []LineEnd {
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
		case c == '\r' && i+1 < len(text) && text[i+1] != '\n' && !bytes.HasPrefix(text[i+1:], []byte("\r\n")):
			cr++
		}
	}
	main := LF
	if crlf > lf {
		main = CRLF
	}
	switch {
	case lf+crlf == 0 && cr > 0:
		return []LineEnd{CR}
	case cr > 0:
		return []LineEnd{main, MixedLineEnds}
	}
	return []LineEnd{main}
}

// texts returns the fields of a row.
func (r sampleRow) texts() []string {
	list := make([]string, len(r.fields))
	for i, f := range r.fields {
		list[i] = f.text
	}
	return list
}

// filled counts the fields that are not empty.
func (r sampleRow) filled() (n int) {
	for _, f := range r.fields {
		if strings.TrimSpace(f.text) != "" {
			n++
		}
	}
	return n
}

// endsEmpty reports whether nothing follows the last delimiter.
func (r sampleRow) endsEmpty() bool {
	last := r.fields[len(r.fields)-1]
	return last.text == "" && !last.quoted
}

// placeTable finds where the table starts, and judges its header.
func (s *sniffer) placeTable() {
	rows, d := s.best.rows, &s.found
	if d.Columns = s.best.width; len(rows) == 0 {
		return
	}
	s.findComment(rows)
	start := s.firstRow(rows)
	s.trimTrailing(rows[start:])
	full := func(row sampleRow) bool {
		return len(row.fields) == s.best.width || len(row.fields) == d.Columns
	}
	if s.guessesStart() {
		start = s.tableStart(rows, full)
	}
	var table [][]string
	for i, row := range rows[start:] {
		if i == 0 || full(row) || len(row.fields) > d.Columns {
			table = append(table, row.texts())
		}
	}
	if s.asked.Header == DetectHeader && s.asked.HeaderRow == 0 && !d.RowNames {
		d.Header, d.Doubt = judgeHeader(table, d.Columns)
	}
	if !d.Header {
		s.keepColumns(rows[start:])
		return
	}
	d.Repeats, d.Units = judgeBelow(table, d.Columns)
}

// guessesStart reports whether lines above the table may be left out.
func (s *sniffer) guessesStart() bool {
	return s.asked.SkipRows == 0 && s.asked.HeaderRow == 0 && s.best.width > 1
}

// findComment recognizes comments by the lines that start the sample.
func (s *sniffer) findComment(rows []sampleRow) {
	first := rows[0].fields[0]
	if s.asked.Comment != 0 || s.best.width < 2 || first.quoted || !strings.HasPrefix(first.text, "#") {
		return
	}
	if len(rows[0].fields) != s.best.width || len(rows) > 1 && strings.HasPrefix(rows[1].fields[0].text, "#") {
		s.found.Comment = '#'
	}
}

func (s *sniffer) isComment(row sampleRow) bool {
	first := row.fields[0]
	return s.found.Comment != 0 && !first.quoted && first.text != "" && first.text[0] == s.found.Comment
}

// firstRow returns the index of the first row that is no comment and as wide as most.
func (s *sniffer) firstRow(rows []sampleRow) int {
	if !s.guessesStart() {
		return 0
	}
	return max(0, slices.IndexFunc(rows, func(r sampleRow) bool { return len(r.fields) >= s.best.width && !s.isComment(r) }))
}

// trimTrailing takes a column off the table if each row ends with a delimiter for which
// the header has no name.
func (s *sniffer) trimTrailing(rows []sampleRow) {
	wide := 0
	for _, row := range rows {
		if len(row.fields) < s.best.width {
			continue
		}
		if wide++; !row.endsEmpty() {
			return
		}
	}
	if wide > 1 && s.best.width > 1 {
		s.found.Trailing = true
		s.found.Columns--
	}
}

// keepColumns undoes trimTrailing for a table without a header, whose last column may
// just be empty.
func (s *sniffer) keepColumns(rows []sampleRow) {
	if s.found.Trailing && len(rows[0].fields) == s.best.width {
		s.found.Trailing = false
		s.found.Columns++
	}
}

// tableStart returns the index of the row in which the table starts, and tells the
// reader to skip the lines above it. Rows that are as wide as the table are titles if
// they have at most one text where it has three columns.
func (s *sniffer) tableStart(rows []sampleRow, full func(sampleRow) bool) int {
	d := &s.found
	start := slices.IndexFunc(rows, func(row sampleRow) bool {
		return full(row) && !s.isComment(row) && (d.Columns < 3 || row.filled() > 1)
	})
	if start < 0 {
		return 0
	}
	var below [][]string
	for _, row := range rows[start:] {
		if full(row) {
			below = append(below, row.texts())
		}
	}
	named, _ := judgeHeader(below, d.Columns)
	if start > 0 {
		above := rows[start-1]
		short := len(above.fields) > 1 && above.filled() == len(above.fields) && !s.isComment(above)
		switch {
		case s.commentedHeader(rows, start, named, full):
			start--
		case named || len(below) == 1:
		case short && s.asked.Ragged == RefuseRagged:
			start = 0
		case short && len(above.fields) == d.Columns-1:
			start--
			d.RowNames, d.Header = true, s.asked.Header != WithoutHeader
			d.RowNames = d.Header
		case short: // the first row is just shorter than the others
			start = 0
		}
	}
	if start > 0 {
		d.Above = shortened(strings.Join(rows[0].texts(), d.Separator()))
		d.SkipRows += int(rows[start].line) - 1
	}
	return start
}

// commentedHeader reports whether the names stand in the last comment above the rows.
func (s *sniffer) commentedHeader(rows []sampleRow, start int, named bool, full func(sampleRow) bool) bool {
	above := rows[start-1]
	return !named && s.asked.Comment == 0 && s.isComment(above) && full(above) && above.filled() == len(above.fields)
}

// shortened cuts a text for use in a note.
func shortened(text string) string {
	const longest = 40
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}
