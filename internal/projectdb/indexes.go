package projectdb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// NewIndex is an index to be created.
type NewIndex struct {
	Name    string // "": idx_{table}_{column}_…
	Columns []string
	Unique  bool
}

// CreateIndex creates an index on a table. Values that violate a unique index are a
// conflict that says how many there are.
func (db *DB) CreateIndex(ctx context.Context, faults *problem.Faults, ref string, n NewIndex) (Index, error) {
	return changing(ctx, db, faults, SchemaTransaction, func(tx *Tx) (Index, error) { return tx.CreateIndex(faults, ref, n) })
}

// CreateIndex is [DB.CreateIndex] inside the transaction.
func (tx *Tx) CreateIndex(faults *problem.Faults, ref string, n NewIndex) (Index, error) {
	t, err := tx.table(ref)
	if err != nil {
		return Index{}, err
	}
	x := n.on(faults, "", t)
	if err := faults.Err(); err != nil {
		return Index{}, err
	}
	if err := cmp.Or(tx.planRows(t), createIndex(tx.c, t, x)); err != nil {
		return Index{}, err
	}
	return x, tx.changed(t.ID)
}

// on returns the index that n describes and notes every fault in it.
func (n NewIndex) on(faults *problem.Faults, prefix string, t *Table) Index {
	x := Index{Name: n.Name, Table: t.Name, Unique: n.Unique, Origin: "c"}
	if len(n.Columns) == 0 {
		faults.Required(prefix + "columns")
	}
	seen := map[*Column]bool{}
	for i, name := range n.Columns {
		if faults.Full() {
			break
		}
		field := prefix + "columns[" + itoa(i) + "]"
		column := t.Column(name)
		switch {
		case column == nil:
			t.unknownColumn(faults, field, name)
		case seen[column]:
			faults.Add(field, "The column %q is listed twice.", name)
		default:
			seen[column] = true
			x.Parts = append(x.Parts, KeyPart{Column: column.Name})
		}
	}
	if x.Name == "" {
		x.Name = defaultIndexName(x)
	} else {
		CheckName(faults, prefix+"index_name", x.Name)
	}
	return x
}

// defaultIndexName joins the names of the table and the columns. A name that is too
// long is truncated and made unique by a hash of the whole.
func defaultIndexName(x Index) string {
	name := "idx_" + x.Table + "_" + strings.Join(x.Columns(), "_")
	if len(name) <= MaxName {
		return name
	}
	sum := sha256.Sum256([]byte(sqlite.Fold(name)))
	return name[:MaxName-7] + "_" + hex.EncodeToString(sum[:3])
}

func createIndex(c *sqlite.Conn, t *Table, x Index) error {
	if err := t.usable(); err != nil {
		return err
	}
	if err := refuseTakenName(c, x.Name, "index_name"); err != nil {
		return err
	}
	if x.Unique {
		if err := refuseDuplicates(c, t, x.Columns(), "columns"); err != nil {
			return err
		}
	}
	return c.Exec(x.CreateSQL())
}

// refuseTakenName returns a conflict if a table or index has the name.
func refuseTakenName(c *sqlite.Conn, name, field string) error {
	n, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE name = ? COLLATE NOCASE", name)
	if err != nil || n == 0 {
		return err
	}
	return problem.New(problem.CodeConflict, "The name %s is taken.", name).With(field, "A table or index already has this name.")
}

// refuseDuplicates returns a conflict if rows have equal non-NULL values in the
// columns.
func refuseDuplicates(c *sqlite.Conn, t *Table, columns []string, field string) error {
	list := identList(columns)
	var notNull []string
	for _, name := range columns {
		notNull = append(notNull, quote(name)+" IS NOT NULL")
	}
	n, err := c.Int("SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM " + quote(t.Name) +
		" WHERE " + strings.Join(notNull, " AND ") + " GROUP BY " + list + " HAVING count(*) > 1)")
	if err != nil || n == 0 {
		return err
	}
	return problem.New(problem.CodeConflict, "%d rows repeat values that must be unique.", n).With(field, "%d rows repeat values.", n)
}

// DropIndex drops an index that was created on its own. Indexes of primary keys and
// UNIQUE constraints cannot be dropped.
func (db *DB) DropIndex(ctx context.Context, faults *problem.Faults, ref, name string) (dropped string, err error) {
	err = db.changeTable(ctx, faults, freeing+SchemaTransaction, ref, func(tx *Tx, t *Table) error {
		i := slices.IndexFunc(t.Indexes, func(x Index) bool { return sqlite.SameName(x.Name, name) })
		if i < 0 {
			return problem.NotFound("The index", name)
		}
		if !t.Indexes[i].Managed() {
			faults.Add("index", "The index belongs to a primary key or a unique column and cannot be deleted on its own.")
		}
		if err := faults.Err(); err != nil {
			return err
		}
		dropped = t.Indexes[i].Name
		after := t.clone()
		after.Indexes = slices.Delete(after.Indexes, i, i+1)
		if err := tx.cat.refuseBrokenKeys(t, &after, "index"); err != nil {
			return err
		}
		if err := tx.c.Exec("DROP INDEX " + quote(dropped)); err != nil {
			return err
		}
		return tx.changed(t.ID)
	})
	return dropped, err
}
