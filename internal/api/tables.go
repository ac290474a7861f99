package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// tableEntry is a table in a list.
type tableEntry struct {
	projectdb.TableObject
	RowCountEstimate int64 `json:"row_count_estimate" doc:"Exact for small tables."`
}

type tablesOut struct {
	Tables []tableEntry `json:"tables"`
}

func (h *handlers) listTables(ctx context.Context, ws *Opened, _ *noInput) (out tablesOut, err error) {
	tables, err := ws.DB.Tables(ctx)
	if err != nil {
		return out, err
	}
	rows, err := ws.DB.RowEstimates(ctx)
	for _, t := range tables {
		if ws.MayTable(registry.SchemaRead, t.ID) {
			out.Tables = append(out.Tables, tableEntry{t.Object(), rows[t.ID]})
		}
	}
	return out, err
}

// newColumn is a column to create.
type newColumn struct {
	Name     string     `json:"column_name" alias:"name"`
	Type     string     `json:"column_type,omitzero" alias:"type" default:"TEXT" doc:"INTEGER, REAL, TEXT, BLOB or ANY."`
	Primary  rest.Flag  `json:"is_primary,omitzero" alias:"primary"`
	Unique   rest.Flag  `json:"is_unique,omitzero" alias:"unique"`
	Nullable rest.Flag  `json:"is_nullable,omitzero" alias:"nullable" doc:"True when absent."`
	Default  rest.Value `json:"default_value,omitzero" alias:"default"`
}

func (n newColumn) order() projectdb.NewColumn {
	return projectdb.NewColumn{
		Name: n.Name, Type: n.Type, Primary: n.Primary.Or(false), Unique: n.Unique.Or(false),
		NotNull: !n.Nullable.Or(true), Default: jsontext.Value(n.Default),
	}
}

// NewTable is a table to create.
type NewTable struct {
	Name        string                `json:"table_name"`
	DisplayName rest.Optional[string] `json:"display_name,omitzero"`
	Columns     []newColumn           `json:"columns,omitzero" maxItems:"2000" doc:"If none is a primary key, the table gets a first column id."`
}

func (n NewTable) order() projectdb.NewTable {
	order := projectdb.NewTable{Name: n.Name, DisplayName: n.DisplayName.Ptr()}
	for _, column := range n.Columns {
		order.Columns = append(order.Columns, column.order())
	}
	return order
}

type newTableIn struct {
	Body NewTable
}

// TableWithColumns is a table with its columns.
type TableWithColumns struct {
	Table   projectdb.TableObject    `json:"table"`
	Columns []projectdb.ColumnObject `json:"columns"`
}

func (h *handlers) createTable(ctx context.Context, ws *Workspace, in *newTableIn, faults *problem.Faults) (out TableWithColumns, err error) {
	err = ws.Change(ctx, faults, projectdb.SchemaTransaction, func(tx *projectdb.Tx) error {
		t, err := tx.CreateTable(faults, in.Body.order())
		out = TableWithColumns{t.Object(), t.ColumnObjects()}
		return err
	})
	return out, err
}

type tableRefIn struct {
	Table rest.Ref `path:"table_id_or_name"`
}

func (h *handlers) getTable(ctx context.Context, ws *Opened, in *tableRefIn) (out TableWithColumns, err error) {
	t, err := tableOf(ctx, ws, in.Table, registry.SchemaRead)
	if err != nil {
		return out, err
	}
	return TableWithColumns{t.Object(), t.ColumnObjects()}, nil
}

type updateTableIn struct {
	tableRefIn
	Body struct {
		DisplayName rest.Optional[string] `json:"display_name,omitzero"`
		NewName     rest.Optional[string] `json:"new_table_name,omitzero"`
	}
}

type tableObjectOut struct {
	Table projectdb.TableObject `json:"table"`
}

func (h *handlers) updateTable(ctx context.Context, ws *Opened, in *updateTableIn, faults *problem.Faults) (out tableObjectOut, err error) {
	patch := projectdb.TablePatch{NewName: in.Body.NewName.Ptr()}
	if name := in.Body.DisplayName.Ptr(); in.Body.DisplayName.Sent {
		patch.DisplayName = &name
	}
	t, err := ws.DB.UpdateTable(ctx, faults, string(in.Table), patch)
	if err != nil {
		return out, err
	}
	return tableObjectOut{t.Object()}, nil
}

type tableDeleted struct {
	Deleted bool   `json:"deleted"`
	Name    string `json:"table_name"`
}

func (h *handlers) deleteTable(ctx context.Context, ws *Opened, in *tableRefIn) (tableDeleted, error) {
	name, err := ws.DB.DeleteTable(ctx, string(in.Table))
	return tableDeleted{true, name}, err
}
