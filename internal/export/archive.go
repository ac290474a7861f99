package export

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"io"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// writeArchive writes everything known about the project into one ZIP file, in formats
// that other programs can read.
func (e *Exports) writeArchive(j *job, s *source, l layout, w io.Writer) (*memberZIP, error) {
	zip := newMemberZIP(w, l.modified())
	steps := []func() error{
		func() error { return e.archiveDatabase(j, s, zip) },
		func() error { return j.archiveTables(s, l, zip) },
		func() error { return archiveDescriptions(j, s, l, zip) },
		zip.close,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return zip, err
		}
	}
	return zip, nil
}

func (e *Exports) archiveDatabase(j *job, s *source, zip *memberZIP) error {
	return e.withDatabase(j, s, func(path string) error {
		if err := zip.create("data.sqlite", ""); err != nil {
			return err
		}
		return copyFile(j.ctx, zip, path)
	})
}

// archiveTables writes each table as CSV, then each as NDJSON.
func (j *job) archiveTables(s *source, l layout, zip *memberZIP) error {
	for _, name := range []string{"csv", "ndjson"} {
		f := format.All().Get(name)
		for i, t := range s.tables {
			if err := zip.createTable(name, t.Name, name); err != nil {
				return err
			}
			err := j.writeTable(s, t, &j.record.manifest.Tables[i], func(columns []format.Column) (format.TableWriter, error) {
				return f.Writer(zip, columns, l.writing(tableRef{id: t.ID, name: t.Name}))
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// archiveDescriptions adds the members that describe the others. SHA256SUMS comes last
// and lists every member but itself.
func archiveDescriptions(j *job, s *source, l layout, zip *memberZIP) error {
	var schemaJSON, schemaSQL bytes.Buffer
	if err := l.writeSchemaJSON(&schemaJSON, s.tables); err != nil {
		return err
	}
	if err := l.writeSchemaSQL(&schemaSQL, s.tables); err != nil {
		return err
	}
	// The package describes all members so far, so the last one must be complete.
	zip.endMember()
	described, err := json.Marshal(l.dataPackage(s, j.record.manifest.Tables, zip.members), jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return fmt.Errorf("describe an archive: %w", err)
	}
	for _, member := range []struct {
		name    string
		content []byte
	}{
		{"schema.json", schemaJSON.Bytes()},
		{"schema.sql", schemaSQL.Bytes()},
		{"datapackage.json", append(described, '\n')},
		{"README.txt", l.readme(s, j.record.manifest.Tables)},
	} {
		if err := zip.add(member.name, member.content); err != nil {
			return err
		}
	}
	zip.endMember()
	var sums []byte
	for _, member := range zip.members {
		sums = fmt.Appendf(sums, "%s  %s\n", member.SHA256, member.Name)
	}
	return zip.add("SHA256SUMS", sums)
}

func (l layout) readme(s *source, results []TableResult) []byte {
	text := fmt.Appendf(nil, `Archive of the project %s, %s
All tables are from one state of the project, after its commit %d.

data.sqlite       the tables as an SQLite database
csv/              one CSV file per table: UTF-8, a header row, LF line ends;
                  nothing is NULL, "" the empty text, BLOBs are base64
ndjson/           one file per table, one JSON object per line
schema.json       tables, columns and indexes
schema.sql        the statements that make them
datapackage.json  a description of the CSV files (Frictionless Data Package)
SHA256SUMS        checksums: sha256sum -c SHA256SUMS

Tables and rows:
`, l.project, jobs.Timestamp(l.at), s.snapshot.ID.Commit)
	for _, r := range results {
		text = fmt.Appendf(text, "%12d  %s\n", r.RowCount, r.Name)
	}
	return text
}

// dataPackage is a Frictionless Data Package.
type dataPackage struct {
	Profile   string         `json:"profile"`
	Name      string         `json:"name"`
	Created   string         `json:"created"`
	Resources []dataResource `json:"resources"`
}

type dataResource struct {
	Profile   string      `json:"profile"`
	Name      string      `json:"name"`
	Title     string      `json:"title"`
	Path      string      `json:"path"`
	Format    string      `json:"format"`
	MediaType string      `json:"mediatype"`
	Encoding  string      `json:"encoding"`
	Bytes     int64       `json:"bytes"`
	Hash      string      `json:"hash"`
	RowCount  int64       `json:"row_count"`
	Dialect   dataDialect `json:"dialect"`
	Schema    dataSchema  `json:"schema"`
}

type dataDialect struct {
	Delimiter      string `json:"delimiter"`
	QuoteChar      string `json:"quoteChar"`
	DoubleQuote    bool   `json:"doubleQuote"`
	LineTerminator string `json:"lineTerminator"`
	Header         bool   `json:"header"`
}

type dataSchema struct {
	Fields        []dataField      `json:"fields"`
	PrimaryKey    []string         `json:"primaryKey,omitzero"`
	ForeignKeys   []dataForeignKey `json:"foreignKeys,omitzero"`
	MissingValues []string         `json:"missingValues"`
}

type dataField struct {
	Name        string          `json:"name"`
	Type        string          `json:"type"`
	Format      string          `json:"format,omitzero"`
	Constraints dataConstraints `json:"constraints,omitzero"`
}

type dataConstraints struct {
	Required bool `json:"required,omitzero"`
	Unique   bool `json:"unique,omitzero"`
}

type dataForeignKey struct {
	Fields    []string      `json:"fields"`
	Reference dataReference `json:"reference"`
}

type dataReference struct {
	Resource string   `json:"resource"`
	Fields   []string `json:"fields"`
}

// dataPackage describes the CSV members as a Data Package.
func (l layout) dataPackage(s *source, results []TableResult, members []Member) dataPackage {
	p := dataPackage{Profile: "data-package", Name: strings.ToLower(l.project), Created: jobs.Timestamp(l.at), Resources: []dataResource{}}
	dialect := dataDialect{Delimiter: ",", QuoteChar: `"`, DoubleQuote: true, LineTerminator: "\n", Header: true}
	for i, t := range s.tables {
		for _, member := range members {
			if member.Table != t.Name || !strings.HasPrefix(member.Name, "csv/") {
				continue
			}
			p.Resources = append(p.Resources, dataResource{
				Profile: "tabular-data-resource", Name: strings.ToLower(t.Name), Title: t.Name, Path: member.Name,
				Format: "csv", MediaType: "text/csv", Encoding: "utf-8",
				Bytes: member.SizeBytes, Hash: "sha256:" + member.SHA256, RowCount: results[i].RowCount,
				Dialect: dialect, Schema: s.dataSchema(t),
			})
		}
	}
	return p
}

// dataSchema describes the selected columns of a table.
func (s *source) dataSchema(t *projectdb.Table) dataSchema {
	// In a Data Package, an empty cell is a missing value, quoted or not.
	described := dataSchema{MissingValues: []string{""}}
	chosen := s.spec.Selections[t.ID].Columns
	if chosen == nil {
		for _, column := range t.Columns {
			chosen = append(chosen, column.Name)
		}
	}
	for _, name := range chosen {
		described.Fields = append(described.Fields, dataFieldOf(t, t.Column(name)))
	}
	part := s.spec.shape(t, s.tables)
	for _, key := range part.PrimaryKey {
		described.PrimaryKey = append(described.PrimaryKey, key.Column)
	}
	for _, key := range part.ForeignKeys {
		if len(key.ParentColumns) == 0 {
			continue
		}
		resource := strings.ToLower(key.Parent)
		if sqlite.SameName(key.Parent, t.Name) {
			resource = ""
		}
		described.ForeignKeys = append(described.ForeignKeys, dataForeignKey{key.Columns, dataReference{resource, key.ParentColumns}})
	}
	return described
}

func dataFieldOf(t *projectdb.Table, column *projectdb.Column) dataField {
	field := dataField{Name: column.Name, Constraints: dataConstraints{
		Required: column.NotNull && column.Type != "TEXT", // an empty text would count as missing
		Unique:   t.IsUnique(column.Name),
	}}
	switch column.Type {
	case "INTEGER":
		field.Type = "integer"
	case "REAL":
		field.Type = "number"
	case "TEXT":
		field.Type = "string"
	case "BLOB":
		field.Type, field.Format = "string", "binary"
	default:
		field.Type = "any"
	}
	return field
}
