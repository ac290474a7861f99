package format

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ReadJSONDatabase reads the JSON of a database once from start to end, given the tables
// found by ScanJSON. It calls visit for each table and skips the rows that visit leaves
// unread. Faults of the file are *FileError.
func ReadJSONDatabase(r io.Reader, tables []JSONTable, visit func(t JSONTable, rows TableReader) error) error {
	f := newJSONFile(r, false)
	next := 0
	err := f.walk(func(found JSONTable) error {
		if next == len(tables) || tables[next].Name != found.Name {
			return &FileError{Reason: fmt.Sprintf("The table %q was not there before: the file has changed.", found.Name)}
		}
		t := tables[next]
		next++
		if err := f.openRows(); err != nil {
			return err
		}
		if err := visit(t, newJSONReader(f, t.Columns)); err != nil {
			return err
		}
		return f.passRows()
	})
	var syntax *jsontext.SyntacticError
	if err == nil || errors.As(err, &syntax) || err == io.EOF {
		return f.explain(err)
	}
	return err
}

// passRows skips the remaining rows and their end.
func (f *jsonFile) passRows() error {
	for {
		more, err := f.moreRows()
		if err != nil {
			return err
		}
		if !more {
			_, err := f.decoder.ReadToken()
			return err
		}
		if err := f.decoder.SkipValue(); err != nil {
			return err
		}
		f.lines.past(f.decoder.InputOffset())
	}
}
