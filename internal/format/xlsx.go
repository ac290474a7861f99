package format

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// The limits of an Excel worksheet. The header takes up one of the rows.
const (
	XLSXRows    = 1 << 20
	XLSXColumns = 1 << 14
	XLSXText    = 1<<15 - 1 // UTF-16 units in a cell
)

// XLSXOptions says how to write a workbook.
type XLSXOptions struct {
	Sheet    string    // name of the sheet; adapted to Excel's rules
	Split    bool      // continue in another sheet when one is full, instead of failing
	Rows     int64     // expected number, so that too many fail at once; 0 if unknown
	Modified time.Time // of the workbook and its parts; zero for none
}

// XLSX writes rows as an Excel workbook, as a stream: neither memory nor temporary files
// grow with the table. Numbers stay numbers; everything else, including what Excel has
// no number for, becomes text: integers beyond ±2^53, infinities, and blobs in base64.
// NULL is written as no cell, the empty text as a cell with empty text. The header row
// is bold and frozen. XLSX is a [TableWriter].
//
// Characters that XML cannot hold are written the way Excel does, U+0001 as _x0001_, and
// a text that looks like that as _x005F_x0001_. Bytes that are not UTF-8 become U+FFFD.
// The same rows and options produce the same bytes.
type XLSX struct {
	zip      *ZIP
	columns  []Column
	letters  []string // per column
	options  XLSXOptions
	sheets   []string  // names of the sheets started so far
	sheet    io.Writer // the last sheet
	row      int       // last row written to the sheet, from 1
	before   int64     // rows of the table in earlier sheets
	buffer   []byte
	scratch  []byte // for one cell
	replaced int64
}

// NewXLSX returns a writer of rows of the given columns as a workbook to w. Exceeding
// Excel's limits is a *LimitError, here and from Rows.
func NewXLSX(w io.Writer, columns []Column, o XLSXOptions) (*XLSX, error) {
	if len(columns) > XLSXColumns {
		return nil, &LimitError{Reason: fmt.Sprintf("there are %d columns, but an Excel sheet has at most %d", len(columns), XLSXColumns)}
	}
	if o.Rows > XLSXRows-1 && !o.Split {
		return nil, tooManyRows(strconv.FormatInt(o.Rows, 10))
	}
	x := &XLSX{zip: NewZIP(w), columns: columns, options: o}
	for i := range columns {
		x.letters = append(x.letters, columnLetters(i))
	}
	if err := x.part("_rels/.rels", xlsxRels); err != nil {
		return nil, err
	}
	if err := x.part("docProps/core.xml", coreProperties(o.Modified)); err != nil {
		return nil, err
	}
	if err := x.part("xl/styles.xml", xlsxStyles); err != nil {
		return nil, err
	}
	return x, x.beginSheet()
}

// Replaced returns the number of values so far that could not be written unchanged:
// texts with bytes that are not UTF-8 and, in columns of any type, what becomes text:
// blobs, infinities, and integers beyond 2^53.
func (x *XLSX) Replaced() int64 { return x.replaced }

// Rows writes the rows of b.
func (x *XLSX) Rows(b *sqlite.Batch) error {
	for i := range b.Rows {
		if x.row == XLSXRows {
			if err := x.nextSheet(); err != nil {
				return err
			}
		}
		if err := x.appendRow(b, b.Row(i)); err != nil {
			return err
		}
	}
	return x.flush()
}

// Close ends the sheet and writes the parts that list the sheets.
func (x *XLSX) Close() error {
	if err := x.endSheet(); err != nil {
		return err
	}
	if err := x.part("xl/workbook.xml", workbook(x.sheets)); err != nil {
		return err
	}
	if err := x.part("xl/_rels/workbook.xml.rels", workbookRels(len(x.sheets))); err != nil {
		return err
	}
	if err := x.part("[Content_Types].xml", contentTypes(len(x.sheets))); err != nil {
		return err
	}
	return x.zip.Close()
}

func (x *XLSX) part(name, text string) error {
	w, err := x.zip.Create(name, x.options.Modified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

func tooManyRows(rows string) *LimitError {
	return &LimitError{Reason: fmt.Sprintf("there are %s rows, but an Excel sheet has at most %d including the header; set split to continue on further sheets", rows, XLSXRows)}
}

func (x *XLSX) nextSheet() error {
	if !x.options.Split {
		e := tooManyRows(fmt.Sprintf("more than %d", XLSXRows-1))
		e.Row = x.before + XLSXRows
		return e
	}
	if err := x.endSheet(); err != nil {
		return err
	}
	x.before += XLSXRows - 1
	return x.beginSheet()
}

func (x *XLSX) beginSheet() (err error) {
	x.sheets = append(x.sheets, SheetName(x.options.Sheet, len(x.sheets)+1))
	x.sheet, err = x.zip.Create(fmt.Sprintf("xl/worksheets/sheet%d.xml", len(x.sheets)), x.options.Modified)
	if err != nil {
		return err
	}
	x.row = 0
	x.buffer = append(x.buffer, xlsxSheetHead...)
	x.openRow()
	for j, column := range x.columns {
		x.openCell(j, ` s="1"`)
		if err := x.appendText(j, []byte(column.Name)); err != nil {
			return err
		}
	}
	x.buffer = append(x.buffer, "</row>"...)
	return nil
}

func (x *XLSX) endSheet() error {
	x.buffer = append(x.buffer, "</sheetData></worksheet>"...)
	return x.flush()
}

func (x *XLSX) flush() error {
	_, err := x.sheet.Write(x.buffer)
	x.buffer = x.buffer[:0]
	return err
}

func (x *XLSX) openRow() {
	x.row++
	x.buffer = append(x.buffer, `<row r="`...)
	x.buffer = strconv.AppendInt(x.buffer, int64(x.row), 10)
	x.buffer = append(x.buffer, `">`...)
}

// openCell opens the cell in column j of the row, up to its type.
func (x *XLSX) openCell(j int, style string) {
	x.buffer = append(append(x.buffer, `<c r="`...), x.letters[j]...)
	x.buffer = strconv.AppendInt(x.buffer, int64(x.row), 10)
	x.buffer = append(append(x.buffer, '"'), style...)
}

func (x *XLSX) appendRow(b *sqlite.Batch, row []sqlite.Cell) error {
	x.openRow()
	values := 0
	for j, cell := range row {
		if cell.Kind == sqlite.Null {
			continue
		}
		values++
		x.openCell(j, "")
		if err := x.appendValue(j, b, cell); err != nil {
			return err
		}
	}
	if values == 0 {
		// A number cell without a value distinguishes this row from one that is only
		// formatted.
		x.openCell(0, "")
		x.buffer = append(x.buffer, ` t="n"/>`...)
	}
	x.buffer = append(x.buffer, "</row>"...)
	return nil
}

// countReplaced counts a value that is written as text, if a reader cannot tell it from
// a text.
func (x *XLSX) countReplaced(j int) {
	if x.columns[j].holdsAny() {
		x.replaced++
	}
}

func (x *XLSX) appendValue(j int, b *sqlite.Batch, c sqlite.Cell) error {
	const exact = 1 << 53
	switch {
	case c.Kind == sqlite.Text:
		return x.appendText(j, b.Bytes(c))
	case c.Kind == sqlite.Blob:
		x.scratch = appendBase64(x.scratch[:0], b.Bytes(c))
		x.countReplaced(j)
		return x.appendText(j, x.scratch)
	case c.Kind == sqlite.Integer && (c.Int() > exact || c.Int() < -exact):
		x.countReplaced(j)
		x.scratch = strconv.AppendInt(x.scratch[:0], c.Int(), 10)
		return x.appendText(j, x.scratch)
	case c.Kind == sqlite.Real && math.IsInf(c.Float(), 0):
		x.countReplaced(j)
		return x.appendText(j, appendCSVReal(nil, c.Float()))
	}
	x.buffer = append(x.buffer, "><v>"...)
	if c.Kind == sqlite.Integer {
		x.buffer = appendInt(x.buffer, c.Int())
	} else {
		x.buffer = appendReal(x.buffer, c.Float())
	}
	x.buffer = append(x.buffer, "</v></c>"...)
	return nil
}

// appendText appends the rest of a text cell.
func (x *XLSX) appendText(j int, s []byte) error {
	if len(s) > XLSXText {
		if n := utf16Units(s); n > XLSXText {
			return &LimitError{
				Row: x.before + int64(x.row-1), Column: x.columns[j].Name, Cell: x.letters[j] + strconv.Itoa(x.row),
				Reason: fmt.Sprintf("the text has %d characters, but an Excel cell holds at most %d", n, XLSXText),
			}
		}
	}
	x.buffer = append(x.buffer, ` t="inlineStr"><is><t`...)
	if n := len(s); n > 0 && (isSpace(s[0]) || isSpace(s[n-1])) {
		x.buffer = append(x.buffer, ` xml:space="preserve"`...)
	}
	var replaced bool
	x.buffer, replaced = appendXML(append(x.buffer, '>'), s)
	if replaced {
		x.replaced++
	}
	x.buffer = append(x.buffer, "</t></is></c>"...)
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

func utf16Units(s []byte) int {
	n := 0
	for _, r := range string(s) {
		n += utf16.RuneLen(r)
	}
	return n
}

// appendXML appends s as element text of a sheet, and reports whether invalid UTF-8 was
// replaced by U+FFFD.
func appendXML(dst, s []byte) (_ []byte, replaced bool) {
	start := 0 // of what is copied as is: nearly all text, in one piece
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(s[i:])
		}
		invalid := r == utf8.RuneError && size == 1
		// If a text looks like an escape, its underscore is escaped, or a reader would
		// decode it.
		escape := escapedInXML(r) || r == '_' && looksEscaped(s[i:])
		if !invalid && !escape && r != '&' && r != '<' && r != '>' {
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch {
		case invalid:
			dst, replaced = append(dst, "\ufffd"...), true
		case escape:
			dst = fmt.Appendf(dst, "_x%04X_", r)
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		}
		i += size
		start = i
	}
	return append(dst, s[start:]...), replaced
}

// escapedInXML reports whether XML cannot hold a character, or would change it.
func escapedInXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' || r == 0xfffe || r == 0xffff
}

// looksEscaped reports whether s, which starts with _, would be read as an escaped
// character: as _xHHHH_, where the second _ may also start an escape that is yet to be
// written.
func looksEscaped(s []byte) bool {
	const hex = "0123456789abcdefABCDEF"
	if len(s) < len("_x0000_") || s[1] != 'x' {
		return false
	}
	for _, c := range s[2:6] {
		if !strings.Contains(hex, string(rune(c))) {
			return false
		}
	}
	next, _ := utf8.DecodeRune(s[6:])
	return next == '_' || escapedInXML(next)
}

// columnLetters returns the letters of column i, counting from 0: A to XFD.
func columnLetters(i int) string {
	var s string
	for i++; i > 0; i = (i - 1) / 26 {
		s = string(rune('A'+(i-1)%26)) + s
	}
	return s
}

// SheetName returns a name that Excel allows for a table's nth sheet, counting from 1.
func SheetName(table string, n int) string {
	const longest = 31 // UTF-16 units
	suffix := ""
	if n > 1 {
		suffix = fmt.Sprintf(" (%d)", n)
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`[]:*?/\`, r) || escapedInXML(r) || r < ' ' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, table)
	for utf16Units([]byte(name))+len(suffix) > longest {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	name = strings.Trim(name, "' ")
	switch strings.ToLower(name) {
	case "":
		name = "table"
	case "history": // reserved
		name = "history_"
	}
	return name + suffix
}
