package ingest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
)

// Options is everything that can be set for an import, in the words of the API: the API
// and the command line fill it in, and a job stores it as it was sent. [Options.Check]
// finds what is wrong with the options on their own; whether they suit the file and the
// project shows when the file is opened.
type Options struct {
	Target
	Tables    map[string]Target `json:"tables,omitzero" doc:"The same options for individual tables, by their names in the file."`
	Include   []string          `json:"include_tables,omitzero" doc:"Only these tables of the file; all when absent."`
	Exclude   []string          `json:"exclude_tables,omitzero"`
	NullTexts []string          `json:"null_texts,omitzero" doc:"Texts that stand for NULL, in addition to the dialect's own."`
	Sheet     string            `json:"sheet,omitzero" doc:"For workbooks: the sheet to import; without it, every sheet that has rows becomes a table."`
	JSONPath  string            `json:"json_path,omitzero" doc:"For JSON: where the rows are, such as $.data.items; $ makes the file one row, and [*] at the end a row of each member of an object. Detected when absent."`
	OnError   OnError           `json:"on_error,omitzero" enum:"abort,skip" doc:"What to do when a row is rejected: abort, the default, imports nothing; skip leaves the row out."`
	Format    string            `json:"format,omitzero" doc:"The kind of file; detected from its content when absent."`
}

// Target says which table the rows of one table go into, and how.
type Target struct {
	Table   string            `json:"table,omitzero" doc:"The name of the new table, or the name or id of an existing one; derived from the file when absent."`
	Mode    Mode              `json:"mode,omitzero" enum:"create,append,replace,upsert,update" doc:"create, the default, makes a new table; append adds rows to an existing one; replace removes its rows first; upsert updates the rows whose key exists and inserts the others; update only updates rows."`
	Key     []string          `json:"key,omitzero" doc:"For upsert and update: the columns that identify a row; the primary key when absent. For create: the primary key."`
	Columns map[string]string `json:"columns,omitzero" doc:"Maps columns of the file to columns of the table."`
	Skip    []string          `json:"skip,omitzero" doc:"Columns of the file to leave out."`
	Types   map[string]string `json:"types,omitzero" doc:"Maps columns of the file to types: INTEGER, REAL, TEXT, BLOB or ANY; inferred when absent."`
	Dates   bool              `json:"dates,omitzero" doc:"Whether dates are rewritten like 2026-06-01 in columns that contain nothing else; otherwise they stay as they are in the file. Date cells of a workbook always are."`
	format.ReadOptions
}

// Mode says what to do with the rows.
type Mode string

// The modes. All but Create need an existing table of the project; Append may also name
// the new table that another table of the file becomes, so that several sheets or
// members make one table.
const (
	Create  Mode = "create"  // create a new table; the default
	Append  Mode = "append"  // insert every row
	Replace Mode = "replace" // delete all rows of the table, then insert every row
	Upsert  Mode = "upsert"  // update the row with the same key, or insert
	Update  Mode = "update"  // update the row with the same key; rows without a match are rejected
)

var modes = []string{string(Create), string(Append), string(Replace), string(Upsert), string(Update)}

// OnError says what happens when some rows of the file cannot be imported.
type OnError string

// Abort, the default, changes nothing and reports the first 1,000 faults; Skip
// imports the other rows.
const (
	Abort OnError = "abort"
	Skip  OnError = "skip"
)

var columnTypes = []string{"INTEGER", "REAL", "TEXT", "BLOB", "ANY"}

// Check reports what is wrong with the options on their own.
func (o *Options) Check(faults *problem.Faults) {
	o.Target.check(faults, "", o.Target.mode())
	for _, name := range slices.Sorted(maps.Keys(o.Tables)) {
		t := o.Tables[name]
		t.check(faults, "tables."+name+".", t.or(o.Target).mode())
	}
	oneOf(faults, "on_error", string(o.OnError), []string{string(Abort), string(Skip)})
	if _, _, ok := format.ParseJSONPath(o.JSONPath); o.JSONPath != "" && !ok {
		faults.Add("json_path", `Must be $ followed by names, such as $.data.items or $["my items"], and may end with [*].`)
	}
	oneOf(faults, "format", o.Format, format.All().Importing())
}

// check reports what is wrong with a target; mode is its own or the one set for all
// tables.
func (t Target) check(faults *problem.Faults, prefix string, mode Mode) {
	oneOf(faults, prefix+"mode", string(t.Mode), modes)
	for _, name := range slices.Sorted(maps.Keys(t.Types)) {
		oneOf(faults, prefix+"types."+name, t.Types[name], columnTypes)
	}
	if len(t.Key) > 0 && (mode == Append || mode == Replace) {
		faults.Add(prefix+"key", "A key applies only to the modes create, upsert and update.")
	}
	if len(t.Types) > 0 && mode != Create && slices.Contains(modes, string(mode)) {
		faults.Add(prefix+"types", "The table already has its types; types applies only to the mode create.")
	}
	t.ReadOptions.Dialect(faults, prefix)
}

// oneOf reports a word that is neither empty nor one of words.
func oneOf(faults *problem.Faults, field, word string, words []string) {
	if word != "" && !slices.Contains(words, word) {
		faults.WrongChoice(field, words)
	}
}

// mode returns the mode, or the default if none is set.
func (t Target) mode() Mode { return cmp.Or(t.Mode, Create) }

// or returns the target of a single table, with all filling in what it leaves out.
func (t Target) or(all Target) Target {
	t.Mode = cmp.Or(t.Mode, all.Mode)
	t.Dates = t.Dates || all.Dates
	t.ReadOptions = t.ReadOptions.Or(all.ReadOptions)
	return t
}

// Progress is how far a Load or Preview has come.
type Progress struct {
	Table string // name in the file
	Rows  int64  // rows of the table so far
	Bytes int64  // read from the file; 0 if unknown
	Size  int64  // of the file in bytes
}
