package api

import (
	"context"
	"errors"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

type batchIn struct {
	integersIn
	Body BatchBody
}

// BatchBody is a batch of operations.
type BatchBody struct {
	Operations []BatchOperation `json:"operations" minItems:"1" maxItems:"10000"`
	DryRun     rest.Flag        `json:"dry_run,omitzero" doc:"Whether to undo everything at the end."`
	Return     string           `json:"return,omitzero" enum:"none,after,before" doc:"The state in which the records are returned; when absent, each operation with a stored record returns it in row."`
}

// BatchOperation is one operation of a batch.
type BatchOperation struct {
	Op         string        `json:"op" enum:"insert,update,upsert,delete"`
	Table      string        `json:"table" doc:"The name or the id of the table."`
	ID         rest.Value    `json:"id,omitzero" doc:"The record to update or delete, as it is written in a path."`
	Data       operationData `json:"data,omitzero"`
	Where      Filters       `json:"where,omitzero" doc:"The records to update or delete, in place of id."`
	AllowAll   rest.Flag     `json:"allow_all,omitzero" doc:"Must be true to affect every record, when there are no conditions."`
	OnConflict *conflictBody `json:"on_conflict,omitzero" doc:"For upserts."`
	IfMatch    string        `json:"if_match,omitzero" doc:"The ETag that the record with this id must have."`
	As         string        `json:"as,omitzero" maxLength:"64" doc:"A name by which later operations refer to the record."`
}

// operationData is the data of an operation as it was sent.
type operationData jsontext.Value

// UnmarshalJSON keeps the text of an object.
func (d *operationData) UnmarshalJSON(raw []byte) error {
	if !isObject(raw) {
		return errors.New(problem.Expected("an object"))
	}
	*d = append(operationData(nil), raw...)
	return nil
}

// Schema describes the object.
func (operationData) Schema(registry huma.Registry) *huma.Schema {
	value := rest.Value{}.Schema(registry)
	text, number := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeNumber}
	value.AnyOf = append(value.AnyOf,
		&huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"$ref": text}, Required: []string{"$ref"}, AdditionalProperties: false},
		&huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"$add": number}, Required: []string{"$add"}, AdditionalProperties: false})
	value.Description = `A string, number, boolean or null; {"$ref":"c.id"} for a value of the record that an earlier operation calls c; in updates also {"$add":1}.`
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: value, Description: "Column names and values."}
}

func (op BatchOperation) operation(i int, faults *problem.Faults) projectdb.Operation {
	out := projectdb.Operation{
		Kind: projectdb.OperationKind(op.Op), Table: op.Table, Data: jsontext.Value(op.Data),
		Where: jsontext.Value(op.Where), All: op.AllowAll.Or(false), As: op.As,
	}
	at := "operations[" + strconv.Itoa(i) + "]."
	switch id := jsontext.Value(op.ID); {
	case id == nil, id.Kind() == jsontext.KindNull:
	case id.Kind() == jsontext.KindString:
		text, _ := jsontext.AppendUnquote(nil, id) // it has been read before
		id := string(text)
		out.ID = &id
	case id.Kind() == jsontext.KindNumber:
		text := string(id)
		out.ID = &text
	default:
		faults.WrongType(at+"id", "a string or a number")
	}
	if op.OnConflict != nil {
		out.OnConflict = &projectdb.OnConflict{Columns: op.OnConflict.Columns, Update: op.OnConflict.Action == "update"}
	}
	if op.IfMatch != "" {
		var etags rest.ETags
		if err := etags.UnmarshalText([]byte(op.IfMatch)); err != nil {
			faults.Merge(at+"if_match", err)
		}
		out.IfMatch = etagsOf(etags)
	}
	return out
}

type batchOut struct {
	Results []operationOut `json:"results"`
	DryRun  bool           `json:"dry_run"`
	Commit  *int64         `json:"commit" doc:"The number of the commit; null for a dry run."`

	bytes int64
}

// RowsMemory returns the memory that the records take, in bytes.
func (out batchOut) RowsMemory() int64 { return out.bytes }

type operationOut struct {
	Op       string     `json:"op"`
	Table    string     `json:"table"`
	ID       *string    `json:"id" doc:"Of the record; null when the records were selected by conditions, or when the row was skipped."`
	Row      *recordRow `json:"row,omitzero" doc:"The record as stored, unless return was sent."`
	Before   *recordRow `json:"before,omitzero" doc:"The record before the operation, when asked for; null if there was none."`
	After    *recordRow `json:"after,omitzero" doc:"The record after the operation, when asked for; null if there is none."`
	Affected int64      `json:"affected_rows"`
	ETag     string     `json:"etag,omitzero" doc:"Of the record as stored."`
}

func (h *handlers) batch(ctx context.Context, ws *Workspace, in *batchIn, faults *problem.Faults) (out batchOut, err error) {
	operations := make([]projectdb.Operation, len(in.Body.Operations))
	for i, op := range in.Body.Operations {
		operations[i] = op.operation(i, faults)
	}
	options := projectdb.BatchOptions{Shown: projectdb.Shown(in.Body.Return), DryRun: in.Body.DryRun.Or(false)}
	err = ws.Change(ctx, faults, projectdb.OwnTransaction, func(tx *projectdb.Tx) error {
		done, err := tx.Batch(faults, operations, options)
		if err != nil {
			return err
		}
		out = batchOut{Results: make([]operationOut, len(done)), DryRun: options.DryRun}
		for i, one := range done {
			out.Results[i] = in.describe(one)
			out.bytes += one.Row.Memory() + one.Before.Memory()
		}
		switch commit, err := tx.NextCommit(); {
		case err != nil:
			return err
		case !options.DryRun:
			out.Commit = &commit
		case !ws.Inside():
			return errDryRun // nothing needs a commit
		}
		return nil
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return out, withRecord(err, in.options())
}

var errDryRun = errors.New("a dry run")

func (in *batchIn) describe(done projectdb.OperationDone) operationOut {
	out := operationOut{Op: string(done.Kind), Table: done.Table, ID: done.ID, Affected: done.Affected}
	if in.Body.Return != "none" {
		out.ETag = done.Row.ETag
	}
	one := done.Kind == projectdb.InsertOperation || done.Kind == projectdb.UpsertOperation || done.ID != nil
	switch row := (&recordRow{done.Row, in.options()}); {
	case !one:
	case in.Body.Return == "after":
		out.After = row
	case in.Body.Return == "before":
		out.Before = &recordRow{done.Before, in.options()}
	case in.Body.Return == "" && done.Kind != projectdb.DeleteOperation:
		out.Row = row
	}
	return out
}

// mayBatch refuses a token that may not make one of the operations, before the key of
// the call is looked up.
func (h *handlers) mayBatch(ctx context.Context, ws *Workspace, in *batchIn) error {
	checked := map[string]bool{}
	for _, op := range in.Body.Operations {
		if checked[op.Table] {
			continue
		}
		checked[op.Table] = true
		if err := mayTable(ctx, ws, rest.Ref(op.Table), registry.RecordsWrite); err != nil && !problem.Is(err, problem.CodeNotFound) {
			return err
		}
	}
	return nil
}

// keptBatch is batchOut as stored in a receipt.
type keptBatch struct {
	Results []keptOperation `json:"results"`
	DryRun  bool            `json:"dry_run"`
	Commit  *int64          `json:"commit"`
}

type keptOperation struct {
	Op       string         `json:"op"`
	Table    string         `json:"table"`
	ID       *string        `json:"id"`
	Row      jsontext.Value `json:"row,omitzero"`
	Before   jsontext.Value `json:"before,omitzero"`
	After    jsontext.Value `json:"after,omitzero"`
	Affected int64          `json:"affected_rows"`
	ETag     string         `json:"etag,omitzero"`
}

// narrowBatch removes from the replayed answer to a batch the records of tables that
// the token may no longer read.
func (h *handlers) narrowBatch(ctx context.Context, ws *Workspace, _ *batchIn, data jsontext.Value) (jsontext.Value, error) {
	if ws.May(registry.RecordsRead) {
		return data, nil
	}
	var kept keptBatch
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, err
	}
	readable := map[string]bool{}
	for i := range kept.Results {
		result := &kept.Results[i]
		may, known := readable[result.Table]
		if !known {
			may = mayTable(ctx, ws, rest.Ref(result.Table), registry.RecordsRead) == nil
			readable[result.Table] = may
		}
		if !may {
			result.Row, result.Before, result.After, result.ETag = nil, nil, nil, ""
		}
	}
	return json.Marshal(kept)
}
