package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// columnMapping maps the columns of a file's table to the columns of the project table
// that the rows go into.
type columnMapping struct {
	tableMapping
	source   []format.Column  // all columns in the file
	from     []int            // indexes into source of the imported columns
	table    *projectdb.Table // the table to create or fill; tables appended to a new one share it
	into     []int            // indexes of table's columns, parallel to from
	key      []string         // columns that match rows, or the primary key of a new table
	inferred []inference      // for all columns in source, if they were profiled
	guess    *profile         // the profile behind inferred, unless it covers all rows
	seen     *profile         // the profile of all rows, known at the end
	dialect  *source.Dialect  // of a CSV file, once it has been read
	notes    source.Notes
}

// skipped reports whether a column of the file is left out.
func (a *tableMapping) skipped(columns []format.Column, i int) bool {
	return slices.Contains(a.target.Skip, label(columns, i))
}

// checkNames reports columns that the options name and the file lacks.
func (a *tableMapping) checkNames(columns []format.Column) error {
	var faults problem.Faults
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = label(columns, i)
	}
	note := func(field, name string) {
		if !slices.Contains(names, name) {
			faults.Unknown(a.field+field, "column", name, "in the file", names)
		}
	}
	for i, name := range a.target.Skip {
		note(fmt.Sprintf("skip[%d]", i), name)
	}
	for _, name := range slices.Sorted(maps.Keys(a.target.Columns)) {
		note("columns."+name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(a.target.Types)) {
		note("types."+name, name)
	}
	return faults.Err()
}

// place maps the columns to those of an existing table of the project.
func (a tableMapping) place(columns []format.Column, tables []projectdb.Table) (*columnMapping, error) {
	table, err := a.existing(tables)
	if err != nil {
		return nil, err
	}
	return a.mapOnto(table, columns)
}

// mapOnto maps the columns to those of a table that exists or has been designed.
func (a tableMapping) mapOnto(table *projectdb.Table, columns []format.Column) (*columnMapping, error) {
	p := &columnMapping{tableMapping: a, source: columns, table: table}
	if a.Rowless {
		return p, nil
	}
	if len(columns) == 0 {
		return nil, a.noColumns()
	}
	faults := problem.Faults{}
	faults.Merge("", a.checkNames(columns))
	byPlace := a.byPlace(columns, table)
	if !byPlace && unnamed(columns) && len(a.target.Columns) == 0 {
		return nil, problem.Invalid("header", "No header row was detected, and the file has %s while %s has %d: set header, or map column_1 and so on.",
			plural(int64(len(columns)), "column"), table.Name, len(table.Columns))
	}
	taken := map[int]int{}
	for i := range columns {
		if a.skipped(columns, i) {
			continue
		}
		to := p.find(i, byPlace, &faults)
		if to < 0 {
			continue
		}
		if other, twice := taken[to]; twice {
			faults.Add(a.field+"columns."+label(columns, i), "The column %s of the table already gets the values of %s: skip one of them.", table.Columns[to].Name, label(columns, other))
			continue
		}
		taken[to] = i
		p.from, p.into = append(p.from, i), append(p.into, to)
	}
	if len(p.from) == 0 && faults.Len() == 0 {
		faults.Add(a.field+"skip", "Every column of the file was skipped.")
	}
	if faults.Len() == 0 {
		faults.Merge("", p.findKey())
	}
	return p, faults.Err()
}

// noColumns returns the fault of a table whose rows are empty objects.
func (a tableMapping) noColumns() error {
	return source.Invalid("The rows of %s have no columns.", a.Name)
}

// existing returns the table of the project that the rows go into.
func (a tableMapping) existing(tables []projectdb.Table) (*projectdb.Table, error) {
	wanted := a.target.newName(a.Name)
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].Name
		if sqlite.SameName(tables[i].Name, wanted) || fmt.Sprint(tables[i].ID) == wanted {
			return &tables[i], nil
		}
	}
	return nil, problem.Invalid(a.field+"table", "%s Only the mode create makes a new one.", problem.Unknown("table", wanted, "in the project", names))
}

// byPlace reports whether unnamed columns of the file can be matched to the
// columns of the table by their order.
func (a tableMapping) byPlace(columns []format.Column, table *projectdb.Table) bool {
	return unnamed(columns) && len(columns) == len(table.Columns) && len(a.target.Columns) == 0
}

func unnamed(columns []format.Column) bool {
	return !slices.ContainsFunc(columns, func(c format.Column) bool { return c.Name != "" })
}

// find returns the index of the table's column that column i of the file goes into, or
// -1.
func (p *columnMapping) find(i int, byPlace bool, faults *problem.Faults) int {
	name := label(p.source, i)
	wanted, mapped := p.target.Columns[name]
	if !mapped {
		wanted = name
	}
	to := slices.IndexFunc(p.table.Columns, func(c projectdb.Column) bool { return sqlite.SameName(c.Name, wanted) })
	if to < 0 && !mapped {
		// Names are adjusted when a file becomes a table.
		adjusted := projectdb.AdjustName(name, "column", map[string]bool{})
		to = slices.IndexFunc(p.table.Columns, func(c projectdb.Column) bool { return sqlite.SameName(c.Name, adjusted) })
	}
	if byPlace {
		to = i
	}
	switch {
	case to < 0:
		unknown := problem.Unknown("column", wanted, "in the table "+p.table.Name, columnNamesOf(p.table))
		faults.Add(p.field+"columns."+name, "%s Map the column to an existing one, or skip it.", unknown)
	case p.table.Columns[to].Generated != "" && mapped:
		faults.Add(p.field+"columns."+name, "The column %s is generated and cannot be set.", wanted)
		return -1
	case p.table.Columns[to].Generated != "":
		p.notes.Add("column "+name, "The column %s of the table is generated; its values in the file were left out.", p.table.Columns[to].Name)
		return -1
	}
	return to
}

// findKey finds the columns that identify a row.
func (p *columnMapping) findKey() error {
	if p.target.Mode != Upsert && p.target.Mode != Update {
		return nil
	}
	key, faults := p.keyColumns("in the table " + p.table.Name)
	p.key = key
	if len(p.target.Key) == 0 {
		for _, part := range p.table.PrimaryKey {
			p.key = append(p.key, part.Column)
		}
	}
	switch {
	case faults.Len() > 0:
	case len(p.key) == 0:
		faults.Add(p.field+"key", "The table %s has no primary key: set key to the columns that identify a row.", p.table.Name)
	case !p.table.HasKey(p.key):
		faults.Add(p.field+"key", "Several rows of %s may have the same values in %s: a key must be the primary key or unique.", p.table.Name, strings.Join(p.key, ", "))
	}
	faults.Merge("", p.fillsKey(p.key))
	return faults.Err()
}

// keyColumns returns the key that the options ask for, spelled as in the table, and
// faults for columns that the table lacks.
func (p *columnMapping) keyColumns(place string) (key []string, faults problem.Faults) {
	for i, name := range p.target.Key {
		if column := p.table.Column(name); column != nil {
			key = append(key, column.Name)
		} else {
			faults.Unknown(fmt.Sprintf("%skey[%d]", p.field, i), "column", name, place, columnNamesOf(p.table))
		}
	}
	return key, faults
}

// fillsKey returns a fault unless the file has values for every column of the key.
func (p *columnMapping) fillsKey(key []string) error {
	var faults problem.Faults
	for _, name := range key {
		if !slices.ContainsFunc(p.into, func(to int) bool { return p.table.Columns[to].Name == name }) {
			faults.Add(p.field+"key", "The file has no values for %s, which belongs to the key.", name)
		}
	}
	return faults.Err()
}

func columnNamesOf(t *projectdb.Table) []string {
	names := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		names[i] = column.Name
	}
	return names
}

// design decides the columns, types and key of a new table.
func (a tableMapping) design(sv *profile) (*columnMapping, error) {
	const mostColumns = 2000 // SQLite's limit for a table
	p := &columnMapping{tableMapping: a, source: sv.columns, inferred: sv.found, table: &projectdb.Table{}}
	if len(sv.columns) == 0 {
		return nil, a.noColumns()
	}
	if err := a.checkNames(sv.columns); err != nil {
		return nil, err
	}
	var wanted []string
	for i := range sv.columns {
		if !a.skipped(sv.columns, i) {
			p.from, p.into = append(p.from, i), append(p.into, len(p.into))
			name, mapped := a.target.Columns[label(sv.columns, i)]
			if !mapped {
				name = label(sv.columns, i)
			}
			wanted = append(wanted, name)
		}
	}
	switch {
	case len(p.from) == 0:
		return nil, problem.Invalid(a.field+"skip", "Every column of the file was skipped.")
	case len(p.from) > mostColumns:
		return nil, source.Invalid("The table has %d columns; at most %d are possible.", len(p.from), mostColumns)
	}
	p.table.Name = a.target.newName(a.Name)
	var faults problem.Faults
	projectdb.CheckName(&faults, a.field+"table", p.table.Name)
	for k, name := range allowedNames(wanted, "column", map[string]bool{}) {
		i := p.from[k]
		if source := label(sv.columns, i); name != wanted[k] && wanted[k] != source {
			faults.Add(a.field+"columns."+source, "The name %s is not allowed here or used twice.", wanted[k])
		} else if name != sv.columns[i].Name && sv.header && wanted[k] == source {
			p.notes.Add("column "+sv.subject(i), "The name is empty, not allowed here or used twice; the column is now named %s.", name)
		}
		p.table.Columns = append(p.table.Columns, projectdb.Column{Name: name, Type: p.chosen(i).Type})
	}
	if !sv.whole && len(a.target.Types) < len(sv.columns) {
		p.guess = sv
	}
	faults.Merge("", p.designKey())
	return p, faults.Err()
}

// designKey gives a new table the primary key that the options ask for.
func (p *columnMapping) designKey() error {
	key, faults := p.keyColumns("in the new table")
	for i, name := range p.target.Key {
		if sqlite.ContainsName(p.target.Key[:i], name) {
			faults.Add(fmt.Sprintf("%skey[%d]", p.field, i), "The column %s already belongs to the key.", name)
		}
	}
	p.key = key
	p.table.SetPrimaryKey(key)
	return faults.Err()
}

// join widens the types of a new table to also fit the rows appended to it.
func (p *columnMapping) join(other *columnMapping) {
	for k, i := range other.from {
		mine := p.from[slices.Index(p.into, other.into[k])]
		both := p.inferred[mine].with(&other.inferred[i], p.source[mine].Type)
		p.inferred[mine], other.inferred[i] = both, both
		p.table.Columns[other.into[k]].Type = p.chosen(mine).Type
	}
}

// noteDates adds a note for each column whose dates are rewritten or kept as they are.
func (p *columnMapping) noteDates() {
	for _, i := range p.from {
		p.inferred[i].dates.note(&p.notes, "column "+label(p.source, i))
	}
}

// noteNumbers adds a note for each column of a new table whose numbers do not come back
// as they are in the file, once all have been seen.
func (p *columnMapping) noteNumbers() {
	if p.target.Mode != Create || p.inferred == nil {
		return
	}
	for k, i := range p.from {
		if p.target.Types[label(p.source, i)] == "" && p.inferred[i].rewrites(p.table.Columns[p.into[k]].Type) {
			p.notes.Add("column "+label(p.source, i), "Its values are numbers, some of them whole or with zeros at the end: 10.00 comes back as 10. Set types to TEXT to keep each digit.")
		}
	}
}

// settle fixes the types of a new table once all its rows have been seen.
func (p *columnMapping) settle() {
	p.inferred, p.guess = p.seen.found, nil
	for k, i := range p.from {
		p.table.Columns[p.into[k]].Type = p.chosen(i).Type
	}
}

// chosen returns the type of a column of a new table and why it was chosen.
func (p *columnMapping) chosen(i int) ColumnReport {
	c := ColumnReport{Source: p.source[i].Name, DeclaredType: p.source[i].Type}
	if told := p.target.Types[label(p.source, i)]; told != "" {
		c.Type, c.Reason = told, "it was asked for"
		return c
	}
	n := &p.inferred[i]
	c.Type, c.Reason = n.columnType(p.source[i].Type)
	c.Decisive, c.Line = n.deciding, n.line
	return c
}

// columns returns a report on each imported column.
func (p *columnMapping) columns() []ColumnReport {
	list := make([]ColumnReport, 0, len(p.from))
	for k, i := range p.from {
		column := p.table.Columns[p.into[k]]
		c := ColumnReport{Source: p.source[i].Name, DeclaredType: p.source[i].Type, Type: column.Type}
		if p.target.Mode == Create {
			c = p.chosen(i)
		}
		if c.Name = column.Name; c.Source == "" {
			c.Source = unnamedSource(p.source, i)
		}
		list = append(list, c)
	}
	return list
}

// unnamedSource returns what a report calls a column without a name. In a file without
// names, that is its position.
func unnamedSource(columns []format.Column, i int) string {
	if !unnamed(columns) {
		return ""
	}
	return label(columns, i)
}

// names returns the names of the table's columns that get values.
func (p *columnMapping) names() []string {
	names := make([]string, len(p.into))
	for k, to := range p.into {
		names[k] = p.table.Columns[to].Name
	}
	return names
}
