package imports

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
)

// Options are what was ordered; what was left out is left out here too. Words
// and defaults are those of package ingest.
type Options struct {
	Target
	Tables        map[string]Target `json:"tables,omitzero" doc:"Of single tables, by their names in the file."`
	IncludeTables []string          `json:"include_tables,omitzero"`
	ExcludeTables []string          `json:"exclude_tables,omitzero"`
	NullTexts     []string          `json:"null_texts,omitzero"`
	Sheet         string            `json:"sheet,omitzero"`
	OnError       string            `json:"on_error,omitzero"`
	Format        string            `json:"format,omitzero"`
}

// Target says where the rows of one table go, and how.
type Target struct {
	Table   string            `json:"table,omitzero"`
	Mode    string            `json:"mode,omitzero"`
	Key     []string          `json:"key,omitzero"`
	Columns map[string]string `json:"columns,omitzero"`
	Skip    []string          `json:"skip,omitzero"`
	Types   map[string]string `json:"types,omitzero"`
	Dates   bool              `json:"dates,omitzero"`
	Dialect
}

// Dialect says how CSV is read: as the profile, changed by what is said beside
// it, was written. What is left out is found out, or for a single table is what
// is said for all.
type Dialect struct {
	Profile      string  `json:"profile,omitzero"`
	Delimiter    string  `json:"delimiter,omitzero"`
	Header       *bool   `json:"header,omitzero"`
	Encoding     string  `json:"encoding,omitzero"`
	Quote        string  `json:"quote,omitzero"`
	NullText     *string `json:"null_text,omitzero"`
	FormulaGuard *bool   `json:"formula_guard,omitzero"`
}

var (
	modes     = []string{"create", "append", "replace", "upsert", "update"}
	types     = []string{"INTEGER", "REAL", "TEXT", "BLOB", "ANY"}
	encodings = []string{string(format.UTF8), string(format.UTF16LE), string(format.UTF16BE), string(format.Windows1252)}
	onErrors  = []string{"abort", "skip"}
)

// check finds what is wrong with the options by themselves. What the file and
// the project have to do with it shows when the job runs.
func (o *Options) check(faults *problem.Faults) {
	o.Target.check(faults, "")
	for _, name := range slices.Sorted(maps.Keys(o.Tables)) {
		t := o.Tables[name]
		t.check(faults, "tables."+name+".")
	}
	oneOf(faults, "on_error", o.OnError, onErrors)
	kinds := make([]string, 0, len(ingest.Kinds()))
	for _, k := range ingest.Kinds() {
		kinds = append(kinds, string(k))
	}
	oneOf(faults, "format", o.Format, kinds)
}

func (t *Target) check(faults *problem.Faults, prefix string) {
	oneOf(faults, prefix+"mode", t.Mode, modes)
	for _, name := range slices.Sorted(maps.Keys(t.Types)) {
		oneOf(faults, prefix+"types."+name, t.Types[name], types)
	}
	if len(t.Key) > 0 && (t.Mode == "append" || t.Mode == "replace") {
		faults.Add(prefix+"key", "A key is for the modes create, upsert and update.")
	}
	t.reading(faults, prefix, format.ReadDialect{})
}

// oneOf checks a word that may be left out.
func oneOf(faults *problem.Faults, field, word string, words []string) {
	if word != "" && !slices.Contains(words, word) {
		faults.WrongChoice(field, words)
	}
}

// reading returns the dialect that is meant, beginning with another where no
// profile is named, and notes what is wrong with it under prefix.
func (o *Dialect) reading(faults *problem.Faults, prefix string, d format.ReadDialect) format.ReadDialect {
	if o.Profile != "" {
		profile, err := format.Profile(o.Profile)
		if err != nil {
			faults.Merge(strings.TrimSuffix(prefix, "."), err)
			return d
		}
		d = profile.Reading()
	}
	d.Delimiter = oneByte(faults, prefix+"delimiter", o.Delimiter, d.Delimiter)
	if o.Quote == "none" {
		d.Quote = format.NoQuote
	} else {
		d.Quote = oneByte(faults, prefix+"quote", o.Quote, d.Quote)
	}
	oneOf(faults, prefix+"encoding", o.Encoding, encodings)
	d.Encoding = cmp.Or(format.Encoding(o.Encoding), d.Encoding)
	if o.Header != nil {
		d.Header = format.WithoutHeader
		if *o.Header {
			d.Header = format.WithHeader
		}
	}
	if o.NullText != nil {
		d.NullText = *o.NullText
	}
	if o.FormulaGuard != nil {
		d.FormulaGuard = *o.FormulaGuard
	}
	return d
}

func oneByte(faults *problem.Faults, field, text string, otherwise byte) byte {
	switch {
	case text == "":
		return otherwise
	case len(text) > 1 || text[0] < ' ' && text[0] != '\t' || text[0] > '~' || isWord(text[0]):
		faults.Add(field, "Must be one ASCII character that is neither a letter nor a digit.")
		return otherwise
	}
	return text[0]
}

func isWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// order is what package ingest is asked to do by options that are checked.
func (o *Options) order() ingest.Options {
	order := ingest.Options{
		Include: o.IncludeTables, Exclude: o.ExcludeTables, Target: o.Target.order(format.ReadDialect{}),
		Tables: map[string]ingest.Target{}, NullTexts: o.NullTexts, Sheet: o.Sheet,
	}
	if o.OnError == "skip" {
		order.OnError = ingest.Skip
	}
	for name, t := range o.Tables {
		order.Tables[name] = t.order(*order.CSV)
	}
	return order
}

// order returns the target, whose dialect begins with that of all tables.
func (t *Target) order(all format.ReadDialect) ingest.Target {
	var faults problem.Faults // none: check would have told them
	dialect := t.reading(&faults, "", all)
	return ingest.Target{
		Table: t.Table, Mode: ingest.Mode(t.Mode), Key: t.Key, Columns: t.Columns, Skip: t.Skip, Types: t.Types, Dates: t.Dates,
		CSV: &dialect,
	}
}
