package format

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Workbook is an Excel workbook opened for reading. What its sheets share is in memory,
// the sheets are not.
type Workbook struct {
	parts    map[string]*zip.File // by partKey
	stopped  func() error         // see OpenWorkbook
	sheets   []sheetPart
	textPart string // of the shared texts; "" if there are none
	texts    *sharedTexts
	styles   []numberFormat
	date1904 bool
}

type sheetPart struct {
	name, part string
	hidden     bool
}

// Limits on the parts that describe a workbook: a small file can contain any number of
// parts that refer to each other.
const (
	maxSheets      = 1000
	maxDescription = 16 << 20 // bytes of a part, unpacked
	maxColumns     = 2000     // SQLite's limit for a table
)

// OpenWorkbook opens a workbook of the given size. Faults of the file are *FileError,
// here and in all later reads. Since a few bytes of a file can expand to many, reading
// stops if r has a method Err and it returns an error.
func OpenWorkbook(r io.ReaderAt, size int64) (*Workbook, error) {
	w := &Workbook{texts: &sharedTexts{max: maxShared}}
	if err := w.readParts(r, size); err != nil {
		return nil, err
	}
	main := "xl/workbook.xml"
	root, err := w.relations("")
	if err != nil {
		return nil, err
	}
	for _, relation := range root {
		if strings.HasSuffix(relation.Type, "/officeDocument") {
			main = relation.part("")
		}
	}
	return w, w.open(main)
}

func (w *Workbook) readParts(r io.ReaderAt, size int64) error {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return &FileError{Reason: "The file is not an Excel workbook (.xlsx), or it is damaged: " + withoutPath(err)}
	}
	w.stopped = func() error { return nil }
	if s, ok := r.(interface{ Err() error }); ok {
		w.stopped = s.Err
	}
	w.parts = map[string]*zip.File{}
	z.RegisterDecompressor(zip.Deflate, flate.NewReader)
	for _, f := range z.File {
		if key := partKey(f.Name); w.parts[key] == nil {
			w.parts[key] = f
		}
	}
	return nil
}

// partKey returns what identifies a part: its name in lower case, with slashes, however
// the program that packed the workbook wrote it.
func partKey(name string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ToLower(strings.ReplaceAll(name, `\`, "/"))), "/")
}

// find returns a part, or nil.
func (w *Workbook) find(name string) *zip.File {
	if f := w.parts[partKey(name)]; f != nil {
		return f
	}
	if plain, err := url.PathUnescape(name); err == nil {
		return w.parts[partKey(plain)]
	}
	return nil
}

// On returns the workbook read through another handle of the same file. What its sheets
// share is not read again.
func (w *Workbook) On(r io.ReaderAt, size int64) (*Workbook, error) {
	other := *w
	return &other, other.readParts(r, size)
}

// Sheets returns the names of the sheets that have cells, in workbook order.
func (w *Workbook) Sheets() []string {
	names := make([]string, len(w.sheets))
	for i, sheet := range w.sheets {
		names[i] = sheet.name
	}
	return names
}

func (w *Workbook) open(main string) error {
	sheets, err := w.readBook(main)
	if err != nil {
		return err
	}
	relations, err := w.relations(main)
	if err != nil {
		return err
	}
	byID := map[string]relation{}
	styles := ""
	for _, r := range relations {
		byID[r.ID] = r
		switch {
		case strings.HasSuffix(r.Type, "/sharedStrings"):
			w.textPart = cmp.Or(w.textPart, r.part(main))
		case strings.HasSuffix(r.Type, "/styles"):
			styles = cmp.Or(styles, r.part(main))
		}
	}
	for _, sheet := range sheets {
		if r := byID[sheet.part]; strings.HasSuffix(r.Type, "/worksheet") {
			w.sheets = append(w.sheets, sheetPart{sheet.name, r.part(main), sheet.hidden})
		}
	}
	if w.find(w.textPart) == nil {
		w.textPart = "" // cells that need it are reported
	}
	if w.find(styles) == nil {
		return nil
	}
	return w.readStyles(styles)
}

// readBook reads the part that lists the sheets. In the result, the ids of their
// relations stand in for their parts.
func (w *Workbook) readBook(main string) (sheets []sheetPart, err error) {
	r, err := w.part(main)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	tokens := newXMLTokens(io.LimitReader(r, maxDescription), main)
	for {
		token, err := tokens.next()
		if err == io.EOF {
			return sheets, nil
		}
		if err != nil {
			return nil, err
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Local == "workbookPr":
			date := attribute(start, "date1904")
			w.date1904 = date == "1" || date == "true"
		case start.Name.Local == "sheet" && len(sheets) == maxSheets:
			return nil, &FileError{Reason: fmt.Sprintf("The workbook has more than %d sheets.", maxSheets)}
		case start.Name.Local == "sheet":
			state := attribute(start, "state")
			sheets = append(sheets, sheetPart{attribute(start, "name"), attribute(start, "id"), state == "hidden" || state == "veryHidden"})
		}
	}
}

// relation says where to find a part that another part refers to.
type relation struct {
	ID     string `xml:"Id,attr"`
	Type   string `xml:"Type,attr"`
	Target string `xml:"Target,attr"`
}

func (r relation) part(of string) string {
	target := strings.ReplaceAll(r.Target, `\`, "/")
	if absolute, ok := strings.CutPrefix(target, "/"); ok {
		return absolute
	}
	return path.Join(path.Dir(of), target)
}

// relations returns the relations of a part, or of the workbook if of is empty.
func (w *Workbook) relations(of string) ([]relation, error) {
	dir, base := path.Split(of)
	name := dir + "_rels/" + base + ".rels"
	if w.find(name) == nil {
		return nil, nil
	}
	var list struct {
		Relations []relation `xml:"Relationship"`
	}
	err := w.decode(name, &list)
	return list.Relations, err
}

func (w *Workbook) part(name string) (io.ReadCloser, error) {
	f := w.find(name)
	if f == nil {
		return nil, &FileError{Reason: fmt.Sprintf("The file is not an Excel workbook: it has no %s.", name)}
	}
	r, err := f.Open()
	if err != nil {
		return nil, damagedPart(name, err)
	}
	return utf8Part(&partReader{r, w.stopped})
}

// partReader reads a part until reading the workbook is stopped.
type partReader struct {
	io.ReadCloser
	stopped func() error
}

// Read reads the part, or fails if reading has been stopped.
func (r *partReader) Read(p []byte) (int, error) {
	if err := r.stopped(); err != nil {
		return 0, err
	}
	return r.ReadCloser.Read(p)
}

func damagedPart(name string, err error) error {
	return &FileError{Reason: fmt.Sprintf("The workbook is damaged: %s: %v.", name, err)}
}

// decode reads a small part into v.
func (w *Workbook) decode(name string, v any) error {
	r, err := w.part(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := newXMLDecoder(io.LimitReader(r, maxDescription)).Decode(v); err != nil {
		return damagedPart(name, err)
	}
	return nil
}

// readTexts reads the shared texts, unless that has been done.
func (w *Workbook) readTexts() error {
	w.texts.reading.Lock()
	defer w.texts.reading.Unlock()
	if w.textPart == "" || w.texts.read {
		return nil
	}
	w.texts.forget()
	r, err := w.part(w.textPart)
	if err != nil {
		return err
	}
	defer r.Close()
	tokens := newXMLTokens(r, w.textPart)
	var text textCollector
	for {
		token, err := tokens.next()
		if err == io.EOF {
			w.texts.read = true
			return nil
		}
		if err != nil {
			return err
		}
		text.see(token)
		if end, ok := token.(xml.EndElement); ok && end.Name.Local == "si" {
			item, _ := text.take(true)
			if err := w.texts.add(item); err != nil {
				return err
			}
		}
	}
}

// sharedTexts holds the texts that cells refer to by number. Texts and their positions
// are stored in chunks: growing a single list would take several times its memory.
type sharedTexts struct {
	reading sync.Mutex
	read    bool // all texts have been read
	pieces  [][]byte
	places  [][]textPlace // chunks of placesPerPiece, except for the last
	size    int           // bytes of memory used by everything here
	max     int           // limit for size
}

type textPlace struct{ piece, begin, end uint32 }

// maxShared is the most memory, in bytes, that the shared texts of a workbook may use: a
// small file can contain any number of them.
const maxShared = 128 << 20

const (
	pieceSize      = 64 << 10
	placeSize      = 12
	placesPerPiece = 64 << 10
)

// forget drops the texts of an incomplete attempt.
func (s *sharedTexts) forget() { s.pieces, s.places, s.size = nil, nil, 0 }

func (s *sharedTexts) add(escaped []byte) error {
	n, grow := len(s.pieces)-1, 0
	if n < 0 || cap(s.pieces[n])-len(s.pieces[n]) < len(escaped) {
		n, grow = n+1, max(pieceSize, len(escaped))
	}
	if s.size += grow + placeSize; s.size > s.max {
		return &FileError{Reason: fmt.Sprintf("The shared texts of the workbook take up more than %d bytes.", s.max)}
	}
	if grow > 0 {
		s.pieces = append(s.pieces, make([]byte, 0, grow))
	}
	begin := len(s.pieces[n])
	s.pieces[n] = appendUnescaped(s.pieces[n], escaped)
	last := len(s.places) - 1
	if last < 0 || len(s.places[last]) == placesPerPiece {
		s.places, last = append(s.places, nil), last+1
	}
	s.places[last] = append(s.places[last], textPlace{uint32(n), uint32(begin), uint32(len(s.pieces[n]))})
	return nil
}

// text returns the text whose number a cell holds.
func (s *sharedTexts) text(number string) ([]byte, error) {
	i, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || i < 0 || i/placesPerPiece >= len(s.places) || i%placesPerPiece >= len(s.places[i/placesPerPiece]) {
		return nil, errors.New("the cell refers to a text that the workbook does not have")
	}
	at := s.places[i/placesPerPiece][i%placesPerPiece]
	return s.pieces[at.piece][at.begin:at.end:at.end], nil
}

// xmlTokens reads the elements and text of a part.
type xmlTokens struct {
	decoder *xml.Decoder
	bytes   *lineCounter
	part    string
}

// maxXMLToken bounds a text, or an element with its attributes, in bytes. The longest
// that Excel writes stays below one million.
const maxXMLToken = 16 << 20

func newXMLTokens(r io.Reader, part string) *xmlTokens {
	counter := &lineCounter{r: r, longest: maxXMLToken, line: 1}
	return &xmlTokens{newXMLDecoder(counter), counter, part}
}

func (t *xmlTokens) next() (xml.Token, error) {
	token, err := t.decoder.RawToken()
	if err != nil && err != io.EOF {
		return nil, damagedPart(t.part, err)
	}
	t.bytes.past(t.decoder.InputOffset())
	return token, err
}

// textCollector concatenates the text of v elements and, apart from them, that of t
// elements, without phonetic hints.
type textCollector struct {
	value, text       []byte
	hasValue, hasText bool // there was such an element, even if empty
	inValue, inText   bool
	phonetic, formula bool // formula: there was an f element
}

func (c *textCollector) see(token xml.Token) {
	switch token := token.(type) {
	case xml.StartElement:
		switch token.Name.Local {
		case "rPh":
			c.phonetic = true
		case "v":
			c.inValue, c.hasValue = true, true
		case "t":
			c.inText = !c.phonetic
			c.hasText = c.hasText || c.inText
		case "f":
			c.formula = true
		}
	case xml.EndElement:
		switch token.Name.Local {
		case "rPh":
			c.phonetic = false
		case "v":
			c.inValue = false
		case "t":
			c.inText = false
		}
	case xml.CharData:
		switch {
		case c.inText:
			c.text = append(c.text, token...)
		case c.inValue:
			c.value = append(c.value, token...)
		}
	}
}

// take returns the text, which is valid until the next call of see, and starts over: the
// text of t elements if it is wanted, or there is nothing else.
func (c *textCollector) take(inline bool) (text []byte, found bool) {
	text, found = c.value, c.hasValue
	if c.hasText && (inline || !c.hasValue) {
		text, found = c.text, true
	}
	c.value, c.text, c.hasValue, c.hasText = c.value[:0], c.text[:0], false, false
	return text, found
}

// appendUnescaped appends s with each _xHHHH_ replaced by its character.
func appendUnescaped(dst, s []byte) []byte {
	for {
		i := bytes.Index(s, []byte("_x"))
		if i < 0 {
			return append(dst, s...)
		}
		unit, ok := escapedUnit(s[i:])
		if !ok {
			dst, s = append(dst, s[:i+1]...), s[i+1:]
			continue
		}
		dst, s = append(dst, s[:i]...), s[i+escapeLength:]
		r := rune(unit)
		if utf16.IsSurrogate(r) {
			low, _ := escapedUnit(s)
			if r = utf16.DecodeRune(r, rune(low)); r != utf8.RuneError {
				s = s[escapeLength:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
}

const escapeLength = len("_x0000_")

// escapedUnit returns the UTF-16 unit if s starts with _xHHHH_.
func escapedUnit(s []byte) (uint16, bool) {
	if len(s) < escapeLength || s[0] != '_' || s[1] != 'x' || s[6] != '_' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return uint16(unit), err == nil
}

// xlsxCells reads the cells of a sheet of a workbook.
type xlsxCells struct {
	book    *Workbook
	part    io.ReadCloser
	tokens  *xmlTokens
	row     []sqlite.Value
	number  int  // of the current row
	past    bool // beyond the last row
	text    textCollector
	scratch []byte // texts of the current row

	formulas int64  // that have no value
	formula  string // the place of the first
}

// Sheet returns a reader of the named sheet, or of the first one if name is empty. Unless
// d says otherwise, the first row that is about as wide as the table names the columns;
// without a header, they are named A, B and so on.
func (w *Workbook) Sheet(name string, d ReadDialect) (*SheetReader, error) {
	for _, sheet := range w.sheets {
		if sheet.name != name && name != "" {
			continue
		}
		layout, err := w.layOut(sheet, d)
		switch {
		case err != nil:
			return nil, err
		case layout == nil && d.Header != WithoutHeader:
			return nil, &FileError{Reason: "The sheet has no header row: it is empty."}
		case layout == nil:
			layout = &sheetLayout{area: wholeSheet}
		}
		return newSheetReader(w.source(sheet), layout)
	}
	return nil, &FileError{Reason: fmt.Sprintf("The workbook has no sheet %q.", name)}
}

// layOut finds the table in a sheet, or returns nil if the sheet is empty.
func (w *Workbook) layOut(sheet sheetPart, d ReadDialect) (*sheetLayout, error) {
	l, err := layOut(w.source(sheet), d)
	if l != nil && sheet.hidden {
		l.note("The sheet is hidden in the workbook. Exclude it if it is not wanted.")
	}
	return l, err
}

func (w *Workbook) source(sheet sheetPart) sheetSource {
	return sheetSource{
		open: func() (sheetCells, error) { return w.cells(sheet.part) },
		survey: func() (sheetSurvey, error) {
			r, err := w.part(sheet.part)
			if err != nil {
				return sheetSurvey{}, err
			}
			defer r.Close()
			survey, err := surveyXLSX(r)
			if err != nil {
				err = damagedPart(sheet.part, err)
			}
			return survey, err
		},
	}
}

func (w *Workbook) cells(part string) (*xlsxCells, error) {
	if err := w.readTexts(); err != nil {
		return nil, err
	}
	r, err := w.part(part)
	if err != nil {
		return nil, err
	}
	return &xlsxCells{book: w, part: r, tokens: newXMLTokens(r, part)}, nil
}

// Close closes the sheet.
func (x *xlsxCells) Close() error { return x.part.Close() }

func (x *xlsxCells) unsaved() (int64, string) { return x.formulas, x.formula }

// next returns the next row that has values, up to its last value.
func (x *xlsxCells) next() ([]sqlite.Value, int, error) {
	for !x.past {
		token, err := x.tokens.next()
		if err == io.EOF {
			err = damagedPart(x.tokens.part, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, 0, err
		}
		if end, ok := token.(xml.EndElement); ok {
			x.past = end.Name.Local == "sheetData" || end.Name.Local == "worksheet"
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "row" {
			continue
		}
		x.number++
		if n, err := strconv.Atoi(attribute(start, "r")); err == nil {
			x.number = n
		}
		if err := x.readRow(); err != nil {
			return nil, 0, err
		}
		if len(x.row) > 0 {
			return x.row, x.number, nil
		}
	}
	return nil, 0, io.EOF
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (x *xlsxCells) readRow() error {
	x.row, x.scratch = x.row[:0], x.scratch[:0]
	column := -1
	var kind, style string
	for {
		token, err := x.tokens.next()
		if err == io.EOF {
			err = damagedPart(x.tokens.part, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		x.text.see(token)
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local != "c" {
				continue
			}
			column++
			if place := attribute(token, "r"); place != "" {
				column = columnNumber([]byte(place))
			}
			kind, style = attribute(token, "t"), attribute(token, "s")
		case xml.EndElement:
			switch token.Name.Local {
			case "row":
				return nil
			case "c":
				if err := x.set(column, kind, style); err != nil {
					return &FileError{Cell: columnLetters(max(column, 0)) + strconv.Itoa(x.number), Reason: err.Error()}
				}
			}
		}
	}
}

// columnNumber returns the column of a reference such as B7, counting from 0, or -1.
func columnNumber(place []byte) int {
	n := 0
	for _, c := range place {
		if c &^= 0x20; c < 'A' || c > 'Z' || n > XLSXColumns {
			break
		}
		n = n*26 + int(c-'A') + 1
	}
	return n - 1
}

// set sets the cell in the given column to the collected text, converted by kind and
// style.
func (x *xlsxCells) set(column int, kind, style string) error {
	text, found := x.text.take(kind == "inlineStr")
	if x.text.formula && !found {
		if x.formulas++; x.formulas == 1 {
			x.formula = columnLetters(max(column, 0)) + strconv.Itoa(x.number)
		}
	}
	if x.text.formula = false; !found && kind == "n" && len(x.row) == 0 {
		x.row = append(x.row, sqlite.Value{})
	}
	if !found || len(text) == 0 && kind != "inlineStr" && kind != "str" {
		return nil
	}
	v, err := x.value(kind, style, text)
	switch {
	case err != nil:
		return err
	case column >= len(x.row) && isEmpty(v) && column >= maxColumns:
		return nil
	case column < 0 || column >= XLSXColumns:
		return errors.New("the position of the cell is beyond Excel's limits")
	case column >= maxColumns:
		return fmt.Errorf("the cell is in column %d, but a table has at most %d columns", column+1, maxColumns)
	}
	for len(x.row) <= column {
		x.row = append(x.row, sqlite.Value{})
	}
	x.row[column] = v
	return nil
}

func (x *xlsxCells) value(kind, style string, text []byte) (sqlite.Value, error) {
	switch kind {
	case "s":
		shared, err := x.book.texts.text(string(text))
		return sqlite.Value{Kind: sqlite.Text, Bytes: shared}, err
	case "b":
		if word := strings.TrimSpace(string(text)); word == "1" || word == "true" {
			return sqlite.IntValue(1), nil
		}
		return sqlite.IntValue(0), nil
	case "", "n":
		number := bytes.TrimSpace(text)
		if len(number) == 0 {
			return sqlite.Value{}, nil
		}
		return x.book.number(string(number), style)
	}
	start := len(x.scratch)
	x.scratch = appendUnescaped(x.scratch, text)
	// Growing may move scratch; the old array stays valid for earlier values.
	return sqlite.Value{Kind: sqlite.Text, Bytes: x.scratch[start:]}, nil
}

func (w *Workbook) number(text, style string) (sqlite.Value, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) {
		return sqlite.Value{}, fmt.Errorf("%.40q is not a number", text)
	}
	if i, err := strconv.Atoi(style); err == nil && i >= 0 && i < len(w.styles) && w.styles[i] != plainNumber {
		if date, ok := w.styles[i].date(f, w.date1904); ok {
			return sqlite.TextValue(date), nil
		}
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return sqlite.IntValue(i), nil
	}
	return sqlite.FloatValue(f), nil
}
