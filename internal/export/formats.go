package export

import (
	"slices"
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
	table       string // how its tables are written: csv, json, ndjson, xlsx, parquet, sqlite or sql
}

// Content types of files that several kinds of exports have.
const (
	csvType     = "text/csv; charset=utf-8"
	jsonType    = "application/json"
	ndjsonType  = "application/x-ndjson"
	xlsxType    = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	parquetType = "application/vnd.apache.parquet"
	sqliteType  = "application/vnd.sqlite3"
	zipType     = "application/zip"
	sqlType     = "application/sql"
)

// formats lists them all. The first of a kind is its default.
var formats = [...]fileFormat{
	{TableExport, "csv", "csv", csvType, "csv"},
	{TableExport, "json", "json", jsonType, "json"},
	{TableExport, "ndjson", "ndjson", ndjsonType, "ndjson"},
	{TableExport, "xlsx", "xlsx", xlsxType, "xlsx"},
	{TableExport, "parquet", "parquet", parquetType, "parquet"},
	{TableExport, "sqlite", "sqlite", sqliteType, "sqlite"},
	{DatabaseExport, "zip", "zip", zipType, "csv"},
	{DatabaseExport, "zip-csv", "zip", zipType, "csv"},
	{DatabaseExport, "zip-ndjson", "zip", zipType, "ndjson"},
	{DatabaseExport, "zip-parquet", "zip", zipType, "parquet"},
	{DatabaseExport, "json", "json", jsonType, "json"},
	{DatabaseExport, "sqlite", "sqlite", sqliteType, "sqlite"},
	{DatabaseExport, "sql", "sql", sqlType, "sql"},
	{DatabaseExport, "archive", "zip", zipType, ""},
	{QueryExport, "csv", "csv", csvType, "csv"},
	{QueryExport, "json", "json", jsonType, "json"},
	{QueryExport, "ndjson", "ndjson", ndjsonType, "ndjson"},
	{QueryExport, "xlsx", "xlsx", xlsxType, "xlsx"},
	{QueryExport, "parquet", "parquet", parquetType, "parquet"},
	{QueryExport, "sqlite", "sqlite", sqliteType, "sqlite"},
	{SchemaExport, "json", "json", jsonType, ""},
	{SchemaExport, "sql", "sql", sqlType, ""},
}

// findFormat returns the format of a kind with the given name, or the default
// for "". One that does not exist is noted as a fault; what goes with it cannot
// be judged then.
func findFormat(faults *problem.Faults, kind Kind, name string) fileFormat {
	f, names := formatOf(kind, name)
	if f.name == "" {
		faults.WrongChoice("format", names)
	}
	if faults.Has("format") {
		return fileFormat{}
	}
	return f
}

// formatOf returns the format of a kind with the given name, or the default for
// "". There is none with another name than those returned.
func formatOf(kind Kind, name string) (found fileFormat, names []string) {
	for _, f := range formats {
		if f.kind != kind {
			continue
		}
		if found.name == "" && (f.name == name || name == "") {
			found = f
		}
		names = append(names, f.name)
	}
	return found, names
}

// downloadName returns the name under which a file is offered: the one asked
// for as far as file systems can hold it, with the extension of the format.
func (f fileFormat) downloadName(asked, otherwise string) string {
	base := f.trimExt(asked)
	if strings.Trim(base, ". ") == "" {
		base = otherwise
	}
	return format.MemberName(base, f.ext, map[string]bool{})
}

// trimExt returns a name without the extension of the format, or without that
// of what is compressed.
func (f fileFormat) trimExt(name string) string {
	inner, _, _ := strings.Cut(f.ext, ".")
	for _, ext := range []string{f.ext, inner} {
		if n := len(name) - len(ext) - 1; n >= 0 && strings.EqualFold(name[n:], "."+ext) {
			return name[:n]
		}
	}
	return name
}

// compressed returns the format as it is after compression.
func (f fileFormat) compressed(by string) fileFormat {
	switch by {
	case "gzip":
		f.ext, f.contentType = f.ext+".gz", "application/gzip"
	case "zstd":
		f.ext, f.contentType = f.ext+".zst", "application/zstd"
	}
	return f
}

func (f fileFormat) isZIP() bool { return f.contentType == zipType }

// isDatabaseFile reports whether the artifact is an SQLite database or holds
// one.
func (f fileFormat) isDatabaseFile() bool { return f.table == "sqlite" || f.name == "archive" }

// keepsSchema reports whether keys, indexes and all else of the tables are in
// the artifact.
func (f fileFormat) keepsSchema() bool { return f.isDatabaseFile() || f.table == "sql" }

// encodes reports whether all rows go through encoders, which do not need to
// see them in order.
func (f fileFormat) encodes() bool {
	return slices.Contains([]string{"csv", "json", "ndjson", "sql"}, f.table)
}
