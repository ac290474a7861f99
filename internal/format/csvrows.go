package format

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// CSVRows reads the rows of the table in a CSV file: it leaves out comments, repeated
// headers and what stands below the table, and fills short rows. It counts whatever it
// does, for [CSVRows.Irregularities].
type CSVRows struct {
	*CSVReader
	header []Column
	first  []Field // read ahead to learn the number of columns
	row    []sqlite.Value
	line   int64
	asked  ReadDialect
	notes  Irregularities

	held  []heldRow // read ahead: they may be what stands below the table
	ready int       // how many of them are rows of the table
	some  bool      // a row of the table has been read
}

// Irregularities counts what CSVRows left out, filled or read leniently.
type Irregularities struct {
	Short, Cut, Comments, Repeats, Footer, Padding Occurrences
	KeptRepeats                                    Occurrences // rows like the header that may be rows
	FooterText                                     string      // the start of the first line left out below the table
}

// Occurrences counts something, and tells where it was first.
type Occurrences struct {
	Count, Line int64
}

func (o *Occurrences) add(line int64) {
	if o.Count == 0 {
		o.Line = line
	}
	o.Count++
}

// heldRow is a row that was read ahead.
type heldRow struct {
	fields []Field
	line   int64
}

// EmptyLines is the reason why a CSV file without any rows is refused.
const EmptyLines = "The file contains only empty lines."

// NewCSVRows returns the rows of a CSV file.
func NewCSVRows(r io.Reader, d ReadDialect) (*CSVRows, error) {
	reader, err := NewCSVReader(r, d)
	if err != nil {
		return nil, err
	}
	rows := &CSVRows{CSVReader: reader, asked: d}
	rows.nameColumns()
	if rows.header != nil {
		return rows, nil
	}
	if rows.first, err = rows.readRow(); err == io.EOF {
		return nil, &FileError{Reason: EmptyLines}
	}
	rows.first = cloneFields(rows.first)
	rows.header = make([]Column, max(len(rows.first), reader.dialect.Columns, d.Width))
	return rows, err
}

// nameColumns makes columns of the names in the header, if there is one.
func (r *CSVRows) nameColumns() {
	names := r.Header()
	if names == nil {
		return
	}
	if r.dialect.RowNames {
		names = slices.Insert(slices.Clone(names), 0, "")
	}
	if columns := r.dialect.Columns; r.dialect.Trailing && len(names) == columns+1 && names[columns] == "" {
		names = names[:columns]
	}
	for _, name := range names {
		r.header = append(r.header, Column{Name: name})
	}
	for len(r.header) < max(r.asked.Width, r.wider(len(names))) {
		r.header = append(r.header, Column{})
	}
}

// wider returns the number of columns if most rows are longer than the header.
func (r *CSVRows) wider(names int) int {
	if !r.lenient || r.asked.Ragged == RefuseRagged || names < 2 {
		return names
	}
	return r.dialect.Columns
}

// Columns returns the columns, which have no names if the file has no header.
func (r *CSVRows) Columns() []Column { return r.header }

// Close does nothing: a CSVReader holds only memory.
func (r *CSVRows) Close() error { return nil }

// Line returns the line on which the last row started.
func (r *CSVRows) Line() int64 { return r.line }

// Irregularities returns what has been left out, filled or read leniently so far.
func (r *CSVRows) Irregularities() Irregularities { return r.notes }

// Next returns the next row.
func (r *CSVRows) Next() ([]sqlite.Value, error) {
	fields := r.first
	if r.first = nil; fields == nil {
		var err error
		if fields, err = r.readRow(); err != nil {
			return nil, err
		}
	} else {
		r.line = r.CSVReader.Line()
	}
	r.row = r.row[:0]
	if len(fields) != len(r.header) {
		fields = r.fit(fields)
	}
	for _, f := range fields {
		if f.Null {
			r.row = append(r.row, sqlite.Value{})
			continue
		}
		r.row = append(r.row, sqlite.Value{Kind: sqlite.Text, Bytes: f.Bytes})
	}
	for r.fills() && len(r.row) < len(r.header) {
		r.row = append(r.row, sqlite.Value{})
	}
	return r.row, nil
}

// fit counts a row that is not as long as the table is wide, and cuts off a single empty
// field behind the last column.
func (r *CSVRows) fit(fields []Field) []Field {
	switch n := len(r.header); {
	case len(fields) < n && r.fills():
		r.notes.Short.add(r.line)
	case len(fields) == n+1 && r.lenient && isNothing(fields[n]):
		r.notes.Cut.add(r.line)
		return fields[:n]
	}
	return fields
}

// fills reports whether the missing fields of short rows are NULL.
func (r *CSVRows) fills() bool {
	return r.asked.Ragged == FillRagged || r.asked.Ragged == PadNamesRagged || r.asked.Ragged == "" && r.lenient
}

func isNothing(f Field) bool { return len(f.Bytes) == 0 && !f.Quoted }

// mostHeld is how many rows are read ahead to find the end of the table.
const mostHeld = 10

// readRow returns the next row of the table. Rows that may stand below the table are
// held back until a row of the table follows, or the file ends.
func (r *CSVRows) readRow() ([]Field, error) {
	for {
		if r.ready > 0 {
			return r.release(), nil
		}
		fields, err := r.readKept()
		switch {
		case err == io.EOF:
			if !r.dropHeld() {
				return nil, io.EOF
			}
		case err != nil:
			return nil, err
		case r.asked.Footer > 0:
			r.hold(fields)
			r.ready = len(r.held) - r.asked.Footer
		case r.mayEnd(fields) && len(r.held) < mostHeld:
			r.hold(fields)
		case len(r.held) > 0: // what was held is not the end
			r.hold(fields)
			r.ready = len(r.held)
		default:
			r.line = r.CSVReader.Line()
			r.some = true
			return fields, nil
		}
	}
}

func (r *CSVRows) hold(fields []Field) {
	r.held = append(r.held, heldRow{cloneFields(fields), r.CSVReader.Line()})
}

// release returns the first row held.
func (r *CSVRows) release() []Field {
	row := r.held[0]
	r.held[0] = heldRow{}
	if r.held = r.held[1:]; len(r.held) == 0 {
		r.held = nil
	}
	r.ready--
	r.line, r.some = row.line, true
	return row.fields
}

// dropHeld leaves out the rows held at the end of the file. If the table has no other
// rows, they are its rows after all, and it returns true.
func (r *CSVRows) dropHeld() (kept bool) {
	if r.asked.Footer <= 0 && !r.some {
		r.ready = len(r.held)
		r.some = true
		return r.ready > 0
	}
	for _, row := range r.held {
		if r.notes.Footer.Count == 0 {
			r.notes.FooterText = shortened(string(row.fields[0].Bytes))
		}
		r.notes.Footer.add(row.line)
	}
	r.held = nil
	return false
}

func cloneFields(fields []Field) []Field {
	kept := slices.Clone(fields)
	for i := range kept {
		kept[i].Bytes = bytes.Clone(kept[i].Bytes)
	}
	return kept
}

// readKept returns the next row that is no comment, repeated header or padding.
func (r *CSVRows) readKept() ([]Field, error) {
	for {
		fields, err := r.Read()
		if err != nil {
			return nil, err
		}
		line := r.CSVReader.Line()
		switch {
		case r.isComment(fields) && (r.dialect.Told || len(fields) < r.dialect.Columns):
			r.notes.Comments.add(line)
		case r.lenient && isPadding(fields, r.dialect.Columns):
			if bytes.IndexByte(fields[0].Bytes, 0) >= 0 {
				r.notes.Padding.add(line)
			}
		case r.lenient && r.repeatsHeader(fields):
			if r.dialect.Repeats {
				r.notes.Repeats.add(line)
				continue
			}
			r.notes.KeptRepeats.add(line)
			return fields, nil
		default:
			return fields, nil
		}
	}
}

// isPadding reports whether a line holds nothing but blanks, NULs or the mark that old
// systems put at the end of a file.
func isPadding(fields []Field, columns int) bool {
	f := fields[0]
	if len(fields) > 1 || f.Quoted || len(f.Bytes) == 0 {
		return false
	}
	padding := " \t\x00\x1a"
	if columns < 2 {
		padding = "\x00"
	}
	return len(bytes.Trim(f.Bytes, padding)) == 0
}

// repeatsHeader reports whether a row is equal to the header, as in files put together
// from several.
func (r *CSVRows) repeatsHeader(fields []Field) bool {
	names := r.CSVReader.Header()
	if len(names) < 2 || len(fields) != len(names) {
		return false
	}
	for i, name := range names {
		if string(fields[i].Bytes) != name {
			return false
		}
	}
	return true
}

// mayEnd reports whether a row may stand below the table: a line such as a total, a
// remark or the end mark of psql where the table has several columns.
func (r *CSVRows) mayEnd(fields []Field) bool {
	f := fields[0]
	if !r.lenient || r.asked.Footer != 0 || r.dialect.Columns < 2 || len(fields) > 1 || f.Quoted || len(f.Bytes) > 10_000 {
		return false
	}
	text := strings.TrimSpace(string(f.Bytes))
	if isValue(kindOf(text)) {
		return false
	}
	if strings.ContainsAny(text, " :") || text == `\.` {
		return true
	}
	lower := strings.ToLower(text)
	return slices.ContainsFunc(footerStarts, func(start string) bool { return strings.HasPrefix(lower, start) })
}

func csvTables(in Input, o Reading) ([]Table, error) {
	dialect := o.Dialect(o.Name)
	if o.Ext == "tsv" || o.Ext == "tab" {
		dialect.Prefers = '\t'
	}
	if dialect.Ragged == PadNamesRagged {
		var err error
		if dialect.Width, err = longestRow(in, dialect); err != nil {
			return nil, err
		}
	}
	return []Table{{
		Name: o.Name, Text: true, Told: dialect.Complete(),
		Open: func(in Input) (Rows, error) { return NewCSVRows(in, dialect) },
	}}, nil
}

// longestRow returns the number of fields of the longest row.
func longestRow(in Input, d ReadDialect) (longest int, err error) {
	rows, err := NewCSVRows(in, d)
	if err != nil {
		return 0, err
	}
	for {
		row, err := rows.Next()
		if err == io.EOF {
			return longest, nil
		}
		if err != nil {
			return 0, err
		}
		longest = max(longest, len(row))
	}
}
