package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// keySource is the source of the column of keys, see jsonLayout.sources. The sources of
// members that stand beside the properties of a feature start with besideProperties.
const (
	keySource        = "*"
	besideProperties = "."
)

// jsonTables returns the table of a JSON or NDJSON file. It reads all rows to learn
// their keys, first as JSON and, if that fails, leniently.
func jsonTables(in Input, o Reading) ([]Table, error) {
	t, notes, err := scanLayout(in, o, false)
	if fault := (*FileError)(nil); errors.As(err, &fault) {
		lenient, more, lenientErr := scanLayout(in, o, true)
		if lenientErr == nil {
			t, notes, err = lenient, more, nil
		}
	}
	if err != nil {
		return nil, err
	}
	notes = append(notes, t.lenientNotes()...)
	if t.Rows == 0 && len(t.Columns) == 0 {
		return []Table{{Name: o.Name, Rowless: true, Notes: notes}}, nil
	}
	open := opening(func(in Input) (TableReader, error) { return NewJSONReader(in, t) })
	return []Table{{Name: o.Name, Open: open, Notes: notes}}, nil
}

// lenientNotes tells what a lenient reading changed.
func (t *JSONTable) lenientNotes() (notes []string) {
	if t.replaced > 0 {
		notes = append(notes, fmt.Sprintf("JSON has no NaN and no infinities: %d of them became NULL, or null in objects and lists.", t.replaced))
	}
	if t.repeated > 0 {
		notes = append(notes, fmt.Sprintf("Objects have a key more than once, %d times in all: the last value counts.", t.repeated))
	}
	return notes
}

// scanLayout finds the layout of a file and scans its rows.
func scanLayout(in Input, o Reading, lenient bool) (t JSONTable, notes []string, err error) {
	start := func() io.Reader { return io.NewSectionReader(in, 0, in.Size()) }
	if o.Path != "" {
		path, members, _ := ParseJSONPath(o.Path)
		t.layout, err = layoutAt(start(), path, members, lenient)
	} else {
		t.layout, notes, err = surveyJSON(start(), lenient, o.Ext == "ndjson" || o.Ext == "jsonl")
	}
	if err != nil {
		return t, nil, err
	}
	f := newJSONFile(start(), lenient)
	if err := f.scanLayout(&t, o.Dialect(o.Name).Header); err != nil {
		return t, nil, f.explain(err)
	}
	if f.numbers != nil {
		t.replaced = f.numbers.replaced
	}
	if f.text.encoding != UTF8 {
		notes = append(notes, fmt.Sprintf("It was read as %s; texts are kept as UTF-8.", f.text.encoding))
	}
	if t.layout.arrays {
		named := "they have no names"
		if t.layout.header {
			named = "the first names the columns"
		}
		notes = append(notes, fmt.Sprintf("The rows are arrays; %s. Set header to say otherwise.", named))
	}
	return t, notes, nil
}

// scanLayout reads all rows of a file of one table.
func (f *jsonFile) scanLayout(t *JSONTable, header HeaderMode) error {
	l := &t.layout
	if err := f.openLayout(l); err != nil {
		return err
	}
	if l.isPlain() && !l.lenient && !l.single {
		if err := f.scanRows(t); err != nil || l.lines {
			return err
		}
	} else if err := f.scanOther(t, header); err != nil {
		return err
	}
	if l.lines {
		return nil
	}
	for f.decoder.StackDepth() > 0 {
		if _, err := f.decoder.ReadToken(); err != nil {
			return err
		}
		f.lines.past(f.decoder.InputOffset())
	}
	return f.end()
}

// openLayout reads up to the first row.
func (f *jsonFile) openLayout(l *jsonLayout) error {
	if err := f.enter(l.path); err != nil {
		return err
	}
	switch {
	case l.keyed:
		if _, err := f.decoder.ReadToken(); err != nil {
			return err
		}
	case !l.lines && !l.single:
		if err := f.openRows(); err != nil {
			return err
		}
	}
	if l.header {
		return f.elements(func(int) error { return f.decoder.SkipValue() })
	}
	return nil
}

// nextRow reports whether a row follows, and calls key with its key if it has one. begun
// remembers whether a row has been read.
func (f *jsonFile) nextRow(l *jsonLayout, begun *bool, key func(jsontext.Value) error) (more bool, err error) {
	first := !*begun
	*begun = true
	switch {
	case l.single:
		return first, nil
	case !l.keyed:
		return f.moreRows()
	case f.decoder.PeekKind() == '}':
		return false, nil
	}
	v, err := f.decoder.ReadValue()
	if err == nil {
		err = key(v)
	}
	return err == nil, err
}

// elements reads an array and calls value for each of its elements, which must read it.
func (f *jsonFile) elements(value func(i int) error) error {
	if kind := f.decoder.PeekKind(); kind != '[' && kind != 0 {
		return f.fault("an array of values is expected here, like the rows before")
	}
	if _, err := f.decoder.ReadToken(); err != nil {
		return err
	}
	for i := 0; f.decoder.PeekKind() != ']'; i++ {
		if err := value(i); err != nil {
			return err
		}
	}
	_, err := f.decoder.ReadToken()
	f.lines.past(f.decoder.InputOffset())
	return err
}

// feature reads a feature of GeoJSON: its properties become members of the row, beside
// the others.
func (f *jsonFile) feature(member func(key jsontext.Value) error) error {
	return f.members(func(key jsontext.Value) error {
		switch string(key) {
		case `"type"`:
			return f.decoder.SkipValue()
		case `"properties"`:
			if f.decoder.PeekKind() == '{' {
				return f.members(member)
			}
			return f.decoder.SkipValue()
		}
		return member(append(jsontext.Value(besideProperties), key...))
	})
}

// layoutScan collects the columns of rows in any layout.
type layoutScan struct {
	file   *jsonFile
	table  *JSONTable
	seen   map[string]bool
	beside JSONTable        // members of features beside their properties
	inRow  map[string]int64 // the last row that has a key, in a lenient reading

	seenBeside map[string]bool
	width      int // of the widest array
}

// scanOther is scanRows for layouts other than an array of objects.
func (f *jsonFile) scanOther(t *JSONTable, header HeaderMode) error {
	s := &layoutScan{file: f, table: t, seen: map[string]bool{}, seenBeside: map[string]bool{}, inRow: map[string]int64{}}
	names, err := s.names(header)
	if err != nil {
		return err
	}
	var begun bool
	for {
		more, err := f.nextRow(&t.layout, &begun, func(jsontext.Value) error { return nil })
		if err != nil {
			return err
		}
		if !more {
			break
		}
		t.Rows++
		switch {
		case t.layout.arrays:
			err = f.elements(s.element)
		case t.layout.features:
			err = f.feature(s.member)
		default:
			err = f.members(s.member)
		}
		if err != nil {
			return err
		}
	}
	s.finish(names)
	return nil
}

// names reads the first of the rows that are arrays, if it names the columns.
func (s *layoutScan) names(header HeaderMode) (names []string, err error) {
	l := &s.table.layout
	if !l.arrays || header == WithoutHeader || s.file.decoder.PeekKind() != '[' {
		return nil, nil
	}
	first, err := s.file.decoder.ReadValue()
	if err != nil {
		return nil, err
	}
	first = first.Clone()
	s.file.lines.past(s.file.decoder.InputOffset())
	d := jsontext.NewDecoder(bytes.NewReader(first))
	_, _ = d.ReadToken()
	textsOnly := true
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		name := string(v)
		if v.Kind() == '"' {
			unquoted, _ := jsontext.AppendUnquote(nil, v)
			name = string(unquoted)
		}
		textsOnly = textsOnly && v.Kind() == '"' && name != "" && !slices.Contains(names, name)
		if names = append(names, name); len(names) > maxKeys {
			return nil, s.file.fault(fmt.Sprintf("the rows have more than %d values", maxKeys))
		}
	}
	s.width = len(names)
	if l.header = header == WithHeader || textsOnly; !l.header {
		s.table.Rows++
		return nil, nil
	}
	return names, nil
}

func (s *layoutScan) element(i int) error {
	if s.width = max(s.width, i+1); s.width > maxKeys {
		return s.file.fault(fmt.Sprintf("the rows have more than %d values", maxKeys))
	}
	return s.skip()
}

func (s *layoutScan) member(key jsontext.Value) error {
	if s.inRow[string(key)] == s.table.Rows {
		s.table.repeated++
	}
	t, seen := s.table, s.seen
	if key[0] != '"' {
		t, seen = &s.beside, s.seenBeside
	}
	if !seen[string(key)] {
		if err := s.file.see(t, seen, bytes.TrimPrefix(key, []byte(besideProperties))); err != nil {
			return err
		}
	}
	if seen[string(key)] = true; s.table.layout.lenient {
		s.inRow[string(key)] = s.table.Rows
	}
	return s.skip()
}

func (s *layoutScan) skip() error {
	err := s.file.decoder.SkipValue()
	s.file.lines.past(s.file.decoder.InputOffset())
	return err
}

// finish puts the columns in order and gives names to those that have none.
func (s *layoutScan) finish(names []string) {
	t := s.table
	if t.layout.arrays {
		for i := range s.width {
			var name string
			if i < len(names) {
				name = names[i]
			}
			t.Columns = append(t.Columns, Column{Name: name})
		}
		return
	}
	t.layout.sources = map[string]string{}
	own := func(name, source string) Column {
		for slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == name }) {
			name = "_" + name
		}
		t.layout.sources[name] = source
		return Column{Name: name}
	}
	if t.layout.keyed {
		t.Columns = slices.Insert(t.Columns, 0, own("key", keySource))
	}
	for _, c := range s.beside.Columns {
		t.Columns = append(t.Columns, own(c.Name, besideProperties+string(AppendString(nil, c.Name))))
	}
}

// jsonText decodes a JSON file, which is UTF-8 or, as some shells write it, UTF-16. It
// skips a BOM.
type jsonText struct {
	r        io.Reader
	encoding Encoding // "" before the first read
}

func (t *jsonText) Read(p []byte) (int, error) {
	if t.encoding != "" {
		return t.r.Read(p)
	}
	var head [2]byte
	n, err := io.ReadFull(t.r, head[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	order := unicode.LittleEndian
	t.encoding = UTF8
	switch text := string(head[:n]); {
	case n < 2:
	case text == "\xff\xfe", head[1] == 0 && head[0] != 0:
		t.encoding = UTF16LE
	case text == "\xfe\xff", head[0] == 0 && head[1] != 0:
		t.encoding, order = UTF16BE, unicode.BigEndian
	}
	t.r = io.MultiReader(bytes.NewReader(bytes.Clone(head[:n])), t.r)
	if t.encoding != UTF8 {
		t.r = transform.NewReader(t.r, unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder())
	}
	t.r = &bomSkipper{r: t.r}
	return t.r.Read(p)
}

// nullNumbers replaces the numbers that JSON lacks by null, except within strings.
type nullNumbers struct {
	r        io.Reader
	replaced int64

	in, out  []byte // read but not replaced; replaced but not returned
	err      error
	inString bool
	escaped  bool
}

func (n *nullNumbers) Read(p []byte) (int, error) {
	for len(n.out) == 0 {
		if n.err != nil && len(n.in) == 0 {
			return 0, n.err
		}
		if n.err == nil {
			buffer := make([]byte, 32<<10)
			var read int
			read, n.err = n.r.Read(buffer)
			n.in = append(n.in, buffer[:read]...)
		}
		n.replace()
	}
	copied := copy(p, n.out)
	n.out = n.out[copied:]
	return copied, nil
}

// replace moves text from in to out, as far as it is certain what it is.
func (n *nullNumbers) replace() {
	n.out = n.out[:0]
	i := 0
	for i < len(n.in) {
		c := n.in[i]
		switch {
		case n.inString:
			n.inString = n.escaped || c != '"'
			n.escaped = !n.escaped && c == '\\'
		case c == '"':
			n.inString = true
		case c == 'N' || c == 'I' || c == '-':
			word, cut := numberWord(n.in[i:])
			if cut && n.err == nil {
				n.in = n.in[i:]
				return
			}
			if word > 0 {
				n.out = append(n.out, "null"...)
				n.replaced++
				i += word
				continue
			}
		}
		n.out = append(n.out, c)
		i++
	}
	n.in = n.in[:0]
}

// numberWord returns the length of the number that JSON lacks at the start of text, or 0;
// cut says that more text may complete one.
func numberWord(text []byte) (length int, cut bool) {
	for _, word := range []string{"NaN", "Infinity", "-Infinity", "-NaN"} {
		switch {
		case bytes.HasPrefix(text, []byte(word)):
			return len(word), false
		case len(text) < len(word) && string(text) == word[:len(text)]:
			cut = true
		}
	}
	return 0, cut
}
