package projectdb

import (
	"context"
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Rows are rows of one table as read from SQLite. The batch may hold additional
// columns after the named ones.
type Rows struct {
	Table   string
	Columns []format.Column
	Batch   *sqlite.Batch
	ETag    string // of a single record as it is stored now, if the caller may read it
	// Next holds the following rows, which have other columns, or is nil.
	Next *Rows
	// Expanded holds the records that the rows refer to, if they were asked for.
	Expanded []Expansion

	expandedBytes int64 // of the records in Expanded, as often as they are shown
	rowids        bool  // the last cell of each row is the rowid
}

// IDs returns the ids of the rows of a table without a primary key, which none of its
// columns tells; nil for other tables.
func (r Rows) IDs() []string {
	if !r.rowids {
		return nil
	}
	ids := []string{}
	for part := &r; part != nil; part = part.Next {
		for i := range part.Len() {
			row := part.Batch.Row(i)
			ids = append(ids, strconv.FormatInt(row[len(row)-1].Int(), 10))
		}
	}
	return ids
}

// rowidBeside returns the name of the rowid of a table without a primary key, if it can
// be read beside so many columns, else "".
func (t *Table) rowidBeside(columns int) string {
	if len(t.PrimaryKey) > 0 || columns >= MaxColumns {
		return ""
	}
	return t.rowidName()
}

// newStored returns an empty list for rows that a change returns with
// [Table.returning] or [Table.returningShown].
func newStored(t *Table, columns []format.Column) Rows {
	rows := newRows(t, columns)
	if t.rowidBeside(len(columns)) != "" {
		rows.rowids = true
		rows.Batch.Reset(max(1, len(columns)) + 1)
	}
	return rows
}

// Len returns the number of rows, without those of Next.
func (r Rows) Len() int { return r.Batch.Rows }

// newRows returns an empty list of rows with the given columns.
func newRows(t *Table, columns []format.Column) Rows {
	rows := Rows{Table: t.Name, Columns: columns, Batch: &sqlite.Batch{}}
	rows.Batch.Reset(len(columns))
	return rows
}

// ListRecords returns one page of the selected records.
func (db *DB) ListRecords(ctx context.Context, faults *problem.Faults, ref string, o ListOptions) (page Page, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		page, err = tx.ListRecords(faults, ref, o)
		return err
	})
	return page, err
}

// ListRecords is [DB.ListRecords] inside the transaction.
func (tx *Tx) ListRecords(faults *problem.Faults, ref string, o ListOptions) (page Page, err error) {
	t, err := tx.readable(ref)
	if err != nil {
		return page, err
	}
	o.rowid = true
	q := o.plan(t, faults, "")
	from := q.start(o, faults)
	if o.ETags && o.CellLimit > 0 {
		faults.Add("etags", "With cell_limit, records are not read whole: leave out one of both, or show a single record for its ETag.")
	}
	if o.Position != nil {
		if err := q.checkOrder(tx.c, faults, "position"); err != nil {
			return page, err
		}
	}
	keys, err := tx.expandedKeys(t, o.Expand, faults)
	if err != nil {
		return page, err
	}
	q.addBeside(keys, faults)
	if err := faults.Err(); err != nil {
		return page, err
	}
	exact := true
	if o.Position != nil {
		if from, exact, err = tx.seek(q, *o.Position); err != nil {
			return page, err
		}
	}
	page, err = tx.expandedPage(q, from, keys, o.Whole)
	if err == nil && q.searched != "" {
		page.Found, err = q.found(tx.c, page)
	}
	err = q.explainSearch(err)
	if page.Exact = exact; err != nil {
		return page, err
	}
	if page.Commit, err = tx.LastCommit(); err != nil {
		return page, err
	}
	if o.ETags {
		page.tag(t)
	}
	if !o.Count && !o.Estimate {
		return page, nil
	}
	total, kind := int64(0), ExactTotal
	if o.Count {
		total, err = q.count(tx.c)
	} else {
		total, kind, err = q.estimate(tx.c)
	}
	page.Total, page.TotalIs = &total, kind
	return page, err
}

// GetRecord returns the record with the given id: the text of its key, whose parts are
// percent-encoded and joined by commas. Only the columns and the limit for cells of the
// selection count. It fails if the record does not meet the conditions.
func (db *DB) GetRecord(ctx context.Context, faults *problem.Faults, ref, id string, s Selection, when ...Condition) (rows Rows, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		rows, err = tx.GetRecord(faults, ref, id, s, when...)
		return err
	})
	return rows, err
}

// GetRecord is [DB.GetRecord] inside the transaction.
func (tx *Tx) GetRecord(faults *problem.Faults, ref, id string, s Selection, when ...Condition) (Rows, error) {
	t, err := tx.readable(ref)
	if err != nil {
		return Rows{}, err
	}
	q := Selection{Columns: s.Columns, CellLimit: s.CellLimit, Limit: 1, rowid: true}.plan(t, faults, "")
	keys, err := tx.expandedKeys(t, s.Expand, faults)
	if err != nil {
		return Rows{}, err
	}
	q.addBeside(keys, faults)
	if err := faults.Err(); err != nil {
		return Rows{}, err
	}
	if err := tx.check(t, id, when); err != nil {
		return Rows{}, err
	}
	rows, err := q.one(tx.c, id)
	if err == nil {
		err = tx.expand(q, &rows, keys, maxPageBytes)
	}
	if errors.Is(err, errTooMuch) {
		err = tooMuchExpanded()
	}
	return rows, err
}

// one reads the record with the given id, and makes its ETag.
func (q query) one(c *sqlite.Conn, id string) (Rows, error) {
	at, err := q.table.at(id)
	if err != nil {
		return Rows{}, err
	}
	rows := newRows(q.table, q.columns)
	list := strings.Join(append([]string{q.list}, quoteAll(q.beside)...), ", ")
	rows.rowids = q.rowids
	rows.Batch.Reset(len(q.columns) + len(q.beside))
	if err := fillAll(c, rows.Batch, q.selectSQL(list, at, ""), at.args); err != nil {
		return rows, err
	}
	if rows.Len() == 0 {
		return rows, noRecord(id)
	}
	if q.cellLimit == 0 {
		rows.ETag = q.table.etag(rows)
		return rows, nil
	}
	q.uncover(rows.Batch)
	whole, err := Selection{Columns: columnsOf(rows)}.plan(q.table, new(problem.Faults), "").one(c, id)
	rows.ETag = whole.ETag
	return rows, err
}

// columnsOf returns the names of the columns that the rows have.
func columnsOf(rows Rows) []string {
	names := make([]string, len(rows.Columns))
	for i, column := range rows.Columns {
		names[i] = column.Name
	}
	return names
}

// fillAll runs a statement that returns a few rows and appends them to b.
func fillAll(c *sqlite.Conn, b *sqlite.Batch, query string, args []any) error {
	s, err := c.Prepare(query)
	if err != nil {
		return err
	}
	defer s.Close()
	s.Bind(args...)
	_, err = s.Fill(b, math.MaxInt, math.MaxInt)
	return err
}

func noRecord(id string) error { return problem.NotFound("The record", id) }

// at returns the condition that finds the record with the given id. An id that no
// record can have is not_found.
func (t *Table) at(id string) (where, error) {
	key := t.key()
	parts := keyParts(id, len(key))
	if len(key) == 0 || len(parts) != len(key) {
		return where{}, noRecord(id)
	}
	var w where
	for i, column := range key {
		text, err := url.PathUnescape(parts[i])
		if err != nil {
			return where{}, noRecord(id)
		}
		v, err := keyValue(column.columnType, text)
		if err != nil {
			return where{}, noRecord(id)
		}
		w = w.and(where{sql: column.name + " = ?", args: []any{v}})
	}
	return w, nil
}

// keyParts splits the id of a record, in which commas within a part are encoded. Some
// clients also encode the commas between the parts.
func keyParts(id string, n int) []string {
	parts := strings.Split(id, ",")
	if text, err := url.PathUnescape(id); len(parts) != n && err == nil {
		parts = strings.Split(text, ",")
	}
	return parts
}

// keyValue returns the value that a text in a path stands for. In an ANY column, text
// that looks like a number is one.
func keyValue(columnType, text string) (sqlite.Value, error) {
	if columnType == "ANY" {
		if number, ok := numericText(text); ok {
			return parseNumber(columnType, number)
		}
	}
	return textAs(columnType, []byte(text))
}
