package projectdb

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TableObject is a table as clients see it.
type TableObject struct {
	ID          ids.Table `json:"id"`
	TableName   string    `json:"table_name"`
	DisplayName *string   `json:"display_name"`
	CreatedAt   string    `json:"created_at" format:"date-time"`
	UpdatedAt   string    `json:"updated_at" format:"date-time"`
}

// ColumnObject is a column as clients see it. Flags are 0 or 1. A literal
// default is given as its value, any other default as its SQL expression.
type ColumnObject struct {
	ID                int64           `json:"id"`
	TableName         string          `json:"table_name"`
	ColumnName        string          `json:"column_name"`
	ColumnType        string          `json:"column_type" enum:"INTEGER,REAL,TEXT,BLOB,ANY"`
	IsNullable        int             `json:"is_nullable" enum:"0,1"`
	DefaultValue      json.RawMessage `json:"default_value"`
	DefaultExpression *string         `json:"default_expression"`
	IsPrimary         int             `json:"is_primary" enum:"0,1"`
	IsUnique          int             `json:"is_unique" enum:"0,1"`
	CreatedAt         string          `json:"created_at" format:"date-time"`
	UpdatedAt         string          `json:"updated_at" format:"date-time"`
}

// IndexObject is an index as clients see it. Columns holds the names of its columns
// and the SQL of its expressions.
type IndexObject struct {
	Name    string   `json:"name"`
	Unique  bool     `json:"unique"`
	Origin  string   `json:"origin" enum:"c,u,pk" doc:"c: made by CREATE INDEX, u: by a UNIQUE constraint, pk: by the primary key."`
	Partial bool     `json:"partial"`
	Columns []string `json:"columns"`
	Managed bool     `json:"managed" doc:"Whether the index can be dropped by itself."`
}

// ForeignKeyObject is a reference to another table as clients see it. Without
// parent columns it refers to the parent's primary key.
type ForeignKeyObject struct {
	Columns       []string `json:"columns"`
	ParentTable   string   `json:"parent_table"`
	ParentColumns []string `json:"parent_columns"`
	OnUpdate      string   `json:"on_update"`
	OnDelete      string   `json:"on_delete"`
	Deferred      bool     `json:"deferred"`
}

// TableDescription is everything that clients can know of a table except its rows.
type TableDescription struct {
	TableObject
	LabelColumn *string            `json:"label_column"`
	Columns     []ColumnObject     `json:"columns"`
	PrimaryKey  []string           `json:"primary_key"`
	Indexes     []IndexObject      `json:"indexes"`
	ForeignKeys []ForeignKeyObject `json:"foreign_keys"`
	Checks      []string           `json:"checks"`
}

// Object returns the table as clients see it.
func (t *Table) Object() TableObject {
	return TableObject{t.ID, t.Name, t.DisplayName, t.CreatedAt, t.UpdatedAt}
}

// Label returns the name of the label column, or nil.
func (t *Table) Label() *string {
	if t.LabelColumn == "" {
		return nil
	}
	return &t.LabelColumn
}

// ColumnObject returns a column of the table as clients see it.
func (t *Table) ColumnObject(column *Column) ColumnObject {
	primary := t.IsPrimary(column.Name)
	object := ColumnObject{
		ID:         column.ID,
		TableName:  t.Name,
		ColumnName: column.Name,
		ColumnType: column.Type,
		IsNullable: flag(!column.NotNull && !primary),
		IsPrimary:  flag(primary),
		IsUnique:   flag(t.IsUnique(column.Name)),
		CreatedAt:  column.CreatedAt,
		UpdatedAt:  column.UpdatedAt,
	}
	object.DefaultValue, object.DefaultExpression = describeDefault(column.Default)
	return object
}

// ColumnObjects returns the columns of the table as clients see them.
func (t *Table) ColumnObjects() []ColumnObject {
	objects := make([]ColumnObject, len(t.Columns))
	for i := range t.Columns {
		objects[i] = t.ColumnObject(&t.Columns[i])
	}
	return objects
}

// Object returns the index as clients see it.
func (x Index) Object() IndexObject {
	columns := make([]string, len(x.Parts))
	for i, part := range x.Parts {
		columns[i] = part.Column
		if part.Column == "" {
			columns[i] = part.Expression
		}
	}
	return IndexObject{x.Name, x.Unique, x.Origin, x.Partial(), columns, x.Managed()}
}

// IndexObjects returns the indexes of the table as clients see them.
func (t *Table) IndexObjects() []IndexObject {
	objects := make([]IndexObject, len(t.Indexes))
	for i, x := range t.Indexes {
		objects[i] = x.Object()
	}
	return objects
}

// Object returns the foreign key as clients see it.
func (key ForeignKey) Object() ForeignKeyObject {
	return ForeignKeyObject{key.Columns, key.Parent, key.ParentColumns, key.OnUpdate, key.OnDelete, key.Deferred}
}

// Describe returns everything that clients can know of the table except its rows.
func (t *Table) Describe() TableDescription {
	keys := make([]ForeignKeyObject, len(t.ForeignKeys))
	for i, key := range t.ForeignKeys {
		keys[i] = key.Object()
	}
	return TableDescription{
		TableObject: t.Object(),
		LabelColumn: t.Label(),
		Columns:     t.ColumnObjects(),
		PrimaryKey:  t.KeyColumns(),
		Indexes:     t.IndexObjects(),
		ForeignKeys: keys,
		Checks:      t.Checks,
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// describeDefault returns the value of a literal default as JSON, or otherwise the
// expression.
func describeDefault(expression string) (value json.RawMessage, other *string) {
	if expression == "" {
		return json.RawMessage("null"), nil
	}
	if name, _ := (&Column{Default: expression}).computedDefault(); name != "" {
		return json.RawMessage("null"), &name
	}
	v, ok := parseLiteral(expression)
	if !ok || v.Kind == sqlite.Real && math.IsInf(v.Float, 0) {
		return json.RawMessage("null"), &expression
	}
	var b sqlite.Batch
	b.Reset(1)
	b.Append(v)
	return format.AppendValue(nil, &b, b.Row(0)[0], format.JSONOptions{}), nil
}

// parseLiteral parses an SQL literal, including those of format.AppendLiteral. It
// reports false for any other expression.
func parseLiteral(s string) (v sqlite.Value, ok bool) {
	s = strings.TrimSpace(s)
	switch strings.ToUpper(s) {
	case "":
		return v, false
	case "NULL":
		return v, true
	case "TRUE":
		return sqlite.IntValue(1), true
	case "FALSE":
		return sqlite.IntValue(0), true
	}
	switch {
	case s[0] == '\'':
		return parseTextLiteral(s)
	case s[0]|0x20 == 'x':
		return parseBlobLiteral(s)
	case hasPrefixFold(s, "CAST("):
		return parseCastLiteral(s)
	}
	return parseNumberLiteral(s)
}

func parseTextLiteral(s string) (v sqlite.Value, ok bool) {
	if len(s) < 2 || s[len(s)-1] != '\'' {
		return v, false
	}
	inner := s[1 : len(s)-1]
	// Quotes inside a literal are doubled; a single one ends it.
	if strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
		return v, false
	}
	return sqlite.TextValue(strings.ReplaceAll(inner, "''", "'")), true
}

func parseBlobLiteral(s string) (v sqlite.Value, ok bool) {
	if len(s) < 3 || s[0]|0x20 != 'x' || s[1] != '\'' || s[len(s)-1] != '\'' {
		return v, false
	}
	b, err := hex.DecodeString(s[2 : len(s)-1])
	return sqlite.BlobValue(b), err == nil
}

// parseCastLiteral parses CAST(X'…' AS TEXT), the form of texts that cannot be written
// literally in a statement.
func parseCastLiteral(s string) (v sqlite.Value, ok bool) {
	inner := s[len("CAST("):]
	const as = " AS TEXT)"
	if len(inner) < len(as) || !hasPrefixFold(inner[len(inner)-len(as):], as) {
		return v, false
	}
	v, ok = parseBlobLiteral(inner[:len(inner)-len(as)])
	v.Kind = sqlite.Text
	return v, ok
}

func parseNumberLiteral(s string) (v sqlite.Value, ok bool) {
	digits := strings.TrimSpace(strings.TrimLeft(s, "+-"))
	sign := s[:len(s)-len(strings.TrimLeft(s, "+-"))]
	// Go would also accept names, underscores and hexadecimal floats.
	if len(sign) > 1 || digits == "" || strings.Trim(digits, "0123456789.eE+-") != "" {
		return v, false
	}
	if i, err := strconv.ParseInt(sign+digits, 10, 64); err == nil {
		return sqlite.IntValue(i), true
	}
	f, err := strconv.ParseFloat(sign+digits, 64)
	if err != nil && !math.IsInf(f, 0) {
		return v, false
	}
	return sqlite.FloatValue(f), true
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
