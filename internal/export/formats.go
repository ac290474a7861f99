package export

import (
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
)

// fileFormat is a form in which a kind of export can be had.
type fileFormat struct {
	kind        Kind
	name        string
	ext         string
	contentType string
}

// formats lists them all. The first of a kind is its default.
var formats = [...]fileFormat{
	{TableExport, "csv", "csv", "text/csv; charset=utf-8"},
	{TableExport, "json", "json", "application/json"},
	{DatabaseExport, "zip", "zip", "application/zip"},
	{DatabaseExport, "zip-csv", "zip", "application/zip"},
	{DatabaseExport, "json", "json", "application/json"},
	{SchemaExport, "json", "json", "application/json"},
	{SchemaExport, "sql", "sql", "application/sql"},
}

// findFormat returns the format of a kind with the given name, or the default
// for "". One that does not exist is noted as a fault.
func findFormat(faults *problem.Faults, kind Kind, name string) fileFormat {
	var names []string
	for _, f := range formats {
		if f.kind != kind {
			continue
		}
		if f.name == name || name == "" {
			return f
		}
		names = append(names, f.name)
	}
	faults.Add("format", "The format must be one of %s.", strings.Join(names, ", "))
	return fileFormat{}
}

// downloadName returns the name under which a file is offered: the one asked
// for as far as file systems can hold it, with the extension of the format.
func (f fileFormat) downloadName(asked, otherwise string) string {
	base := asked
	if n := len(base) - len(f.ext) - 1; n >= 0 && strings.EqualFold(base[n:], "."+f.ext) {
		base = base[:n]
	}
	if strings.Trim(base, ". ") == "" {
		base = otherwise
	}
	return format.MemberName(base, f.ext, map[string]bool{})
}
