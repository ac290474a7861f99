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
		encoder := format.NewJSON(part.Columns, r.options)
		for i := range part.Len() {
			text = encoder.AppendRow(text[:0], part.Batch, part.Batch.Row(i)[:len(part.Columns)])
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
		encoder := format.NewJSON(part.Columns, r.options)
		for i := range part.Len() {
			if i > 0 || part != &r.rows {
				text = append(text, ',')
			}
			if text, err = encoder.WriteRow(w, text, part.Batch, part.Batch.Row(i)[:len(part.Columns)]); err != nil {
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

// Schema describes an array of rows.
func (recordRows) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: rest.Values{}.Schema(registry)}
}

// recordRow is the only row of some rows.
type recordRow recordRows

// MarshalJSONTo writes the object, or null if there is no row.
func (r recordRow) MarshalJSONTo(e *jsontext.Encoder) error {
	if r.rows.Len() == 0 {
		return e.WriteToken(jsontext.Null)
	}
	encoder := format.NewJSON(r.rows.Columns, r.options)
	return e.WriteValue(encoder.AppendRow(nil, r.rows.Batch, r.rows.Batch.Row(0)[:len(r.rows.Columns)]))
}

// StreamTo writes the object in pieces.
func (r recordRow) StreamTo(w io.Writer) error {
	if r.rows.Len() == 0 {
		_, err := io.WriteString(w, "null")
		return err
	}
	encoder := format.NewJSON(r.rows.Columns, r.options)
	text, err := encoder.WriteRow(w, nil, r.rows.Batch, r.rows.Batch.Row(0)[:len(r.rows.Columns)])
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// Schema describes a row or null.
func (recordRow) Schema(registry huma.Registry) *huma.Schema {
	s := rest.Values{}.Schema(registry)
	s.Nullable = true
	return s
}
