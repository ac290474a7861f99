package projectdb

import (
	"context"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Relations are the foreign keys of a table and those that refer to it.
type Relations struct {
	ForeignKeys  []ForeignKeyObject `json:"foreign_keys" doc:"The tables that this one refers to."`
	ReferencedBy []ReferenceObject  `json:"referenced_by" doc:"The tables that refer to this one."`
}

// ReferenceObject is a foreign key as seen from the table it refers to.
type ReferenceObject struct {
	Table         string   `json:"table"`
	Columns       []string `json:"columns"`
	ParentColumns []string `json:"parent_columns" doc:"The columns of this table that they refer to."`
	OnDelete      string   `json:"on_delete"`
}

// Relations returns a table with its relations to the tables that may be shown.
func (db *DB) Relations(ctx context.Context, ref string, show func(*Table) bool) (t Table, r Relations, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		if t, err = tx.Table(ref); err == nil {
			r = tx.cat.relations(&t, show)
		}
		return err
	})
	return t, r, err
}

func (cat *catalog) relations(t *Table, show func(*Table) bool) (r Relations) {
	for _, key := range t.ForeignKeys {
		parent := cat.named(key.Parent)
		switch {
		case parent == nil: // an imported key may refer to a table that does not exist
			r.ForeignKeys = append(r.ForeignKeys, key.Object())
		case show(parent):
			key.ParentColumns = key.parentNames(parent)
			r.ForeignKeys = append(r.ForeignKeys, key.Object())
		}
	}
	for i := range cat.tables {
		child := &cat.tables[i]
		for _, key := range child.ForeignKeys {
			if sqlite.SameName(key.Parent, t.Name) && show(child) {
				r.ReferencedBy = append(r.ReferencedBy, ReferenceObject{child.Name, key.Columns, key.parentNames(t), key.OnDelete})
			}
		}
	}
	return r
}
