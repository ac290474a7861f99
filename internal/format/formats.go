package format

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Format is a kind of file and everything that the rest of the program knows about it. A
// format is not offered for what its entry leaves out, so an entry with only a name is
// refused everywhere with a message.
type Format struct {
	Name        string   // in requests, responses and flags, such as "csv"
	Title       string   // in sentences, such as "a Parquet file"
	Ext         string   // file name extension, without the dot
	OtherExts   []string // other extensions that such files have
	ContentType string

	Exports    Exports // what can be exported in it
	Compressed bool    // it is already compressed
	Dialects   bool    // its rows are written in a Dialect, and read in a ReadDialect
	Sheets     bool    // a table may continue in another sheet
	Typed      bool    // column types must be known before the first row
	SQLite     bool    // it is or contains a SQLite database
	Schemas    bool    // it holds keys, indexes and everything else about tables

	// NewEncoder returns an encoder for the rows of a table; formats that are not text
	// have NewWriter instead. Package export writes the formats that have neither.
	NewEncoder func(columns []Column, o WriteOptions) Encoder
	NewWriter  func(w io.Writer, columns []Column, o WriteOptions) (TableWriter, error)

	// What the format cannot hold unchanged, or others may misread.
	Caveats      []Caveat
	TableCaveats []TableCaveat

	// How a file is recognized: by its first bytes, by a look at its start, or by the
	// members that a ZIP file must have.
	Magic   []string
	Looks   func(head []byte) bool
	Members []string

	// Tables lists the tables of a file of rows. Bundle says instead that a file is a
	// database or contains several files, which package source opens.
	Tables func(in Input, o Reading) ([]Table, error)
	Bundle bool
	Blank  bool   // an empty file is a table without rows
	ByName bool   // a file with the extension is never read as another kind of text
	Advice string // for a format that cannot be read: what to do instead
}

// Exports is a set of things that can be exported in a format.
type Exports uint8

// The things that can be exported.
const (
	OneTable  Exports = 1 << iota // the rows of one table or query
	ZIPMember                     // every table, as a member of a ZIP file
	Database                      // all tables in one file
	Schema                        // tables without their rows
)

// WriteOptions says how to write the rows of one table.
type WriteOptions struct {
	Table    string
	Dialect  Dialect   // for CSV
	Split    bool      // continue in another sheet when one is full
	Rows     int64     // expected number; 0 if unknown
	Modified time.Time // of the file; zero for none
}

// Reading says how to read the tables of a file.
type Reading struct {
	Name    string                         // of a table that has no name in the file
	Dialect func(table string) ReadDialect // for CSV; also says whether sheets have a header
	Sheet   string                         // of a workbook; "" for all
	Ext     string                         // of the file's name, in lower case without the dot
	Path    string                         // where the rows are in a JSON file, as JSONPath; "" detects it
	Wanted  func(table string) bool        // nil for all; tables that are not wanted cannot be opened
}

// Input is a file that can be read from its start or at any offset. Reading fails once
// the reader is canceled; Err then says why.
type Input interface {
	io.Reader
	io.ReaderAt
	Size() int64
	Err() error
}

// Table is a table in a file of rows. It can be opened any number of times.
type Table struct {
	Name    string
	Text    bool     // its values are texts: those that look like numbers count as numbers
	Told    bool     // the dialect was given in full, so nothing is detected from the content
	Sheet   bool     // it is a sheet of a workbook
	Rowless bool     // it has no rows, so its columns are unknown
	Notes   []string // sentences on how it is read
	Open    func(in Input) (Rows, error)
}

// Formats is a table of formats.
type Formats []*Format

// table holds every format. It is filled separately from its declaration because the
// readers in it refer to it.
var (
	table  Formats
	filled sync.Once
)

// All returns every format, in the order in which they are listed to clients; the first
// that supports a kind of export is its default. Files are recognized from last to
// first, so formats that match almost anything come first.
//
// To add a format, add an entry to builtIn, with its encoder or writer and its reader in
// a file of this package.
func All() Formats {
	filled.Do(func() { table = append(builtIn(), table...) })
	return table
}

// Add registers another format. Call it before any format is used.
func Add(f *Format) { table = append(table, f) }

func builtIn() Formats {
	return Formats{
		{
			Name: "csv", Title: "a CSV file", Ext: "csv", OtherExts: []string{"tsv"}, ContentType: "text/csv; charset=utf-8",
			Exports: OneTable | ZIPMember, Dialects: true, NewEncoder: func(c []Column, o WriteOptions) Encoder { return NewCSV(c, o.Dialect) },
			Caveats: csvCaveats, Looks: looksLikeCSV, Tables: csvTables, Blank: true,
		},
		{
			Name: "json", Title: "a JSON file", Ext: "json", OtherExts: []string{"geojson"}, ContentType: "application/json",
			Exports: OneTable | Database | Schema, NewEncoder: func(c []Column, _ WriteOptions) Encoder { return NewJSON(c, JSONOptions{}) },
			Caveats: jsonCaveats, Looks: looksLikeJSON, Tables: jsonTables, Blank: true, ByName: true,
		},
		{
			Name: "ndjson", Title: "an NDJSON file", Ext: "ndjson", OtherExts: []string{"jsonl"}, ContentType: "application/x-ndjson",
			Exports: OneTable | ZIPMember, NewEncoder: func(c []Column, _ WriteOptions) Encoder { return NewNDJSON(c, JSONOptions{}) },
			Caveats: jsonCaveats, Looks: looksLikeNDJSON, Tables: jsonTables, Blank: true, ByName: true,
		},
		{
			Name: "xlsx", Title: "an Excel workbook", Ext: "xlsx", ContentType: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
			Exports: OneTable, Compressed: true, Sheets: true,
			NewWriter: func(w io.Writer, c []Column, o WriteOptions) (TableWriter, error) {
				return NewXLSX(w, c, XLSXOptions{Sheet: o.Table, Split: o.Split, Rows: o.Rows, Modified: o.Modified})
			},
			Caveats: xlsxCaveats, TableCaveats: xlsxTableCaveats, Members: []string{"[Content_Types].xml", "xl/workbook.xml"}, Tables: xlsxTables, ByName: true,
		},
		{
			Name: "parquet", Title: "a Parquet file", Ext: "parquet", ContentType: "application/vnd.apache.parquet",
			Exports: OneTable | ZIPMember, Compressed: true, Typed: true,
			NewWriter: func(w io.Writer, c []Column, _ WriteOptions) (TableWriter, error) { return NewParquet(w, c) },
			Caveats:   parquetCaveats, Magic: []string{"PAR1"}, Tables: parquetTables, ByName: true,
		},
		{
			Name: "sqlite", Title: "a SQLite database", Ext: "sqlite", OtherExts: []string{"sqlite3", "db3"}, ContentType: "application/vnd.sqlite3",
			Exports: OneTable | Database, SQLite: true, Schemas: true, Magic: []string{SQLiteMagic}, Bundle: true, ByName: true,
		},
		{
			Name: "sql", Title: "an SQL dump", Ext: "sql", ContentType: "application/sql",
			Exports: Database | Schema, Schemas: true, NewEncoder: func(c []Column, o WriteOptions) Encoder { return NewINSERT(o.Table, c) },
			Looks: looksLikeSQL, Bundle: true,
		},
		{
			Name: "zip", Title: "a ZIP file", Ext: "zip", ContentType: "application/zip",
			Compressed: true, Magic: []string{"PK\x03\x04", "PK\x05\x06"}, Bundle: true,
		},
		{
			Name: "archive", Title: "an archive of a project", Ext: "zip", ContentType: "application/zip",
			Exports: Database, Compressed: true, SQLite: true, Schemas: true,
			Members: []string{"data.sqlite", "schema.json", "SHA256SUMS"}, Bundle: true,
		},
		{Name: "xls", Title: "an old Excel workbook", Ext: "xls", Magic: []string{"\xd0\xcf\x11\xe0"}, Advice: "Save it as an Excel workbook (.xlsx)."},
		{Name: "xlsb", Title: "a binary Excel workbook", Ext: "xlsb", Members: []string{"[Content_Types].xml", "xl/workbook.bin"}, Advice: "Save it as an Excel workbook (.xlsx)."},
	}
}

// Get returns the format of the given name, or nil.
func (fs Formats) Get(name string) *Format {
	for _, f := range fs {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Exporting returns the formats that support everything in what.
func (fs Formats) Exporting(what Exports) (list Formats) {
	for _, f := range fs {
		if f.Exports&what == what {
			list = append(list, f)
		}
	}
	return list
}

// Importing returns the names of the formats that can be imported.
func (fs Formats) Importing() (names []string) {
	for _, f := range fs {
		if f.IsRead() {
			names = append(names, f.Name)
		}
	}
	return names
}

// ImportTitles lists the formats that can be imported, for use in a sentence.
func (fs Formats) ImportTitles() string {
	var titles []string
	for _, f := range fs {
		if f.IsRead() {
			titles = append(titles, f.Title)
		}
	}
	last := len(titles) - 1
	return strings.Join(titles[:last], ", ") + " or " + titles[last]
}

// IsRead reports whether files of the format can be imported.
func (f *Format) IsRead() bool { return f.Tables != nil || f.Bundle }

// HasExt reports whether name has an extension of the format.
func (f *Format) HasExt(name string) bool {
	ext := strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))
	return ext != "" && (ext == f.Ext || slices.Contains(f.OtherExts, ext))
}

// Recognize returns the format of a file that starts with head, or nil. It checks the
// first bytes, then looks at the content.
func (fs Formats) Recognize(head []byte) *Format {
	for _, f := range slices.Backward(fs) {
		if hasMagic(head, f.Magic...) {
			return f
		}
	}
	for _, f := range slices.Backward(fs) {
		if f.Looks != nil && f.Looks(head) {
			return f
		}
	}
	return nil
}

// RecognizeZIP returns the format of a ZIP file that has all the members that the format
// requires, or nil.
func (fs Formats) RecognizeZIP(has func(member string) bool) *Format {
	for _, f := range slices.Backward(fs) {
		if len(f.Members) > 0 && !slices.ContainsFunc(f.Members, func(name string) bool { return !has(name) }) {
			return f
		}
	}
	return nil
}

func hasMagic(head []byte, magic ...string) bool {
	return slices.ContainsFunc(magic, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) })
}

// Writer returns a writer of the rows of one table, as a file of the format or as the
// part of a file that holds the rows.
func (f *Format) Writer(w io.Writer, columns []Column, o WriteOptions) (TableWriter, error) {
	switch {
	case f.NewWriter != nil:
		return f.NewWriter(w, columns, o)
	case f.NewEncoder != nil:
		return NewTableWriter(w, f.NewEncoder(columns, o)), nil
	}
	return nil, fmt.Errorf("the format %s has no writer of rows", f.Name)
}

// HoldsRows reports whether a file of this name holds rows rather than a description of
// other files, as JSON may.
func (fs Formats) HoldsRows(name string) bool {
	return slices.ContainsFunc(fs, func(f *Format) bool { return f.Tables != nil && f.Exports&Schema == 0 && f.HasExt(name) })
}
