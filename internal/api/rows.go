package api

import (
	"io"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// integersIn is the part of an input that says how integers are returned.
type integersIn struct {
	Integers string `query:"integers" enum:"number,string" default:"number" doc:"string: integers beyond ±2^53 are returned as strings."`
}

func (in integersIn) options() format.JSONOptions {
	return format.JSONOptions{IntegersAsStrings: in.Integers == "string"}
}

// cellLimitIn is the part of an input that cuts long texts and BLOBs.
type cellLimitIn struct {
	CellLimit int64 `query:"cell_limit" minimum:"16" doc:"The number of stored bytes to which longer texts, at a character, and BLOBs are cut; cut says which are."`
}

// cutCell is about a value of which an answer has only the beginning.
type cutCell struct {
	Row    int    `json:"row" doc:"The place of its row in the answer, from 0."`
	Column string `json:"column"`
	Bytes  int64  `json:"bytes" doc:"The stored bytes of the whole value."`
}

// cutCells returns what has been cut from the rows, if there was a limit, else nil.
func cutCells(rows projectdb.Rows, limit int64) []cutCell {
	if limit == 0 {
		return nil
	}
	list := []cutCell{}
	for _, cut := range rows.Batch.Cuts {
		list = append(list, cutCell{cut.Row, rows.Columns[cut.Column].Name, cut.Bytes})
	}
	return list
}

// rowsPiece is how many bytes of rows are written at once.
const rowsPiece = 64 << 10

// recordRows is rows as clients see them, an array of objects. They are written
// straight from the batch that SQLite filled.
type recordRows struct {
	rows    projectdb.Rows
	options format.JSONOptions
}

// MarshalJSONTo writes the array.
func (r recordRows) MarshalJSONTo(e *jsontext.Encoder) error {
	if err := e.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	var text []byte
	for part := &r.rows; part != nil; part = part.Next {
		encoder := newRowEncoder(part, r.options)
		for i := range part.Len() {
			text = encoder.append(text[:0], i)
			if err := e.WriteValue(text); err != nil {
				return err
			}
		}
	}
	return e.WriteToken(jsontext.EndArray)
}

// StreamTo writes the array in pieces.
func (r recordRows) StreamTo(w io.Writer) (err error) {
	text := []byte{'['}
	for part := &r.rows; part != nil; part = part.Next {
		encoder := newRowEncoder(part, r.options)
		for i := range part.Len() {
			if i > 0 || part != &r.rows {
				text = append(text, ',')
			}
			if text, err = encoder.write(w, text, i); err != nil {
				return err
			}
			if len(text) >= rowsPiece {
				if _, err = w.Write(text); err != nil {
					return err
				}
				text = text[:0]
			}
		}
	}
	_, err = w.Write(append(text, ']'))
	return err
}

// rowEncoder encodes rows together with the records that they refer to.
type rowEncoder struct {
	rows   *projectdb.Rows
	json   *format.JSON
	nested []*rowEncoder // of rows.Expanded
}

func newRowEncoder(rows *projectdb.Rows, options format.JSONOptions) *rowEncoder {
	r := &rowEncoder{rows: rows, json: format.NewJSON(rows.Columns, options)}
	for i := range rows.Expanded {
		r.nested = append(r.nested, newRowEncoder(&rows.Expanded[i].Rows, options))
	}
	return r
}

// append appends row i as an object.
func (r *rowEncoder) append(text []byte, i int) []byte {
	text = r.json.AppendRow(text, r.rows.Batch, r.rows.Batch.Row(i)[:len(r.rows.Columns)])
	// Without a place to write to, nothing can fail.
	text, _ = r.expand(text, i, func(nested *rowEncoder, text []byte, of int) ([]byte, error) { return nested.append(text, of), nil })
	return text
}

// write writes row i as an object, in pieces, and returns the part not yet written.
func (r *rowEncoder) write(w io.Writer, text []byte, i int) ([]byte, error) {
	text, err := r.json.WriteRow(w, text, r.rows.Batch, r.rows.Batch.Row(i)[:len(r.rows.Columns)])
	if err != nil {
		return text, err
	}
	return r.expand(text, i, func(nested *rowEncoder, text []byte, of int) ([]byte, error) { return nested.write(w, text, of) })
}

// expand adds the records that row i refers to, to the object at the end of the text.
func (r *rowEncoder) expand(text []byte, i int, add func(nested *rowEncoder, text []byte, of int) ([]byte, error)) (_ []byte, err error) {
	if len(r.nested) == 0 {
		return text, nil
	}
	text = append(text[:len(text)-1], `,"_expand":{`...)
	for e, nested := range r.nested {
		found := &r.rows.Expanded[e]
		if e > 0 {
			text = append(text, ',')
		}
		text = append(format.AppendString(text, found.Name), ':')
		if of := found.Of[i]; of < 0 {
			text = append(text, "null"...)
		} else if text, err = add(nested, text, of); err != nil {
			return text, err
		}
	}
	return append(text, "}}"...), nil
}

// Schema describes an array of rows.
func (recordRows) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: rowSchema(registry)}
}

// recordRow is the only row of some rows.
type recordRow recordRows

// MarshalJSONTo writes the object, or null if there is no row.
func (r recordRow) MarshalJSONTo(e *jsontext.Encoder) error {
	if r.rows.Len() == 0 {
		return e.WriteToken(jsontext.Null)
	}
	return e.WriteValue(newRowEncoder(&r.rows, r.options).append(nil, 0))
}

// StreamTo writes the object in pieces.
func (r recordRow) StreamTo(w io.Writer) error {
	if r.rows.Len() == 0 {
		_, err := io.WriteString(w, "null")
		return err
	}
	text, err := newRowEncoder(&r.rows, r.options).write(w, nil, 0)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// rowSchema describes a row of an answer. Generators cannot make use of an object that
// has both named members and others, so _expand is one of its values.
func rowSchema(registry huma.Registry) *huma.Schema {
	s := rest.Values{}.Schema(registry)
	value := s.AdditionalProperties.(*huma.Schema)
	expanded := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	value.AnyOf = append(value.AnyOf, expanded)
	value.Description = "A string, number, boolean or null; in _expand, the records that the row refers to, by the column of the foreign key, when expand asks for them."
	return s
}

// Schema describes a row or null.
func (recordRow) Schema(registry huma.Registry) *huma.Schema {
	s := rowSchema(registry)
	s.Nullable = true
	return s
}
