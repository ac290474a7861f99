package projectdb

import (
	"slices"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// SchemaPlan is what a change of the schema would do, found by making it and rolling it
// back.
type SchemaPlan struct {
	Rebuilt      []string    `json:"rebuilt_tables" doc:"Tables that would be written anew, with all of their rows."`
	RowsAffected int64       `json:"rows_affected" doc:"Rows that would be written anew, indexed or deleted."`
	Dependents   []Dependent `json:"dependents" doc:"What depends on the table or the columns that the change is about."`
}

// Dependent is something that depends on a table or a column.
type Dependent struct {
	Kind  string `json:"kind" enum:"index,foreign_key,check,generated_column,search_index,label_column,saved_filter"`
	Table string `json:"table" doc:"The table that it belongs to."`
	Name  string `json:"name" doc:"Of an index, a generated column or a saved filter; the columns of a foreign key, the expression of a check."`
}

// Trying returns the database for changes that are only tried: each is rolled back, and
// the plan says what it would do.
func (db *DB) Trying(plan *SchemaPlan) *DB {
	held := *db
	held.plan = plan
	return &held
}

// try makes a change, checks what the end of its transaction would check, and fails
// with errTried in order to roll it back.
func (db *DB) try(fn func(*Tx) error) func(*Tx) error {
	return func(tx *Tx) error {
		*db.plan = SchemaPlan{Rebuilt: []string{}, Dependents: []Dependent{}}
		if err := fn(tx); err != nil {
			return err
		}
		if tx.kind >= RebuildTransaction {
			if err := explainBroken(tx.c.CheckForeignKeys()); err != nil {
				return err
			}
		}
		return errTried
	}
}

// planRows adds the rows of a table to those that are affected.
func (tx *Tx) planRows(t *Table) error {
	if tx.db.plan == nil {
		return nil
	}
	n, err := tx.c.Int("SELECT count(*) FROM " + quote(t.Name))
	tx.db.plan.RowsAffected += n
	return err
}

// rebuild is the function rebuild, noted in the plan.
func (tx *Tx) rebuild(t *Table, after Table) error {
	if plan := tx.db.plan; plan != nil && !slices.Contains(plan.Rebuilt, t.Name) {
		plan.Rebuilt = append(plan.Rebuilt, t.Name)
		if err := tx.planRows(t); err != nil {
			return err
		}
	}
	return rebuild(tx.c, t, after)
}

// planDependents adds what depends on a column of t, or on the table if column is nil.
func (tx *Tx) planDependents(t *Table, column *Column) error {
	plan := tx.db.plan
	if plan == nil {
		return nil
	}
	add := func(kind, table, name string) {
		if d := (Dependent{kind, table, name}); !slices.Contains(plan.Dependents, d) {
			plan.Dependents = append(plan.Dependents, d)
		}
	}
	if column == nil {
		t.eachDependent(func(kind, name string) { add(kind, t.Name, name) }, func([]string) bool { return true }, func(string) bool { return false })
	} else {
		has := func(columns []string) bool { return sqlite.ContainsName(columns, column.Name) }
		uses := func(expression string) bool { return slices.Contains(t.namedIn(expression), column) }
		t.eachDependent(func(kind, name string) { add(kind, t.Name, name) }, has, uses)
	}
	for i := range tx.cat.tables {
		child := &tx.cat.tables[i]
		for _, key := range child.ForeignKeys {
			if sqlite.SameName(key.Parent, t.Name) && (column == nil || sqlite.ContainsName(key.parentNames(t), column.Name)) {
				add("foreign_key", child.Name, identList(key.Columns))
			}
		}
	}
	if !tx.mayRead(t) {
		return nil
	}
	filters, err := tx.saved("table_id = ? AND visibility = ? ORDER BY id", t.ID, string(ProjectVisibility))
	for _, s := range filters {
		if s.TableID == t.ID {
			add("saved_filter", t.Name, s.Name)
		}
	}
	return err
}

// eachDependent calls add with everything of the table that is about columns for which
// has is true, or has an expression for which uses is true.
func (t *Table) eachDependent(add func(kind, name string), has func(columns []string) bool, uses func(expression string) bool) {
	for _, x := range t.Indexes {
		if has(columnNames(x.Parts)) || slices.ContainsFunc(x.Expressions(), uses) {
			add("index", x.Name)
		}
	}
	for _, key := range t.ForeignKeys {
		if has(key.Columns) {
			add("foreign_key", identList(key.Columns))
		}
	}
	for _, check := range t.Checks {
		if uses(check) {
			add("check", check)
		}
	}
	for _, column := range t.Columns {
		if column.Generated != "" && uses(column.Generated) {
			add("generated_column", column.Name)
		}
	}
	if t.Search != nil && has(t.Search.Columns) {
		add("search_index", "")
	}
	if t.LabelColumn != "" && has([]string{t.LabelColumn}) {
		add("label_column", t.LabelColumn)
	}
}
