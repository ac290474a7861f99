package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// assignment is a table of the file and where it goes.
type assignment struct {
	source.Table
	target Target
	field  string // what the target is called in the options, such as "tables.orders."
	onto   string // the table of the file that becomes the new one this is appended to
}

// makes reports whether the table is one that is made.
func (a assignment) makes() bool { return a.target.Mode == Create || a.onto != "" }

// assign picks the tables of the file that are wanted, and says where each one
// goes, and what of them is left out.
func assign(tables []source.Table, o Options) (assigned []assignment, said source.Notes, err error) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	faults := unknownTables(names, o)
	o.Check(&faults)
	if len(tables) > 1 {
		faults.Merge("", o.Target.onlyForOne())
	}
	if o.Sheet != "" && !slices.ContainsFunc(tables, func(t source.Table) bool { return t.Sheet }) {
		faults.Add("sheet", "The file is not an Excel workbook.")
	}
	for _, t := range tables {
		if !o.wants(t.Name) {
			continue
		}
		a := assignment{Table: t, target: o.Target}
		if own, ok := o.table(t.Name); ok {
			a.target, a.field = own.or(o.Target), "tables."+t.Name+"."
		}
		a.target.Mode = a.target.mode()
		if a.Rowless {
			a.Open = withoutRows(a.target.Types)
		}
		if a.Rowless && a.target.Mode == Create && !a.tellsColumns(o) {
			said.Add("table "+t.Name, "It has no rows, so its columns are unknown and no table was created. Set types to create it.")
			continue
		}
		assigned = append(assigned, a)
	}
	switch {
	case len(assigned) > 0 || faults.Len() > 0:
	case len(said) > 0:
		return nil, nil, source.Invalid("The file has no rows, so the columns of the table are unknown: set types.")
	case len(tables) == 0: // a workbook without worksheets
		return nil, nil, source.Invalid("The file contains no table.")
	default:
		faults.Add("include_tables", "Every table of the file was left out.")
	}
	return joined(assigned), said, faults.Err()
}

// tellsColumns reports whether a table without rows can be made. Where the names
// should have been in the file, it was cut short.
func (a assignment) tellsColumns(o Options) bool {
	return len(a.target.Types) > 0 && !(a.Text && o.dialect(a.Name).Header == format.WithHeader)
}

// joined finds the tables that are appended to new ones of the same file, and
// puts them behind these.
func joined(assigned []assignment) []assignment {
	makers := map[string]string{}
	for _, a := range assigned {
		if a.target.Mode == Create {
			makers[sqlite.Fold(a.target.newName(a.Name))] = a.Name
		}
	}
	for i := range assigned {
		if a := &assigned[i]; a.target.Mode == Append && a.target.Table != "" {
			a.onto = makers[sqlite.Fold(a.target.Table)]
		}
	}
	slices.SortStableFunc(assigned, func(a, b assignment) int { return cmp.Compare(min(len(a.onto), 1), min(len(b.onto), 1)) })
	return assigned
}

// newName returns the name of the table that is made of one of the file.
func (t Target) newName(source string) string {
	return cmp.Or(t.Table, projectdb.AdjustName(source, "table", map[string]bool{}))
}

// unknownTables notes names in the options that the file does not have.
func unknownTables(names []string, o Options) (faults problem.Faults) {
	note := func(field, name string) {
		_, err := known(field, "table", name, "in the file", names)
		faults.Merge("", err)
	}
	for i, name := range o.Include {
		note(fmt.Sprintf("include_tables[%d]", i), name)
	}
	for i, name := range o.Exclude {
		note(fmt.Sprintf("exclude_tables[%d]", i), name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Tables)) {
		note("tables."+name, name)
	}
	return faults
}

// wants reports whether a table of the file is to come in.
func (o Options) wants(name string) bool {
	listed := func(list []string) bool {
		return sqlite.ContainsName(list, name)
	}
	return (len(o.Include) == 0 || listed(o.Include)) && !listed(o.Exclude)
}

// dialect returns how a table of text is read.
func (o Options) dialect(name string) format.ReadDialect {
	own, _ := o.table(name)
	var faults problem.Faults // those of the check are told
	return own.or(o.Target).ReadOptions.Dialect(&faults, "")
}

// table returns what the options say of a single table.
func (o Options) table(name string) (Target, bool) {
	for key, t := range o.Tables {
		if sqlite.SameName(key, name) {
			return t, true
		}
	}
	return Target{}, false
}

// onlyForOne refuses what makes no sense for several tables.
func (t Target) onlyForOne() error {
	var faults problem.Faults
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"table", t.Table != ""}, {"key", len(t.Key) > 0}, {"columns", len(t.Columns) > 0},
		{"skip", len(t.Skip) > 0}, {"types", len(t.Types) > 0},
	} {
		if option.set {
			faults.Add(option.name, "The file has several tables: set this option per table, under tables.")
		}
	}
	return faults.Err()
}

// known finds the name of a thing of some kind, in any letter case, among those
// that there are in a place.
func known(field, kind, name, place string, names []string) (string, error) {
	for _, candidate := range names {
		if sqlite.SameName(candidate, name) {
			return candidate, nil
		}
	}
	var faults problem.Faults
	faults.Unknown(field, kind, name, place, names)
	return "", faults.Err()
}
