package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// JSONTable is a table in a JSON file.
type JSONTable struct {
	Name    string   // empty in a file of a single table
	Columns []Column // as the file describes them, then other keys of rows in order of first appearance
	Rows    int64
	// Described is the column description as it appears in the file, or nil if there is
	// none or it comes after the rows.
	Described jsontext.Value

	layout   jsonLayout
	replaced int64 // NaN and infinities, which are NULL
	repeated int64 // keys that an object has twice
}

// ScanJSON reads a JSON file to its end and returns its tables: one for an array of
// objects, all for the JSON of a database as written by JSONDatabase. Faults of the file
// are *FileError.
func ScanJSON(r io.Reader) ([]JSONTable, error) {
	f := newJSONFile(r, false)
	var tables []JSONTable
	err := f.walk(func(t JSONTable) error {
		if err := f.openRows(); err != nil {
			return err
		}
		if err := f.scanRows(&t); err != nil {
			return err
		}
		tables = append(tables, t)
		_, err := f.decoder.ReadToken()
		return err
	})
	if err == nil {
		err = f.end()
	}
	return tables, f.explain(err)
}

// ScanNDJSON reads a file of one object per row to its end and returns its table. Faults
// of the file are *FileError.
func ScanNDJSON(r io.Reader) (JSONTable, error) {
	f := newJSONFile(r, false)
	var t JSONTable
	err := f.scanRows(&t)
	return t, f.explain(err)
}

// JSONReader reads the rows of a table in a JSON or NDJSON file. It is a [TableReader].
// Integers that fit in 64 bits become INTEGER, other numbers REAL; integers and reals
// too large for that become TEXT, digit by digit. Strings become TEXT, objects and
// arrays TEXT in compact form, true and false 1 and 0. A key missing from a row is NULL;
// one that is not a column is skipped.
type JSONReader struct {
	file    *jsonFile
	columns []Column
	places  map[string]int // column indexes by name as spelled in the file
	row     []sqlite.Value
	scratch []byte // texts of the current row

	layout jsonLayout
	begun  bool // a row has been read
}

// NewJSONReader returns a reader of a table in a JSON file. t comes from ScanJSON, but
// its columns may have been reduced and reordered.
func NewJSONReader(r io.Reader, t JSONTable) (*JSONReader, error) {
	if t.Name == "" {
		return newLayoutReader(r, t)
	}
	f := newJSONFile(r, false)
	found := errors.New("found")
	err := f.walk(func(visited JSONTable) error {
		if visited.Name != t.Name {
			return f.decoder.SkipValue()
		}
		return found
	})
	switch {
	case err == nil:
		return nil, &FileError{Reason: fmt.Sprintf("The file has no table %q.", t.Name)}
	case err != found:
		return nil, f.explain(err)
	}
	return newJSONReader(f, t.Columns), f.explain(f.openRows())
}

// NewNDJSONReader returns a reader of a file of one object per row.
func NewNDJSONReader(r io.Reader, columns []Column) *JSONReader {
	return newJSONReader(newJSONFile(r, false), columns)
}

func newJSONReader(f *jsonFile, columns []Column) *JSONReader {
	j := &JSONReader{file: f, columns: columns, places: map[string]int{}, row: make([]sqlite.Value, len(columns))}
	for i, column := range columns {
		j.places[string(AppendString(nil, column.Name))] = i
	}
	return j
}

// newLayoutReader returns a reader of a file of a single table.
func newLayoutReader(r io.Reader, t JSONTable) (*JSONReader, error) {
	f := newJSONFile(r, t.layout.lenient)
	if err := f.openLayout(&t.layout); err != nil {
		return nil, f.explain(err)
	}
	j := newJSONReader(f, t.Columns)
	j.layout = t.layout
	for name, source := range t.layout.sources {
		plain := string(AppendString(nil, name))
		if place, ok := j.places[plain]; ok {
			delete(j.places, plain)
			j.places[source] = place
		}
	}
	return j, nil
}

// Columns returns the columns that the reader was given.
func (j *JSONReader) Columns() []Column { return j.columns }

// Close does nothing: the reader holds no resources.
func (j *JSONReader) Close() error { return nil }

// Read fills b with the next rows.
func (j *JSONReader) Read(b *sqlite.Batch, maxRows int) (bool, error) {
	b.Reset(len(j.columns))
	for b.Rows < maxRows && b.Size() < batchBytes {
		clear(j.row)
		j.scratch = j.scratch[:0]
		more, err := j.file.nextRow(&j.layout, &j.begun, j.key)
		if !more {
			return b.Rows > 0, j.file.explain(err)
		}
		if err := j.readRow(); err != nil {
			return false, j.file.explain(err)
		}
		b.Append(j.row...)
	}
	return b.Rows > 0, nil
}

func (j *JSONReader) readRow() error {
	switch {
	case j.layout.arrays:
		return j.file.elements(j.element)
	case j.layout.features:
		return j.file.feature(j.member)
	}
	return j.file.members(j.member)
}

// key keeps the key of a row.
func (j *JSONReader) key(key jsontext.Value) (err error) {
	if place, ok := j.places[keySource]; ok {
		j.row[place], err = j.value(key)
	}
	return err
}

// element reads an element of a row that is an array.
func (j *JSONReader) element(i int) error {
	if i >= len(j.row) {
		return j.file.decoder.SkipValue()
	}
	return j.read(i)
}

func (j *JSONReader) member(key jsontext.Value) error {
	if key[0] != '"' { // the reader's own, see jsonLayout.sources
		place, ok := j.places[string(key)]
		if !ok {
			return j.file.decoder.SkipValue()
		}
		return j.read(place)
	}
	place, ok := j.places[string(key)]
	if !ok {
		// The name may be spelled with other escapes.
		name, err := jsontext.AppendUnquote(nil, key)
		if err != nil {
			return err
		}
		if place, ok = j.places[string(AppendString(nil, name))]; !ok {
			return j.file.decoder.SkipValue()
		}
	}
	return j.read(place)
}

// read reads a value into its place in the row.
func (j *JSONReader) read(place int) error {
	v, err := j.file.decoder.ReadValue()
	if err != nil {
		return err
	}
	j.row[place], err = j.value(v)
	j.file.lines.past(j.file.decoder.InputOffset())
	return err
}

func (j *JSONReader) value(v jsontext.Value) (sqlite.Value, error) {
	switch v.Kind() {
	case 'n':
		return sqlite.Value{}, nil
	case 't':
		return sqlite.IntValue(1), nil
	case 'f':
		return sqlite.IntValue(0), nil
	case '0':
		if n, ok := jsonNumber(v); ok {
			return n, nil
		}
	case '{', '[':
		v = v.Clone()
		if err := v.Compact(); err != nil {
			return sqlite.Value{}, err
		}
	}
	start := len(j.scratch)
	var err error
	if v.Kind() == '"' {
		j.scratch, err = jsontext.AppendUnquote(j.scratch, v)
	} else {
		j.scratch = append(j.scratch, v...)
	}
	// Growing may move scratch; the old array stays valid for earlier values.
	return sqlite.Value{Kind: sqlite.Text, Bytes: j.scratch[start:]}, err
}

// jsonNumber returns a number as INTEGER or REAL, if one of them holds it. A 64-bit
// integer written with a fraction or exponent, and with more digits than a REAL keeps, is
// neither: as text it loses none.
func jsonNumber(v jsontext.Value) (sqlite.Value, bool) {
	if !bytes.ContainsAny(v, ".eE") {
		i, err := strconv.ParseInt(string(v), 10, 64)
		return sqlite.IntValue(i), err == nil
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if math.Abs(f) >= 1<<53 && f == math.Trunc(f) {
		d, _ := ParseDecimal(string(v))
		if _, isInt := d.Int(); isInt && !d.Writes(f) {
			return sqlite.Value{}, false
		}
	}
	return sqlite.FloatValue(f), err == nil
}

// jsonFile reads a JSON file token by token.
type jsonFile struct {
	decoder *jsontext.Decoder
	lines   *lineCounter
	text    *jsonText
	numbers *nullNumbers // nil unless the file is read leniently
}

// newJSONFile reads r, which may be UTF-16. lenient accepts what JSON does not allow but
// other programs write: NaN, infinities and repeated keys.
func newJSONFile(r io.Reader, lenient bool) *jsonFile {
	text := &jsonText{r: r}
	lines := &lineCounter{r: text, longest: 64 << 20, line: 1}
	f := &jsonFile{lines: lines, text: text}
	if lenient {
		f.numbers = &nullNumbers{r: text}
		lines.r = f.numbers
	}
	f.decoder = jsontext.NewDecoder(lines, jsontext.AllowDuplicateNames(lenient))
	return f
}

// walk calls visit before the value that holds the rows of each table, with what the
// file says about its columns. visit must read that value.
func (f *jsonFile) walk(visit func(JSONTable) error) error {
	if f.decoder.PeekKind() == '[' {
		return visit(JSONTable{})
	}
	tables := false
	err := f.members(func(key jsontext.Value) error {
		if string(key) != `"tables"` {
			return f.decoder.SkipValue()
		}
		tables = true
		return f.members(func(key jsontext.Value) error {
			name, err := jsontext.AppendUnquote(nil, key)
			if err != nil {
				return err
			}
			return f.table(string(name), visit)
		})
	})
	if err == nil && !tables {
		return &FileError{Reason: "The file is an object without tables; rows must be an array of objects."}
	}
	return err
}

func (f *jsonFile) table(name string, visit func(JSONTable) error) error {
	t := JSONTable{Name: name}
	rows := false
	err := f.members(func(key jsontext.Value) error {
		switch string(key) {
		case `"columns"`:
			return f.describe(&t)
		case `"rows"`:
			rows = true
			return visit(t)
		}
		return f.decoder.SkipValue()
	})
	if err == nil && !rows {
		return f.fault(fmt.Sprintf("the table %q has no rows", name))
	}
	return err
}

// describe reads the description of a table's columns.
func (f *jsonFile) describe(t *JSONTable) error {
	fault := f.fault("the columns are not described as expected: an array of objects with column_name and column_type")
	text, err := f.decoder.ReadValue()
	if err != nil {
		return err
	}
	var described []struct {
		Name string `json:"column_name"`
		Type string `json:"column_type"`
	}
	if err := json.Unmarshal(text, &described); err != nil {
		return fault
	}
	t.Described = text.Clone()
	t.Columns = make([]Column, len(described))
	for i, d := range described {
		t.Columns[i] = Column{Name: d.Name, Type: d.Type}
	}
	return nil
}

// members reads an object and calls value for each of its keys, as spelled in the file;
// value must read the value.
func (f *jsonFile) members(value func(key jsontext.Value) error) error {
	if kind := f.decoder.PeekKind(); kind != '{' && kind != 0 {
		return f.fault("an object is expected here")
	}
	if _, err := f.decoder.ReadToken(); err != nil {
		return err
	}
	for f.decoder.PeekKind() != '}' {
		key, err := f.decoder.ReadValue()
		if err != nil {
			return err
		}
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := f.decoder.ReadToken()
	f.lines.past(f.decoder.InputOffset())
	return err
}

func (f *jsonFile) openRows() error {
	if kind := f.decoder.PeekKind(); kind != '[' && kind != 0 {
		return f.fault("an array of rows is expected here")
	}
	_, err := f.decoder.ReadToken()
	return err
}

// moreRows reports whether a row follows, or fails if something else does.
func (f *jsonFile) moreRows() (bool, error) {
	switch f.decoder.PeekKind() {
	case ']':
		return f.decoder.StackDepth() == 0, nil
	case 0:
		_, err := f.decoder.ReadToken()
		if err == io.EOF {
			err = nil
		}
		return false, err
	}
	return true, nil
}

// maxKeys is SQLite's limit for the columns of a table.
const maxKeys = 2000

// scanRows skips the rows, counting them and collecting their keys.
func (f *jsonFile) scanRows(t *JSONTable) error {
	seen := map[string]bool{}
	for _, column := range t.Columns {
		seen[string(AppendString(nil, column.Name))] = true
	}
	for {
		more, err := f.moreRows()
		if !more {
			return err
		}
		t.Rows++
		err = f.members(func(key jsontext.Value) error {
			if err := f.see(t, seen, key); err != nil {
				return err
			}
			err := f.decoder.SkipValue()
			f.lines.past(f.decoder.InputOffset())
			return err
		})
		if err != nil {
			return err
		}
	}
}

// see adds a column for a key that has not been seen.
func (f *jsonFile) see(t *JSONTable, seen map[string]bool, key jsontext.Value) error {
	if seen[string(key)] {
		return nil
	}
	name, err := jsontext.AppendUnquote(nil, key)
	if err != nil {
		return err
	}
	if plain := string(AppendString(nil, name)); !seen[plain] {
		if len(t.Columns) == maxKeys {
			return f.fault(fmt.Sprintf("the rows have more than %d different keys", maxKeys))
		}
		seen[plain] = true
		t.Columns = append(t.Columns, Column{Name: string(name)})
	}
	return nil
}

// end checks that the file ends here.
func (f *jsonFile) end() error {
	if f.decoder.PeekKind() != 0 {
		return f.fault("nothing may follow the end of the JSON value")
	}
	if _, err := f.decoder.ReadToken(); err != io.EOF {
		return err
	}
	return nil
}

// fault returns an error at the next token.
func (f *jsonFile) fault(reason string) error {
	unread := f.decoder.UnreadBuffer()
	between := len(unread) - len(bytes.TrimLeft(unread, " \t\r\n,:"))
	return f.lines.fail(f.decoder.InputOffset()+int64(between), reason)
}

// explain adds the line to an error of the decoder.
func (f *jsonFile) explain(err error) error {
	var syntax *jsontext.SyntacticError
	var fault *FileError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &syntax):
		reason := strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			reason = "the file ends in the middle of a value"
		case errors.Is(err, jsontext.ErrDuplicateName):
			reason = fmt.Sprintf("the object has the key %q twice", syntax.JSONPointer.LastToken())
		}
		return f.lines.fail(syntax.ByteOffset, reason)
	case err == io.EOF:
		return &FileError{Reason: "The file is empty."}
	}
	return err
}

// lineCounter reads r and can tell the lines of the bytes read most recently.
type lineCounter struct {
	r       io.Reader
	longest int64 // limit for the value being read, in bytes
	read    int64
	line    int64   // of the first byte that is not past
	begin   int64   // start of that line
	from    int64   // the first byte that is not past
	ends    []int64 // line ends that are not past
}

// Read fails when a single value has become too long.
func (c *lineCounter) Read(p []byte) (int, error) {
	if c.read-c.from > c.longest {
		return 0, c.fail(c.from, fmt.Sprintf("the value is longer than %d bytes", c.longest))
	}
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.ends = append(c.ends, c.read+int64(i))
		}
	}
	c.read += int64(n)
	return n, err
}

// past promises that positions before offset will not be asked for.
func (c *lineCounter) past(offset int64) {
	i := 0
	for ; i < len(c.ends) && c.ends[i] < offset; i++ {
		c.line, c.begin = c.line+1, c.ends[i]+1
	}
	c.ends, c.from = c.ends[i:], offset
}

func (c *lineCounter) fail(offset int64, reason string) error {
	c.past(min(offset, c.read))
	return &FileError{Line: c.line, Column: offset - c.begin + 1, Reason: reason}
}
