package projectdb

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// quote quotes a name as an SQL identifier.
func quote(name string) string { return format.QuoteIdent(name) }

// NewTable is a table to be created. If no column is a primary key, it gets a first
// column id INTEGER PRIMARY KEY AUTOINCREMENT.
type NewTable struct {
	Name        string
	DisplayName *string
	Columns     []NewColumn
	ForeignKeys []NewForeignKey
}

// NewColumn is a column to be created.
type NewColumn struct {
	Name    string
	Type    string // "" is TEXT
	Primary bool
	Unique  bool
	NotNull bool
	Default jsontext.Value // a JSON scalar; nil or null for none
	// DefaultExpression names a default that is computed for each row, see
	// computedDefaults; "" for none.
	DefaultExpression string
	// References makes a foreign key of the column alone, unless it is nil.
	References *Target
}

// columnTypes are the types that a column can have.
var columnTypes = []string{"INTEGER", "REAL", "TEXT", "BLOB", "ANY"}

// CreateTable creates an empty table. As in every method that takes them, faults are
// those that the caller has already found in the request: the method adds its own, and
// changes nothing while there are any.
func (db *DB) CreateTable(ctx context.Context, faults *problem.Faults, table NewTable) (Table, error) {
	return changing(ctx, db, faults, SchemaTransaction, func(tx *Tx) (Table, error) { return tx.CreateTable(faults, table) })
}

// CreateTable is [DB.CreateTable] inside the transaction.
func (tx *Tx) CreateTable(faults *problem.Faults, table NewTable) (Table, error) {
	cat, err := tx.catalog()
	if err != nil {
		return Table{}, err
	}
	shape := table.shape(faults, "", cat.named)
	if err := faults.Err(); err != nil {
		return Table{}, err
	}
	return tx.createTable(shape)
}

// shape returns the table that n describes and notes every fault in it.
func (n NewTable) shape(faults *problem.Faults, prefix string, find tableFinder) Table {
	CheckName(faults, prefix+"table_name", n.Name)
	t := Table{Name: n.Name, DisplayName: n.DisplayName}
	seen := map[string]bool{}
	for i, column := range n.Columns {
		if faults.Full() {
			break
		}
		field := prefix + "columns[" + itoa(i) + "]."
		t.addColumn(faults, field, column)
		if name := sqlite.Fold(column.Name); seen[name] {
			faults.Add(field+"column_name", "Another column of the table has this name.")
		} else {
			seen[name] = true
		}
	}
	if len(t.PrimaryKey) == 0 {
		if seen["id"] {
			faults.Add(prefix+"columns", "A table without a primary key gets a column id, but that name is taken: make id the primary key.")
		}
		t.Columns = append([]Column{{Name: "id", Type: "INTEGER"}}, t.Columns...)
		t.PrimaryKey = []KeyPart{{Column: "id"}}
	}
	if len(t.Columns) > MaxColumns {
		faults.Add("columns", "The table would have %d columns, including its key; at most %d are possible.", len(t.Columns), MaxColumns)
	}
	t.Autoincrement = true
	t.setRowidKey()
	n.refer(faults, prefix, &t, find)
	return t
}

// refer adds the foreign keys of a new table to its shape, which is otherwise complete:
// it may refer to itself.
func (n NewTable) refer(faults *problem.Faults, prefix string, t *Table, find tableFinder) {
	r := newReferring(t, find)
	for i, column := range n.Columns {
		if faults.Full() {
			return
		}
		r.newKey(faults, prefix+"columns["+itoa(i)+"].", column.Name, column.References)
	}
	r.newKeys(faults, prefix, n.ForeignKeys)
}

func (t *Table) addColumn(faults *problem.Faults, field string, n NewColumn) {
	CheckName(faults, field+"column_name", n.Name)
	column := Column{Name: n.Name, Type: strings.ToUpper(n.Type), NotNull: n.NotNull && !n.Primary}
	if column.Type == "" {
		column.Type = "TEXT"
	}
	if !isColumnType(column.Type) {
		faults.WrongChoice(field+"column_type", columnTypes)
	}
	if n.Default != nil {
		column.setDefault(faults, field+"default_value", n.Default)
	}
	if n.DefaultExpression != "" {
		column.replaceDefault(faults, field, n.DefaultExpression)
	}
	switch {
	case n.Primary:
		t.PrimaryKey = append(t.PrimaryKey, KeyPart{Column: n.Name})
	case n.Unique:
		t.Uniques = append(t.Uniques, Unique{[]KeyPart{{Column: n.Name}}})
	}
	t.Columns = append(t.Columns, column)
}

func isColumnType(name string) bool {
	for _, t := range columnTypes {
		if t == name {
			return true
		}
	}
	return false
}

// literal returns a value as an SQL literal.
func literal(v sqlite.Value) string {
	var b sqlite.Batch
	b.Reset(1)
	b.Append(v)
	return string(format.AppendLiteral(nil, &b, b.Row(0)[0]))
}

// createTable creates the table and its entries in the catalog.
func (tx *Tx) createTable(t Table) (Table, error) {
	created, err := tx.makeTable(t)
	if err == nil {
		err = tx.changed(created.ID)
	}
	return created, err
}

// makeTable is createTable for callers that mark the catalog as changed themselves.
func (tx *Tx) makeTable(t Table) (Table, error) {
	c := tx.c
	if err := refuseTakenName(c, t.Name, "table_name"); err != nil {
		return t, err
	}
	if err := c.Exec(t.CreateSQL()); err != nil {
		return t, err
	}
	now := tx.now()
	const insertTable = "INSERT INTO _tables (table_name, display_name, created_at, updated_at) VALUES (?, ?, ?, ?)"
	if err := c.Exec(insertTable, t.Name, optional(t.DisplayName), now, now); err != nil {
		return t, err
	}
	t.ID = ids.Table(c.LastInsertRowID())
	if err := tx.refuseMoreTables(t.ID); err != nil {
		return t, err
	}
	for _, column := range t.Columns {
		if err := insertColumnEntry(c, t.ID, column.Name, now); err != nil {
			return t, err
		}
	}
	created, err := reloadOne(c, t.ID)
	if err != nil {
		return t, err
	}
	return *created, nil
}

// refuseMoreTables fails if the newest table exceeds the limit. Ids are never reused,
// so tables only need counting when the newest id is large.
func (tx *Tx) refuseMoreTables(newest ids.Table) error {
	maxTables := tx.db.maxTables
	if maxTables == 0 || newest <= ids.Table(maxTables) {
		return nil
	}
	n, err := tx.c.Int("SELECT count(*) FROM _tables")
	if err == nil && n > int64(maxTables) {
		err = problem.New(problem.CodeConflict, "The project already has %d tables, which is the maximum. Delete one that is not needed.", maxTables)
	}
	return err
}

func insertColumnEntry(c *sqlite.Conn, tableID ids.Table, name, now string) error {
	const query = "INSERT INTO _columns (table_id, column_name, created_at, updated_at) VALUES (?, ?, ?, ?)"
	return c.Exec(query, tableID, name, now, now)
}

// reloadOne reads a table as the open transaction has left it; nil if it is gone.
func reloadOne(c *sqlite.Conn, id ids.Table) (t *Table, err error) {
	err = c.Query(tableEntries+" WHERE id = ?", []any{id}, func(s *sqlite.Stmt) error {
		read, err := loadTable(c, &shapes{c: c}, s)
		t = &read
		return err
	})
	return t, err
}

// optional returns a text to bind, or NULL.
func optional(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

// TablePatch is a change of a table; nil leaves a property as it is.
type TablePatch struct {
	NewName     *string
	DisplayName **string         // a nil text removes the display name
	LabelColumn **string         // a nil name removes the label
	ForeignKeys *[]NewForeignKey // in place of all that the table has
}

// UpdateTable changes the names and the label of a table. Foreign keys follow a rename.
func (db *DB) UpdateTable(ctx context.Context, faults *problem.Faults, ref string, patch TablePatch) (updated Table, err error) {
	if patch.NewName != nil {
		CheckName(faults, "new_table_name", *patch.NewName)
	}
	kind := SchemaTransaction
	if patch.ForeignKeys != nil {
		kind = RebuildTransaction
	}
	err = db.changeTable(ctx, faults, kind, ref, func(tx *Tx, t *Table) error {
		if err := tx.planDependents(t, nil); err != nil {
			return err
		}
		label, keys := patch.label(faults, t), patch.foreignKeys(faults, t, tx.cat)
		if err := faults.Err(); err != nil {
			return err
		}
		if err := tx.replaceKeys(t, keys); err != nil {
			return err
		}
		if patch.NewName != nil && *patch.NewName != t.Name {
			if err := renameTable(tx.c, t, *patch.NewName); err != nil {
				return err
			}
		}
		const set = "UPDATE _tables SET display_name = ?, label_column_id = ? WHERE id = ?"
		if err := tx.c.Exec(set, optional(patch.displayName(t)), label, t.ID); err != nil {
			return err
		}
		if err := tx.touch(t, tx.now()); err != nil {
			return err
		}
		after, err := reloadOne(tx.c, t.ID)
		if err == nil {
			updated = *after
		}
		return err
	})
	return updated, err
}

// foreignKeys returns the foreign keys of the table after the change.
func (p TablePatch) foreignKeys(faults *problem.Faults, t *Table, cat *catalog) []ForeignKey {
	if p.ForeignKeys == nil {
		return t.ForeignKeys
	}
	after := t.clone()
	after.ForeignKeys = nil
	newReferring(&after, cat.named).newKeys(faults, "", *p.ForeignKeys)
	return after.ForeignKeys
}

// displayName returns the display name of the table after the change.
func (p TablePatch) displayName(t *Table) *string {
	if p.DisplayName != nil {
		return *p.DisplayName
	}
	return t.DisplayName
}

// label returns the id of the label column after the change, or nil.
func (p TablePatch) label(faults *problem.Faults, t *Table) any {
	name := t.Label()
	if p.LabelColumn != nil {
		name = *p.LabelColumn
	}
	if name == nil {
		return nil
	}
	column := t.Column(*name)
	if column == nil {
		t.unknownColumn(faults, "label_column", *name)
		return nil
	}
	return column.ID
}

func renameTable(c *sqlite.Conn, t *Table, name string) error {
	from := t.Name
	if sqlite.SameName(from, name) {
		// SQLite considers a name taken if it differs only in letter case.
		if err := c.Exec("ALTER TABLE " + quote(from) + " RENAME TO _rename"); err != nil {
			return err
		}
		from = "_rename"
	}
	if err := refuseTakenName(c, name, "new_table_name"); err != nil {
		return err
	}
	if err := c.Exec("ALTER TABLE " + quote(from) + " RENAME TO " + quote(name)); err != nil {
		return err
	}
	return c.Exec("UPDATE _tables SET table_name = ? WHERE id = ?", name, t.ID)
}

// DeleteTable deletes a table with its rows and indexes. A table that another one
// refers to is a conflict.
func (db *DB) DeleteTable(ctx context.Context, ref string) (deleted string, err error) {
	err = db.changeTable(ctx, new(problem.Faults), freeing+RebuildTransaction, ref, func(tx *Tx, t *Table) error {
		for _, other := range tx.cat.tables {
			if other.ID != t.ID && other.refersTo(t.Name) {
				return problem.New(problem.CodeConflict, "A foreign key of the table %s refers to this table.", other.Name)
			}
		}
		deleted = t.Name
		if err := cmp.Or(tx.planDependents(t, nil), tx.planRows(t)); err != nil {
			return err
		}
		if err := tx.c.Exec("DROP TABLE " + quote(t.Name)); err != nil {
			return err
		}
		// Foreign keys are off here, so the columns are deleted explicitly.
		for _, query := range []string{"DELETE FROM _columns WHERE table_id = ?", "DELETE FROM _saved WHERE table_id = ?", "DELETE FROM _tables WHERE id = ?"} {
			if err := tx.c.Exec(query, t.ID); err != nil {
				return err
			}
		}
		return tx.changed(t.ID)
	})
	return deleted, err
}

func (t *Table) refersTo(parent string) bool {
	return slices.ContainsFunc(t.ForeignKeys, func(k ForeignKey) bool { return sqlite.SameName(k.Parent, parent) })
}
