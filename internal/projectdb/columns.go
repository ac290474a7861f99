package projectdb

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// ColumnPatch is a change of a column; nil leaves a property as it is.
type ColumnPatch struct {
	NewName *string
	Type    *string
	NotNull *bool
	Unique  *bool
	Default jsontext.Value // JSON null removes the default
	// DefaultExpression is a default that is computed for each row; "" removes the default.
	DefaultExpression *string
	// References makes a foreign key of the column alone in place of the one it has. A
	// nil Target removes every foreign key that the column is part of.
	References **Target
}

// NamedPatch is a patch together with the id or name of its column.
type NamedPatch struct {
	Column string
	ColumnPatch
}

// AddColumn adds a column at the end of a table. It returns the changed table and its
// new column.
func (db *DB) AddColumn(ctx context.Context, faults *problem.Faults, ref string, n NewColumn) (after Table, added *Column, err error) {
	err = db.Change(ctx, faults, RebuildTransaction, func(tx *Tx) error {
		after, added, err = tx.AddColumn(faults, ref, n)
		return err
	})
	return after, added, err
}

// AddColumn is [DB.AddColumn] inside a transaction that may rebuild tables.
func (tx *Tx) AddColumn(faults *problem.Faults, ref string, n NewColumn) (after Table, added *Column, err error) {
	err = tx.changeTable(RebuildTransaction, ref, func(tx *Tx, t *Table) error {
		if err := tx.addColumn(faults, t, n); err != nil {
			return err
		}
		now, err := reloadOne(tx.c, t.ID)
		if err != nil {
			return err
		}
		after, added = *now, now.Column(n.Name)
		return nil
	})
	return after, added, err
}

func (tx *Tx) addColumn(faults *problem.Faults, t *Table, n NewColumn) error {
	c := tx.c
	after := t.clone()
	if n.Primary {
		faults.Add("is_primary", "The primary key of a table can be chosen only when the table is created.")
		n.Primary = false
	}
	after.addColumn(faults, "", n)
	newReferring(&after, tx.cat.named).newKey(faults, "", n.Name, n.References)
	refuseRowidName(faults, "column_name", n.Name)
	if err := faults.Err(); err != nil {
		return err
	}
	if t.Column(n.Name) != nil {
		return problem.New(problem.CodeConflict, "The table %s already has a column %s.", t.Name, n.Name).With("column_name", problem.NameTaken)
	}
	if len(after.Columns) > MaxColumns {
		return problem.New(problem.CodeConflict, "The table %s already has %d columns, which is the maximum.", t.Name, len(t.Columns)).With("column_name", "Delete another column first, or create a second table.")
	}
	column := after.Column(n.Name)
	if err := t.refuseNewColumn(c, n, column); err != nil {
		return err
	}
	if n.Unique || n.DefaultExpression != "" { // ALTER TABLE takes neither
		if err := tx.rebuild(t, after); err != nil {
			return err
		}
	} else if err := c.Exec("ALTER TABLE " + quote(t.Name) + " ADD COLUMN " + after.columnSQL(column) + after.addedKey(t)); err != nil {
		return err
	}
	if n.References != nil && column.Default != "" {
		if err := tx.refuseOrphans(&after, after.ForeignKeys[len(after.ForeignKeys)-1], "references"); err != nil {
			return err
		}
	}
	now := tx.now()
	if err := insertColumnEntry(c, t.ID, column.Name, now); err != nil {
		return err
	}
	return tx.touch(t, now)
}

// addedKey returns the REFERENCES clause of a column that t has and before lacks.
func (t *Table) addedKey(before *Table) string {
	if n := len(t.ForeignKeys); n > len(before.ForeignKeys) {
		return " " + t.ForeignKeys[n-1].referencesSQL()
	}
	return ""
}

// refuseRowidName notes names that SQLite reserves for the rowid. A new table may have
// a column of such a name, but none can gain or lose it later.
func refuseRowidName(faults *problem.Faults, field string, names ...string) {
	for _, name := range names {
		if sqlite.ContainsName(rowidNames[:], name) {
			faults.Add(field, "SQLite reserves the name %s for row numbers: a column can have it only if its table is created with it.", name)
			return
		}
	}
}

// refuseNewColumn returns a conflict if existing rows of the table cannot have the
// column.
func (t *Table) refuseNewColumn(c *sqlite.Conn, n NewColumn, column *Column) error {
	rows, err := c.Int("SELECT count(*) FROM (SELECT 1 FROM " + quote(t.Name) + " LIMIT 2)")
	switch {
	case err != nil:
		return err
	case rows > 0 && column.NotNull && column.Default == "":
		return problem.New(problem.CodeConflict, "The table has rows, and they would have no value in the column.").With("is_nullable", "A column that cannot be null needs a default value here.")
	case rows > 1 && n.Unique && column.Default != "" && column.Default != uuidSQL:
		return problem.New(problem.CodeConflict, "The rows of the table would all have the default value.").With("is_unique", "A unique column cannot be added with a default value to a table with rows.")
	}
	return nil
}

// UpdateColumn changes a column. It returns the changed table and the column in it.
func (db *DB) UpdateColumn(ctx context.Context, faults *problem.Faults, ref, column string, patch ColumnPatch) (after Table, updated *Column, err error) {
	err = db.changeTable(ctx, faults, RebuildTransaction, ref, func(tx *Tx, t *Table) error {
		found, err := t.find(column)
		if err != nil {
			return err
		}
		if err := tx.planDependents(t, found); err != nil {
			return err
		}
		shape, err := patch.check(faults, "", t, found, tx.cat.named)
		if err := cmp.Or(faults.Err(), err); err != nil {
			return err
		}
		if err := tx.patchColumn(t, found, shape, patch); err != nil {
			return err
		}
		now, err := reloadOne(tx.c, t.ID)
		if err != nil {
			return err
		}
		after = *now
		updated, err = now.find(itoa(int(found.ID)))
		return err
	})
	return after, updated, err
}

// UpdateColumns changes several columns one after the other, all or nothing.
func (db *DB) UpdateColumns(ctx context.Context, faults *problem.Faults, ref string, patches []NamedPatch) error {
	return db.changeTable(ctx, faults, RebuildTransaction, ref, func(tx *Tx, t *Table) (err error) {
		for i, patch := range patches {
			if faults.Full() {
				break
			}
			field := "columns[" + itoa(i) + "]."
			column, err := t.find(patch.Column)
			if err != nil {
				t.unknownColumn(faults, strings.TrimSuffix(field, "."), patch.Column)
				continue
			}
			if err := tx.planDependents(t, column); err != nil {
				return err
			}
			after, err := patch.check(faults, field, t, column, tx.cat.named)
			if faults.Any() {
				t = after.renamed(column.Name, patch.NewName) // as the next change would find it
				continue
			}
			if err == nil {
				err = tx.patchColumn(t, column, after, patch.ColumnPatch)
			}
			if err != nil {
				if !faults.Merge(field, err) {
					return within(field, err)
				}
				continue
			}
			if t, err = tx.tableWithID(t.ID); err != nil {
				return err
			}
		}
		return faults.Err()
	})
}

// renamed returns the table with one of its columns renamed, if name is not nil.
func (t *Table) renamed(column string, name *string) *Table {
	if name != nil {
		t.Column(column).Name = *name
	}
	return t
}

// find returns the column with the given id or name, or not_found.
func (t *Table) find(ref string) (*Column, error) {
	column := find(t.Columns, ref, func(c *Column) (int64, string) { return c.ID, c.Name })
	if column == nil {
		return nil, problem.NotFound("The column", ref)
	}
	return column, nil
}

// patchColumn makes a checked change that gives the table the shape after.
func (tx *Tx) patchColumn(t *Table, column *Column, after Table, patch ColumnPatch) error {
	c := tx.c
	changedColumn := after.Column(column.Name)
	if err := refuseType(c, t, column, changedColumn); err != nil {
		return err
	}
	if patch.Default == nil {
		if err := changedColumn.keepDefault(column.Type); err != nil {
			return err
		}
	}
	if err := refuseNulls(c, t, column, changedColumn); err != nil {
		return err
	}
	if patch.Unique != nil && *patch.Unique && !t.IsUnique(column.Name) {
		if err := refuseDuplicates(c, t, []string{column.Name}, "is_unique"); err != nil {
			return err
		}
	}
	if err := tx.cat.refuseBrokenKeys(t, &after, "is_unique"); err != nil {
		return err
	}
	if patch.References != nil && *patch.References != nil {
		if err := tx.refuseOrphans(t, after.ForeignKeys[len(after.ForeignKeys)-1], "references"); err != nil {
			return err
		}
	}
	if after.CreateSQL() != t.CreateSQL() || len(after.Indexes) != len(t.Indexes) {
		if err := tx.rebuild(t, after); err != nil {
			return err
		}
	}
	return tx.renameColumn(t, column, patch.NewName)
}

// check returns the table after the change, except for a new column name, and notes
// every fault in the change. A new name that is taken is a conflict.
func (p ColumnPatch) check(faults *problem.Faults, prefix string, t *Table, column *Column, find tableFinder) (after Table, err error) {
	after = t.clone()
	changed := after.Column(column.Name)
	// The old name stays in after: SQLite renames the column itself, together with
	// everything that refers to it.
	if p.NewName != nil {
		CheckName(faults, prefix+"new_column_name", *p.NewName)
		if *p.NewName != column.Name {
			refuseRowidName(faults, prefix+"new_column_name", *p.NewName, column.Name)
		}
		if other := t.Column(*p.NewName); other != nil && other != column {
			err = problem.New(problem.CodeConflict, "The table %s already has a column %s.", t.Name, other.Name).With("new_column_name", problem.NameTaken)
		}
	}
	if p.Type != nil {
		if changed.Type = strings.ToUpper(*p.Type); !isColumnType(changed.Type) {
			faults.WrongChoice(prefix+"column_type", columnTypes)
		}
	}
	if changed.Type != column.Type && after.IsPrimary(column.Name) {
		// An INTEGER primary key is the rowid and assigns ids automatically; others do
		// not.
		after.setRowidKey()
	}
	if p.NotNull != nil && !t.IsPrimary(column.Name) { // a primary key is never null anyway
		changed.NotNull = *p.NotNull
	}
	if p.Default != nil {
		changed.setDefault(faults, prefix+"default_value", p.Default)
	}
	switch {
	case p.DefaultExpression == nil && p.Type != nil:
		changed.refuseUnfitDefault(faults, prefix+"column_type")
	case p.DefaultExpression == nil:
	case *p.DefaultExpression != "":
		if p.Default == nil {
			changed.Default = ""
		}
		changed.replaceDefault(faults, prefix, *p.DefaultExpression)
	case p.Default == nil:
		changed.Default = ""
	}
	if column.Generated != "" && (p.Type != nil || p.Default != nil || p.DefaultExpression != nil || p.NotNull != nil) {
		faults.Add(prefix+"column", "The column is generated: only its name can change.")
	}
	if p.Unique != nil {
		after.setUnique(column.Name, *p.Unique)
	}
	if p.References != nil {
		after.setReference(faults, prefix, column.Name, *p.References, find)
	}
	return after, err
}

// setReference makes a foreign key of one column, in place of the one it has, or
// removes every foreign key that the column is part of.
func (t *Table) setReference(faults *problem.Faults, prefix, column string, to *Target, find tableFinder) {
	t.ForeignKeys = deleteWhere(t.ForeignKeys, func(key ForeignKey) bool {
		return sqlite.ContainsName(key.Columns, column) && (to == nil || len(key.Columns) == 1)
	})
	newReferring(t, find).newKey(faults, prefix, column, to)
}

// keepDefault adapts the default of a column to its type after the type has changed.
func (column *Column) keepDefault(before string) error {
	var faults problem.Faults
	if value, expression := describeDefault(column.Default); column.Type != before && expression == nil {
		column.setDefault(&faults, "default_value", jsontext.Value(value))
	}
	return faults.Err()
}

// setDefault makes a JSON value the default of the column.
func (column *Column) setDefault(faults *problem.Faults, field string, raw jsontext.Value) {
	v, err := storedAs(column.Type, raw)
	switch {
	case err != nil:
		faults.Add(field, "%s", err)
	case v.Kind == sqlite.Null:
		column.Default = ""
	default:
		column.Default = literal(v)
	}
}

// SetPrimaryKey makes existing columns the primary key, as for a table created through
// the API. Call it again when the type of one of them changes.
func (t *Table) SetPrimaryKey(columns []string) {
	t.PrimaryKey = nil
	for _, name := range columns {
		t.PrimaryKey = append(t.PrimaryKey, KeyPart{Column: name})
	}
	t.Autoincrement = true
	t.setRowidKey()
}

// setRowidKey updates whether the primary key is the rowid, after the type of a column
// has changed.
func (t *Table) setRowidKey() {
	t.RowidKey = len(t.PrimaryKey) == 1 && !t.WithoutRowid && t.Column(t.PrimaryKey[0].Column).Type == "INTEGER"
	t.Autoincrement = t.Autoincrement && t.RowidKey
}

// setUnique adds a UNIQUE constraint on one column, or removes everything that makes
// it unique. A primary key stays unique.
func (t *Table) setUnique(name string, unique bool) {
	if unique {
		if !t.IsUnique(name) {
			t.Uniques = append(t.Uniques, Unique{[]KeyPart{{Column: name}}})
		}
		return
	}
	alone := func(parts []KeyPart) bool { return len(parts) == 1 && sqlite.SameName(parts[0].Column, name) }
	t.Uniques = deleteWhere(t.Uniques, func(u Unique) bool { return alone(u.Columns) })
	t.Indexes = deleteWhere(t.Indexes, func(x Index) bool { return x.Origin != "pk" && x.Unique && !x.Partial() && alone(x.Parts) })
}

// refuseType allows a type change only for a column without stored values.
func refuseType(c *sqlite.Conn, t *Table, before, after *Column) error {
	if before.Type == after.Type {
		return nil
	}
	n, err := c.Int("SELECT count(*) FROM " + quote(t.Name) + " WHERE " + quote(before.Name) + " IS NOT NULL")
	if err != nil || n == 0 {
		return err
	}
	return problem.New(problem.CodeColumnTypeLocked, "The column has %d saved values, so its type cannot change.", n).With("column_type", "%d rows have a value in the column.", n)
}

func refuseNulls(c *sqlite.Conn, t *Table, before, after *Column) error {
	if before.NotNull || !after.NotNull {
		return nil
	}
	n, err := c.Int("SELECT count(*) FROM " + quote(t.Name) + " WHERE " + quote(before.Name) + " IS NULL")
	if err != nil || n == 0 {
		return err
	}
	return problem.New(problem.CodeConflict, "%d rows have no value in the column.", n).With("is_nullable", "%d rows have no value in the column.", n)
}

// renameColumn renames a column everywhere it is used, if there is a new name, and
// records the time of the change.
func (tx *Tx) renameColumn(t *Table, column *Column, name *string) error {
	c, now := tx.c, tx.now()
	final := column.Name
	if name != nil && *name != column.Name {
		final = *name
		if err := c.Exec("ALTER TABLE " + quote(t.Name) + " RENAME COLUMN " + quote(column.Name) + " TO " + quote(final)); err != nil {
			return err
		}
	}
	if err := c.Exec("UPDATE _columns SET column_name = ?, updated_at = ? WHERE id = ?", final, now, column.ID); err != nil {
		return err
	}
	return tx.touch(t, now)
}

// touch records that a table, and perhaps names in it, have changed. t and the
// catalog are those before the change.
func (tx *Tx) touch(t *Table, now string) error {
	if err := tx.c.Exec("UPDATE _tables SET updated_at = ? WHERE id = ?", now, t.ID); err != nil {
		return err
	}
	return tx.changed(tx.cat.around(t)...)
}

// DeleteColumn drops a column with its values, and with it the indexes, unique
// constraints and foreign keys that use it.
func (db *DB) DeleteColumn(ctx context.Context, faults *problem.Faults, ref, name string) (deleted string, err error) {
	err = db.changeTable(ctx, faults, freeing+RebuildTransaction, ref, func(tx *Tx, t *Table) error {
		column, err := t.find(name)
		if err != nil {
			return err
		}
		t.refuseDeletion(faults, column)
		if err := faults.Err(); err != nil {
			return err
		}
		deleted = column.Name
		if err := tx.planDependents(t, column); err != nil {
			return err
		}
		if err := t.refuseDependents(column); err != nil {
			return err
		}
		after := t.without(column.Name)
		if err := tx.cat.refuseBrokenKeys(t, &after, "column"); err != nil {
			return err
		}
		if err := tx.rebuild(t, after); err != nil {
			return err
		}
		if err := tx.c.Exec("DELETE FROM _columns WHERE id = ?", column.ID); err != nil {
			return err
		}
		return tx.touch(t, tx.now())
	})
	return deleted, err
}

func (t *Table) refuseDeletion(faults *problem.Faults, column *Column) {
	if t.IsPrimary(column.Name) {
		faults.Add("column", "The column belongs to the primary key and cannot be deleted.")
	}
	if len(t.Columns) == 1 {
		faults.Add("column", "The last column of a table cannot be deleted.")
	}
}

// refuseBrokenKeys returns a conflict if foreign keys refer to columns of the table
// that are a unique key before the change but not after it.
func (cat *catalog) refuseBrokenKeys(before, after *Table, field string) error {
	for _, child := range cat.tables {
		if child.ID == after.ID {
			child = *after
		}
		for _, key := range child.ForeignKeys {
			if !sqlite.SameName(key.Parent, before.Name) || !before.HasKey(key.ParentColumns) || after.HasKey(key.ParentColumns) {
				continue
			}
			const sentence = "A foreign key of the table %s refers to it."
			return problem.New(problem.CodeConflict, sentence, child.Name).With(field, sentence, child.Name)
		}
	}
	return nil
}

// refuseDependents returns a conflict if an expression of the table uses the column
// together with others, so that it cannot be dropped with it.
func (t *Table) refuseDependents(column *Column) error {
	uses := func(expression string) bool { return slices.Contains(t.namedIn(expression), column) }
	var dependents []string
	for _, check := range t.Checks {
		if uses(check) && !t.isAbout(check, column) {
			dependents = append(dependents, "CHECK ("+check+")")
		}
	}
	for _, other := range t.Columns {
		if other.Generated != "" && !sqlite.SameName(other.Name, column.Name) && uses(other.Generated) {
			dependents = append(dependents, "the generated column "+other.Name)
		}
	}
	for _, x := range t.Indexes {
		if goes := sqlite.ContainsName(columnNames(x.Parts), column.Name); !goes && slices.ContainsFunc(x.Expressions(), uses) {
			dependents = append(dependents, "the index "+x.Name)
		}
	}
	if len(dependents) == 0 {
		return nil
	}
	return problem.New(problem.CodeConflict, "The column %s cannot be deleted: it is used by %s.", column.Name, strings.Join(dependents, ", "))
}

// namedIn returns the columns whose names occur in an expression.
func (t *Table) namedIn(expression string) (columns []*Column) {
	for _, token := range sqltext.Tokens(expression) {
		if column := t.Column(token.Name()); token.IsName() && column != nil {
			columns = append(columns, column)
		}
	}
	return columns
}

// isAbout reports whether an expression uses the given column and no other.
func (t *Table) isAbout(expression string, column *Column) bool {
	named := t.namedIn(expression)
	return len(named) > 0 && !slices.ContainsFunc(named, func(c *Column) bool { return c != column })
}

// without returns the table without a column and without whatever depends on that
// column alone.
func (t *Table) without(name string) Table {
	uses := func(parts []KeyPart) bool { return sqlite.ContainsName(columnNames(parts), name) }
	after := t.clone()
	after.Columns = deleteWhere(after.Columns, func(c Column) bool { return sqlite.SameName(c.Name, name) })
	column := t.Column(name)
	after.Checks = deleteWhere(after.Checks, func(check string) bool { return t.isAbout(check, column) })
	after.Uniques = deleteWhere(after.Uniques, func(u Unique) bool { return uses(u.Columns) })
	after.Indexes = deleteWhere(after.Indexes, func(x Index) bool { return uses(x.Parts) })
	after.ForeignKeys = deleteWhere(after.ForeignKeys, func(k ForeignKey) bool { return sqlite.ContainsName(k.Columns, name) })
	return after
}

// changeTable runs fn on one table in a transaction of the given kind, with the
// catalog in tx.cat.
func (db *DB) changeTable(ctx context.Context, faults *problem.Faults, kind TransactionKind, ref string, fn func(*Tx, *Table) error) error {
	return db.Change(ctx, faults, kind, func(tx *Tx) error { return tx.changeTable(kind&^freeing, ref, fn) })
}

func (tx *Tx) changeTable(kind TransactionKind, ref string, fn func(*Tx, *Table) error) error {
	if err := tx.require(kind); err != nil {
		return err
	}
	t, err := tx.table(ref)
	if err != nil {
		return err
	}
	if err := fn(tx, t); err != nil {
		return err
	}
	searched, err := tx.c.Int("SELECT count(*) FROM _search_indexes WHERE table_id = ?", t.ID)
	if err != nil || searched == 0 {
		return err
	}
	return tx.followSearch(t.ID)
}
