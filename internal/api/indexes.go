package api

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

type indexesOut struct {
	Table   string                  `json:"table"`
	Indexes []projectdb.IndexObject `json:"indexes"`
}

func (h *handlers) listIndexes(ctx context.Context, ws *Opened, in *tableIn) (out indexesOut, err error) {
	t, err := tableOf(ctx, ws, in.Table, registry.SchemaRead)
	if err != nil {
		return out, err
	}
	return indexesOut{t.Name, t.IndexObjects()}, nil
}

// NewIndex is an index to be created.
type NewIndex struct {
	Columns []string              `json:"columns" minItems:"1"`
	Name    rest.Optional[string] `json:"index_name,omitzero" doc:"Derived from the table and the columns when absent."`
	Unique  rest.Flag             `json:"unique,omitzero"`
}

func (n NewIndex) order() projectdb.NewIndex {
	order := projectdb.NewIndex{Columns: n.Columns, Unique: n.Unique.Or(false)}
	if name := n.Name.Ptr(); name != nil {
		order.Name = *name
	}
	return order
}

type newIndexIn struct {
	tableIn
	dryRunIn
	Body NewIndex
}

type indexOut struct {
	Index projectdb.IndexObject `json:"index"`
	Tried
}

func (h *handlers) createIndex(ctx context.Context, ws *Workspace, in *newIndexIn, faults *problem.Faults) (out indexOut, err error) {
	out.Plan = in.plan()
	err = changeSchema(ctx, ws, faults, projectdb.SchemaTransaction, out.Plan, func(tx *projectdb.Tx) error {
		x, err := tx.CreateIndex(faults, string(in.Table), in.Body.order())
		out.Index = x.Object()
		return err
	})
	return out, err
}

type indexRefIn struct {
	tableIn
	dryRunIn
	Index string `path:"index"`
}

type indexDeleted struct {
	Deleted bool   `json:"deleted" doc:"False if it was only tried."`
	Name    string `json:"index_name"`
	Tried
}

func (h *handlers) deleteIndex(ctx context.Context, ws *Opened, in *indexRefIn, faults *problem.Faults) (indexDeleted, error) {
	plan := in.plan()
	name, err := in.database(ws, plan).DropIndex(ctx, faults, string(in.Table), in.Index)
	return indexDeleted{plan == nil, name, Tried{plan}}, err
}
