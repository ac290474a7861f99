package projectdb

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Table is one table of a project: its shape in SQLite, and the id and times from the
// catalog.
type Table struct {
	ID          ids.Table
	Name        string
	DisplayName *string
	CreatedAt   string // UTC, 2006-01-02T15:04:05Z
	UpdatedAt   string
	LabelColumn string // the column that names a row to people; "" if none was chosen

	Columns       []Column // in order, including generated ones
	PrimaryKey    []KeyPart
	Autoincrement bool
	WithoutRowid  bool
	// RowidKey means that the single primary key column is an alias of the rowid.
	RowidKey    bool
	Uniques     []Unique
	ForeignKeys []ForeignKey
	Checks      []string // expressions of column and table CHECK constraints
	Indexes     []Index
	Search      *SearchIndex // nil for none
	// Refused says why rows of the table cannot be used: it has an expression that is
	// no longer allowed. It is "" in every table created today.
	Refused string
	// ConflictClauses are the ON CONFLICT clauses of constraints, other than ABORT.
	// Our own tables have none, and CreateSQL omits them.
	ConflictClauses []string

	places map[string]int // indexes of the columns of a wide table, by folded name; see indexColumns
}

// Column is one column of a table.
type Column struct {
	ID        int64
	Name      string
	Type      string // INTEGER, REAL, TEXT, BLOB or ANY
	NotNull   bool
	Default   string // the SQL expression, or ""
	Collation string // "" means BINARY
	Generated string // the SQL expression of a generated column, or ""
	Stored    bool   // whether the value of a generated column is stored
	// MaxBytes is the maximum length of a text or blob used by expressions of the
	// table; 0 means any length. It is set in tables from the catalog.
	MaxBytes  int
	CreatedAt string
	UpdatedAt string
}

// KeyPart is one column or expression of a key or index.
type KeyPart struct {
	Column     string // "" for an expression
	Expression string
	Collation  string // "" means the collation of the column
	Descending bool
}

// Unique is a UNIQUE constraint.
type Unique struct {
	Columns []KeyPart
}

// ForeignKey is a reference to another table. Without parent columns it refers to the
// parent's primary key.
type ForeignKey struct {
	Columns       []string
	Parent        string
	ParentColumns []string
	OnUpdate      string // "NO ACTION", "CASCADE", …
	OnDelete      string
	Deferred      bool
}

// Index is one index of a table. SQLite itself creates those with origin "u" and "pk",
// for UNIQUE constraints and primary keys.
type Index struct {
	Name   string
	Table  string
	Unique bool
	Origin string // "c", "u" or "pk"
	Parts  []KeyPart
	Where  string // the condition of a partial index
}

// Partial reports whether the index covers only some rows.
func (x Index) Partial() bool { return x.Where != "" }

// Managed reports whether the index can be dropped on its own.
func (x Index) Managed() bool { return x.Origin == "c" }

// Columns returns the names of the indexed columns, with "" for an expression.
func (x Index) Columns() []string { return columnNames(x.Parts) }

func columnNames(parts []KeyPart) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Column
	}
	return names
}

// indexColumns lets [Table.Column] find the columns of a wide table quickly: otherwise
// a row of 2,000 values would take 2,000,000 name comparisons.
func (t *Table) indexColumns() {
	const narrow = 16
	if len(t.Columns) <= narrow {
		return
	}
	t.places = make(map[string]int, len(t.Columns))
	for i, column := range t.Columns {
		t.places[sqlite.Fold(column.Name)] = i
	}
}

// columnWithID returns the column with the given id, or nil. An id is never used again.
func (t *Table) columnWithID(id int64) *Column {
	for i := range t.Columns {
		if t.Columns[i].ID == id {
			return &t.Columns[i]
		}
	}
	return nil
}

// Column returns the column with the given name, in any letter case, or nil.
func (t *Table) Column(name string) *Column {
	// A copy of the table may have gained other columns since.
	if t.places != nil {
		if i, ok := t.places[sqlite.Fold(name)]; ok && i < len(t.Columns) && sqlite.SameName(t.Columns[i].Name, name) {
			return &t.Columns[i]
		}
	}
	for i := range t.Columns {
		if sqlite.SameName(t.Columns[i].Name, name) {
			return &t.Columns[i]
		}
	}
	return nil
}

// unknownColumn notes that the table has no column with the name.
func (t *Table) unknownColumn(faults *problem.Faults, field, name string) {
	if faults.Full() || faults.Has(field) {
		return // the names need not be listed
	}
	faults.Unknown(field, "column", name, "in the table "+t.Name, t.columnNames())
}

func (t *Table) columnNames() []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return names
}

// RowidName returns a name that refers to the rowid, or "" if the table has no rowid
// or has columns with all of its names.
func (t *Table) RowidName() string { return t.rowidName() }

// IsPrimary reports whether the column is part of the primary key.
func (t *Table) IsPrimary(column string) bool {
	for _, part := range t.PrimaryKey {
		if sqlite.SameName(part.Column, column) {
			return true
		}
	}
	return false
}

// KeyColumns returns the names of the columns of the primary key, in its order.
func (t *Table) KeyColumns() []string { return columnNames(t.PrimaryKey) }

// uniqueKeys yields the primary key and all other unique keys.
func (t *Table) uniqueKeys() iter.Seq[[]KeyPart] {
	return func(yield func([]KeyPart) bool) {
		if len(t.PrimaryKey) > 0 && !yield(t.PrimaryKey) {
			return
		}
		for _, u := range t.Uniques {
			if !yield(u.Columns) {
				return
			}
		}
		for _, x := range t.Indexes {
			if x.Unique && !x.Partial() && !yield(x.Parts) {
				return
			}
		}
	}
}

// IsUnique reports whether no two rows can have the same value in the column, because
// of a constraint, a unique index or because it is the whole primary key.
func (t *Table) IsUnique(column string) bool {
	for key := range t.uniqueKeys() {
		if len(key) == 1 && sqlite.SameName(key[0].Column, column) {
			return true
		}
	}
	return false
}

// HasKey reports whether the columns, in any order, are the primary key or a unique
// key that compares values as the columns do, as a foreign key requires.
func (t *Table) HasKey(columns []string) bool { return t.findKey(columns, false) != nil }

// findKey returns the key that [Table.HasKey] looks for, or nil. With
// anyCollation it is enough that values are unique under some collation, which is what
// SQLite requires of an upsert.
func (t *Table) findKey(columns []string, anyCollation bool) []KeyPart {
	for key := range t.uniqueKeys() {
		if len(key) == len(columns) && !slices.ContainsFunc(key, func(p KeyPart) bool {
			return p.Collation != "" && !anyCollation || !sqlite.ContainsName(columns, p.Column)
		}) {
			return key
		}
	}
	return nil
}

// ReadTable reads the shape of a table from any SQLite database, ours or not. Types
// are as declared there; ids and times are empty. SQLite's pragmas give nearly
// everything; the rest is read from the CREATE statement.
func ReadTable(c sqlite.Source, name string) (Table, error) {
	return (&shapes{c: c}).table(name)
}

// shapes reads the shapes of tables. SQLite has no index on its schema: looking up the
// statements of all tables one by one takes quadratic time.
type shapes struct {
	c            sqlite.Source
	statements   map[string]string // of tables and indexes, by kind and name; if nil, each is looked up
	withoutRowid map[string]bool   // by table name
}

// allShapes prepares for reading many tables.
func allShapes(c sqlite.Source) (*shapes, error) {
	all := &shapes{c: c, statements: map[string]string{}, withoutRowid: map[string]bool{}}
	err := c.Rows("SELECT type, name, sql FROM sqlite_schema", nil, func(s sqlite.Row) error {
		all.statements[s.Text(0)+" "+s.Text(1)] = s.Text(2)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.Rows("SELECT name FROM pragma_table_list WHERE schema = 'main' AND wr <> 0", nil, func(s sqlite.Row) error {
		all.withoutRowid[s.Text(0)] = true
		return nil
	})
	return all, err
}

// statement returns the CREATE statement of a table or an index.
func (r *shapes) statement(kind, name string) (string, error) {
	if r.statements != nil {
		return r.statements[kind+" "+name], nil
	}
	return r.c.Text("SELECT sql FROM sqlite_schema WHERE type = ? AND name = ?", kind, name)
}

func (r *shapes) table(name string) (Table, error) {
	t := Table{Name: name}
	statement, err := r.statement("table", name)
	if err != nil {
		return t, err
	}
	written := parseCreateTable(statement)
	t.Autoincrement = written.autoincrement
	t.Checks = written.checks
	t.ConflictClauses = written.conflicts
	for _, read := range []func(*Table) error{r.readColumns, r.readRowid, r.readIndexes, r.readForeignKeys} {
		if err := read(&t); err != nil {
			return t, fmt.Errorf("read the shape of table %s: %w", name, err)
		}
	}
	written.complete(&t)
	return t, nil
}

// DisplayNames returns the display names of tables, by folded table name, and whether
// the database is a project's.
func DisplayNames(c sqlite.Source) (names map[string]string, ours bool, err error) {
	id, err := c.Int("PRAGMA application_id")
	if err != nil || id != int64(schema.ApplicationID) {
		return nil, false, err
	}
	catalogs, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_tables'")
	if err != nil || catalogs == 0 {
		return nil, true, err
	}
	names = map[string]string{}
	err = c.Rows("SELECT table_name, display_name FROM _tables WHERE display_name IS NOT NULL", nil, func(s sqlite.Row) error {
		names[sqlite.Fold(s.Text(0))] = s.Text(1)
		return nil
	})
	return names, true, err
}

func (r *shapes) readColumns(t *Table) error {
	key := map[int64]KeyPart{}
	const query = `SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid`
	err := r.c.Rows(query, []any{t.Name}, func(s sqlite.Row) error {
		column := Column{Name: s.Text(0), Type: s.Text(1), NotNull: s.Int(2) != 0, Default: withoutComments(s.Text(3))}
		if pk := s.Int(4); pk > 0 {
			key[pk] = KeyPart{Column: column.Name}
		}
		if hidden := s.Int(5); hidden == 1 {
			return nil // a hidden column of a virtual table
		} else if hidden != 0 {
			column.Stored = hidden == 3
			column.Type = withoutGenerated(column.Type)
		}
		t.Columns = append(t.Columns, column)
		return nil
	})
	for i := int64(1); i <= int64(len(key)); i++ {
		t.PrimaryKey = append(t.PrimaryKey, key[i])
	}
	return err
}

// withoutGenerated removes a trailing GENERATED ALWAYS, which SQLite counts as part of
// a generated column's type.
func withoutGenerated(declared string) string {
	folded := strings.ToUpper(declared)
	if i := strings.LastIndex(folded, "GENERATED ALWAYS"); i >= 0 {
		return strings.TrimSpace(declared[:i])
	}
	return declared
}

func (r *shapes) readRowid(t *Table) error {
	if r.withoutRowid != nil {
		t.WithoutRowid = r.withoutRowid[t.Name]
		return nil
	}
	without, err := r.c.Int("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", t.Name)
	t.WithoutRowid = without != 0
	return err
}

func (r *shapes) readIndexes(t *Table) error {
	keyHasIndex := false
	const query = `SELECT name, "unique", origin FROM pragma_index_list(?) ORDER BY seq DESC`
	err := r.c.Rows(query, []any{t.Name}, func(s sqlite.Row) error {
		x := Index{Name: s.Text(0), Table: t.Name, Unique: s.Int(1) != 0, Origin: s.Text(2)}
		if err := r.readIndexParts(&x); err != nil {
			return err
		}
		switch x.Origin {
		case "u":
			t.Uniques = append(t.Uniques, Unique{x.Parts})
		case "pk":
			keyHasIndex = true
			t.PrimaryKey = x.Parts
		}
		t.Indexes = append(t.Indexes, x)
		return nil
	})
	// INTEGER PRIMARY KEY has no index of its own: the table is ordered by it. INTEGER
	// PRIMARY KEY DESC has one, due to an old bug in SQLite.
	t.RowidKey = len(t.PrimaryKey) == 1 && !t.WithoutRowid && !keyHasIndex &&
		strings.EqualFold(t.Column(t.PrimaryKey[0].Column).Type, "INTEGER")
	return err
}

func (r *shapes) readIndexParts(x *Index) error {
	const query = `SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE "key" = 1 ORDER BY seqno`
	err := r.c.Rows(query, []any{x.Name}, func(s sqlite.Row) error {
		part := KeyPart{Column: s.Text(0), Descending: s.Int(1) != 0, Collation: s.Text(2)}
		x.Parts = append(x.Parts, part)
		return nil
	})
	if err != nil || x.Origin != "c" {
		return err
	}
	statement, err := r.statement("index", x.Name)
	if err != nil {
		return err
	}
	expressions, where := parseCreateIndex(statement)
	x.Where = where
	for i := range x.Parts {
		if x.Parts[i].Column == "" && i < len(expressions) {
			x.Parts[i].Expression = expressions[i]
		}
	}
	return nil
}

func (r *shapes) readForeignKeys(t *Table) error {
	const query = `SELECT seq, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq`
	return r.c.Rows(query, []any{t.Name}, func(s sqlite.Row) error {
		if s.Int(0) == 0 {
			t.ForeignKeys = append(t.ForeignKeys, ForeignKey{Parent: s.Text(1), OnUpdate: s.Text(4), OnDelete: s.Text(5)})
		}
		key := &t.ForeignKeys[len(t.ForeignKeys)-1]
		key.Columns = append(key.Columns, s.Text(2))
		if !s.IsNull(3) {
			key.ParentColumns = append(key.ParentColumns, s.Text(3))
		}
		return nil
	})
}
