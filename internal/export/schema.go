package export

import (
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// writeSchema writes the tables without their rows.
func (l layout) writeSchema(w io.Writer, tables []*projectdb.Table) error {
	switch l.format.name {
	case "json":
		return l.writeSchemaJSON(w, tables)
	case "sql":
		return l.writeSchemaSQL(w, tables)
	}
	return fmt.Errorf("the format %s has no writer of schemas", l.format.name)
}

// writeSchemaJSON writes the tables as the API shows them.
func (l layout) writeSchemaJSON(w io.Writer, tables []*projectdb.Table) error {
	document := struct {
		Project string                       `json:"project"`
		Tables  []projectdb.TableDescription `json:"tables"`
	}{Project: l.project}
	for _, t := range tables {
		document.Tables = append(document.Tables, l.describe(t))
	}
	// A default can hold text that is not valid UTF-8.
	err := json.MarshalWrite(w, document, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		_, err = io.WriteString(w, "\n")
	}
	if err != nil {
		return fmt.Errorf("write a schema: %w", err)
	}
	return nil
}

// writeSchemaSQL writes statements that create the same tables and indexes in an empty
// database. SQLite accepts references to tables that are created later.
func (l layout) writeSchemaSQL(w io.Writer, tables []*projectdb.Table) error {
	sql := fmt.Appendf(nil, "-- Schema of the project %s", l.project)
	if !l.at.IsZero() {
		sql = fmt.Appendf(sql, ", %s", jobs.Timestamp(l.at))
	}
	sql = append(sql, "\n-- For SQLite 3.37 or newer.\n"...)
	for _, t := range tables {
		sql = fmt.Appendf(sql, "\n%s;\n", t.CreateSQL())
	}
	for _, t := range tables {
		for _, x := range t.Indexes {
			if x.Managed() {
				sql = fmt.Appendf(sql, "\n%s;\n", x.CreateSQL())
			}
		}
	}
	if _, err := w.Write(sql); err != nil {
		return fmt.Errorf("write a schema: %w", err)
	}
	return nil
}
