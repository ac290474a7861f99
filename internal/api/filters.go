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

// Filters is the JSON of a filter as sent, an object or an array; nil if absent or
// null.
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

// JSONText marks filters as JSON in a query string too.
func (Filters) JSONText() {}

// Schema describes both forms of a filter.
func (Filters) Schema(registry huma.Registry) *huma.Schema {
	item, group := &huma.Schema{Ref: rest.SchemaPath + "FilterCondition"}, &huma.Schema{Ref: rest.SchemaPath + "FilterGroup"}
	registry.Map()["FilterCondition"] = &huma.Schema{AnyOf: []*huma.Schema{conditionSchema(), group}}
	registry.Map()["FilterGroup"] = groupSchema(item)
	registry.Map()["Filters"] = &huma.Schema{
		Description: "An object of columns and the values that they must have, an array of conditions and groups that must all hold, or one group.",
		AnyOf: []*huma.Schema{
			{Type: huma.TypeObject, AdditionalProperties: rest.Value{}.Schema(registry)},
			{Type: huma.TypeArray, Items: item},
			group,
			{Type: "null"},
		},
	}
	return &huma.Schema{Ref: rest.SchemaPath + "Filters"}
}

func conditionSchema() *huma.Schema {
	scalar := []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}}
	return &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"column": {Type: huma.TypeString},
			"op":     operatorSchema(),
			"fold": {
				Type: huma.TypeBoolean, Default: false,
				Description: "Whether case, accents and compatibility variants of characters make no difference; with " + strings.Join(projectdb.FoldingOperators(), ", ") + ".",
			},
			"value": {AnyOf: append(scalar, &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{AnyOf: scalar}})},
		},
		Required:             []string{"column"},
		AdditionalProperties: false,
	}
}

// groupSchema describes groups of items.
func groupSchema(item *huma.Schema) *huma.Schema {
	var alternatives []*huma.Schema
	for _, group := range []struct{ name, doc string }{
		{"and", "Holds when all its elements hold."},
		{"or", "Holds when one of its elements holds."},
		{"not", "Holds when its elements do not all hold. As in SQL, what is unknown because of a null stays unknown."},
	} {
		alternatives = append(alternatives, &huma.Schema{
			Type:                 huma.TypeObject,
			Description:          group.doc,
			Properties:           map[string]*huma.Schema{group.name: {Type: huma.TypeArray, Items: item}},
			Required:             []string{group.name},
			AdditionalProperties: false,
		})
	}
	return &huma.Schema{AnyOf: alternatives}
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

// valueOf describes the value of a condition with the given operator.
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
