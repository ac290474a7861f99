package api

import (
	"context"
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// Aggregates is the JSON object of the values to compute, as sent; nil if absent or
// null.
type Aggregates jsontext.Value

// UnmarshalJSON keeps the text of an object.
func (a *Aggregates) UnmarshalJSON(raw []byte) error {
	switch jsontext.Value(raw).Kind() {
	case jsontext.KindNull:
		*a = nil
		return nil
	case jsontext.KindBeginObject:
		*a = append(Aggregates(nil), raw...)
		return nil
	}
	return errors.New(problem.Expected("an object of aliases"))
}

// Schema describes an object of aliases, each with one function of a column.
func (Aggregates) Schema(huma.Registry) *huma.Schema {
	alternatives := []*huma.Schema{}
	docs := []string{"The values to compute, by the names that they get. Each is an object with one function and the column that it is computed from:"}
	for _, f := range projectdb.AggregateFunctions() {
		docs = append(docs, "- `"+f.Name+"`: "+f.Doc)
		alternatives = append(alternatives, &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{f.Name: {Type: huma.TypeString}}, Required: []string{f.Name}, AdditionalProperties: false,
		})
	}
	return &huma.Schema{Type: huma.TypeObject, Description: strings.Join(docs, "\n"), AdditionalProperties: &huma.Schema{AnyOf: alternatives}}
}

type aggregateRecordsIn struct {
	tableIn
	Body struct {
		GroupBy    []string   `json:"group_by,omitzero" doc:"Up to 16 columns; without any, all records are one group."`
		Aggregates Aggregates `json:"aggregates,omitzero"`
		Filters    Filters    `json:"filters,omitzero"`
		Having     Filters    `json:"having,omitzero" doc:"Filters of the groups, by aliases and group columns."`
		Sort       string     `json:"sort,omitzero" doc:"Aliases and group columns, in the form of the sort of records; the group columns when absent, and after those that are sent."`
		Limit      int64      `json:"limit,omitzero" minimum:"1" maximum:"1000" default:"100"`
		Integers   string     `json:"integers,omitzero" enum:"number,string" default:"number" doc:"string: integers beyond ±2^53 are returned as strings."`
	}
}

type groupsOut struct {
	Table    string     `json:"table"`
	Groups   recordRows `json:"groups"`
	Returned int        `json:"returned"`
	HasMore  bool       `json:"has_more"`
}

// RowsMemory returns the memory that the groups take, in bytes.
func (out groupsOut) RowsMemory() int64 { return out.Groups.rows.Memory() }

func (h *handlers) aggregateRecords(ctx context.Context, ws *Opened, in *aggregateRecordsIn, faults *problem.Faults) (out groupsOut, err error) {
	groups, err := ws.DB.Aggregate(ctx, faults, string(in.Table), projectdb.Aggregation{
		GroupBy: in.Body.GroupBy, Aggregates: jsontext.Value(in.Body.Aggregates), Filters: jsontext.Value(in.Body.Filters),
		Having: jsontext.Value(in.Body.Having), Sort: in.Body.Sort, Limit: in.Body.Limit,
	})
	if err != nil {
		return out, err
	}
	return groupsOut{groups.Table, recordRows{groups.Rows, integersIn{in.Body.Integers}.options()}, groups.Len(), groups.HasMore}, nil
}
