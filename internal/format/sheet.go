package format

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// sheetCells reads the cells of a sheet, row by row.
type sheetCells interface {
	// next returns the next row that has cells, up to its last one, and its number in
	// the sheet. The values are valid until the next call. The last row is followed by
	// io.EOF.
	next() (row []sqlite.Value, number int, err error)
	// unsaved returns how many formulas had no value so far, and the place of the first.
	unsaved() (n int64, first string)
	Close() error
}

// sheetSource opens the cells of a sheet.
type sheetSource struct {
	open func() (sheetCells, error)
	// survey tells where cells may be without reading their values.
	survey func() (sheetSurvey, error)
}

// sheetSurvey is what a quick look at a whole sheet tells.
type sheetSurvey struct {
	width  int // no cell is further right; negative if that is unknown
	merged []sheetArea
}

// sheetArea is a rectangle of cells. Columns count from 0, rows from 1. Right and bottom
// are part of it.
type sheetArea struct{ left, top, right, bottom int }

// wholeSheet is the area of a sheet that no program exceeds.
var wholeSheet = sheetArea{0, 1, XLSXColumns - 1, 1 << 30}

// parseArea parses a range such as B3:F20, B:F, 3:20 or B3, which ends with the sheet.
func parseArea(text string) (sheetArea, bool) {
	area := wholeSheet
	from, to, two := strings.Cut(strings.ToUpper(strings.ReplaceAll(text, "$", "")), ":")
	left, top, ok := parsePlace(from)
	if !ok {
		return area, false
	}
	area.left, area.top = max(left, 0), max(top, 1)
	if !two {
		return area, true
	}
	right, bottom, ok := parsePlace(to)
	if right >= 0 {
		area.right = right
	}
	if bottom > 0 {
		area.bottom = bottom
	}
	return area, ok && area.left <= area.right && area.top <= area.bottom
}

// parsePlace parses a cell, a column or a row. A column that is left out is -1, a row 0.
func parsePlace(text string) (column, row int, ok bool) {
	letters := strings.TrimRight(text, "0123456789")
	if column = columnNumber([]byte(letters)); len(letters) > 3 || column >= XLSXColumns || strings.Trim(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return 0, 0, false
	}
	if digits := text[len(letters):]; digits != "" {
		n, err := strconv.Atoi(digits)
		return column, n, err == nil && n > 0 && n <= XLSXRows
	}
	return column, 0, letters != ""
}

// sheetLayout says where the table is in a sheet.
type sheetLayout struct {
	columns []Column
	area    sheetArea // what is outside is not read
	skip    int       // rows before the first row of data
	from    int       // number of the first row that can be data
	notes   []string
}

// A look at the first rows decides where the header is.
const (
	sampledRows  = 256
	sampledBytes = 1 << 20
	titleRows    = 20 // the most rows above a header
)

// sampledRow is a row that is kept for a look.
type sampledRow struct {
	number int
	values []sqlite.Value
	first  int // index of the first value that is not empty
	last   int // one past the last such value
	filled int // how many there are
}

// isEmpty reports whether a value counts as none in finding the table.
func isEmpty(v sqlite.Value) bool {
	return v.Kind == sqlite.Null || v.Kind == sqlite.Text && len(v.Bytes) == 0
}

func keepRow(row []sqlite.Value, number int) sampledRow {
	s := sampledRow{number: number, values: make([]sqlite.Value, len(row))}
	for i, v := range row {
		v.Bytes = slices.Clone(v.Bytes)
		if s.values[i] = v; isEmpty(v) {
			continue
		}
		if s.filled++; s.filled == 1 {
			s.first = i
		}
		s.last = i + 1
	}
	return s
}

func (s *sampledRow) at(column int) sqlite.Value {
	if column < len(s.values) {
		return s.values[column]
	}
	return sqlite.Value{}
}

// lookAt reads the first rows of a sheet.
func lookAt(cells sheetCells) (rows []sampledRow, whole bool, err error) {
	size := 0
	for len(rows) < sampledRows && size < sampledBytes {
		row, number, err := cells.next()
		if err == io.EOF {
			return rows, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, keepRow(row, number))
		for _, v := range row {
			size += 40 + len(v.Bytes)
		}
	}
	return rows, false, nil
}

// layOut finds the table in a sheet. It returns nil if the sheet has no cells.
func layOut(s sheetSource, d ReadDialect) (*sheetLayout, error) {
	l := &sheetLayout{area: wholeSheet}
	if d.Range != "" {
		l.area, _ = parseArea(d.Range)
	}
	l.area.top = max(l.area.top, d.HeaderRow, d.SkipRows+1)
	cells, err := s.open()
	if err != nil {
		return nil, err
	}
	defer cells.Close()
	rows, whole, err := lookAt(&croppedCells{sheetCells: cells, area: l.area})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	names, err := l.findHeader(s, d, rows)
	if err != nil {
		return nil, err
	}
	width, err := l.width(s, rows[min(l.skip, len(rows)):], whole, len(names))
	if err != nil {
		return nil, err
	}
	l.nameColumns(names, width, d.Header != WithoutHeader)
	return l, nil
}

// width returns how wide the table is: as its widest row. least is the width of its
// header.
func (l *sheetLayout) width(s sheetSource, rows []sampledRow, whole bool, least int) (int, error) {
	width, cells := least, 0
	for i := range rows {
		width, cells = max(width, rows[i].last), max(cells, len(rows[i].values))
	}
	if !whole {
		survey, err := s.survey()
		if err != nil {
			return 0, err
		}
		if survey.width < 0 || min(survey.width, l.area.right+1)-l.area.left > width {
			if width, err = l.measure(s, width); err != nil {
				return 0, err
			}
		}
	}
	if width == 0 { // only texts without characters
		width = cells
	}
	return width, nil
}

// measure reads all rows to find the widest.
func (l *sheetLayout) measure(s sheetSource, width int) (int, error) {
	cells, err := s.open()
	if err != nil {
		return 0, err
	}
	defer cells.Close()
	cropped := &croppedCells{sheetCells: cells, area: l.area}
	for {
		row, number, err := cropped.next()
		if err == io.EOF {
			return width, nil
		}
		if err != nil {
			return 0, err
		}
		for i := len(row) - 1; i >= width && number >= l.from; i-- {
			if !isEmpty(row[i]) {
				width = i + 1
			}
		}
	}
}

func (l *sheetLayout) nameColumns(names []string, width int, header bool) {
	var unnamed []string
	for j := range width {
		column := Column{Name: columnLetters(l.area.left + j)}
		if j < len(names) && names[j] != "" {
			column.Name = names[j]
		} else {
			unnamed = append(unnamed, column.Name)
		}
		l.columns = append(l.columns, column)
	}
	if !header || len(unnamed) == 0 {
		return
	}
	const most = 5
	list := strings.Join(unnamed[:min(most, len(unnamed))], ", ")
	if more := len(unnamed) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	l.note("The header has no names for the columns %s; the letters of the sheet are their names.", list)
}

func (l *sheetLayout) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// croppedCells reads the cells of an area.
type croppedCells struct {
	sheetCells
	area sheetArea
}

func (c *croppedCells) next() ([]sqlite.Value, int, error) {
	for {
		row, number, err := c.sheetCells.next()
		switch {
		case err != nil:
			return nil, 0, err
		case number > c.area.bottom:
			return nil, 0, io.EOF
		case number < c.area.top, len(row) <= c.area.left:
			continue
		}
		return row[c.area.left:min(len(row), c.area.right+1)], number, nil
	}
}

// SheetReader reads the rows of a sheet. It is a [TableReader]. Whole numbers become
// INTEGER, others REAL, truth values 1 and 0. Numbers shown as dates become TEXT:
// 2006-01-02, 2006-01-02 15:04:05.999 or 15:04:05.999, depending on whether their format
// has a date, a time or both. Texts and errors such as #N/A become TEXT; a formula
// counts as its value. Rows without any value are skipped, except those that XLSX writes
// for rows of NULLs.
type SheetReader struct {
	cells  *croppedCells
	layout *sheetLayout
	passed int // rows above the data
	row    []sqlite.Value
}

func newSheetReader(s sheetSource, l *sheetLayout) (*SheetReader, error) {
	cells, err := s.open()
	if err != nil {
		return nil, err
	}
	return &SheetReader{cells: &croppedCells{sheetCells: cells, area: l.area}, layout: l}, nil
}

// Columns returns the columns, whose types are unknown.
func (s *SheetReader) Columns() []Column { return s.layout.columns }

// Close closes the sheet.
func (s *SheetReader) Close() error { return s.cells.Close() }

// Notes returns what was guessed or left out, once all rows are read.
func (s *SheetReader) Notes() []string {
	notes := s.layout.notes
	if n, first := s.cells.unsaved(); n > 0 {
		notes = append(slices.Clip(notes), fmt.Sprintf(
			"Formulas without a saved value: %d, the first in %s. They are NULL; open the workbook in a spreadsheet program and save it to have their values.", n, first))
	}
	return notes
}

// Read fills b with the next rows.
func (s *SheetReader) Read(b *sqlite.Batch, maxRows int) (bool, error) {
	width := len(s.layout.columns)
	b.Reset(width)
	maxRows = min(maxRows, max(1, batchCells/max(1, width)))
	for b.Rows < maxRows && b.Size() < batchBytes {
		row, number, err := s.cells.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		if s.passed < s.layout.skip || number < s.layout.from {
			s.passed++
			continue
		}
		for i := width; i < len(row); i++ {
			if !isEmpty(row[i]) {
				return false, &FileError{Cell: columnLetters(s.layout.area.left+i) + strconv.Itoa(number), Reason: "the cell is to the right of the last column"}
			}
		}
		s.row = append(s.row[:0], row[:min(width, len(row))]...)
		for len(s.row) < width {
			s.row = append(s.row, sqlite.Value{})
		}
		b.Append(s.row...)
	}
	return b.Rows > 0, nil
}

// noSheet returns the problem of an option that names an unknown sheet.
func noSheet(name string, sheets []string) error {
	var faults problem.Faults
	faults.Unknown("sheet", "sheet", name, "in the workbook", sheets)
	return faults.Err()
}
