package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

// Filters is the JSON of a filter as it was sent, an object or an array; nil
// when absent or null.
type Filters jsontext.Value

// UnmarshalJSON keeps the text of an object or an array.
func (f *Filters) UnmarshalJSON(raw []byte) error {
	switch jsontext.Value(raw).Kind() {
	case jsontext.KindNull:
		*f = nil
		return nil
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		*f = append(Filters(nil), raw...)
		return nil
	}
	return errors.New(problem.Expected("an object or an array of conditions"))
}

// UnmarshalText reads the JSON of a query parameter.
func (f *Filters) UnmarshalText(text []byte) error {
	if !rest.IsJSON(text) {
		return errors.New(problem.Expected("JSON: an object or an array of conditions"))
	}
	return f.UnmarshalJSON([]byte(strings.TrimSpace(string(text))))
}

// Schema describes both forms of a filter.
func (Filters) Schema(registry huma.Registry) *huma.Schema {
	const name = "FilterCondition"
	item := &huma.Schema{Ref: rest.SchemaPath + name}
	registry.Map()[name] = conditionSchema(item)
	return &huma.Schema{
		Description: "Either an object of columns and the values that they must have, or an array of conditions and groups that must all hold.",
		AnyOf: []*huma.Schema{
			{Type: huma.TypeObject, AdditionalProperties: rest.Value{}.Schema(registry)},
			{Type: huma.TypeArray, Items: item},
			{Type: "null"},
		},
	}
}

// conditionSchema describes what stands in the array form of a filter. item is a
// reference to the schema itself.
func conditionSchema(item *huma.Schema) *huma.Schema {
	scalar := []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}}
	condition := &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"column": {Type: huma.TypeString},
			"op":     operatorSchema(),
			"value":  {AnyOf: append(scalar, &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{AnyOf: scalar}})},
		},
		Required:             []string{"column"},
		AdditionalProperties: false,
	}
	group := &huma.Schema{
		Type:                 huma.TypeObject,
		Description:          "Holds when one of its elements holds.",
		Properties:           map[string]*huma.Schema{"or": {Type: huma.TypeArray, Items: item}},
		Required:             []string{"or"},
		AdditionalProperties: false,
	}
	return &huma.Schema{AnyOf: []*huma.Schema{condition, group}}
}

func operatorSchema() *huma.Schema {
	var names []any
	var docs []string
	for _, op := range projectdb.Operators() {
		names = append(names, op.Name)
		docs = append(docs, fmt.Sprintf("- `%s` (value: %s): %s", op.Name, valueOf(op), op.Doc))
	}
	return &huma.Schema{
		Type: huma.TypeString, Enum: names, Default: "=",
		Description: "When a record matches, by its value in the column:\n" + strings.Join(docs, "\n"),
	}
}

// valueOf says what stands in the value of a condition.
func valueOf(op projectdb.Operator) string {
	switch {
	case op.Arity == 0:
		return "none"
	case op.Arity == projectdb.AnyNumber:
		return "an array"
	case op.Arity > 1:
		return fmt.Sprintf("an array of %d", op.Arity)
	case op.Text:
		return "a text"
	}
	return "one"
}
