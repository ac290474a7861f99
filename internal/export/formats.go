package export

import (
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
)

// fileFormat is a format in which a kind of export is available.
type fileFormat struct {
	kind  Kind
	name  string
	file  *format.Format      // of the artifact, before compression
	table *format.Format      // how its tables are written, as a whole or as members; nil for a schema and an archive
	by    *format.Compression // around the artifact; nil for none
}

// formatsOf returns the formats of a kind, the default first.
func formatsOf(kind Kind) (list []fileFormat) {
	add := func(what format.Exports) {
		for _, f := range format.All().Exporting(what) {
			form := fileFormat{kind: kind, name: f.Name, file: f, table: f}
			if kind == SchemaExport || f == archive() {
				form.table = nil
			}
			list = append(list, form)
		}
	}
	switch kind {
	case TableExport, QueryExport:
		add(format.OneTable)
	case DatabaseExport:
		list = zips()
		add(format.Database)
	case SchemaExport:
		add(format.Schema)
	case JournalExport:
		add(format.OneTable)
		list = slices.DeleteFunc(list, func(f fileFormat) bool { return f.file.SQLite })
	case RunExport:
		list = append(list, fileFormat{kind: kind, name: "zip", file: format.All().Get("zip")})
	}
	return list
}

// zips returns the ZIP formats with one member per table. The first of them is also
// known as plain "zip".
func zips() (list []fileFormat) {
	zip := format.All().Get("zip")
	for i, f := range format.All().Exporting(format.ZIPMember) {
		if i == 0 {
			list = append(list, fileFormat{kind: DatabaseExport, name: zip.Name, file: zip, table: f})
		}
		list = append(list, fileFormat{kind: DatabaseExport, name: zip.Name + "-" + f.Name, file: zip, table: f})
	}
	return list
}

func archive() *format.Format { return format.All().Get("archive") }

// FormatNames returns the names of the formats of a kind, its default first.
func FormatNames(kind Kind) []string {
	_, names := formatOf(kind, "")
	return names
}

// CompressionNames returns the names of the ways to compress an artifact.
func CompressionNames() []string { return append([]string{"none"}, format.CompressionNames()...) }

// findFormat returns the format of a kind with the given name, or the default for "".
// An unknown name is noted as a fault; options that depend on the format cannot be
// checked then.
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

// formatOf returns the format of a kind with the given name, or the default for "", and
// the names of all formats of that kind.
func formatOf(kind Kind, name string) (found fileFormat, names []string) {
	for _, f := range formatsOf(kind) {
		if found.name == "" && (f.name == name || name == "") {
			found = f
		}
		names = append(names, f.name)
	}
	return found, names
}

// Formats returns the format of the artifact, without any compression around it, and
// the format of the rows of its tables: the same, or that of the members of a ZIP file,
// or nil if only the artifact as a whole has one.
func (m *Manifest) Formats() (file, rows *format.Format) {
	f, _ := formatOf(m.Kind, m.Format)
	return f.file, f.table
}

// downloadName returns the name under which a file is offered: the requested one, as
// far as file systems can hold it, with the extension of the format.
func (f fileFormat) downloadName(asked, otherwise string) string {
	base := f.trimExt(asked)
	if strings.Trim(base, ". ") == "" {
		base = otherwise
	}
	return format.MemberName(base, f.ext(), map[string]bool{})
}

// trimExt returns a name without the extension of the format, with or without that of
// the compression.
func (f fileFormat) trimExt(name string) string {
	inner, _, _ := strings.Cut(f.ext(), ".")
	for _, ext := range []string{f.ext(), inner} {
		if n := len(name) - len(ext) - 1; n >= 0 && strings.EqualFold(name[n:], "."+ext) {
			return name[:n]
		}
	}
	return name
}

// compressed returns the format wrapped in a compression, "" for none.
func (f fileFormat) compressed(by string) fileFormat {
	f.by = format.FindCompression(by)
	return f
}

// ext returns the extension of artifacts, without the leading dot.
func (f fileFormat) ext() string {
	if f.by != nil {
		return f.file.Ext + "." + f.by.Ext
	}
	return f.file.Ext
}

func (f fileFormat) contentType() string {
	if f.by != nil {
		return f.by.ContentType
	}
	return f.file.ContentType
}

// isZIP reports whether the artifact has members.
func (f fileFormat) isZIP() bool { return f.file != f.table && f.kind == DatabaseExport }

// rows returns the format of most rows: for an archive, CSV.
func (f fileFormat) rows() *format.Format {
	if f.table == nil {
		return format.All().Get("csv")
	}
	return f.table
}

// takesDialect reports whether the format contains CSV whose dialect can be chosen.
func (f fileFormat) takesDialect() bool { return f.table != nil && f.table.Dialects }

// isDatabaseFile reports whether the artifact is an SQLite database or holds one.
func (f fileFormat) isDatabaseFile() bool { return f.file.SQLite }

// keepsSchema reports whether the artifact holds the full schema of its tables: keys,
// indexes and the rest.
func (f fileFormat) keepsSchema() bool { return f.file.Schemas && f.kind != SchemaExport }

// encodes reports whether all rows go through encoders, which can take them out of
// order.
func (f fileFormat) encodes() bool { return f.table != nil && f.table.NewEncoder != nil }
