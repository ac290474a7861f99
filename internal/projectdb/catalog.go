package projectdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// catalog holds every table of a project at one moment. It is immutable once built.
type catalog struct {
	version int64
	tables  []Table // by id
	// refusedBelow maps the id of a table whose rows cannot be changed to the table
	// that refers to them and has a disallowed expression.
	refusedBelow map[ids.Table]*Table
	carrying     func() map[ids.Table]bool // see carriesOn
}

// catalogs caches the newest catalog read and which tables each later change
// touched, so that after a change the next call only rereads those tables.
type catalogs struct {
	mu      sync.Mutex
	newest  *catalog
	changes map[int64][]ids.Table // ids of the changed tables, nil for all, by the version that the change led to
}

// maxChanges is how many changes are remembered.
const maxChanges = 256

// maxDiffering is how many tables are reread one by one; beyond that, reading all of
// them is faster.
const maxDiffering = 32

// note records which tables the change to a version touched. A rolled-back transaction
// leaves a stale entry, which the next transaction that leads to the same version
// overwrites.
func (k *catalogs) note(version int64, tables []ids.Table) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes[version] = tables
	delete(k.changes, version-maxChanges)
}

// near returns the newest catalog and the ids of the tables that may differ between
// it and the given version. If ok is false, everything has to be read.
func (k *catalogs) near(version int64) (cat *catalog, differing []ids.Table, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.newest == nil {
		return nil, nil, false
	}
	// A reader may also have an older state than the newest one known.
	from, to := k.newest.version, version
	if from > to {
		from, to = to, from
	}
	for v := from + 1; v <= to; v++ {
		tables := k.changes[v]
		if tables == nil {
			return nil, nil, false
		}
		if differing = append(differing, tables...); len(differing) > maxDiffering {
			return nil, nil, false
		}
	}
	return k.newest, differing, true
}

func (k *catalogs) keep(cat *catalog) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.newest == nil || k.newest.version < cat.version {
		k.newest = cat
	}
}

// catalog returns the catalog of the transaction open on c, which must not have
// changed it yet.
func (db *DB) catalog(c *sqlite.Conn) (*catalog, error) {
	cat, err := db.catalogInside(c)
	if err == nil {
		db.known.keep(cat)
	}
	return cat, err
}

// catalogVersion reads the number of the newest change to tables and columns.
const catalogVersion = "SELECT catalog FROM _project"

// catalogInside is like catalog for a transaction that may have changed it: the
// result is for this transaction only.
func (db *DB) catalogInside(c *sqlite.Conn) (*catalog, error) {
	version, err := c.Int(catalogVersion)
	if err != nil {
		return nil, err
	}
	if known, differing, ok := db.known.near(version); ok {
		return known.reread(c, version, differing)
	}
	return loadCatalog(c, version)
}

// reread returns the catalog of another version, reading only the differing tables
// again.
func (cat *catalog) reread(c *sqlite.Conn, version int64, differing []ids.Table) (*catalog, error) {
	if len(differing) == 0 && cat.version == version {
		return cat, nil
	}
	slices.Sort(differing)
	after := &catalog{version: version, tables: slices.Clone(cat.tables)}
	for _, id := range slices.Compact(differing) {
		t, err := reloadOne(c, id)
		if err != nil {
			return nil, fmt.Errorf("read the catalog: %w", err)
		}
		i, found := after.search(id)
		switch {
		case t == nil && found:
			after.tables = slices.Delete(after.tables, i, i+1)
		case t != nil && found:
			after.tables[i] = *t
		case t != nil:
			after.tables = slices.Insert(after.tables, i, *t)
		}
	}
	after.follow()
	return after, nil
}

// around returns the ids of a table and of the tables that refer to it, which SQLite
// changes when names in it change.
func (cat *catalog) around(t *Table) []ids.Table {
	list := []ids.Table{t.ID}
	for i := range cat.tables {
		if other := &cat.tables[i]; other.ID != t.ID && other.refersTo(t.Name) {
			list = append(list, other.ID)
		}
	}
	return list
}

func loadCatalog(c *sqlite.Conn, version int64) (*catalog, error) {
	cat := &catalog{version: version}
	shapes, err := allShapes(c)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	err = c.Query(tableEntries+" ORDER BY id", nil, func(s *sqlite.Stmt) error {
		t, err := loadTable(c, shapes, s)
		cat.tables = append(cat.tables, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	cat.follow()
	return cat, nil
}

const tableEntries = "SELECT id, table_name, display_name, created_at, updated_at, label_column_id FROM _tables"

// loadTable reads the table whose catalog entry is the current row of s.
func loadTable(c *sqlite.Conn, shapes *shapes, s *sqlite.Stmt) (Table, error) {
	t, err := shapes.table(s.Text(1))
	if err != nil {
		return t, err
	}
	t.ID, t.DisplayName, t.CreatedAt, t.UpdatedAt = ids.Table(s.Int(0)), s.TextOrNil(2), s.Text(3), s.Text(4)
	t.useAPITypes()
	t.indexColumns()
	if err := t.CheckExpressions(); err != nil {
		t.Refused = err.Error()
	}
	if err := readColumnIDs(c, &t); err != nil {
		return t, err
	}
	// The label may be a column that has been deleted since; 0 is none.
	if label := t.columnWithID(s.Int(5)); label != nil && s.Int(5) > 0 {
		t.LabelColumn = label.Name
	}
	return t, readSearch(c, &t)
}

func readColumnIDs(c *sqlite.Conn, t *Table) error {
	const query = "SELECT id, column_name, created_at, updated_at FROM _columns WHERE table_id = ?"
	return c.Query(query, []any{t.ID}, func(s *sqlite.Stmt) error {
		if column := t.Column(s.Text(1)); column != nil {
			column.ID, column.CreatedAt, column.UpdatedAt = s.Int(0), s.Text(2), s.Text(3)
		}
		return nil
	})
}

// useAPITypes replaces INT with INTEGER; our STRICT tables only have INT where INTEGER
// would make the column the rowid.
func (t *Table) useAPITypes() {
	for i := range t.Columns {
		if t.Columns[i].Type == "INT" {
			t.Columns[i].Type = "INTEGER"
		}
	}
}

// changed marks the given tables, or all if none are given, as changed in the open
// transaction. They must include tables that SQLite changes as well because they refer
// to a renamed one.
func (db *DB) changed(c *sqlite.Conn, tables ...ids.Table) error {
	version, err := c.Int("UPDATE _project SET catalog = catalog + 1 RETURNING catalog")
	if err == nil {
		db.known.note(version, tables)
	}
	return err
}

// table returns the table with the given id or name.
func (cat *catalog) table(ref string) (*Table, error) {
	t := find(cat.tables, ref, func(t *Table) (int64, string) { return int64(t.ID), t.Name })
	if t == nil {
		return nil, problem.NotFound("The table", ref)
	}
	return t, nil
}

// withID returns the table with the given id.
func (cat *catalog) withID(id ids.Table) (*Table, error) {
	i, found := cat.search(id)
	if !found {
		return nil, problem.NotFound("The table", itoa(int(id)))
	}
	return &cat.tables[i], nil
}

// search returns the index of the table with the given id, or where it would be
// inserted.
func (cat *catalog) search(id ids.Table) (i int, found bool) {
	return slices.BinarySearchFunc(cat.tables, id, func(t Table, id ids.Table) int { return cmp.Compare(t.ID, id) })
}

// usable returns a conflict if reading or writing rows would evaluate a disallowed
// expression.
func (t *Table) usable() error {
	if t.Refused == "" {
		return nil
	}
	return refused(t, t.Refused)
}

func refused(t *Table, reason string) error {
	return problem.New(problem.CodeConflict, "The rows of the table %s cannot be used: %s. Delete that column, or the table.", t.Name, reason)
}

// changeable returns a conflict if changing rows of t would evaluate a disallowed
// expression, in this table or in one that refers to it.
func (cat *catalog) changeable(t *Table) error {
	if child := cat.refusedBelow[t.ID]; child != nil {
		return problem.New(problem.CodeConflict, "The rows of the table %s cannot be changed, because the table %s refers to them: %s. Delete that column, or the table %s.", t.Name, child.Name, child.Refused, child.Name)
	}
	return t.usable()
}

// follow finds what foreign keys lead to, once the tables are known.
func (cat *catalog) follow() {
	cat.followRefused()
	cat.carrying = sync.OnceValue(cat.findCarrying)
}

// carriesOn reports whether changes of the rows of a table may be carried on to other
// tables by foreign keys.
func (cat *catalog) carriesOn(id ids.Table) bool { return cat.carrying()[id] }

func (cat *catalog) findCarrying() map[ids.Table]bool {
	parents := map[string]bool{} // by folded name
	for i := range cat.tables {
		for _, key := range cat.tables[i].ForeignKeys {
			if !isPassive(key.OnDelete) || !isPassive(key.OnUpdate) {
				parents[sqlite.Fold(key.Parent)] = true
			}
		}
	}
	carrying := map[ids.Table]bool{}
	for i := range cat.tables {
		if t := &cat.tables[i]; parents[sqlite.Fold(t.Name)] {
			carrying[t.ID] = true
		}
	}
	return carrying
}

// isPassive reports whether an action of a foreign key only refuses changes.
func isPassive(action string) bool {
	return action == "" || action == "NO ACTION" || action == "RESTRICT"
}

// followRefused finds the tables whose foreign keys lead to rows that cannot be used:
// SQLite looks at those rows whenever one of their parents changes.
func (cat *catalog) followRefused() {
	cat.refusedBelow = map[ids.Table]*Table{}
	var refused []*Table
	for i := range cat.tables {
		if t := &cat.tables[i]; t.Refused != "" {
			refused = append(refused, t)
		}
	}
	for ; len(refused) > 0; refused = refused[1:] {
		child := refused[0]
		for _, key := range child.ForeignKeys {
			parent := cat.named(key.Parent)
			if parent == nil || parent.Refused != "" || cat.refusedBelow[parent.ID] != nil {
				continue
			}
			if cat.refusedBelow[parent.ID] = child; child.Refused == "" {
				cat.refusedBelow[parent.ID] = cat.refusedBelow[child.ID]
			}
			refused = append(refused, parent)
		}
	}
}

// current returns the catalog as it is now.
func (db *DB) current(ctx context.Context) (now *catalog, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		now, err = tx.catalog()
		return err
	})
	return now, err
}

// Tables returns every table, ordered by id.
func (db *DB) Tables(ctx context.Context) ([]Table, error) {
	cat, err := db.current(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(cat.tables), nil // the caller may sort them
}

// Table returns the table with the given id or name, or not_found.
func (db *DB) Table(ctx context.Context, ref string) (table Table, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		table, err = tx.Table(ref)
		return err
	})
	return table, err
}

// Table returns the table with the given id or name, or not_found.
func (tx *Tx) Table(ref string) (Table, error) {
	t, err := tx.table(ref)
	if err != nil {
		return Table{}, err
	}
	return *t, nil
}

// exactCount is the number of rows up to which an estimate counts them exactly.
const exactCount = 10_000

// RowEstimates returns the approximate number of rows of each table, by table id:
// exact for small tables, otherwise the span of the rowids.
func (db *DB) RowEstimates(ctx context.Context) (map[ids.Table]int64, error) {
	estimates := map[ids.Table]int64{}
	err := db.View(ctx, func(tx *Tx) error {
		cat, err := tx.catalog()
		if err != nil {
			return err
		}
		for i := range cat.tables {
			n, err := cat.tables[i].estimateRows(tx.c)
			if err != nil {
				return err
			}
			estimates[cat.tables[i].ID] = n
		}
		return nil
	})
	return estimates, err
}

func (t *Table) estimateRows(c *sqlite.Conn) (int64, error) {
	name := quote(t.Name)
	n, err := c.Int("SELECT count(*) FROM (SELECT 1 FROM " + name + " LIMIT " + itoa(exactCount+1) + ")")
	if err != nil || n <= exactCount {
		return n, err
	}
	rowid := t.rowidName()
	if rowid == "" {
		return c.Int("SELECT count(*) FROM " + name)
	}
	return c.Int("SELECT max(" + rowid + ") - min(" + rowid + ") + 1 FROM " + name)
}

// rowidNames are the names by which SQL can refer to the rowid, unless columns use
// them.
var rowidNames = [...]string{"rowid", "_rowid_", "oid"}

// rowidName returns a name that refers to the rowid, or "" if the table has no rowid
// or has columns with all of its names.
func (t *Table) rowidName() string {
	if t.WithoutRowid {
		return ""
	}
	for _, name := range rowidNames {
		if t.Column(name) == nil {
			return name
		}
	}
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }
