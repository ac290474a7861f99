package projectdb

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Target says which records the values of one or more columns refer to.
type Target struct {
	Table    string
	Columns  []string // nil means the primary key
	OnDelete string   // "" means NO ACTION
	OnUpdate string
}

// NewForeignKey is a foreign key to be made.
type NewForeignKey struct {
	Columns []string
	Target
}

// keyActions are what a foreign key can do when the record it refers to changes.
var keyActions = []string{"NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"}

// tableFinder returns the table with the given name, or nil.
type tableFinder func(name string) *Table

// referring checks foreign keys of one table and notes every fault.
type referring struct {
	table *Table
	find  tableFinder // of other tables
	known map[string]*Table
}

func newReferring(t *Table, find tableFinder) *referring {
	return &referring{t, find, map[string]*Table{}}
}

// parent returns the table that a reference names. Tables are searched one by one, so
// those found are remembered: a table may have 2,000 references.
func (r *referring) parent(name string) *Table {
	if sqlite.SameName(name, r.table.Name) {
		return r.table
	}
	folded := sqlite.Fold(name)
	parent, known := r.known[folded]
	if !known {
		parent = r.find(name)
		r.known[folded] = parent
	}
	return parent
}

// fieldNames are the names under which clients send the parts of a foreign key.
type fieldNames struct{ prefix, columns, table, parent string }

// ofColumn are the names in the references of a column.
func ofColumn(prefix string) fieldNames {
	return fieldNames{prefix + "references.", "", "table", "column"}
}

// key returns the foreign key that n describes.
func (r *referring) key(faults *problem.Faults, at fieldNames, n NewForeignKey) ForeignKey {
	key := ForeignKey{OnDelete: keyAction(faults, at.prefix+"on_delete", n.OnDelete), OnUpdate: keyAction(faults, at.prefix+"on_update", n.OnUpdate)}
	columns := r.columns(faults, at, n.Columns)
	parent := r.parent(n.Table)
	if parent == nil {
		faults.Add(at.prefix+at.table, "There is no table %q to refer to.", n.Table)
		return key
	}
	key.Parent, key.ParentColumns = parent.Name, n.Columns
	parents := r.parents(faults, at, parent, n.Target)
	if columns == nil || parents == nil {
		return key
	}
	key.Columns, key.ParentColumns = namesOf(columns), namesOf(parents)
	r.refuseUnlike(faults, at, columns, parents)
	r.refuseAction(faults, at.prefix+"on_delete", key.OnDelete, columns)
	r.refuseAction(faults, at.prefix+"on_update", key.OnUpdate, columns)
	return key
}

func namesOf(columns []*Column) []string {
	list := make([]string, len(columns))
	for i, column := range columns {
		list[i] = column.Name
	}
	return list
}

func keyAction(faults *problem.Faults, field, action string) string {
	action = strings.ToUpper(action)
	switch {
	case action == "":
		action = keyActions[0]
	case !slices.Contains(keyActions, action):
		faults.WrongChoice(field, keyActions)
	}
	return action
}

// columns returns the columns that refer; nil if there is a fault.
func (r *referring) columns(faults *problem.Faults, at fieldNames, list []string) []*Column {
	before := faults.Len()
	if len(list) == 0 {
		faults.Add(at.prefix+at.columns, "Choose at least one column.")
	}
	var columns []*Column
	for i, name := range list {
		field := strings.TrimSuffix(at.prefix, ".")
		if at.columns != "" {
			field = at.prefix + at.columns + "[" + itoa(i) + "]"
		}
		column := r.table.Column(name)
		switch {
		case column == nil:
			r.table.unknownColumn(faults, field, name)
		case column.Generated != "":
			faults.Add(field, "The values of a generated column cannot refer to records.")
		case slices.Contains(columns, column):
			faults.Add(field, "The column %q is listed twice.", name)
		}
		columns = append(columns, column)
	}
	if faults.Len() > before || faults.Full() {
		return nil
	}
	return columns
}

// parents returns the columns that are referred to; nil if there is a fault.
func (r *referring) parents(faults *problem.Faults, at fieldNames, parent *Table, n Target) []*Column {
	list, before := n.Columns, faults.Len()
	field := at.prefix + at.parent
	if list == nil {
		list = parent.KeyColumns()
	}
	var columns []*Column
	for _, name := range list {
		if column := parent.Column(name); column != nil {
			columns = append(columns, column)
		} else {
			parent.unknownColumn(faults, field, name)
		}
	}
	if faults.Len() == before && (len(list) == 0 || !parent.HasKey(list)) {
		faults.Add(field, "What is referred to must be the primary key or a unique key of the table %s.", parent.Name)
	}
	if faults.Len() > before || faults.Full() {
		return nil
	}
	return columns
}

// refuseUnlike notes columns whose values could never equal those they refer to.
func (r *referring) refuseUnlike(faults *problem.Faults, at fieldNames, columns, parents []*Column) {
	if len(columns) != len(parents) {
		faults.Add(at.prefix+at.parent, "%d columns are referred to, and %d refer to them: choose as many.", len(parents), len(columns))
		return
	}
	isNumber := func(c *Column) bool { return c.Type == "INTEGER" || c.Type == "REAL" }
	for i, column := range columns {
		other := parents[i]
		alike := column.Type == other.Type || column.Type == "ANY" || other.Type == "ANY" || isNumber(column) && isNumber(other)
		if !alike {
			faults.Add(at.prefix+at.parent, "The column %s has the type %s, and %s, which it would refer to, has the type %s.", column.Name, column.Type, other.Name, other.Type)
		}
	}
}

// refuseAction notes an action that would always fail.
func (r *referring) refuseAction(faults *problem.Faults, field, action string, columns []*Column) {
	for _, column := range columns {
		required := column.NotNull || r.table.IsPrimary(column.Name)
		if action == "SET NULL" && required || action == "SET DEFAULT" && required && column.Default == "" {
			faults.Add(field, "The column %s cannot be null: choose another action.", column.Name)
			return
		}
	}
}

// newKey adds the foreign key that a column refers by.
func (r *referring) newKey(faults *problem.Faults, prefix, column string, to *Target) {
	if to == nil {
		return
	}
	key := r.key(faults, ofColumn(prefix), NewForeignKey{[]string{column}, *to})
	r.table.ForeignKeys = append(r.table.ForeignKeys, key)
}

// newKeys adds the foreign keys of a list.
func (r *referring) newKeys(faults *problem.Faults, prefix string, list []NewForeignKey) {
	for i, n := range list {
		if faults.Full() {
			return
		}
		at := fieldNames{prefix + "foreign_keys[" + itoa(i) + "].", "columns", "parent_table", "parent_columns"}
		r.table.ForeignKeys = append(r.table.ForeignKeys, r.key(faults, at, n))
	}
}

// replaceKeys gives a table other foreign keys.
func (tx *Tx) replaceKeys(t *Table, keys []ForeignKey) error {
	after := t.clone()
	after.ForeignKeys = keys
	if after.CreateSQL() == t.CreateSQL() {
		return nil
	}
	for i, key := range keys {
		if err := tx.refuseOrphans(t, key, "foreign_keys["+itoa(i)+"]"); err != nil {
			return err
		}
	}
	return tx.rebuild(t, after)
}

// shownKeys is how many records are named that violate a foreign key.
const shownKeys = 5

// refuseOrphans returns a conflict if rows of the table would violate a new foreign key.
// Without the right to read the table, only their number is told.
func (tx *Tx) refuseOrphans(t *Table, key ForeignKey, field string) error {
	cat, err := tx.catalog()
	if err != nil {
		return err
	}
	parent := cat.named(key.Parent)
	if parent == nil {
		return nil // a key of an imported table that refers to nothing
	}
	terms, present := make([]string, len(key.Columns)), make([]string, len(key.Columns))
	for i, name := range key.Columns {
		present[i] = "c." + quote(name) + " IS NOT NULL"
		// The values are compared as the column referred to compares them.
		terms[i] = "p." + quote(key.ParentColumns[i]) + " = c." + quote(name)
	}
	from := " FROM " + quote(t.Name) + " AS c WHERE " + strings.Join(present, " AND ") +
		" AND NOT EXISTS (SELECT 1 FROM " + quote(parent.Name) + " AS p WHERE " + strings.Join(terms, " AND ") + ")"
	n, err := tx.c.Int("SELECT count(*)" + from)
	if err != nil || n == 0 {
		return err
	}
	ids, err := tx.firstIDs(t, from)
	if err != nil {
		return err
	}
	const sentence = "%d rows refer to records of the table %s that do not exist%s. Change or delete those rows first."
	return problem.New(problem.CodeConflict, sentence, n, parent.Name, ids).With(field, sentence, n, parent.Name, ids)
}

// firstIDs names the first records of a selection, for the end of a sentence.
func (tx *Tx) firstIDs(t *Table, from string) (string, error) {
	key := t.key()
	if len(key) == 0 || !tx.mayRead(t) {
		return "", nil
	}
	parts := make([]string, len(key))
	for i, column := range key {
		parts[i] = "c." + column.name
	}
	list := strings.Join(parts, ", ")
	var ids []string
	err := tx.c.Query("SELECT "+list+from+" ORDER BY "+list+" LIMIT "+itoa(shownKeys), nil, func(s *sqlite.Stmt) error {
		values := make([]sqlite.Value, s.Columns())
		for i := range values {
			values[i] = s.Value(i)
		}
		const longest = 60 // bytes of an id worth repeating
		if id := recordID(values); len(id) <= longest {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ": the first are " + strings.Join(ids, ", "), nil
}

// recordID returns the id of a record as it is written in a path.
func recordID(key []sqlite.Value) string {
	parts := make([]string, len(key))
	for i, v := range key {
		// PathEscape leaves commas, which stand between the parts.
		parts[i] = strings.ReplaceAll(url.PathEscape(keyText(v)), ",", "%2C")
	}
	return strings.Join(parts, ",")
}

// keyText returns the text that [keyValue] reads as v.
func keyText(v sqlite.Value) string {
	switch v.Kind {
	case sqlite.Integer:
		return strconv.FormatInt(v.Int, 10)
	case sqlite.Real:
		return strconv.FormatFloat(v.Float, 'g', -1, 64)
	case sqlite.Blob:
		return base64.StdEncoding.EncodeToString(v.Bytes)
	}
	return string(v.Bytes)
}
