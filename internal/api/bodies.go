package api

import (
	"errors"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// A body of records is either a row or an envelope around rows: it is an envelope if
// its member data holds an object or an array. Rows stay text here; they are decoded
// once, where the types of their columns are known.

// readEnvelope passes the members of an envelope to set, or returns false for a row.
func readEnvelope(raw []byte, set func(name string, value jsontext.Value, faults *problem.Faults)) (bool, error) {
	if jsontext.Value(raw).Kind() != jsontext.KindBeginObject {
		return false, errors.New(problem.Expected("an object"))
	}
	isEnvelope := false
	err := rest.EachMember(raw, func(name string, value jsontext.Value) {
		if name == "data" {
			isEnvelope = isObject(value) || isArray(value)
		}
	})
	if err != nil || !isEnvelope {
		return false, err
	}
	var faults problem.Faults
	if err := rest.EachMember(raw, func(name string, value jsontext.Value) { set(name, value, &faults) }); err != nil {
		return true, err
	}
	return true, faults.Err()
}

func isObject(value jsontext.Value) bool { return value.Kind() == jsontext.KindBeginObject }
func isArray(value jsontext.Value) bool  { return value.Kind() == jsontext.KindBeginArray }

// insertBody is a row to insert, or {"data": row or rows, "return", "on_conflict"}.
type insertBody struct {
	data    jsontext.Value
	many    bool
	options projectdb.InsertOptions
}

// UnmarshalJSON reads either form.
func (b *insertBody) UnmarshalJSON(raw []byte) error {
	*b = insertBody{}
	raw = jsontext.Value(raw).Clone()
	isEnvelope, err := readEnvelope(raw, b.set)
	if err == nil && !isEnvelope {
		b.data = raw
	}
	return err
}

func (b *insertBody) set(name string, value jsontext.Value, faults *problem.Faults) {
	switch name {
	case "data":
		b.data, b.many = value, isArray(value)
	case "return":
		switch string(value) {
		case `"none"`:
			b.options.ReturnNone = true
		case `"rows"`, `null`:
		default:
			faults.WrongChoice(name, []string{"rows", "none"})
		}
	case "on_conflict":
		b.options.OnConflict = readConflict(value, faults)
	default:
		faults.Unknown(name, "field", name, "", []string{"data", "return", "on_conflict"})
	}
}

func readConflict(value jsontext.Value, faults *problem.Faults) *projectdb.OnConflict {
	if value.Kind() == jsontext.KindNull {
		return nil
	}
	// The text has been read before: it is well formed.
	read, _ := conflictText.Read(faults, value, "on_conflict")
	return &projectdb.OnConflict{Columns: read.Columns, Update: read.Action == "update"}
}

type conflictBody struct {
	Columns []string `json:"columns" minItems:"1"`
	Action  string   `json:"action" enum:"update,ignore"`
}

var conflictText = rest.NewText[conflictBody]()

// Schema describes both forms.
func (insertBody) Schema(registry huma.Registry) *huma.Schema {
	row, text := rest.Values{}.Schema(registry), &huma.Schema{Type: huma.TypeString}
	envelope := &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"data":   {AnyOf: []*huma.Schema{row, {Type: huma.TypeArray, Items: row}}},
			"return": {Type: huma.TypeString, Enum: []any{"rows", "none"}, Description: "none: the stored rows are left out of the answer."},
			"on_conflict": {
				Type:        huma.TypeObject,
				Description: "What to do with a row whose values in these columns, a primary or unique key, are taken.",
				Properties: map[string]*huma.Schema{
					"columns": {Type: huma.TypeArray, Items: text},
					"action":  {Type: huma.TypeString, Enum: []any{"update", "ignore"}},
				},
				Required: []string{"columns", "action"},
			},
		},
		Required:             []string{"data"},
		AdditionalProperties: false,
	}
	return &huma.Schema{
		Description: "A row, or {data} with a row or an array of up to 10,000 rows; either all of them are inserted or none.",
		AnyOf:       []*huma.Schema{row, envelope},
	}
}

// patchBody is a patch of one row, or {"data": patch}.
type patchBody struct {
	patch jsontext.Value
}

// UnmarshalJSON reads either form.
func (b *patchBody) UnmarshalJSON(raw []byte) error {
	raw = jsontext.Value(raw).Clone()
	isEnvelope, err := readEnvelope(raw, b.set)
	if err == nil && !isEnvelope {
		b.patch = raw
	}
	return err
}

func (b *patchBody) set(name string, value jsontext.Value, faults *problem.Faults) {
	switch {
	case name != "data":
		faults.Unknown(name, "field", name, "beside data", []string{"data"})
	case !isObject(value):
		faults.WrongType(name, "an object")
	default:
		b.patch = value
	}
}

// Schema describes both forms.
func (patchBody) Schema(registry huma.Registry) *huma.Schema {
	row := rest.Values{}.Schema(registry)
	return &huma.Schema{AnyOf: []*huma.Schema{row, {
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{"data": row}, Required: []string{"data"}, AdditionalProperties: false,
	}}}
}
