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

// tableMapping says which table of the project a table of the file goes into.
type tableMapping struct {
	source.Table
	target Target
	field  string // prefix of the target in the options, such as "tables.orders."
	onto   string // the table of the file that becomes the new table this one is appended to
}

// makes reports whether the rows go into a new table.
func (a tableMapping) makes() bool { return a.target.Mode == Create || a.onto != "" }

// mapTables picks the wanted tables of the file and maps each to a table of the project.
// The notes name the tables left out.
func mapTables(tables []source.Table, o Options) (mappings []tableMapping, said source.Notes, err error) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	faults := unknownTables(names, o)
	o.Check(&faults)
	if countTables(tables) > 1 {
		faults.Merge("", o.Target.onlyForOne())
	}
	if o.Sheet != "" && !slices.ContainsFunc(tables, func(t source.Table) bool { return t.Sheet }) {
		faults.Add("sheet", "The file is not an Excel workbook.")
	}
	for _, t := range tables {
		if !o.wants(t.Name) {
			continue
		}
		a := tableMapping{Table: t, target: o.Target}
		if own, ok := o.table(t.Name); ok {
			a.target, a.field = own.or(o.Target), "tables."+t.Name+"."
		}
		a.target.Mode = a.target.mode()
		for _, note := range t.Notes {
			said.Add("table "+t.Name, "%s", note)
		}
		if a.Rowless {
			a.Open = withoutRows(a.target.Types)
		}
		if a.Rowless && a.Sheet && a.field == "" && len(tables) > 1 {
			said.Add("table "+t.Name, "The sheet is empty, and no table was created.")
			continue
		}
		if a.Rowless && a.target.Mode == Create && !a.tellsColumns(o) {
			said.Add("table "+t.Name, "It has no rows, so its columns are unknown and no table was created. Set types to create it.")
			continue
		}
		mappings = append(mappings, a)
	}
	switch {
	case len(mappings) > 0 || faults.Len() > 0:
	case slices.ContainsFunc(tables, func(t source.Table) bool { return t.Rowless && o.wants(t.Name) }):
		return nil, nil, source.Invalid("The file has no rows, so the columns of the table are unknown: set types.")
	case len(tables) == 0: // a workbook without worksheets
		return nil, nil, source.Invalid("The file contains no table.")
	default:
		faults.Add("include_tables", "Every table of the file was left out.")
	}
	return joined(mappings), said, faults.Err()
}

// countTables returns the number of tables that options for a single one could mean:
// Excel adds empty sheets to a workbook without being asked.
func countTables(tables []source.Table) (n int) {
	filled := slices.ContainsFunc(tables, func(t source.Table) bool { return !t.Rowless })
	for _, t := range tables {
		if !filled || !t.Sheet || !t.Rowless {
			n++
		}
	}
	return n
}

// tellsColumns reports whether the options name the columns of a table without rows.
// They do not count if the file should have a header: then it was cut short.
func (a tableMapping) tellsColumns(o Options) bool {
	return len(a.target.Types) > 0 && !(a.Text && o.dialect(a.Name).Header == format.WithHeader)
}

// joined finds the tables that are appended to a new table of the same file, and sorts
// them after it.
func joined(mappings []tableMapping) []tableMapping {
	makers := map[string]string{}
	for _, a := range mappings {
		if a.target.Mode == Create {
			makers[sqlite.Fold(a.target.newName(a.Name))] = a.Name
		}
	}
	for i := range mappings {
		if a := &mappings[i]; a.target.Mode == Append && a.target.Table != "" {
			a.onto = makers[sqlite.Fold(a.target.Table)]
		}
	}
	slices.SortStableFunc(mappings, func(a, b tableMapping) int { return cmp.Compare(min(len(a.onto), 1), min(len(b.onto), 1)) })
	return mappings
}

// newName returns the name of the new table for a table of the file.
func (t Target) newName(source string) string {
	return cmp.Or(t.Table, projectdb.AdjustName(source, "table", map[string]bool{}))
}

// unknownTables reports tables that the options name and the file lacks.
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

// wants reports whether a table of the file is to be imported.
func (o Options) wants(name string) bool {
	listed := func(list []string) bool {
		return sqlite.ContainsName(list, name)
	}
	return (len(o.Include) == 0 || listed(o.Include)) && !listed(o.Exclude)
}

// dialect returns the dialect in which a CSV table is read.
func (o Options) dialect(name string) format.ReadDialect {
	own, _ := o.table(name)
	var faults problem.Faults // Check reports them
	return own.or(o.Target).ReadOptions.Dialect(&faults, "")
}

// table returns the options specific to one table, if any.
func (o Options) table(name string) (Target, bool) {
	for key, t := range o.Tables {
		if sqlite.SameName(key, name) {
			return t, true
		}
	}
	return Target{}, false
}

// onlyForOne refuses options that make sense only for a single table.
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

// known returns the entry of names that equals name in any letter case. If there is
// none, the fault says what kind of thing is missing from which place.
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
