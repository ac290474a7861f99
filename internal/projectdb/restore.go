package projectdb

import (
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// HasTables reports whether the project has any tables.
func (l *Loader) HasTables() (bool, error) {
	n, err := l.c.Int("SELECT EXISTS (SELECT 1 FROM _tables)")
	return n != 0, err
}

// RestoreIdentities gives tables and columns, matched by name, the ids and times from
// their descriptions. It reports false, and changes nothing, if these ids cannot be
// used. All tables must have been created in this transaction.
func (l *Loader) RestoreIdentities(described []TableDescription) (bool, error) {
	cat, err := loadCatalog(l.c, 0)
	if err != nil {
		return false, err
	}
	if !identify(cat.tables, described) {
		return false, nil
	}
	for _, query := range []string{"DELETE FROM _columns", "DELETE FROM _tables"} {
		if err := l.c.Exec(query); err != nil {
			return false, err
		}
	}
	for i := range cat.tables {
		if err := enter(l.c, &cat.tables[i]); err != nil {
			return false, err
		}
	}
	l.changed, l.anew = true, true
	return true, nil
}

// identify sets ids and times, and reports whether all ids are present, positive and
// distinct.
func identify(tables []Table, described []TableDescription) bool {
	known := map[string]*TableDescription{}
	for i := range described {
		known[sqlite.Fold(described[i].TableName)] = &described[i]
	}
	tableIDs, columnIDs := map[int64]bool{}, map[int64]bool{}
	take := func(taken map[int64]bool, id int64) bool {
		const largest = 1 << 53 // what every client can represent
		fresh := id > 0 && id < largest && !taken[id]
		taken[id] = true
		return fresh
	}
	for i := range tables {
		t := &tables[i]
		d := known[sqlite.Fold(t.Name)]
		if d == nil || !take(tableIDs, int64(d.ID)) {
			return false
		}
		t.ID, t.CreatedAt, t.UpdatedAt = d.ID, pastTime(d.CreatedAt, t.CreatedAt), pastTime(d.UpdatedAt, t.UpdatedAt)
		if d.LabelColumn != nil {
			t.LabelColumn = *d.LabelColumn
		}
		columns := map[string]*ColumnObject{}
		for j := range d.Columns {
			columns[sqlite.Fold(d.Columns[j].ColumnName)] = &d.Columns[j]
		}
		for j := range t.Columns {
			column := &t.Columns[j]
			c := columns[sqlite.Fold(column.Name)]
			if c == nil || !take(columnIDs, c.ID) {
				return false
			}
			column.ID, column.CreatedAt, column.UpdatedAt = c.ID, pastTime(c.CreatedAt, column.CreatedAt), pastTime(c.UpdatedAt, column.UpdatedAt)
		}
	}
	return true
}

// pastTime returns text if it is a time in our format and not after now, and otherwise
// now.
func pastTime(text, now string) string {
	if t, err := time.Parse(TimeLayout, text); err != nil || Timestamp(t) > now {
		return now
	}
	return text
}

// enter adds a table with a known id to the catalog.
func enter(c *sqlite.Conn, t *Table) error {
	var label any
	if column := t.Column(t.LabelColumn); column != nil {
		label = column.ID
	}
	const table = "INSERT INTO _tables (id, table_name, display_name, created_at, updated_at, label_column_id) VALUES (?, ?, ?, ?, ?, ?)"
	if err := c.Exec(table, t.ID, t.Name, optional(t.DisplayName), t.CreatedAt, t.UpdatedAt, label); err != nil {
		return err
	}
	const entry = "INSERT INTO _columns (id, table_id, column_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
	for i := range t.Columns {
		column := &t.Columns[i]
		if err := c.Exec(entry, column.ID, t.ID, column.Name, column.CreatedAt, column.UpdatedAt); err != nil {
			return err
		}
	}
	return nil
}
