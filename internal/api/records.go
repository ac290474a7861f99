package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

type listRecordsIn struct {
	tableIn
	listing
	IfNoneMatch rest.ETags `header:"If-None-Match" doc:"ETags of earlier answers: 304 if nothing has changed since."`
	Call        rest.Call
}

// searchRecordsIn has the parameters of a list in its body, where long filters fit.
type searchRecordsIn struct {
	tableIn
	Body listing
}

// listing says which records are listed, and how.
type listing struct {
	Filters  Filters   `query:"filters" json:"filters,omitzero"`
	Sort     string    `query:"sort" json:"sort,omitzero" doc:"Columns with commas between them, each with - before it to descend, and .nullslast or .nullsfirst behind it; the primary key when absent."`
	Search   string    `query:"search" json:"search,omitzero" doc:"Words, \"phrases\" and beginnings* that the columns of the search index must contain, all of them. Without sort, the best matches come first."`
	Syntax   string    `query:"search_syntax" json:"search_syntax,omitzero" enum:"words,fts5" default:"words" doc:"fts5: search is an expression of SQLite's FTS5, with AND, OR, NOT and NEAR."`
	Order    string    `query:"order" json:"order,omitzero" enum:"asc,desc" default:"asc"`
	Limit    int64     `query:"limit" json:"limit,omitzero" minimum:"1" maximum:"500" default:"100"`
	Offset   offset    `query:"offset" json:"offset,omitzero" minimum:"0" doc:"A page with an offset, even 0, is never cut short: one larger than 8 MiB is refused."`
	Columns  []string  `query:"columns" json:"columns,omitzero" doc:"The columns to return; all when absent."`
	Expand   []string  `query:"expand" json:"expand,omitzero" doc:"Foreign keys whose records are returned in the row's _expand: the column, with or without _id; several columns joined by +; further ones after a dot, as in company,company.owner. At most 10, 3 levels deep."`
	After    string    `query:"after" json:"after,omitzero" doc:"The next_cursor of the previous page. It works only with the same filters, sort and order."`
	Before   string    `query:"before" json:"before,omitzero" doc:"The prev_cursor of the following page. It works only with the same filters, sort and order."`
	Position offset    `query:"position" json:"position,omitzero" minimum:"0" doc:"The position of the first row, counted from 0, in the order of the key or in one that an index leads; instead of offset, after and before."`
	Count    rest.Flag `query:"include_count" json:"include_count,omitzero" alias:"count" doc:"Whether to answer total; like total=exact."`
	Total    string    `query:"total" json:"total,omitzero" enum:"exact,estimate,none" doc:"How to answer total: exact takes as long as counting takes, an estimate at most 300 ms. It goes before include_count."`
	ETags    rest.Flag `query:"etags" json:"etags,omitzero" doc:"Whether to answer etags."`
	Integers string    `query:"integers" json:"integers,omitzero" enum:"number,string" default:"number" doc:"string: integers beyond ±2^53 are returned as strings."`
	Cells    int64     `query:"cell_limit" json:"cell_limit,omitzero" minimum:"16" doc:"The number of stored bytes to which longer texts, at a character, and BLOBs are cut; cut says which are."`
}

// offset is a number of rows to skip; whether it was sent makes a difference.
type offset struct{ rest.Optional[int64] }

// Schema describes the number alone.
func (offset) Schema(registry huma.Registry) *huma.Schema {
	return registry.Schema(reflect.TypeFor[int64](), true, "")
}

func (in *listing) selection() projectdb.ListOptions {
	return projectdb.ListOptions{
		Selection: projectdb.Selection{
			Columns: in.Columns, Filters: jsontext.Value(in.Filters), Sort: in.Sort,
			Descending: in.Order == "desc", Limit: in.Limit, Offset: in.Offset.Value,
			CellLimit: in.Cells, Expand: in.Expand,
			Search: projectdb.Search{Text: in.Search, FTS5: in.Syntax == "fts5"},
		},
		After:    in.After,
		Before:   in.Before,
		Position: in.Position.Ptr(),
		Whole:    in.Offset.Sent,
		Count:    in.Total == "exact" || in.Total == "" && in.Count.Or(false),
		Estimate: in.Total == "estimate",
		ETags:    in.ETags.Or(false),
	}
}

type recordsOut struct {
	Table         string            `json:"table"`
	Rows          recordRows        `json:"rows"`
	IDs           []string          `json:"ids,omitzero" doc:"The ids of the rows, in a table without a primary key."`
	ETags         []string          `json:"etags,omitzero" doc:"The ETags of the rows, by the columns that are shown, when asked for."`
	Cut           []cutCell         `json:"cut,omitzero" doc:"What cell_limit has cut, if it was sent."`
	Matches       []projectdb.Found `json:"matches,omitzero" doc:"Why each row was found, in the order of rows, if there was a search."`
	Limit         int64             `json:"limit"`
	Offset        int64             `json:"offset"`
	Returned      int               `json:"returned"`
	HasMore       bool              `json:"has_more"`
	EndedBy       string            `json:"ended_by,omitzero" enum:"bytes" doc:"Why the page has fewer rows than the limit though there are more: it would have more than 8 MiB."`
	Total         *int64            `json:"total,omitzero" doc:"Rows that match the filters, when asked for."`
	TotalIs       string            `json:"total_is,omitzero" enum:"exact,at_least,estimate" doc:"What total is, if total was sent: at_least is how many were counted in time, estimate counts the deleted ones too."`
	NextCursor    *string           `json:"next_cursor" doc:"Null at the end."`
	PrevCursor    *string           `json:"prev_cursor" doc:"Null at the beginning."`
	Position      *int64            `json:"position,omitzero" doc:"The position of the first row, counted from 0, when asked for."`
	PositionExact *bool             `json:"position_exact,omitzero" doc:"Whether position is exact, when asked for. In a list of more than 1,000,000 rows it is not after a commit, until the list has been read again."`
}

// RowsMemory returns the memory that the rows take, in bytes.
func (out recordsOut) RowsMemory() int64 { return out.Rows.rows.Memory() }

func (h *handlers) listRecords(ctx context.Context, ws *Opened, in *listRecordsIn, faults *problem.Faults) (out rest.Answer[recordsOut], err error) {
	if in.IfNoneMatch.Sent && !faults.Any() {
		etag, err := currentList(ctx, ws, in)
		if err != nil || in.IfNoneMatch.Has(etag) {
			return rest.Answer[recordsOut]{Head: notModified(etag)}, err
		}
	}
	var commit int64
	out.Data, commit, err = list(ctx, ws, in.Table, &in.listing, faults)
	out.Header = map[string]string{"ETag": listETag(ws, in.Call.Target, commit)}
	return out, err
}

// currentList returns the ETag of a list without reading it.
func currentList(ctx context.Context, ws *Opened, in *listRecordsIn) (string, error) {
	if _, err := tableOf(ctx, ws, in.Table, registry.RecordsRead); err != nil {
		return "", err
	}
	last, err := ws.DB.LastCommit(ctx)
	return listETag(ws, in.Call.Target, last), err
}

func (h *handlers) searchRecords(ctx context.Context, ws *Opened, in *searchRecordsIn, faults *problem.Faults) (out recordsOut, err error) {
	out, _, err = list(ctx, ws, in.Table, &in.Body, faults)
	return out, err
}

// list returns a page of records and the commit that it shows.
func list(ctx context.Context, ws *Opened, table rest.Ref, in *listing, faults *problem.Faults) (out recordsOut, commit int64, err error) {
	page, err := ws.DB.ListRecords(ctx, faults, string(table), in.selection())
	if err != nil {
		return out, 0, err
	}
	out = recordsOut{
		Table: page.Table, Rows: recordRows{page.Rows, integersIn{in.Integers}.options()}, IDs: page.IDs(), Cut: cutCells(page.Rows, in.Cells), Limit: in.Limit, Offset: in.Offset.Value,
		Returned: page.Len(), HasMore: page.HasMore, Total: page.Total, ETags: page.ETags,
	}
	out.Matches = page.Found
	if in.Total != "" {
		out.TotalIs = string(page.TotalIs)
	}
	if page.EndedByBytes {
		out.EndedBy = "bytes"
	}
	if page.NextCursor != "" {
		out.NextCursor = &page.NextCursor
	}
	if page.PrevCursor != "" {
		out.PrevCursor = &page.PrevCursor
	}
	if at := in.Position.Ptr(); at != nil {
		out.Position, out.PositionExact = at, &page.Exact
	}
	return out, page.Commit, nil
}

type recordKeyIn struct {
	tableIn
	ID rest.Key `path:"id"`
}

type getRecordIn struct {
	recordKeyIn
	Columns []string `query:"columns" doc:"The columns to return; all when absent."`
	Expand  []string `query:"expand" doc:"Foreign keys whose records are returned in the row's _expand, as in a list."`
	integersIn
	cellLimitIn
	Position rest.Flag `query:"position" doc:"Whether to answer the position of the record among all of the table."`
	Sort     string    `query:"sort" doc:"The order that position is about, as in lists."`
	Order    string    `query:"order" enum:"asc,desc" default:"asc" doc:"The direction of sort, as in lists."`
	conditionsIn
}

type recordOut struct {
	Table         string    `json:"table"`
	Row           recordRow `json:"row"`
	ID            *string   `json:"id,omitzero" doc:"The id of the row, in a table without a primary key."`
	Cut           []cutCell `json:"cut,omitzero" doc:"What cell_limit has cut, if it was sent."`
	Position      *int64    `json:"position,omitzero" doc:"The position of the record, counted from 0, when asked for."`
	PositionExact *bool     `json:"position_exact,omitzero" doc:"Whether position is exact, when asked for. In a list of more than 1,000,000 rows it is not after a commit, until the list has been read again."`
}

// RowsMemory returns the memory that the rows take, in bytes.
func (out recordOut) RowsMemory() int64 { return out.Row.rows.Memory() }

// firstID returns the id of the only row of a table without a primary key, else nil.
func firstID(rows projectdb.Rows) *string {
	if ids := rows.IDs(); len(ids) > 0 {
		return &ids[0]
	}
	return nil
}

func (h *handlers) getRecord(ctx context.Context, ws *Opened, in *getRecordIn, faults *problem.Faults) (out rest.Answer[recordOut], err error) {
	err = ws.DB.View(ctx, func(tx *projectdb.Tx) error {
		out, err = in.read(tx, faults)
		return err
	})
	return out, withRecord(err, in.options())
}

func (in *getRecordIn) read(tx *projectdb.Tx, faults *problem.Faults) (answer rest.Answer[recordOut], err error) {
	table, id := string(in.Table), string(in.ID)
	wanted := in.Position.Or(false)
	out := &answer.Data
	if in.Sort != "" && !wanted {
		faults.Add("sort", "A single record has no order: sort goes with position=true.")
	}
	if wanted {
		at, err := tx.RecordPosition(faults, table, id, projectdb.Selection{Sort: in.Sort, Descending: in.Order == "desc"})
		if err != nil && !faults.Any() {
			return answer, err
		}
		out.Position, out.PositionExact = &at.Row, &at.Exact
	}
	when := projectdb.Condition{Match: etagsOf(in.IfMatch)}
	rows, err := tx.GetRecord(faults, table, id, projectdb.Selection{Columns: in.Columns, CellLimit: in.CellLimit, Expand: in.Expand}, when)
	switch {
	case err != nil:
		return rest.Answer[recordOut]{}, err
	case in.IfNoneMatch.Sent && in.IfNoneMatch.Has(rows.ETag) && !wanted && in.Expand == nil:
		return rest.Answer[recordOut]{Head: notModified(rows.ETag)}, nil
	}
	out.Table, out.Row, out.ID, out.Cut = rows.Table, recordRow{rows, in.options()}, firstID(rows), cutCells(rows, in.CellLimit)
	answer.Head = tagged(rows)
	return answer, nil
}

type insertRecordsIn struct {
	tableIn
	integersIn
	Body insertBody
}

// recordsInserted is about one row or many, whichever was sent.
type recordsInserted struct {
	Table    string      `json:"table"`
	Row      *recordRow  `json:"row,omitzero" doc:"The row as stored, when one was sent; null when it was skipped."`
	ID       *string     `json:"id,omitzero" doc:"The id of the row, in a table without a primary key."`
	Inserted *int64      `json:"inserted,omitzero" doc:"How many rows were inserted, when an array was sent."`
	Rows     *recordRows `json:"rows,omitzero" doc:"The rows as stored, except those skipped."`
	IDs      []string    `json:"ids,omitzero" doc:"The ids of these rows, in a table without a primary key."`
}

// RowsMemory returns the memory that the stored rows take, in bytes.
func (out recordsInserted) RowsMemory() int64 {
	switch {
	case out.Rows != nil:
		return out.Rows.rows.Memory()
	case out.Row != nil:
		return out.Row.rows.Memory()
	}
	return 0
}

func (h *handlers) insertRecords(ctx context.Context, ws *Workspace, in *insertRecordsIn, faults *problem.Faults) (out rest.Answer[recordsInserted], err error) {
	var done projectdb.Inserted
	insert, kind := (*projectdb.Tx).InsertRecord, projectdb.SharedTransaction
	if in.Body.many {
		insert, kind = (*projectdb.Tx).InsertRecords, projectdb.OwnTransaction
	}
	err = ws.Change(ctx, faults, kind, func(tx *projectdb.Tx) error {
		done, err = insert(tx, faults, string(in.Table), in.Body.data, in.Body.options)
		return err
	})
	if err != nil {
		return out, err
	}
	if done.Count == 0 {
		out.Status = http.StatusOK // nothing was created
	}
	out.Data, out.Header = describeInserted(done, in.Body, in.options()), tagged(done.Rows).Header
	return out, nil
}

func describeInserted(done projectdb.Inserted, b insertBody, o format.JSONOptions) recordsInserted {
	out := recordsInserted{Table: done.Table}
	if b.many || b.options.ReturnNone {
		out.Inserted = &done.Count
	}
	switch {
	case b.options.ReturnNone:
	case b.many:
		out.Rows, out.IDs = &recordRows{done.Rows, o}, done.IDs()
	default:
		out.Row, out.ID = &recordRow{done.Rows, o}, firstID(done.Rows)
	}
	return out
}

type updateRecordIn struct {
	recordKeyIn
	integersIn
	conditionsIn
	Body patchBody
}

func (h *handlers) updateRecord(ctx context.Context, ws *Opened, in *updateRecordIn, faults *problem.Faults) (out rest.Answer[recordOut], err error) {
	rows, err := ws.DB.UpdateRecord(ctx, faults, string(in.Table), string(in.ID), in.Body.patch, in.condition())
	return rest.Answer[recordOut]{Data: recordOut{Table: rows.Table, Row: recordRow{rows, in.options()}, ID: firstID(rows)}, Head: tagged(rows)}, withRecord(err, in.options())
}

// WhichRecords is the part of a body that selects rows.
type WhichRecords struct {
	Where    Filters   `json:"where,omitzero"`
	AllowAll rest.Flag `json:"allow_all,omitzero" doc:"Must be true to affect every row, when there are no conditions."`
}

func (w WhichRecords) match() projectdb.Match {
	return projectdb.Match{Filters: jsontext.Value(w.Where), All: w.AllowAll.Or(false)}
}

type updateRecordsIn struct {
	tableIn
	integersIn
	Body struct {
		Data rest.Values `json:"data"`
		WhichRecords
	}
}

type recordsAffected struct {
	Table    string `json:"table"`
	Affected int64  `json:"affected_rows"`
}

func (h *handlers) updateRecords(ctx context.Context, ws *Opened, in *updateRecordsIn, faults *problem.Faults) (out recordsAffected, err error) {
	done, err := ws.DB.UpdateRecords(ctx, faults, string(in.Table), in.Body.Data.JSON(), in.Body.match())
	return recordsAffected{done.Table, done.Rows}, err
}

type recordDeleted struct {
	Deleted bool   `json:"deleted"`
	Table   string `json:"table"`
	ID      string `json:"id"`
}

type deleteRecordIn struct {
	recordKeyIn
	integersIn
	conditionsIn
}

func (h *handlers) deleteRecord(ctx context.Context, ws *Opened, in *deleteRecordIn) (out recordDeleted, err error) {
	table, err := ws.DB.DeleteRecord(ctx, string(in.Table), string(in.ID), in.condition())
	return recordDeleted{true, table, in.ID.Plain()}, withRecord(err, in.options())
}

type deleteRecordsIn struct {
	tableIn
	integersIn
	Body WhichRecords
}

func (h *handlers) deleteRecords(ctx context.Context, ws *Opened, in *deleteRecordsIn, faults *problem.Faults) (out recordsAffected, err error) {
	done, err := ws.DB.DeleteRecords(ctx, faults, string(in.Table), in.Body.match())
	return recordsAffected{done.Table, done.Rows}, err
}
