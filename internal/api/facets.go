package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
)

type listValuesIn struct {
	columnRefIn
	Prefix  string  `query:"prefix" doc:"The beginning of the values, exactly."`
	Limit   int64   `query:"limit" minimum:"1" maximum:"500" default:"20"`
	Filters Filters `query:"filters" doc:"Which records count; all when absent."`
	integersIn
}

type valuesOut struct {
	Table    string     `json:"table"`
	Column   string     `json:"column"`
	Values   recordRows `json:"values" doc:"Each value and its count, the most frequent ones first."`
	Limit    int64      `json:"limit"`
	HasMore  bool       `json:"has_more" doc:"There are more values."`
	Complete bool       `json:"complete" doc:"Whether all records were read in time. Else counts and values are of the first records only."`
}

// RowsMemory returns the memory that the values take, in bytes.
func (out valuesOut) RowsMemory() int64 { return out.Values.rows.Memory() }

func (h *handlers) listValues(ctx context.Context, ws *Opened, in *listValuesIn, faults *problem.Faults) (out valuesOut, err error) {
	o := projectdb.FacetOptions{Filters: jsontext.Value(in.Filters), Prefix: in.Prefix, Limit: int(in.Limit)}
	values, err := ws.DB.ColumnValues(ctx, faults, string(in.Table), string(in.Column), o)
	if err != nil {
		return out, err
	}
	return valuesOut{values.Table, values.Column, recordRows{values.Rows, in.options()}, in.Limit, values.HasMore, values.Complete}, nil
}

type summarizeColumnIn struct {
	columnRefIn
	Filters Filters `query:"filters" doc:"Which records count; all when absent."`
	integersIn
}

type summaryOut struct {
	Table      string     `json:"table"`
	Column     string     `json:"column"`
	Rows       int64      `json:"rows" doc:"The records that were read."`
	Nulls      int64      `json:"nulls"`
	Empties    int64      `json:"empties" doc:"Empty texts and BLOBs."`
	Distinct   int64      `json:"distinct" doc:"Different values, except null."`
	DistinctIs string     `json:"distinct_is" enum:"exact,at_least"`
	Min        rest.Value `json:"min" doc:"The smallest value, or the beginning of a long one; null without values."`
	Max        rest.Value `json:"max" doc:"The largest value, or the beginning of a long one; null without values."`
	Complete   bool       `json:"complete" doc:"Whether all records were read in time. Else the numbers are of the first records only, and so are min and max, unless an index begins with the column."`
}

func (h *handlers) summarizeColumn(ctx context.Context, ws *Opened, in *summarizeColumnIn, faults *problem.Faults) (out summaryOut, err error) {
	s, err := ws.DB.SummarizeColumn(ctx, faults, string(in.Table), string(in.Column), projectdb.FacetOptions{Filters: jsontext.Value(in.Filters)})
	if err != nil {
		return out, err
	}
	kind := "exact"
	if s.AtLeast {
		kind = "at_least"
	}
	return summaryOut{s.Table, s.Column, s.Rows, s.Nulls, s.Empties, s.Distinct, kind, in.value(s.Range, 0), in.value(s.Range, 1), s.Complete}, nil
}

// value returns a value of the first row.
func (in integersIn) value(rows projectdb.Rows, column int) rest.Value {
	return rest.Value(format.AppendValue(nil, rows.Batch, rows.Batch.Row(0)[column], in.options()))
}
