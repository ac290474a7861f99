package ingest

import (
	"cmp"
	"context"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// plan says how the tables of a SQLite file become tables of a project.
type plan struct {
	tables  []*tablePlan
	exact   bool             // all values have been examined
	present map[string]bool  // folded names of all tables in the file
	told    func(*tablePlan) // called for each batch of rows
	notes   source.Notes
}

// tablePlan says how one table is imported.
type tablePlan struct {
	target Target
	field  string          // see tableMapping
	source projectdb.Table // as in the file, with types as declared
	shape  projectdb.Table // as it will be in the project

	names   map[string]string // all columns, from folded old name to new name
	renamed map[string]string // the same, for renamed columns only
	checks  map[string]string // maps a CHECK in shape to the one in source
	counts  []classes         // per column
	typed   []string          // why each column has its type
	fitted  bool              // everything that does not compile has been dropped
	counted int64             // rows in the file
	rows    int64             // loaded so far
	seq     int64             // the largest id that AUTOINCREMENT gave out, -1 without one
	notes   source.Notes
}

// column returns the project's name for a column of the source.
func (p *tablePlan) column(from string) string { return p.names[sqlite.Fold(from)] }

func (p *tablePlan) subject() string { return "table " + p.source.Name }

func (p *tablePlan) columnSubject(i int) string {
	return "column " + p.source.Name + "." + p.source.Columns[i].Name
}

// take reads tables of a file and decides what becomes of each.
func (p *plan) take(ctx context.Context, c sqlite.Source, mappings []tableMapping) error {
	for _, a := range mappings {
		if err := cmp.Or(ctx.Err(), p.readTable(c, a)); err != nil {
			return err
		}
	}
	if err := p.nameTables(); err != nil {
		return err
	}
	for _, t := range p.tables {
		if err := t.makeShape(); err != nil {
			return err
		}
		if err := t.readCounter(c); err != nil {
			return err
		}
	}
	for _, t := range p.tables {
		p.resolveKeys(t)
	}
	return nil
}

// noteFile adds the notes on the file as a whole.
func (p *plan) noteFile(c sqlite.Source, tables []string) error {
	encoding, err := c.Text("PRAGMA encoding")
	if err != nil {
		return err
	}
	if encoding != "UTF-8" {
		p.notes.Add("file", "Its texts were %s and are now UTF-8.", encoding)
	}
	if len(tables) == 0 {
		p.notes.Add("file", "It contains no tables.")
	}
	return nil
}

// listTables returns the names of the ordinary tables and notes everything else in the
// file.
func (p *plan) listTables(c sqlite.Source) ([]string, error) {
	_, ours, err := projectdb.DisplayNames(c)
	if err != nil {
		return nil, err
	}
	p.present = map[string]bool{}
	kinds := map[string]string{}
	err = c.Rows("SELECT name, type FROM pragma_table_list WHERE schema = 'main'", nil, func(s sqlite.Row) error {
		kinds[s.Text(0)] = s.Text(1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var names []string
	err = c.Rows("SELECT type, name, tbl_name FROM sqlite_schema ORDER BY rowid", nil, func(s sqlite.Row) error {
		kind, name := s.Text(0), s.Text(1)
		switch {
		case strings.HasPrefix(sqlite.Fold(name), "sqlite_"), kind == "index":
		case ours && projectdb.IsOwnTable(name):
		case kind == "view":
			p.notes.Add("view "+name, "Views are not imported.")
		case kind == "trigger":
			p.notes.Add("trigger "+name, "Triggers are not imported; it belongs to %s.", s.Text(2))
		case kinds[name] == "virtual":
			p.notes.Add("virtual table "+name, "Virtual tables are not imported.")
		case kinds[name] == "shadow":
			p.notes.Add("table "+name, "It belongs to a virtual table and was not imported.")
		default:
			names = append(names, name)
			p.present[sqlite.Fold(name)] = true
		}
		return nil
	})
	return names, err
}

// readTable adds a table to the plan, unless SQLite cannot read it.
func (p *plan) readTable(c sqlite.Source, a tableMapping) error {
	t := &tablePlan{target: a.target, field: a.field, seq: -1}
	name := a.Name
	var err error
	if t.source, err = projectdb.ReadTable(c, name); err != nil {
		return p.unreadableTable(name, err)
	}
	t.dropUncomputable(c)
	if t.counts, err = countClasses(c, &t.source, p.exact); err != nil {
		return p.unreadableTable(name, err)
	}
	for _, n := range t.counts {
		t.counted = n.rows
	}
	if err := a.checkNames(columnsOf(&t.source)); err != nil {
		return err
	}
	p.tables = append(p.tables, t)
	return nil
}

func columnsOf(t *projectdb.Table) (columns []format.Column) {
	for _, column := range t.Columns {
		columns = append(columns, format.Column{Name: column.Name})
	}
	return columns
}

// unreadableTable notes that a table cannot be read because it needs a collation or
// function that is unknown here. Any other error is returned as a fault of the file.
func (p *plan) unreadableTable(name string, err error) error {
	if !sqlite.FaultOf(err).InSQL() {
		return err
	}
	p.notes.Add("table "+name, "It cannot be read here and was not imported. SQLite says: %s.", source.OneLine(sqlite.Message(err)))
	return nil
}

// dropUncomputable drops generated columns whose expression does not compile, since they
// have no readable values.
func (p *tablePlan) dropUncomputable(c sqlite.Source) {
	var columns []projectdb.Column
	for i, column := range p.source.Columns {
		if column.Generated != "" {
			scan, err := c.Scan("SELECT " + format.QuoteIdent(column.Name) + " FROM " + format.QuoteIdent(p.source.Name))
			if err != nil {
				p.notes.Add(p.columnSubject(i), "It is generated by an expression that does not work here, and was left out. SQLite says: %s.", source.OneLine(sqlite.Message(err)))
				continue
			}
			scan.Close()
		}
		columns = append(columns, column)
	}
	p.source.Columns = columns
}

// readCounter reads the AUTOINCREMENT counter, which may be ahead of the rows.
func (p *tablePlan) readCounter(c sqlite.Source) (err error) {
	if p.source.Autoincrement {
		p.seq, err = c.Int("SELECT coalesce(max(seq), -1) FROM sqlite_sequence WHERE name = ?", p.source.Name)
	}
	return err
}

// nameTables gives each table its name in the project. Requested names come first, then
// names that are allowed as they are, so that none of those has to change.
func (p *plan) nameTables() error {
	var faults problem.Faults
	taken := map[string]bool{}
	var others []*tablePlan
	var names []string
	for _, t := range p.tables {
		if t.shape.Name = t.target.Table; t.shape.Name == "" {
			others, names = append(others, t), append(names, t.source.Name)
			continue
		}
		projectdb.CheckName(&faults, t.field+"table", t.shape.Name)
		if taken[sqlite.Fold(t.shape.Name)] {
			faults.Add(t.field+"table", "Two tables of the file cannot become one new table.")
		}
		taken[sqlite.Fold(t.shape.Name)] = true
	}
	for i, name := range allowedNames(names, "table", taken) {
		t := others[i]
		if t.shape.Name = name; name != t.source.Name {
			t.notes.Add(t.subject(), "The name is not allowed here; the table is now named %s.", name)
		}
	}
	return faults.Err()
}

// allowedNames returns the names, adjusted where necessary to be allowed and unique.
func allowedNames(names []string, otherwise string, taken map[string]bool) []string {
	adjusted := make([]string, len(names))
	for i, name := range names {
		if trial := projectdb.AdjustName(name, otherwise, map[string]bool{}); trial == name && !taken[sqlite.Fold(name)] {
			adjusted[i] = name
			taken[sqlite.Fold(name)] = true
		}
	}
	for i, name := range names {
		if adjusted[i] == "" {
			adjusted[i] = projectdb.AdjustName(name, otherwise, taken)
		}
	}
	return adjusted
}

// makeShape decides everything about a table that does not depend on other tables.
func (p *tablePlan) makeShape() error {
	if err := p.makeColumns(); err != nil {
		return err
	}
	p.makePrimaryKey()
	from, shape := &p.source, &p.shape
	shape.RowidKey, shape.Autoincrement, shape.WithoutRowid = from.RowidKey, from.Autoincrement, from.WithoutRowid
	for _, unique := range from.Uniques {
		shape.Uniques = append(shape.Uniques, projectdb.Unique{Columns: p.parts(unique.Columns, "a UNIQUE constraint")})
	}
	p.checks = map[string]string{}
	for _, check := range from.Checks {
		text := projectdb.RenameColumns(check, p.renamed)
		p.checks[text] = check
		shape.Checks = append(shape.Checks, text)
	}
	for _, x := range from.Indexes {
		if x.Managed() {
			shape.Indexes = append(shape.Indexes, projectdb.Index{
				Name: x.Name, Table: shape.Name, Unique: x.Unique, Origin: x.Origin,
				Parts: p.parts(x.Parts, "the index "+x.Name), Where: projectdb.RenameColumns(x.Where, p.renamed),
			})
		}
	}
	p.refuseExpressions()
	if len(from.ConflictClauses) > 0 {
		p.notes.Add(p.subject(), "Conflict clauses were not imported: %s.", strings.Join(from.ConflictClauses, ", "))
	}
	return nil
}

func (p *tablePlan) makeColumns() error {
	names := make([]string, len(p.source.Columns))
	for i, column := range p.source.Columns {
		names[i] = column.Name
		if wanted := p.target.Columns[column.Name]; wanted != "" {
			names[i] = wanted
		}
	}
	var faults problem.Faults
	p.names, p.renamed = map[string]string{}, map[string]string{}
	p.typed = make([]string, len(names))
	for i, name := range allowedNames(names, "column", map[string]bool{}) {
		from := p.source.Columns[i]
		column := projectdb.Column{Name: name, NotNull: from.NotNull, Collation: from.Collation, Stored: from.Stored}
		column.Type, p.typed[i] = columnType(from.Type, p.counts[i])
		if p.names[sqlite.Fold(from.Name)] = name; name != from.Name {
			p.renamed[sqlite.Fold(from.Name)] = name
		}
		if names[i] != from.Name && names[i] != name {
			faults.Add(p.field+"columns."+from.Name, "The name %s is not allowed here or used twice.", names[i])
		}
		p.shape.Columns = append(p.shape.Columns, column)
		p.noteColumn(i)
	}
	// An expression may refer to a later column, so all names must be known by now.
	for i, from := range p.source.Columns {
		column := &p.shape.Columns[i]
		column.Generated = projectdb.RenameColumns(from.Generated, p.renamed)
		column.Default = projectdb.LiteralDefault(from.Default)
		if !defaultFits(column.Type, column.Default) {
			p.notes.Add(p.columnSubject(i), "The default %s was not imported: it is not of the type %s.", from.Default, column.Type)
			column.Default = ""
		}
	}
	return faults.Err()
}

// noteColumn notes what had to change in a column.
func (p *tablePlan) noteColumn(i int) {
	from, column := p.source.Columns[i], &p.shape.Columns[i]
	if column.Name != from.Name && column.Name != p.target.Columns[from.Name] {
		p.notes.Add(p.columnSubject(i), "The name is not allowed here; the column is now named %s.", column.Name)
	}
	if p.typed[i] != "" && column.Type == "ANY" {
		p.notes.Add(p.columnSubject(i), "The type %s became ANY: %s.", from.Type, p.typed[i])
	}
	if !builtinCollation(column.Collation) {
		p.notes.Add(p.columnSubject(i), "The collation %s is unknown here; BINARY takes its place.", column.Collation)
		column.Collation = ""
	}
	if nulls := p.counts[i].null(); nulls > 0 && column.NotNull {
		p.notes.Add(p.columnSubject(i), "NOT NULL was not imported: %s no value.", source.RowsHave(nulls))
		column.NotNull = false
	}
}

// makePrimaryKey carries over the primary key. In old SQLite files it may contain NULL,
// which a STRICT table does not allow.
func (p *tablePlan) makePrimaryKey() {
	key := p.parts(p.source.PrimaryKey, "the primary key")
	for i, column := range p.source.Columns {
		nulls := p.counts[i].null()
		if p.source.IsPrimary(column.Name) && nulls > 0 {
			p.notes.Add(p.subject(), "The primary key became a UNIQUE constraint: %s no value in %s.", source.RowsHave(nulls), column.Name)
			p.shape.Uniques = append(p.shape.Uniques, projectdb.Unique{Columns: key})
			return
		}
	}
	p.shape.PrimaryKey = key
}

// parts carries over the columns of a key or index.
func (p *tablePlan) parts(from []projectdb.KeyPart, of string) []projectdb.KeyPart {
	var parts []projectdb.KeyPart
	for _, part := range from {
		if !builtinCollation(part.Collation) {
			p.notes.Add(p.subject(), "The collation %s of %s is unknown here; the column's own takes its place.", part.Collation, of)
			part.Collation = ""
		}
		part.Expression = projectdb.RenameColumns(part.Expression, p.renamed)
		if part.Column != "" {
			part.Column = p.column(part.Column)
		}
		parts = append(parts, part)
	}
	return parts
}

func builtinCollation(name string) bool {
	switch strings.ToUpper(name) {
	case "", "BINARY", "NOCASE", "RTRIM":
		return true
	}
	return false
}

// resolveKeys carries over the foreign keys of a table whose parent tables are imported.
func (p *plan) resolveKeys(t *tablePlan) {
	for _, from := range t.source.ForeignKeys {
		what := "The foreign key on " + strings.Join(from.Columns, ", ") + " to " + from.Parent
		key := projectdb.ForeignKey{OnUpdate: from.OnUpdate, OnDelete: from.OnDelete}
		for _, column := range from.Columns {
			key.Columns = append(key.Columns, t.column(column))
		}
		parent := p.find(from.Parent)
		if parent == nil && p.present[sqlite.Fold(from.Parent)] {
			t.notes.Add(t.subject(), "%s was not imported: that table is not imported from the file.", what)
			continue
		}
		if parent == nil {
			t.notes.Add(t.subject(), "%s was not imported: there is no such table.", what)
			continue
		}
		key.Parent = parent.shape.Name
		for _, column := range parent.referred(from) {
			key.ParentColumns = append(key.ParentColumns, parent.column(column))
		}
		if !parent.hasKey(key) {
			t.notes.Add(t.subject(), "%s was not imported: the columns that it refers to are not a key there.", what)
			continue
		}
		if from.Deferred {
			t.notes.Add(t.subject(), "%s is now checked by each statement, no longer only at the end of a transaction.", what)
		}
		t.shape.ForeignKeys = append(t.shape.ForeignKeys, key)
	}
}

// referred returns the columns that a foreign key to p refers to, none if it refers to
// the primary key. A primary key that became a UNIQUE constraint has to be spelled out.
func (p *tablePlan) referred(key projectdb.ForeignKey) []string {
	if len(key.ParentColumns) > 0 || len(p.shape.PrimaryKey) > 0 {
		return key.ParentColumns
	}
	var columns []string
	for _, part := range p.source.PrimaryKey {
		columns = append(columns, part.Column)
	}
	return columns
}

func (p *plan) find(from string) *tablePlan {
	for _, t := range p.tables {
		if sqlite.SameName(t.source.Name, from) {
			return t
		}
	}
	return nil
}

// hasKey reports whether the columns that a foreign key refers to are the primary key or
// unique, as SQLite requires.
func (p *tablePlan) hasKey(key projectdb.ForeignKey) bool {
	if len(key.ParentColumns) == 0 {
		return len(p.shape.PrimaryKey) == len(key.Columns)
	}
	return p.shape.HasKey(key.ParentColumns)
}
