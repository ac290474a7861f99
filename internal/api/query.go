package api

import (
	"cmp"
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

const maxQueryRows = 1000

// QueryStatement is a read-only statement from a client.
type QueryStatement struct {
	SQL    string         `json:"sql" alias:"query" doc:"One SELECT, WITH or EXPLAIN QUERY PLAN."`
	Params jsontext.Value `json:"params,omitzero" doc:"An array, or an object of named values."`
}

type queryIn struct {
	integersIn
	cellLimitIn
	Body struct {
		QueryStatement
		Limit int64 `json:"limit,omitzero" default:"500" doc:"Clamped to 1–1000."`
		Cells int64 `json:"cell_limit,omitzero" minimum:"16" doc:"The same as in the address."`
	}
}

type queryOut struct {
	Rows       recordRows `json:"rows"`
	Cut        []cutCell  `json:"cut,omitzero" doc:"What cell_limit has cut, if it was sent."`
	RowCount   int        `json:"row_count"`
	Limit      int64      `json:"limit"`
	DurationMS int64      `json:"duration_ms" doc:"How long the statement ran, not counting the wait for its turn."`
	Columns    []string   `json:"columns"`
	Truncated  bool       `json:"truncated" doc:"There are more rows."`
}

// RowsMemory returns the memory that the rows take, in bytes.
func (out queryOut) RowsMemory() int64 { return out.Rows.rows.Memory() }

func (h *handlers) query(ctx context.Context, ws *Opened, in *queryIn, faults *problem.Faults) (out queryOut, err error) {
	readable, err := readableTables(ctx, ws)
	if err != nil {
		return out, err
	}
	limit := min(max(in.Body.Limit, 1), maxQueryRows)
	cells := cmp.Or(in.Body.Cells, in.CellLimit)
	query := projectdb.Query{SQL: in.Body.SQL, Params: in.Body.Params, Limit: limit, CellLimit: cells, Readable: readable, Group: ws.Project.Root}
	if faults.Any() {
		faults.Merge("", ws.DB.CheckQuery(ctx, query))
		return out, faults.Err()
	}
	result, err := ws.DB.Query(ctx, query)
	if err != nil {
		return out, err
	}
	out = queryOut{
		Rows: recordRows{result.Rows, in.options()}, Cut: cutCells(result.Rows, cells), RowCount: result.Len(), Limit: limit,
		DurationMS: result.Took.Milliseconds(), Truncated: result.Truncated,
	}
	for _, column := range result.Columns {
		out.Columns = append(out.Columns, column.Name)
	}
	return out, nil
}
