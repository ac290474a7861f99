package projectdb

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Load runs fill in one transaction that loads whole tables. Foreign keys are checked
// once, at the end. If fill or the check fails, or ctx ends, nothing is changed.
func (db *DB) Load(ctx context.Context, fill func(*Loader) error) error {
	err := db.transact(ctx, LoadTransaction, func(tx *Tx) error { return tx.Load(fill) })
	if sqlite.FaultOf(err) == sqlite.Interrupted && ctx.Err() != nil {
		return ctx.Err()
	}
	return explain(err)
}

// Load is [DB.Load] inside a LoadTransaction.
func (tx *Tx) Load(fill func(*Loader) error) error {
	before, err := tx.catalog()
	if err != nil {
		return err
	}
	l := &Loader{tx: tx, c: tx.c, before: before, made: map[string]ids.Table{}}
	if err := fill(l); err != nil {
		return err
	}
	for _, in := range l.inserters {
		tx.noteRestructured(in.rows, in.table)
	}
	if !l.changed {
		return nil
	}
	// Only once, at the end: in a transaction that does not fit into memory, SQLite
	// rereads its log from the first page that is written twice.
	if l.anew {
		return tx.changed()
	}
	return tx.changed(slices.Collect(maps.Values(l.made))...)
}

// Loader creates tables and fills them inside the transaction of Load.
type Loader struct {
	tx      *Tx
	c       *sqlite.Conn
	before  *catalog
	changed bool                 // whether the catalog has changed
	made    map[string]ids.Table // the ids of the new tables, by folded name
	anew    bool                 // tables that are not new have changed as well

	inserters []*Inserter
}

// touch notes that rows of a table may change. A file that is being made has no
// followers.
func (l *Loader) touch(t *Table) {
	if l.tx != nil {
		l.tx.news.touch(t.ID)
	}
}

// CreateTable creates a table of the given shape, without its indexes, and returns it
// with its id. A name that is taken is a conflict.
func (l *Loader) CreateTable(shape Table) (Table, error) {
	var faults problem.Faults
	CheckName(&faults, "table_name", shape.Name)
	for i, column := range shape.Columns {
		CheckName(&faults, "columns["+itoa(i)+"].column_name", column.Name)
	}
	if err := faults.Err(); err != nil {
		return shape, err
	}
	if err := shape.CheckExpressions(); err != nil {
		return shape, problem.Invalid("file", "In the table %s, %s.", shape.Name, err)
	}
	l.changed = true
	t, err := l.tx.makeTable(shape)
	if err == nil {
		l.made[sqlite.Fold(t.Name)] = t.ID
	}
	return t, err
}

// Try runs fn and rolls back its effects if it fails.
func (l *Loader) Try(fn func() error) error {
	return l.c.Savepoint(fn)
}

// CreateIndex creates an index.
func (l *Loader) CreateIndex(x Index) error {
	l.changed = true
	if _, isNew := l.made[sqlite.Fold(x.Table)]; !isNew {
		l.anew = true
	}
	return l.c.Exec(x.CreateSQL())
}

// Names returns the folded names that tables and indexes already have.
func (l *Loader) Names() (map[string]bool, error) {
	names := map[string]bool{}
	err := l.c.Query("SELECT name FROM sqlite_schema", nil, func(s *sqlite.Stmt) error {
		names[sqlite.Fold(s.Text(0))] = true
		return nil
	})
	return names, err
}

// SetCounter sets the largest id that AUTOINCREMENT has assigned in the table.
func (l *Loader) SetCounter(t *Table, id int64) error {
	return writeCounter(l.c, t, id)
}

// Rows prepares a statement that reads every row, in the order of the table.
func (l *Loader) Rows(t *Table, columns []string) (*sqlite.Stmt, error) {
	return l.c.Prepare("SELECT " + identList(columns) + " FROM " + quote(t.Name) + " NOT INDEXED")
}

// BrokenKeys returns, by index in t.ForeignKeys, the foreign keys that rows of the
// table violate, and how many rows violate each. Keys that SQLite cannot check because
// their parent columns are not a key are an error of kind sqlite.Expression.
func (l *Loader) BrokenKeys(t *Table) (map[int]int64, error) {
	broken := map[int]int64{}
	const query = "SELECT fkid, count(*) FROM pragma_foreign_key_check(?) GROUP BY fkid"
	err := l.c.Query(query, []any{t.Name}, func(s *sqlite.Stmt) error {
		// SQLite numbers the keys from last to first.
		broken[len(t.ForeignKeys)-1-int(s.Int(0))] = s.Int(1)
		return nil
	})
	return broken, err
}

// CheckKeys fails, as Load does at its end, if a foreign key is violated.
func (l *Loader) CheckKeys() error { return explainBroken(l.c.CheckForeignKeys()) }

// Inserter inserts rows into one table.
type Inserter struct {
	c        *sqlite.Conn
	table    ids.Table
	sql      string // the start of the statement
	row      string // the placeholders of one row
	most     int    // rows per statement
	one, all *sqlite.Stmt
	rows     int64
}

// Insert prepares the insertion of rows with the given columns, in that order. With
// rowids, each row begins with its rowid; false is returned if the table has no rowid
// that can be set.
func (l *Loader) Insert(t *Table, columns []string, rowids bool) (*Inserter, bool, error) {
	list := identList(columns)
	if rowids {
		rowid := t.rowidName()
		if rowid == "" {
			return nil, false, nil
		}
		list = rowid + ", " + list
		columns = append([]string{rowid}, columns...)
	}
	in := &Inserter{c: l.c, table: t.ID, row: "(" + marks(len(columns)) + ")", most: rowsOfInsert(t, len(columns))}
	// With FAIL, rows that a statement inserted before it failed stay, and need not be
	// saved for a rollback.
	l.touch(t)
	in.sql = "INSERT OR FAIL INTO " + quote(t.Name) + " (" + list + ") VALUES " + in.row
	var err error
	if in.one, err = l.c.Prepare(in.sql); err != nil {
		return nil, false, err
	}
	l.inserters = append(l.inserters, in)
	return in, true, nil
}

// rowsOfInsert returns how many rows one statement inserts. More are not faster, and
// SQLite takes at most 32,766 parameters. If a generated column can be refused, a
// failed statement does not tell how far it got.
func rowsOfInsert(t *Table, columns int) int {
	const enough, parameters = 32, 2000
	for _, column := range t.Columns {
		if column.Generated != "" {
			return 1
		}
	}
	return max(1, min(enough, parameters/max(1, columns)))
}

// Row inserts one row. More rows can follow one that SQLite refuses.
func (in *Inserter) Row(values []sqlite.Value) error {
	if err := execute(in.one, values); err != nil {
		return err
	}
	in.rows++
	return nil
}

// Batch inserts the rows of b, up to the first that SQLite refuses.
func (in *Inserter) Batch(b *sqlite.Batch) error {
	_, err := in.From(b, 0)
	return err
}

// From inserts the rows of b from row i on. If SQLite refuses one, at is its index,
// and the rows before it are inserted.
func (in *Inserter) From(b *sqlite.Batch, i int) (at int, err error) {
	const large = 128 << 20 // bytes; several rows of this size may be too much for one statement
	for i < b.Rows {
		stmt, n := in.one, 1
		if in.most > 1 && b.Rows-i >= in.most && b.Size() < large {
			if stmt, n = in.all, in.most; stmt == nil {
				if stmt, err = in.c.Prepare(in.sql + strings.Repeat(", "+in.row, n-1)); err != nil {
					return i, err
				}
				in.all = stmt
			}
		}
		if err := stmt.Run(b, i, n); err != nil {
			if n > 1 {
				i += int(in.c.Changes())
				in.rows += in.c.Changes()
			}
			return i, err
		}
		i, in.rows = i+n, in.rows+int64(n)
	}
	return i, nil
}

// Rows returns how many rows have been inserted.
func (in *Inserter) Rows() int64 { return in.rows }

// Close ends the insertion. It may be called more than once.
func (in *Inserter) Close() {
	for _, stmt := range []*sqlite.Stmt{in.one, in.all} {
		if stmt != nil {
			stmt.Close()
		}
	}
	in.one, in.all = nil, nil
}
