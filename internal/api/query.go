package api

import (
	"cmp"
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rest"
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
		Limit   int64     `json:"limit,omitzero" default:"500" doc:"Clamped to 1–1000."`
		QueryID string    `json:"query_id,omitzero" doc:"An id of the client's own, by which the statement can be canceled while it runs: 1 to 64 letters, digits, _ and -."`
		Plan    rest.Flag `json:"plan,omitzero" doc:"Whether to answer how the statement would run, instead of running it."`
		Cells   int64     `json:"cell_limit,omitzero" minimum:"16" doc:"The same as in the address."`
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
	Plan       *planOut   `json:"plan,omitzero" doc:"How the statement would run, when asked for; it has not run."`
}

// planOut describes how a statement would run.
type planOut struct {
	Tree      []projectdb.PlanStep      `json:"tree"`
	Sentences []string                  `json:"sentences" doc:"What the steps of the tree mean."`
	Index     *projectdb.SuggestedIndex `json:"index" doc:"An index that might help, or null."`
}

// RowsMemory returns the memory that the rows take, in bytes.
func (out queryOut) RowsMemory() int64 { return out.Rows.rows.Memory() }

func (h *handlers) query(ctx context.Context, ws *Opened, in *queryIn, faults *problem.Faults) (out queryOut, err error) {
	if id := in.Body.QueryID; id != "" && !queryIDPattern.MatchString(id) {
		faults.Add("query_id", "Expected 1 to 64 letters, digits, _ and -.")
	}
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
	if in.Body.Plan.Or(false) {
		return planned(ctx, ws, query)
	}
	ctx, end, err := h.running.begin(ctx, ws.Workspace, in.Body.QueryID)
	if err != nil {
		return out, err
	}
	defer end()
	result, err := ws.DB.Query(ctx, query)
	if err != nil {
		return out, explainCanceled(ctx, err)
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

// planned answers how a statement would run.
func planned(ctx context.Context, ws *Opened, query projectdb.Query) (out queryOut, err error) {
	plan, err := ws.DB.PlanQuery(ctx, query)
	if err != nil {
		return out, err
	}
	return queryOut{Rows: recordRows{rows: plan.NoRows}, Limit: query.Limit, Columns: []string{}, Plan: &planOut{plan.Tree, plan.Sentences, plan.Index}}, nil
}
