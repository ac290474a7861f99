package format

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"unicode/utf8"
)

// Encoding names a text encoding.
type Encoding string

// The encodings that a CSV file may have.
const (
	UTF8        Encoding = "utf-8"
	UTF16LE     Encoding = "utf-16le"
	UTF16BE     Encoding = "utf-16be"
	Windows1252 Encoding = "windows-1252"
)

// LineEnd names the sequence that ends the rows of a file.
type LineEnd string

// The line ends that a CSV file may have. LF and CRLF are read alike: each LF outside
// quotes ends a row, and a CR right before it is part of the line end.
const (
	LF   LineEnd = "lf"
	CRLF LineEnd = "crlf"
	CR   LineEnd = "cr"

	// MixedLineEnds: each CR, LF or CRLF outside quotes ends a row. Detected only.
	MixedLineEnds LineEnd = "mixed"
)

// HeaderMode says whether the first row of a file names the columns.
type HeaderMode uint8

// The zero HeaderMode is DetectHeader.
const (
	DetectHeader HeaderMode = iota
	WithHeader
	WithoutHeader
)

// NoQuote as the Quote of a ReadDialect means that quotes are ordinary text, and
// NoComment as its Comment that no line is a comment.
const (
	NoQuote   = 0xff
	NoComment = 0xff
)

// Ragged says what becomes of rows that are not as long as the table is wide.
type Ragged string

// The ways to read ragged rows. A single empty field too many is always left out.
const (
	FillRagged     Ragged = "fill"      // missing fields are NULL; the default
	RefuseRagged   Ragged = "refuse"    // they are rejected
	PadNamesRagged Ragged = "pad_names" // like fill, and the table is as wide as its longest row
)

// ReadDialect says how to read a CSV file. Fields that are zero are detected from the
// start of the file, unless noted otherwise.
type ReadDialect struct {
	Encoding     Encoding
	Delimiter    byte
	Rest         string // what follows Delimiter in a delimiter of several bytes
	Quote        byte   // usually '"', or NoQuote
	Header       HeaderMode
	LineEnd      LineEnd
	HeaderRow    int    // the line or row with the names, from 1; what is above it is left out
	SkipRows     int    // lines or rows above the table; negative for none
	SkipBelow    int    // rows left out below the names; never detected
	Comment      byte   // starts lines that are left out; NoComment for none
	Footer       int    // rows left out at the end; negative for none
	Ragged       Ragged // never detected
	Prefers      byte   // the delimiter that the name of the file promises
	Width        int    // columns that the table has at least; never detected
	Range        string // cells of a sheet; "" detects them
	NullText     string // stands for NULL when unquoted; never detected
	FormulaGuard bool   // strip apostrophes before formulas; never detected
	MaxField     int    // bytes; default 64 MiB
	MaxColumns   int    // default 2,000
}

// Complete reports whether nothing has to be detected.
func (d ReadDialect) Complete() bool {
	return d.Encoding != "" && d.Delimiter != 0 && d.Quote != 0 && d.Header != DetectHeader && d.LineEnd != ""
}

// CSVError reports what is wrong with a CSV file.
type CSVError = FileError

// Field is one field of a record.
type Field struct {
	Bytes  []byte
	Quoted bool
	Null   bool // unquoted and equal to the dialect's text for NULL
}

// CSVReader reads the records of a CSV file one after another. It distinguishes quoted
// fields from others, keeps quoted content byte for byte, and holds at most one record
// in memory. Quotes follow RFC 4180; a quote inside a field that does not start with one
// is text. Unless the dialect was given in full, quotes that break the rules are read as
// well as they can be, and counted. Records may differ in their number of fields. An empty line is a record of
// one NULL in a file with one column, and is skipped in others.
type CSVReader struct {
	src       io.Reader // UTF-8, without BOM
	dialect   Detected
	delimiter byte
	rest      string // of the delimiter
	quote     byte
	escape    byte
	lenient   bool // quotes may break the rules
	mixed     bool // CR ends lines, too
	sample    bool // the file goes on behind its end
	nullText  string
	guard     bool      // strip apostrophes before formulas
	lineByte  byte      // the byte that ends each line
	stop      [256]bool // bytes that end an unquoted field

	maxField, maxColumns int

	buf        []byte
	start, end int   // buf[start:end] starts with the current record
	used       int   // bytes of buf that the last record took up
	err        error // from src; io.EOF at the end of the file
	fault      error // the first error returned, which is returned ever after

	line    int64 // line on which the current record starts
	lines   int64 // number of lines in it
	width   int   // number of columns, 0 if not yet known
	spans   []span
	fields  []Field
	header  []string
	invalid int64

	irregular     int64 // fields whose quotes break the rules
	irregularLine int64 // line of the first of them
	proper        bool  // a field in quotes was read
	barren        int   // offset in the record from which no quote closes on the same line; 0 if unknown
	marks         int64 // BOMs removed from the start of records
}

// span is the position of a field, relative to the start of the record.
type span struct {
	begin, end      int
	quoted, doubled bool // doubled: contains doubled quotes
}

// NewCSVReader returns a reader of r, after it has detected what d leaves open and read
// the header row. Faults of the file are *CSVError.
func NewCSVReader(r io.Reader, d ReadDialect) (*CSVReader, error) {
	sample := make([]byte, sampleSize)
	n, err := io.ReadFull(r, sample)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("read the start of the file: %w", err)
	}
	sample = sample[:n]
	found, err := sniff(sample, err != nil, d)
	if err != nil {
		return nil, err
	}
	src := decode(io.MultiReader(bytes.NewReader(sample), r), found.Encoding)
	reader := newReader(src, found, d.MaxField, d.MaxColumns)
	reader.nullText, reader.guard = d.NullText, d.FormulaGuard
	if err := reader.skipLines(found.SkipRows); err != nil {
		return nil, err
	}
	if found.Header {
		err = reader.readHeader()
	} else {
		err = nil
	}
	for range found.SkipBelow {
		if _, skipped := reader.Read(); skipped != nil && skipped != io.EOF {
			return nil, skipped
		}
	}
	return reader, err
}

// skipLines leaves out lines at the start of the file.
func (r *CSVReader) skipLines(n int) error {
	for range n {
		for {
			at := bytes.IndexByte(r.buf[r.start:r.end], r.lineByte)
			if r.mixed {
				at = bytes.IndexAny(r.buf[r.start:r.end], "\r\n")
			}
			if at >= 0 {
				r.start += at
				r.start = min(r.end, r.start+r.pastLineEnd(0))
				break
			}
			if r.start = r.end; !r.more(0) {
				if r.err == io.EOF {
					return nil
				}
				return r.err
			}
		}
		r.line++
	}
	return nil
}

// withoutCR returns the end of a plain field without the CR of a CRLF, or the CRs of a
// CR CR LF.
func (r *CSVReader) withoutCR(s span) int {
	b, end := r.buf[r.start:r.end], s.end-1
	for r.lenient && end > s.begin && b[end-1] == '\r' {
		end--
	}
	return end
}

// pastLineEnd returns the offset behind the line end at an offset of the record, where
// the file may also end.
func (r *CSVReader) pastLineEnd(i int) int {
	if r.start+i >= r.end {
		return i
	}
	if !r.mixed || r.buf[r.start+i] != '\r' {
		return i + 1
	}
	for r.start+i < r.end || r.more(i) {
		if r.buf[r.start+i] != '\r' {
			break
		}
		i++
	}
	if r.start+i < r.end && r.buf[r.start+i] == '\n' {
		i++
	}
	return i
}

func newReader(src io.Reader, d Detected, maxField, maxColumns int) *CSVReader {
	r := &CSVReader{
		src: src, dialect: d, delimiter: d.Delimiter, quote: d.Quote, lineByte: '\n', width: d.Columns, line: 1,
		maxField: cmp.Or(maxField, 64<<20), maxColumns: cmp.Or(maxColumns, 2000), buf: make([]byte, 128<<10),
	}
	if d.LineEnd == CR {
		r.lineByte = '\r'
	}
	r.rest, r.escape, r.lenient = d.Rest, d.Escape, d.lenient
	if r.mixed = d.LineEnd == MixedLineEnds; r.mixed {
		r.stop['\r'] = true
	}
	r.stop[r.delimiter], r.stop[r.lineByte] = true, true
	return r
}

// Dialect returns how the file is read, including what was detected.
func (r *CSVReader) Dialect() Detected { return r.dialect }

// Header returns the names in the header row, nil if there is none.
func (r *CSVReader) Header() []string { return r.header }

// Line returns the line on which the last record started, counting from 1.
func (r *CSVReader) Line() int64 { return r.line }

// Irregular returns the number of fields so far whose quotes break the rules, and the
// line of the first of them.
func (r *CSVReader) Irregular() (fields, line int64) { return r.irregular, r.irregularLine }

// Marks returns the number of BOMs so far that stood at the start of later lines, as in
// files put together from several, and were left out.
func (r *CSVReader) Marks() int64 { return r.marks }

// Invalid returns the number of fields so far with bytes that are not valid in the
// file's encoding. They are kept as they are in a file read as UTF-8, and become U+FFFD
// in others.
func (r *CSVReader) Invalid() int64 { return r.invalid }

func (r *CSVReader) isInvalid(b []byte) bool {
	if r.dialect.Encoding == UTF8 {
		return !utf8.Valid(b)
	}
	return bytes.Contains(b, []byte("\ufffd"))
}

const noHeaderRow = "The file has no header row: it is empty."

func (r *CSVReader) readHeader() error {
	for {
		fields, err := r.record()
		if err == io.EOF {
			return &CSVError{Reason: noHeaderRow}
		}
		if err != nil {
			return err
		}
		if blank(fields) {
			continue
		}
		if r.isComment(fields) && (r.dialect.Told || len(fields) != r.dialect.Columns) {
			continue
		}
		for _, f := range fields {
			r.header = append(r.header, string(f.Bytes))
		}
		r.width = max(len(fields), r.dialect.Columns)
		return nil
	}
}

// Read returns the next record, or io.EOF. The fields and their bytes are valid
// until the next call.
func (r *CSVReader) Read() ([]Field, error) {
	for {
		fields, err := r.record()
		if err != nil {
			return nil, err
		}
		if blank(fields) && r.width > 1 {
			continue
		}
		if r.width == 0 {
			r.width = len(fields)
		}
		return fields, nil
	}
}

// isComment reports whether a record is a comment, judging by how it starts.
func (r *CSVReader) isComment(fields []Field) bool {
	first := fields[0]
	return r.dialect.Comment != 0 && !first.Quoted && len(first.Bytes) > 0 && first.Bytes[0] == r.dialect.Comment
}

func blank(fields []Field) bool {
	return len(fields) == 1 && len(fields[0].Bytes) == 0 && !fields[0].Quoted
}

func (r *CSVReader) record() ([]Field, error) {
	if r.fault != nil {
		return nil, r.fault
	}
	r.start += r.used
	r.line += r.lines
	r.used, r.lines = 0, 0
	r.used, r.fault = r.scan()
	if r.fault != nil {
		return nil, r.fault
	}
	record := r.buf[r.start : r.start+r.used]
	check := r.isInvalid(record)
	r.lines = 1
	r.fields = r.fields[:0]
	for _, s := range r.spans {
		f := Field{Bytes: record[s.begin:s.end:s.end], Quoted: s.quoted}
		if s.quoted {
			r.lines += int64(bytes.Count(f.Bytes, []byte{r.lineByte}))
		} else {
			f.Null = string(f.Bytes) == r.nullText
		}
		if s.doubled && r.escape != 0 {
			f.Bytes = unescape(f.Bytes, r.quote, r.escape)
		} else if s.doubled {
			f.Bytes = undouble(f.Bytes, r.quote)
		}
		if r.guard {
			f.Bytes = unguard(f.Bytes)
		}
		if check && r.isInvalid(f.Bytes) {
			r.invalid++
		}
		r.fields = append(r.fields, f)
	}
	if first := &r.fields[0]; r.lenient && r.dialect.BOM && len(first.Bytes) >= len(bom) && first.Bytes[0] == bom[0] && !first.Quoted {
		r.dropMark(first)
	}
	return r.fields, nil
}

// dropMark removes the BOM of a file that was appended to another.
func (r *CSVReader) dropMark(first *Field) {
	bare, found := bytes.CutPrefix(first.Bytes, []byte(bom))
	if !found {
		return
	}
	r.marks++
	first.Bytes = bare
	if len(bare) > 1 && bare[0] == r.quote && bare[len(bare)-1] == r.quote {
		first.Bytes, first.Quoted = undoubleAny(bare[1:len(bare)-1], r.quote), true
	}
	first.Null = !first.Quoted && string(first.Bytes) == r.nullText
}

// scan finds the fields of the next record, as offsets from r.start, and returns how
// many bytes the record and its line end take up. It runs once per record and allocates
// nothing. A field may end beyond the buffered bytes: r.more then reads on and moves the
// record to the front of the buffer, or to a larger one, so b is sliced again after each
// call that may have done so; offsets stay valid.
func (r *CSVReader) scan() (int, error) {
	r.spans = r.spans[:0]
	r.barren = 0
	if r.start == r.end && !r.more(0) {
		return 0, r.err
	}
	b, stop := r.buf[r.start:r.end], &r.stop
	for i := 0; ; i++ { // once per field; i is at its start
		if i == len(b) && r.more(i) {
			b = r.buf[r.start:r.end]
		}
		s := span{begin: i}
		if r.dialect.Blanks && i < len(b) && b[i] == ' ' {
			i = r.pastBlanks(i)
			b = r.buf[r.start:r.end]
		}
		if i < len(b) && b[i] == r.quote && r.quote != NoQuote {
			var err error
			if s, i, err = r.quoted(i); err != nil {
				return 0, err
			}
			b = r.buf[r.start:r.end]
		} else {
			// The only loop over every byte of a plain field: one lookup finds both the
			// delimiter and the line end.
			for i = s.begin; i < len(b) && !stop[b[i]]; {
				i++
			}
			if i == len(b) || r.rest != "" {
				i = r.plainEnd(i, s.begin)
				b = r.buf[r.start:r.end]
			}
			s.end = i
		}
		if s.end-s.begin > r.maxField {
			return 0, r.tooLong(s.begin)
		}
		if len(r.spans) == r.maxColumns {
			return 0, r.fail(i, fmt.Sprintf("the row has more than %d fields", r.maxColumns))
		}
		if i < len(b) && b[i] == r.delimiter {
			r.spans = append(r.spans, s)
			i += len(r.rest)
			continue
		}
		// Anything but a delimiter ends the record: a line end, or the end of the file,
		// which may lack one. If reading stopped for another reason, that is an error.
		if i == len(b) && r.err != io.EOF {
			return 0, r.err
		}
		// The CR of a CRLF is not part of the field, but one in quotes is.
		if r.lineByte == '\n' && !s.quoted && s.end > s.begin && b[s.end-1] == '\r' {
			s.end = r.withoutCR(s)
		}
		r.spans = append(r.spans, s)
		return r.pastLineEnd(i), nil
	}
}

// more reads on, and reports whether there were more bytes. field is the offset in the
// record of the field that is still incomplete.
func (r *CSVReader) more(field int) bool {
	if r.err != nil {
		return false
	}
	held := r.end - r.start
	if held-field > r.maxField || held > 4*r.maxField {
		r.err = r.tooLong(field)
		return false
	}
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, held
	}
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	for range 100 {
		var n int
		n, r.err = r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 || r.err != nil {
			return n > 0
		}
	}
	r.err = io.ErrNoProgress
	return false
}

// unclosed returns the error for the quoted field at i, which has no end.
func (r *CSVReader) unclosed(i int) error {
	if r.err == io.EOF {
		return r.fail(i, r.unclosedReason())
	}
	return r.err
}

const unclosedQuote = "the quote that opens here is never closed"

// unclosedReason adds the way out, where the caller did not give the whole dialect.
func (r *CSVReader) unclosedReason() string {
	if r.lenient {
		return unclosedQuote + ". Set quote to none if quotes are ordinary text in this file"
	}
	return unclosedQuote
}

func (r *CSVReader) tooLong(i int) error {
	return r.fail(i, fmt.Sprintf("the field is longer than %d bytes; a closing quote may be missing", r.maxField))
}

// fail returns an error at offset i of the current record.
func (r *CSVReader) fail(i int, reason string) error {
	before := r.buf[r.start : r.start+i]
	return &CSVError{
		Line:   r.line + int64(bytes.Count(before, []byte{r.lineByte})),
		Column: int64(i - bytes.LastIndexByte(before, r.lineByte)),
		Reason: reason,
	}
}

// undouble turns doubled quotes into single ones, in place.
func undouble(b []byte, quote byte) []byte {
	w := bytes.IndexByte(b, quote)
	for i := w; i < len(b); i++ {
		if b[i] == quote {
			i++
		}
		b[w] = b[i]
		w++
	}
	return b[:w]
}
