package api

import (
	"context"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

type columnsOut struct {
	Table   string                   `json:"table"`
	Columns []projectdb.ColumnObject `json:"columns"`
}

func (h *handlers) listColumns(ctx context.Context, ws *Opened, in *tableIn) (out columnsOut, err error) {
	t, err := tableOf(ctx, ws, in.Table, registry.SchemaRead)
	if err != nil {
		return out, err
	}
	return columnsOut{t.Name, t.ColumnObjects()}, nil
}

type newColumnIn struct {
	tableIn
	dryRunIn
	Body newColumn
}

type columnObjectOut struct {
	Table  string                 `json:"table"`
	Column projectdb.ColumnObject `json:"column"`
	Tried
}

func (h *handlers) addColumn(ctx context.Context, ws *Workspace, in *newColumnIn, faults *problem.Faults) (out columnObjectOut, err error) {
	out.Plan = in.plan()
	err = changeSchema(ctx, ws, faults, projectdb.RebuildTransaction, out.Plan, func(tx *projectdb.Tx) error {
		t, column, err := tx.AddColumn(faults, string(in.Table), in.Body.order())
		if err == nil {
			out.Table, out.Column = t.Name, t.ColumnObject(column)
		}
		return err
	})
	return out, err
}

// ColumnPatch says what to change in a column.
type ColumnPatch struct {
	NewName  rest.Optional[string] `json:"new_column_name,omitzero"`
	Type     rest.Optional[string] `json:"column_type,omitzero" alias:"type" doc:"Can change only while the column has no saved values."`
	Nullable rest.Flag             `json:"is_nullable,omitzero" alias:"nullable"`
	Unique   rest.Flag             `json:"is_unique,omitzero" alias:"unique"`
	Default  rest.Value            `json:"default_value,omitzero" alias:"default" doc:"Null removes the default."`

	DefaultExpression rest.Optional[string] `json:"default_expression,omitzero" doc:"A default that is computed for each row: CURRENT_TIMESTAMP, now_ms or uuid; null removes the default."`

	References rest.Optional[reference] `json:"references,omitzero" doc:"The record that a value of the column refers to; null removes every foreign key that the column is part of."`
}

func (p ColumnPatch) order() projectdb.ColumnPatch {
	order := projectdb.ColumnPatch{NewName: p.NewName.Ptr(), Type: p.Type.Ptr(), Unique: p.Unique.Ptr(), Default: jsontext.Value(p.Default)}
	if nullable := p.Nullable.Ptr(); nullable != nil {
		notNull := !*nullable
		order.NotNull = &notNull
	}
	if p.DefaultExpression.Sent {
		order.DefaultExpression = &p.DefaultExpression.Value
	}
	if p.References.Sent {
		to := p.References.Ptr().order()
		order.References = &to
	}
	return order
}

type columnRefIn struct {
	tableIn
	Column rest.Ref `path:"column_id_or_name"`
}

type updateColumnIn struct {
	columnRefIn
	dryRunIn
	Body ColumnPatch
}

func (h *handlers) updateColumn(ctx context.Context, ws *Opened, in *updateColumnIn, faults *problem.Faults) (out columnObjectOut, err error) {
	plan := in.plan()
	t, column, err := in.database(ws, plan).UpdateColumn(ctx, faults, string(in.Table), string(in.Column), in.Body.order())
	if err != nil {
		return out, err
	}
	return columnObjectOut{t.Name, t.ColumnObject(column), Tried{plan}}, nil
}

// namedColumnPatch is a patch together with the name of its column.
type namedColumnPatch struct {
	Name rest.Optional[string] `json:"column_name,omitzero" alias:"name"`
	ID   rest.Optional[int64]  `json:"id,omitzero" doc:"The id of the column, in place of its name."`
	ColumnPatch
}

type updateColumnsIn struct {
	tableIn
	dryRunIn
	Body struct {
		Columns []namedColumnPatch `json:"columns" minItems:"1"`
	}
}

type columnsUpdated struct {
	Count int `json:"updated_count"`
	Tried
}

func (h *handlers) updateColumns(ctx context.Context, ws *Opened, in *updateColumnsIn, faults *problem.Faults) (columnsUpdated, error) {
	patches := make([]projectdb.NamedPatch, len(in.Body.Columns))
	for i, patch := range in.Body.Columns {
		name, id := patch.Name.Ptr(), patch.ID.Ptr()
		if (name == nil) == (id == nil) {
			faults.Add("columns["+strconv.Itoa(i)+"]", "Identify the column by either column_name or id.")
		}
		patches[i] = projectdb.NamedPatch{Column: refOf(name, id), ColumnPatch: patch.order()}
	}
	plan := in.plan()
	return columnsUpdated{len(patches), Tried{plan}}, in.database(ws, plan).UpdateColumns(ctx, faults, string(in.Table), patches)
}

func refOf(name *string, id *int64) string {
	switch {
	case name != nil:
		return *name
	case id != nil:
		return strconv.FormatInt(*id, 10)
	}
	return ""
}

type columnDeleted struct {
	Deleted bool   `json:"deleted" doc:"False if it was only tried."`
	Name    string `json:"column_name"`
	Tried
}

type deleteColumnIn struct {
	columnRefIn
	dryRunIn
}

func (h *handlers) deleteColumn(ctx context.Context, ws *Opened, in *deleteColumnIn, faults *problem.Faults) (columnDeleted, error) {
	plan := in.plan()
	name, err := in.database(ws, plan).DeleteColumn(ctx, faults, string(in.Table), string(in.Column))
	return columnDeleted{plan == nil, name, Tried{plan}}, err
}
