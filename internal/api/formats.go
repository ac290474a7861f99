package api

import (
	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/format"
)

// formatChoices returns the formats and compressions that requests can name.
func formatChoices() map[string]map[string][]string {
	choices := map[string]map[string][]string{}
	for _, schema := range []string{"ImportOptions", "ProjectImportOptions", "RunImportBody"} {
		choices[schema] = map[string][]string{"format": format.All().Importing()}
	}
	for schema, kind := range map[string]export.Kind{
		"ExportTableBody": export.TableExport, "ExportDatabaseBody": export.DatabaseExport,
		"ExportQueryBody": export.QueryExport, "ExportSchemaBody": export.SchemaExport,
		"ExportRequestsBody": export.JournalExport, "ExportRunsBody": export.JournalExport, "ExportUsageBody": export.JournalExport,
		"ExportRunBody": export.RunExport,
	} {
		choices[schema] = map[string][]string{"format": export.FormatNames(kind), "compression": export.CompressionNames()}
	}
	return choices
}
