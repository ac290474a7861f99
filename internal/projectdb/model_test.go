package projectdb

//lint:file-ignore ST1008 A step gives what is wanted, what came, and then how the model changes.

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// model is the expected content of a project, kept in the simplest way. Values are SQL
// literals.
type model struct {
	tables    []*modelTable
	nextTable int64
	nextField int64
}

type modelTable struct {
	id      int64
	name    string
	fields  []*modelField
	indexes []modelIndex
	rows    []modelRow
	counter int64 // of AUTOINCREMENT
	parent  bool  // another table refers to it
}

type modelField struct {
	id              int64
	name, kind, def string
	notNull, unique bool
}

type modelIndex struct {
	name   string
	unique bool
	fields []*modelField
}

type modelRow struct {
	rowid  int64
	values map[*modelField]string
}

var someNames = []string{"a", "b", "c", "d"}

// taken reports whether a table or index has the name.
func (m *model) taken(name string) bool {
	for _, t := range m.tables {
		if strings.EqualFold(t.name, name) || slices.ContainsFunc(t.indexes, func(x modelIndex) bool { return strings.EqualFold(x.name, name) }) {
			return true
		}
	}
	return false
}

func (t *modelTable) field(name string) *modelField {
	for _, f := range t.fields {
		if strings.EqualFold(f.name, name) {
			return f
		}
	}
	return nil
}

func (t *modelTable) nulls(f *modelField) (n int) {
	for _, row := range t.rows {
		if row.values[f] == "NULL" {
			n++
		}
	}
	return n
}

// repeats reports whether two rows, further ones included, have the same values.
func (t *modelTable) repeats(fields []*modelField, further ...modelRow) bool {
	seen := map[string]bool{}
	for _, row := range slices.Concat(t.rows, further) {
		var key []string
		for _, f := range fields {
			key = append(key, row.values[f])
		}
		k := strings.Join(key, ",")
		if seen[k] && !slices.Contains(key, "NULL") {
			return true
		}
		seen[k] = true
	}
	return false
}

func (t *modelTable) isUnique(f *modelField) bool {
	return f.unique || f.name == "id" || slices.ContainsFunc(t.indexes, func(x modelIndex) bool { return x.unique && len(x.fields) == 1 && x.fields[0] == f })
}

// retyped returns a literal digit as a column of another type stores it.
func retyped(def, kind string) string {
	switch digit := strings.Trim(def, "'"); {
	case def == "" || kind == "ANY":
		return def
	case kind == "TEXT":
		return "'" + digit + "'"
	default:
		return digit
	}
}

// picks are the random draws of one step, whatever the step is.
type picks struct {
	t    *rapid.T
	m    *model
	db   *DB
	from *modelTable
}

func (p picks) one(label string, of ...string) string { return rapid.SampledFrom(of).Draw(p.t, label) }
func (p picks) flag(label string) bool                { return rapid.Bool().Draw(p.t, label) }

// kindAndDefault draws a type with a default that fits, as JSON and as SQL.
func (p picks) kindAndDefault() (kind string, json jsontext.Value, sql string) {
	kind = p.one("type", "INTEGER", "TEXT", "ANY")
	if digit := p.one("default", "", "", "1", "2"); digit != "" {
		json, sql = jsontext.Value(digit), retyped(digit, kind)
	}
	return kind, json, sql
}

func (p picks) createTable() (want string, err error, apply func()) {
	name := p.one("table", "p", "q", "r", "s", "Q")
	kind, def, sql := p.kindAndDefault()
	notNull, unique := p.flag("not null"), p.flag("unique")
	want = "ok"
	if p.m.taken(name) {
		want = "conflict"
	}
	_, err = p.db.CreateTable(ctx, new(problem.Faults), NewTable{Name: name, Columns: []NewColumn{{Name: "a", Type: kind, NotNull: notNull, Unique: unique, Default: def}}})
	return want, err, func() {
		p.m.nextTable++
		p.m.nextField += 2
		p.m.tables = append(p.m.tables, &modelTable{id: p.m.nextTable, name: name, fields: []*modelField{
			{id: p.m.nextField - 1, name: "id", kind: "INTEGER"}, {p.m.nextField, "a", kind, sql, notNull, unique}}})
	}
}

func (p picks) addColumn() (want string, err error, apply func()) {
	t, name := p.from, p.one("column", someNames...)
	kind, def, sql := p.kindAndDefault()
	f := &modelField{name: name, kind: kind, def: sql, notNull: p.flag("not null"), unique: p.flag("unique")}
	want = "ok"
	if t.field(name) != nil || len(t.rows) > 0 && f.notNull && sql == "" || len(t.rows) > 1 && f.unique && sql != "" {
		want = "conflict"
	}
	_, _, err = p.db.AddColumn(ctx, new(problem.Faults), t.name, NewColumn{Name: name, Type: kind, NotNull: f.notNull, Unique: f.unique, Default: def})
	return want, err, func() {
		p.m.nextField++
		f.id = p.m.nextField
		t.fields = append(t.fields, f)
		for _, row := range t.rows {
			if row.values[f] = sql; sql == "" {
				row.values[f] = "NULL"
			}
		}
	}
}

// patch draws a patch of one column and returns it with its expected result and
// effect.
func (p picks) patch() (column string, patch ColumnPatch, want string, apply func()) {
	t := p.from
	f := rapid.SampledFrom(t.fields[1:]).Draw(p.t, "field")
	after := *f
	want = "ok"
	conflict := func(bad bool) {
		if bad && want == "ok" {
			want = "conflict"
		}
	}
	if p.flag("rename") {
		after.name = p.one("new name", "a", "b", "c", "d", "A")
		patch.NewName = &after.name
		other := t.field(after.name)
		conflict(other != nil && other != f)
	}
	if p.flag("retype") {
		after.kind = p.one("type", "INTEGER", "TEXT", "ANY")
		patch.Type = &after.kind
		after.def = retyped(f.def, after.kind)
		if want == "ok" && after.kind != f.kind && t.nulls(f) < len(t.rows) {
			want = "column_type_locked"
		}
	}
	if p.flag("change null") {
		after.notNull = p.flag("not null")
		patch.NotNull = &after.notNull
		conflict(after.notNull && !f.notNull && t.nulls(f) > 0)
	}
	if p.flag("change default") {
		patch.Default, after.def = jsontext.Value("null"), ""
		if digit := p.one("default", "", "1", "2"); digit != "" {
			patch.Default, after.def = jsontext.Value(digit), retyped(digit, after.kind)
		}
	}
	indexes := t.indexes
	if p.flag("change unique") {
		unique := p.flag("unique")
		patch.Unique = &unique
		switch {
		case !unique:
			after.unique = false
			indexes = slices.DeleteFunc(slices.Clone(indexes), func(x modelIndex) bool { return x.unique && len(x.fields) == 1 && x.fields[0] == f })
		case !t.isUnique(f):
			after.unique = true
			conflict(t.repeats([]*modelField{f}))
		}
	}
	return f.name, patch, want, func() { *f, t.indexes = after, indexes }
}

func (p picks) updateColumn() (want string, err error, apply func()) {
	column, patch, want, apply := p.patch()
	_, _, err = p.db.UpdateColumn(ctx, new(problem.Faults), p.from.name, column, patch)
	return want, err, apply
}

// updateColumns makes a batch whose last patch names no existing column, so that
// nothing of it may stay.
func (p picks) updateColumns() (want string, err error, apply func()) {
	column, patch, want, apply := p.patch()
	batch := []NamedPatch{{column, patch}}
	if p.flag("broken") {
		batch = append(batch, NamedPatch{Column: "nope"})
		if want == "ok" {
			want = "validation_failed"
		}
	}
	return want, p.db.UpdateColumns(ctx, new(problem.Faults), p.from.name, batch), apply
}

func (p picks) deleteColumn() (want string, err error, apply func()) {
	t := p.from
	f := rapid.SampledFrom(t.fields).Draw(p.t, "field")
	if want = "ok"; f.name == "id" {
		want = "validation_failed"
	}
	_, err = p.db.DeleteColumn(ctx, new(problem.Faults), t.name, fmt.Sprint(f.id))
	return want, err, func() {
		t.fields = slices.DeleteFunc(t.fields, func(g *modelField) bool { return g == f })
		t.indexes = slices.DeleteFunc(t.indexes, func(x modelIndex) bool { return slices.Contains(x.fields, f) })
	}
}

func (p picks) createIndex() (want string, err error, apply func()) {
	t := p.from
	x := modelIndex{name: p.one("index", "x", "y", "q"), unique: p.flag("unique")}
	var columns []string
	for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(p.t, "order")[:2] {
		if i < len(t.fields) {
			x.fields = append(x.fields, t.fields[i])
			columns = append(columns, t.fields[i].name)
		}
	}
	switch want = "ok"; {
	case len(columns) == 0:
		want = "validation_failed"
	case p.m.taken(x.name) || x.unique && t.repeats(x.fields):
		want = "conflict"
	}
	_, err = p.db.CreateIndex(ctx, new(problem.Faults), t.name, NewIndex{Name: x.name, Columns: columns, Unique: x.unique})
	return want, err, func() { t.indexes = append(t.indexes, x) }
}

func (p picks) dropIndex() (want string, err error, apply func()) {
	t, name := p.from, p.one("index", "x", "y", "q")
	named := func(x modelIndex) bool { return x.name == name }
	if want = "ok"; !slices.ContainsFunc(t.indexes, named) {
		want = "not_found"
	}
	_, err = p.db.DropIndex(ctx, new(problem.Faults), t.name, name)
	return want, err, func() { t.indexes = slices.DeleteFunc(t.indexes, named) }
}

func (p picks) renameTable() (want string, err error, apply func()) {
	t, name := p.from, p.one("new name", "p", "q", "r", "P", "x")
	if want = "ok"; p.m.taken(name) && !strings.EqualFold(name, t.name) {
		want = "conflict"
	}
	_, err = p.db.UpdateTable(ctx, new(problem.Faults), t.name, TablePatch{NewName: &name})
	return want, err, func() { t.name = name }
}

func (p picks) deleteTable() (want string, err error, apply func()) {
	t := p.from
	if want = "ok"; t.parent {
		want = "conflict"
	}
	_, err = p.db.DeleteTable(ctx, fmt.Sprint(t.id))
	return want, err, func() { p.m.tables = slices.DeleteFunc(p.m.tables, func(u *modelTable) bool { return u == t }) }
}

func (p picks) insert() (want string, err error, apply func()) {
	t := p.from
	row := modelRow{t.counter + 1, map[*modelField]string{t.fields[0]: fmt.Sprint(t.counter + 1)}}
	var members []string
	want = "ok"
	for _, f := range t.fields[1:] {
		digit := p.one("value", "none", "null", "1", "2", "3")
		switch {
		case digit == "none" && f.def != "":
			row.values[f] = f.def
			continue
		case digit == "none":
			row.values[f] = "NULL"
		case digit == "null":
			row.values[f] = "NULL"
			members = append(members, `"`+f.name+`":null`)
		default:
			row.values[f] = retyped(digit, f.kind)
			members = append(members, `"`+f.name+`":`+digit)
		}
		if f.notNull && row.values[f] == "NULL" {
			want = "validation_failed"
		}
	}
	for _, f := range t.fields {
		if want == "ok" && f.unique && t.repeats([]*modelField{f}, row) {
			want = "conflict"
		}
	}
	for _, x := range t.indexes {
		if want == "ok" && x.unique && t.repeats(x.fields, row) {
			want = "conflict"
		}
	}
	_, err = p.db.InsertRecord(ctx, new(problem.Faults), t.name, jsontext.Value("{"+strings.Join(members, ",")+"}"), InsertOptions{})
	return want, err, func() {
		t.rows = append(t.rows, row)
		t.counter++
	}
}

func (p picks) deleteRow() (want string, err error, apply func()) {
	t := p.from
	if len(t.rows) == 0 || t.parent {
		return "ok", nil, func() {}
	}
	i := rapid.IntRange(0, len(t.rows)-1).Draw(p.t, "row")
	_, err = p.db.DeleteRecord(ctx, t.name, fmt.Sprint(t.rows[i].rowid))
	return "ok", err, func() { t.rows = slices.Delete(t.rows, i, i+1) }
}

// describe renders the model in the same form in which look reads the file.
func (m *model) describe() string {
	var b strings.Builder
	for _, t := range m.tables {
		fmt.Fprintf(&b, "table %d %s counter %d\n", t.id, t.name, t.counter)
		for _, f := range t.fields {
			fmt.Fprintf(&b, "  column %d %s %s %v %s %v\n", f.id, f.name, f.kind, f.notNull, f.def, f.unique)
		}
		var indexes []string
		for _, x := range t.indexes {
			var names []string
			for _, f := range x.fields {
				names = append(names, f.name)
			}
			indexes = append(indexes, fmt.Sprintf("  index %s %v %s\n", x.name, x.unique, strings.Join(names, ",")))
		}
		slices.Sort(indexes)
		b.WriteString(strings.Join(indexes, ""))
		for _, row := range t.rows {
			b.WriteString(" ")
			for _, f := range t.fields {
				b.WriteString(" " + row.values[f])
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// look reads the tables of a project from its file, using pragmas only.
func look(t *rapid.T, c *sqlite.Conn) string {
	var b strings.Builder
	each := func(query string, args []any, row func(s *sqlite.Stmt)) {
		if err := c.Query(query, args, func(s *sqlite.Stmt) error { row(s); return nil }); err != nil {
			t.Fatal(query, err)
		}
	}
	each("SELECT id, table_name, (SELECT seq FROM sqlite_sequence WHERE name = table_name) FROM _tables WHERE table_name <> 'kids' ORDER BY id", nil, func(s *sqlite.Stmt) {
		id, name := s.Int(0), s.Text(1)
		fmt.Fprintf(&b, "table %d %s counter %d\n", id, name, s.Int(2))
		each(`SELECT e.id, x.name, x.type, x."notnull", x.dflt_value, EXISTS (SELECT 1 FROM pragma_index_list(?1) l WHERE l.origin = 'u' AND x.name = (SELECT i.name FROM pragma_index_info(l.name) i))
			FROM pragma_table_xinfo(?1) x LEFT JOIN _columns e ON e.table_id = ?2 AND e.column_name = x.name ORDER BY x.cid`, []any{name, id}, func(s *sqlite.Stmt) {
			fmt.Fprintf(&b, "  column %d %s %s %v %s %v\n", s.Int(0), s.Text(1), s.Text(2), s.Int(3) != 0, s.Text(4), s.Int(5) != 0)
		})
		each(`SELECT name, "unique", (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)) FROM pragma_index_list(?) l WHERE origin = 'c' ORDER BY name`, []any{name}, func(s *sqlite.Stmt) {
			fmt.Fprintf(&b, "  index %s %v %s\n", s.Text(0), s.Int(1) != 0, s.Text(2))
		})
		each("SELECT * FROM "+quote(name)+" NOT INDEXED ORDER BY rowid", nil, func(s *sqlite.Stmt) {
			b.WriteString(" ")
			for i := range s.Columns() {
				b.WriteString(" " + literal(s.Value(i)))
			}
			b.WriteString("\n")
		})
	})
	return b.String()
}

func TestChangesOfShapeAgreeWithTheModel(t *testing.T) {
	testkit.Checks(t, 25)
	dir := openDir(t, 0, DirOptions{})
	project := ids.Project(0)
	rapid.Check(t, func(t *rapid.T) {
		project++
		if err := dir.Create(ctx, project, nil); err != nil {
			t.Fatal(err)
		}
		db, release, err := dir.Lease(ctx, project)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		c, err := sqlite.OpenFile(db.sql.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m := &model{}
		start := picks{t: t, m: m, db: db}
		for len(m.tables) == 0 {
			_, err, apply := start.createTable()
			if err != nil {
				t.Fatal(err)
			}
			apply()
		}
		parent := m.tables[0]
		parent.parent = true
		refer(t, db, m)
		of := "-"
		for range rapid.IntRange(5, 20).Draw(t, "steps") {
			p := start
			p.from = rapid.SampledFrom(m.tables).Draw(t, "from")
			steps := []func() (string, error, func()){p.createTable, p.addColumn, p.deleteColumn, p.createIndex, p.dropIndex, p.renameTable, p.deleteTable, p.insert, p.insert, p.insert, p.deleteRow}
			if len(p.from.fields) > 1 {
				steps = append(steps, p.updateColumn, p.updateColumn, p.updateColumn, p.updateColumns)
			}
			before := dump(t, c)
			step := rapid.IntRange(0, len(steps)-1).Draw(t, "step")
			want, err, apply := steps[step]()
			got := "ok"
			if err != nil {
				got = string(problem.From(err).Code)
			}
			if got != want {
				t.Fatalf("step %d on %s: got %v, want %s", step, p.from.name, err, want)
			}
			if err == nil {
				apply()
			} else if diff := cmp.Diff(before, dump(t, c)); diff != "" {
				t.Fatalf("a refused change left traces (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(m.describe(), look(t, c)); diff != "" {
				t.Fatalf("step %d (-model +file):\n%s", step, diff)
			}
			if of == "-" && len(parent.rows) > 0 {
				of = fmt.Sprint(parent.rows[0].rowid)
				if _, err := db.UpdateRecord(ctx, new(problem.Faults), "kids", "1", jsontext.Value(`{"of":`+of+`}`)); err != nil {
					t.Fatal(err)
				}
			}
			if got := ask(t, c, `SELECT group_concat(id || '>' || coalesce(of, '-')), (SELECT "table" || "to" || on_delete FROM pragma_foreign_key_list('kids')) FROM kids`); got != "'1>"+of+"'|'"+parent.name+"idCASCADE'" {
				t.Fatalf("step %d: the child of %s has become %s", step, parent.name, got)
			}
		}
		sound(t, c)
	})
}

// refer creates a table kids that refers to the first table.
func refer(t *rapid.T, db *DB, m *model) {
	m.nextTable++
	m.nextField += 2
	err := db.sql.Restructure(ctx, func(c *sqlite.Conn) error {
		for _, statement := range []string{
			"CREATE TABLE kids (id INTEGER PRIMARY KEY, of INTEGER REFERENCES " + quote(m.tables[0].name) + " (id) ON DELETE CASCADE) STRICT",
			"INSERT INTO kids VALUES (1, NULL)",
			"INSERT INTO _tables (table_name, created_at, updated_at) VALUES ('kids', '', '')",
			"INSERT INTO _columns (table_id, column_name, created_at, updated_at) SELECT max(_tables.id), value, '', '' FROM _tables, json_each('[\"id\", \"of\"]') GROUP BY value",
		} {
			if err := c.Exec(statement); err != nil {
				return err
			}
		}
		return db.changed(c)
	})
	if err != nil {
		t.Fatal(err)
	}
}
