package projectdb

import (
	"context"
	"fmt"
	"strconv"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// catalogue is every table of a project, as it was at one moment. It is never
// changed once built.
type catalogue struct {
	version int64
	tables  []Table // by id
}

// catalogue returns the catalogue that belongs to the transaction open on c,
// which must not have changed it yet.
func (db *DB) catalogue(c *sqlite.Conn) (*catalogue, error) {
	version, err := c.Int("SELECT catalogue FROM _project")
	if err != nil {
		return nil, err
	}
	if known := db.known.Load(); known != nil && known.version == version {
		return known, nil
	}
	cat, err := loadCatalogue(c, version)
	if err != nil {
		return nil, err
	}
	db.known.Store(cat)
	return cat, nil
}

func loadCatalogue(c *sqlite.Conn, version int64) (*catalogue, error) {
	cat := &catalogue{version: version}
	err := c.Query(tableEntries+" ORDER BY id", nil, func(s *sqlite.Stmt) error {
		t, err := loadTable(c, s)
		cat.tables = append(cat.tables, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return cat, nil
}

const tableEntries = "SELECT id, table_name, display_name, created_at, updated_at FROM _tables"

// loadTable reads the table whose entry s has.
func loadTable(c *sqlite.Conn, s *sqlite.Stmt) (Table, error) {
	t, err := ReadTable(c, s.Text(1))
	if err != nil {
		return t, err
	}
	t.ID, t.DisplayName, t.CreatedAt, t.UpdatedAt = s.Int(0), s.TextOrNil(2), s.Text(3), s.Text(4)
	t.useAPITypes()
	if err := t.CheckExpressions(); err != nil {
		t.Refused = err.Error()
	}
	return t, readColumnIDs(c, &t)
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

// useAPITypes replaces INT, which a STRICT table of ours has only where
// INTEGER would mean the rowid.
func (t *Table) useAPITypes() {
	for i := range t.Columns {
		if t.Columns[i].Type == "INT" {
			t.Columns[i].Type = "INTEGER"
		}
	}
}

// changed marks the catalogue as changed in the open transaction.
func changed(c *sqlite.Conn) error {
	return c.Exec("UPDATE _project SET catalogue = catalogue + 1")
}

// table returns the table with the given id or name.
func (cat *catalogue) table(ref string) (*Table, error) {
	t := find(cat.tables, ref, func(t *Table) (int64, string) { return t.ID, t.Name })
	if t == nil {
		return nil, problem.NotFound("The table", ref)
	}
	return t, nil
}

// rows returns the table with the given id or name for who uses its rows.
func (cat *catalogue) rows(ref string) (*Table, error) {
	t, err := cat.table(ref)
	if err == nil {
		err = t.usable()
	}
	return t, err
}

// usable is a conflict when reading or writing rows would evaluate an expression
// that is not allowed.
func (t *Table) usable() error {
	if t.Refused == "" {
		return nil
	}
	return problem.New(problem.CodeConflict, "The rows of the table %s cannot be used: %s. Delete that column, or the table.", t.Name, t.Refused)
}

// current returns the catalogue as it is now.
func (db *DB) current(ctx context.Context) (now *catalogue, err error) {
	err = db.read(ctx, func(_ *sqlite.Conn, cat *catalogue) error {
		now = cat
		return nil
	})
	return now, err
}

// Tables returns every table, by id.
func (db *DB) Tables(ctx context.Context) ([]Table, error) {
	cat, err := db.current(ctx)
	if err != nil {
		return nil, err
	}
	return cat.tables, nil
}

// Table returns the table with the given id or name, or not_found.
func (db *DB) Table(ctx context.Context, ref string) (table Table, err error) {
	err = db.read(ctx, func(_ *sqlite.Conn, cat *catalogue) error {
		t, err := cat.table(ref)
		if err == nil {
			table = *t
		}
		return err
	})
	return table, err
}

// exactCount is up to how many rows a table is counted for an estimate.
const exactCount = 10_000

// RowEstimates returns about how many rows each table has, by table id: exact
// for small tables, else the span of the rowids.
func (db *DB) RowEstimates(ctx context.Context) (map[int64]int64, error) {
	estimates := map[int64]int64{}
	err := db.read(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		for i := range cat.tables {
			n, err := cat.tables[i].estimateRows(c)
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

// rowidNames are the names by which SQL can reach the rowid, unless columns bear
// them.
var rowidNames = [...]string{"rowid", "_rowid_", "oid"}

// rowidName returns a name by which the rowid can be reached, or "" when the
// table has none, or hides it behind columns of all its names.
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
