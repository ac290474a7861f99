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

	DefaultExpression rest.Optional[string]    `json:"default_expression,omitzero" doc:"A default that is computed for each row: CURRENT_TIMESTAMP (UTC, to the second), now_ms (milliseconds since 1970) or uuid (a random UUID)."`
	References        rest.Optional[reference] `json:"references,omitzero" doc:"The record that a value of the column refers to."`
}

// reference says which record a value refers to.
type reference struct {
	Table    string                `json:"table"`
	Column   rest.Optional[string] `json:"column,omitzero" doc:"The primary key or a unique column of that table; its primary key when absent."`
	OnDelete string                `json:"on_delete,omitzero" doc:"What happens to the record that refers when the other is deleted: NO ACTION (the deletion is refused), RESTRICT, CASCADE, SET NULL or SET DEFAULT."`
	OnUpdate string                `json:"on_update,omitzero" doc:"The same for a change of the key referred to."`
}

func (r *reference) order() *projectdb.Target {
	if r == nil {
		return nil
	}
	order := &projectdb.Target{Table: r.Table, OnDelete: r.OnDelete, OnUpdate: r.OnUpdate}
	if column := r.Column.Ptr(); column != nil {
		order.Columns = []string{*column}
	}
	return order
}

// newForeignKey is a foreign key of one or more columns to create.
type newForeignKey struct {
	Columns       []string `json:"columns" minItems:"1"`
	ParentTable   string   `json:"parent_table" alias:"table"`
	ParentColumns []string `json:"parent_columns,omitzero" doc:"The primary key when absent."`
	OnDelete      string   `json:"on_delete,omitzero"`
	OnUpdate      string   `json:"on_update,omitzero"`
}

func foreignKeyOrders(keys []newForeignKey) []projectdb.NewForeignKey {
	orders := make([]projectdb.NewForeignKey, len(keys))
	for i, key := range keys {
		orders[i] = projectdb.NewForeignKey{Columns: key.Columns, Target: projectdb.Target{
			Table: key.ParentTable, Columns: key.ParentColumns, OnDelete: key.OnDelete, OnUpdate: key.OnUpdate,
		}}
	}
	return orders
}

func (n newColumn) order() projectdb.NewColumn {
	return projectdb.NewColumn{
		Name: n.Name, Type: n.Type, Primary: n.Primary.Or(false), Unique: n.Unique.Or(false),
		NotNull: !n.Nullable.Or(true), Default: jsontext.Value(n.Default),
		DefaultExpression: n.DefaultExpression.Value, References: n.References.Ptr().order(),
	}
}

// NewTable is a table to create.
type NewTable struct {
	Name        string                `json:"table_name"`
	DisplayName rest.Optional[string] `json:"display_name,omitzero"`
	Columns     []newColumn           `json:"columns,omitzero" maxItems:"2000" doc:"If none is a primary key, the table gets a first column id."`
	ForeignKeys []newForeignKey       `json:"foreign_keys,omitzero" maxItems:"200" doc:"The tables that it refers to, by one or several columns."`
}

func (n NewTable) order() projectdb.NewTable {
	order := projectdb.NewTable{Name: n.Name, DisplayName: n.DisplayName.Ptr(), ForeignKeys: foreignKeyOrders(n.ForeignKeys)}
	for _, column := range n.Columns {
		order.Columns = append(order.Columns, column.order())
	}
	return order
}

type newTableIn struct {
	dryRunIn
	Body NewTable
}

// tableCreated is a new table, or what would be one.
type tableCreated struct {
	TableWithColumns
	Tried
}

// TableWithColumns is a table with its columns.
type TableWithColumns struct {
	Table   projectdb.TableObject    `json:"table"`
	Columns []projectdb.ColumnObject `json:"columns"`
}

func (h *handlers) createTable(ctx context.Context, ws *Workspace, in *newTableIn, faults *problem.Faults) (out tableCreated, err error) {
	out.Plan = in.plan()
	err = changeSchema(ctx, ws, faults, projectdb.SchemaTransaction, out.Plan, func(tx *projectdb.Tx) error {
		t, err := tx.CreateTable(faults, in.Body.order())
		out.TableWithColumns = TableWithColumns{t.Object(), t.ColumnObjects()}
		return err
	})
	return out, err
}

type tableRefIn struct {
	Table rest.Ref `path:"table_id_or_name"`
}

// tableShown is a table with all that belongs to its shape.
type tableShown struct {
	TableWithColumns
	PrimaryKey []string `json:"primary_key" doc:"Empty in an imported table without one: SQLite's rowid is the id of its records."`
	projectdb.Relations
	LabelColumn *string `json:"label_column" doc:"The column that names a record to people."`
}

func (h *handlers) getTable(ctx context.Context, ws *Opened, in *tableRefIn) (out tableShown, err error) {
	visible := func(t *projectdb.Table) bool { return ws.MayTable(registry.SchemaRead, t.ID) }
	t, relations, err := ws.DB.Relations(ctx, string(in.Table), visible)
	if err == nil {
		err = ws.RequireTable(registry.SchemaRead, t.ID)
	}
	if err != nil {
		return out, err
	}
	return tableShown{TableWithColumns{t.Object(), t.ColumnObjects()}, t.KeyColumns(), relations, t.Label()}, nil
}

type updateTableIn struct {
	tableRefIn
	dryRunIn
	Body struct {
		DisplayName rest.Optional[string] `json:"display_name,omitzero"`
		NewName     rest.Optional[string] `json:"new_table_name,omitzero"`
		LabelColumn rest.Optional[string] `json:"label_column,omitzero" doc:"The column that names a record to people, such as name or title; null for none."`

		ForeignKeys rest.Optional[[]newForeignKey] `json:"foreign_keys,omitzero" maxItems:"200" doc:"In place of all foreign keys that the table has."`
	}
}

type tableUpdated struct {
	Table       projectdb.TableObject `json:"table"`
	LabelColumn **string              `json:"label_column,omitzero" doc:"When the call has set it."`
	Tried
}

func (h *handlers) updateTable(ctx context.Context, ws *Opened, in *updateTableIn, faults *problem.Faults) (out tableUpdated, err error) {
	patch := projectdb.TablePatch{NewName: in.Body.NewName.Ptr()}
	if name := in.Body.DisplayName.Ptr(); in.Body.DisplayName.Sent {
		patch.DisplayName = &name
	}
	if name := in.Body.LabelColumn.Ptr(); in.Body.LabelColumn.Sent {
		patch.LabelColumn = &name
	}
	if in.Body.ForeignKeys.Sent {
		keys := foreignKeyOrders(in.Body.ForeignKeys.Value)
		patch.ForeignKeys = &keys
	}
	out.Plan = in.plan()
	t, err := in.database(ws, out.Plan).UpdateTable(ctx, faults, string(in.Table), patch)
	if err != nil {
		return out, err
	}
	out.Table = t.Object()
	if in.Body.LabelColumn.Sent {
		label := t.Label()
		out.LabelColumn = &label
	}
	return out, nil
}

type tableDeleted struct {
	Deleted bool   `json:"deleted" doc:"False if it was only tried."`
	Name    string `json:"table_name"`
	Tried
}

type deleteTableIn struct {
	tableRefIn
	dryRunIn
}

func (h *handlers) deleteTable(ctx context.Context, ws *Opened, in *deleteTableIn) (tableDeleted, error) {
	plan := in.plan()
	name, err := in.database(ws, plan).DeleteTable(ctx, string(in.Table))
	return tableDeleted{plan == nil, name, Tried{plan}}, err
}
