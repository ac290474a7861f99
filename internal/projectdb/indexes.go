package projectdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// CreateIndex creates an index on a table. Values that a unique index does not
// allow are a conflict that says how many there are.
func (db *DB) CreateIndex(ctx context.Context, ref string, n NewIndex) (created Index, err error) {
	err = db.alter(ctx, ref, func(c *sqlite.Conn, t *Table) error {
		x, err := n.on(t)
		if err != nil {
			return err
		}
		if err := createIndex(c, t, x); err != nil {
			return err
		}
		created = x
		return changed(c)
	})
	return created, err
}

// on returns the index that n describes, or every fault in it.
func (n NewIndex) on(t *Table) (Index, error) {
	x := Index{Name: n.Name, Table: t.Name, Unique: n.Unique, Origin: "c"}
	var faults problem.Faults
	if len(n.Columns) == 0 {
		faults.Add("columns", "At least one column is required.")
	}
	seen := map[*Column]bool{}
	for i, name := range n.Columns {
		column := t.Column(name)
		switch {
		case column == nil:
			faults.Add("columns["+itoa(i)+"]", "The table %s has no column %q.", t.Name, name)
		case seen[column]:
			faults.Add("columns["+itoa(i)+"]", "The column %q is there twice.", name)
		default:
			seen[column] = true
			x.Parts = append(x.Parts, KeyPart{Column: column.Name})
		}
	}
	if x.Name == "" {
		x.Name = defaultIndexName(x)
	} else {
		CheckName(&faults, "index_name", x.Name)
	}
	return x, faults.Err()
}

// defaultIndexName joins table and columns. A name that would be too long is
// cut and told from others by a hash of the whole.
func defaultIndexName(x Index) string {
	name := "idx_" + x.Table + "_" + strings.Join(x.Columns(), "_")
	if len(name) <= MaxName {
		return name
	}
	sum := sha256.Sum256([]byte(fold(name)))
	return name[:MaxName-7] + "_" + hex.EncodeToString(sum[:3])
}

func createIndex(c *sqlite.Conn, t *Table, x Index) error {
	exists, err := nameTaken(c, x.Name)
	if err != nil {
		return err
	}
	if exists {
		return problem.New(problem.CodeConflict, "The name %s is taken.", x.Name).With("index_name", "A table or index has this name already.")
	}
	if x.Unique {
		if err := refuseDuplicates(c, t, x.Columns(), "columns"); err != nil {
			return err
		}
	}
	return c.Exec(x.CreateSQL())
}

// nameTaken reports whether a table or index has the name.
func nameTaken(c *sqlite.Conn, name string) (bool, error) {
	n, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE lower(name) = lower(?)", name)
	return n > 0, err
}

// refuseDuplicates is a conflict when rows have equal values, none of them
// NULL, in the columns.
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
	return problem.New(problem.CodeConflict, "%d rows repeat values that would have to be unique.", n).With(field, "%d rows repeat values.", n)
}

// DropIndex drops an index that was created by itself. Those of primary keys
// and UNIQUE constraints stay.
func (db *DB) DropIndex(ctx context.Context, ref, name string) (dropped string, err error) {
	err = db.alter(ctx, ref, func(c *sqlite.Conn, t *Table) error {
		for _, x := range t.Indexes {
			if !sameName(x.Name, name) {
				continue
			}
			if !x.Managed() {
				return problem.Invalid("index", "The index belongs to a primary key or a unique column and cannot be dropped by itself.")
			}
			dropped = x.Name
			if err := c.Exec("DROP INDEX " + quote(x.Name)); err != nil {
				return err
			}
			return changed(c)
		}
		return problem.NotFound("The index", name)
	})
	return dropped, err
}

// alter runs fn on one table in an exclusive transaction.
func (db *DB) alter(ctx context.Context, ref string, fn func(*sqlite.Conn, *Table) error) error {
	return explain(db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		cat, err := db.catalogue(c)
		if err != nil {
			return err
		}
		t, err := cat.table(ref)
		if err != nil {
			return err
		}
		return fn(c, t)
	}))
}
