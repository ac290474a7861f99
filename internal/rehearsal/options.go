package rehearsal

import (
	"path"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// formatOf returns the format of an artifact, so that nothing has to be guessed.
func formatOf(m *export.Manifest) string {
	file, _ := m.Formats()
	return file.Name
}

// optionsFor returns the options that undo an export. Files that hold a whole database
// are self-describing; for all others, the manifest says how they were written and which
// types their columns have.
func optionsFor(m *export.Manifest) ingest.Options {
	var o ingest.Options
	file, rows := m.Formats()
	switch {
	case rows == nil, rows.Bundle, rows == file && m.Kind == export.DatabaseExport:
		return o
	case rows == file:
		o.Target = targetOf(m, &m.Tables[0])
		if rows.Sheets {
			o.Tables = furtherSheets(m, o.Target)
		}
		return o
	}
	o.Tables = map[string]ingest.Target{}
	for i := range m.Tables {
		t := &m.Tables[i]
		for _, member := range m.Members {
			if member.Table == t.Name {
				o.Tables[strings.TrimSuffix(member.Name, path.Ext(member.Name))] = targetOf(m, t)
			}
		}
	}
	return o
}

// targetOf returns the import target for the rows of a table.
func targetOf(m *export.Manifest, t *export.TableResult) ingest.Target {
	target := ingest.Target{Table: t.Name, Types: map[string]string{}}
	dialect := dialectOf(m, t.Name)
	_, rows := m.Formats()
	headerless := rows.Dialects && !dialect.Header
	if headerless {
		target.Columns = map[string]string{}
	}
	for i, column := range t.Columns {
		name := column.Name
		if headerless || name == "" {
			name = "column_" + strconv.Itoa(i+1)
		}
		if headerless {
			target.Columns[name] = column.Name
		}
		target.Types[name] = column.Type
	}
	target.ReadOptions = dialect.ReadOptions()
	return target
}

// dialectOf returns how the CSV file of a table was written.
func dialectOf(m *export.Manifest, table string) format.Dialect {
	dialect := m.Options.Dialect
	for name, own := range m.Options.TableOptions {
		if sqlite.SameName(name, table) && own.Dialect != nil {
			dialect = own.Dialect
		}
	}
	if dialect == nil {
		return format.DefaultDialect()
	}
	return *dialect
}

// furtherSheets returns the targets for each sheet of a table that did not fit into one.
func furtherSheets(m *export.Manifest, whole ingest.Target) map[string]ingest.Target {
	t := &m.Tables[0]
	sheets := 1 + max(0, t.RowCount-1)/(format.XLSXRows-1)
	if sheets == 1 {
		return nil
	}
	targets := map[string]ingest.Target{format.SheetName(t.Name, 1): whole}
	for n := 2; n <= int(sheets); n++ {
		targets[format.SheetName(t.Name, n)] = ingest.Target{Table: t.Name, Mode: ingest.Append}
	}
	return targets
}
