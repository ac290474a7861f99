package projectdb

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
)

// CreateSQL returns the CREATE TABLE statement of the table, as a STRICT
// table, without a semicolon.
func (t *Table) CreateSQL() string {
	var lines []string
	for i := range t.Columns {
		lines = append(lines, t.columnSQL(&t.Columns[i]))
	}
	if len(t.PrimaryKey) > 0 && !t.RowidKey {
		lines = append(lines, "PRIMARY KEY ("+partsSQL(t.PrimaryKey)+")")
	}
	for _, u := range t.Uniques {
		lines = append(lines, "UNIQUE ("+partsSQL(u.Columns)+")")
	}
	for _, check := range t.Checks {
		lines = append(lines, "CHECK ("+check+")")
	}
	for _, key := range t.ForeignKeys {
		lines = append(lines, key.sql())
	}
	options := "STRICT"
	if t.WithoutRowid {
		options = "STRICT, WITHOUT ROWID"
	}
	return "CREATE TABLE " + format.QuoteIdent(t.Name) + " (\n  " + strings.Join(lines, ",\n  ") + "\n) " + options
}

// SchemaSHA256 returns the SHA-256, in hexadecimal, of the statements that create the
// table and, ordered by name, the indexes that do not come with it. Each statement
// ends in ";\n".
func (t *Table) SchemaSHA256() string {
	var indexes []string
	for _, x := range t.Indexes {
		if x.Managed() {
			indexes = append(indexes, x.CreateSQL()+";\n")
		}
	}
	slices.Sort(indexes)
	sum := sha256.Sum256([]byte(t.CreateSQL() + ";\n" + strings.Join(indexes, "")))
	return hex.EncodeToString(sum[:])
}

func (t *Table) columnSQL(column *Column) string {
	parts := []string{format.QuoteIdent(column.Name), t.typeSQL(column)}
	if t.RowidKey && t.IsPrimary(column.Name) {
		parts = append(parts, "PRIMARY KEY")
		if t.Autoincrement {
			parts = append(parts, "AUTOINCREMENT")
		}
	}
	if column.NotNull {
		parts = append(parts, "NOT NULL")
	}
	if column.Collation != "" {
		parts = append(parts, "COLLATE "+format.QuoteIdent(column.Collation))
	}
	if column.Default != "" {
		parts = append(parts, "DEFAULT ("+column.Default+")")
	}
	if column.Generated != "" {
		kind := "VIRTUAL"
		if column.Stored {
			kind = "STORED"
		}
		parts = append(parts, "GENERATED ALWAYS AS ("+column.Generated+") "+kind)
	}
	return strings.Join(parts, " ")
}

// typeSQL writes INT for an integer primary key that is not the rowid: INTEGER would
// make it the rowid.
func (t *Table) typeSQL(column *Column) string {
	if column.Type == "INTEGER" && !t.RowidKey && len(t.PrimaryKey) == 1 && t.IsPrimary(column.Name) {
		return "INT"
	}
	return column.Type
}

func partsSQL(parts []KeyPart) string {
	list := make([]string, len(parts))
	for i, p := range parts {
		list[i] = p.sql()
	}
	return strings.Join(list, ", ")
}

func (p KeyPart) sql() string {
	s := p.Expression
	if p.Column != "" {
		s = format.QuoteIdent(p.Column)
	}
	if p.Collation != "" {
		s += " COLLATE " + format.QuoteIdent(p.Collation)
	}
	if p.Descending {
		s += " DESC"
	}
	return s
}

func (key ForeignKey) sql() string {
	return "FOREIGN KEY (" + identList(key.Columns) + ") " + key.referencesSQL()
}

func (key ForeignKey) referencesSQL() string {
	s := "REFERENCES " + format.QuoteIdent(key.Parent)
	if len(key.ParentColumns) > 0 {
		s += " (" + identList(key.ParentColumns) + ")"
	}
	for _, action := range []struct{ event, do string }{{"UPDATE", key.OnUpdate}, {"DELETE", key.OnDelete}} {
		if action.do != "" && action.do != "NO ACTION" {
			s += " ON " + action.event + " " + action.do
		}
	}
	return s
}

// identList quotes names and joins them with commas.
func identList(names []string) string {
	return strings.Join(quoteAll(names), ", ")
}

func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = format.QuoteIdent(name)
	}
	return quoted
}

// CreateSQL returns the CREATE INDEX statement of the index, without a
// semicolon.
func (x Index) CreateSQL() string {
	s := "CREATE INDEX "
	if x.Unique {
		s = "CREATE UNIQUE INDEX "
	}
	s += format.QuoteIdent(x.Name) + " ON " + format.QuoteIdent(x.Table) + " (" + partsSQL(x.Parts) + ")"
	if x.Where != "" {
		s += " WHERE " + x.Where
	}
	return s
}
