package projectdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
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
	// Next holds the following rows, which have other columns, or is nil.
	Next *Rows
}

// Len returns the number of rows, without those of Next.
func (r Rows) Len() int { return r.Batch.Rows }

// newRows returns an empty list of rows with the given columns.
func newRows(t *Table, columns []format.Column) Rows {
	rows := Rows{Table: t.Name, Columns: columns, Batch: &sqlite.Batch{}}
	rows.Batch.Reset(len(columns))
	return rows
}

// ListOptions select one page of records.
type ListOptions struct {
	Selection        // Limit must be set
	After     string // a NextCursor; "" for the first page
	Whole     bool   // fail, instead of ending early, if the page would have too many bytes
	Count     bool
}

// Page is one page of a table's records.
type Page struct {
	Rows
	HasMore      bool
	EndedByBytes bool   // it has fewer rows than the limit because it reached the byte limit
	NextCursor   string // "" on the last page
	Total        *int64 // number of rows that match the filters, if requested

	tail tail
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
	q := o.plan(t, faults, "")
	after := q.after(o, faults)
	if err := faults.Err(); err != nil {
		return page, err
	}
	if page, err = q.page(tx.c, after, o.Whole); err != nil || !o.Count {
		return page, err
	}
	q.limit, q.offset = 0, 0
	total, err := tx.c.Int(q.countSQL(), q.where.args...)
	page.Total = &total
	return page, err
}

func (q query) after(o ListOptions, faults *problem.Faults) *cursor {
	if o.After == "" {
		return nil
	}
	if o.Offset != 0 {
		faults.Add("after", "A cursor and an offset cannot be used together.")
	}
	c, bound, ok := readCursor(o.After)
	if ok && !faults.Any() { // otherwise the selection that it is bound to may not be known
		ok = bound == q.bound() && len(c.values) == len(q.place())
	}
	if !ok {
		faults.Add("after", "The cursor does not belong to this table with these filters, sort and order: use the next_cursor of the previous page.")
	}
	return &c
}

// maxPageBytes bounds the texts and blobs of one page; a first row that is larger on
// its own is still returned.
const maxPageBytes = 8 << 20

// page reads the rows after a cursor, up to the limit, and checks whether another
// would follow. A whole page does not end before the limit.
func (q query) page(c *sqlite.Conn, after *cursor, whole bool) (Page, error) {
	page := Page{Rows: Rows{Table: q.table.Name, Columns: q.columns, Batch: &sqlite.Batch{}}}
	list := q.list
	place := q.placeBeside()
	if len(place) > 0 {
		list += ", " + strings.Join(place, ", ")
	}
	page.Batch.Reset(len(q.columns) + len(place))
	for _, s := range q.segments(after) {
		if err := q.fill(c, &page, list, s); err != nil {
			return page, err
		}
		if page.HasMore {
			break
		}
	}
	if page.EndedByBytes && (whole || page.NextCursor == "") {
		return page, tooLargePage()
	}
	return page, nil
}

// tooLargePage is the error returned where an early end would make a client skip rows.
func tooLargePage() error {
	var faults problem.Faults
	sentence := fmt.Sprintf("The page would have more than %d MiB of texts and blobs.", maxPageBytes>>20)
	faults.Add("after", "%s Continue with after, the next_cursor of the previous page, and without offset: then each page ends before it gets too large.", sentence)
	faults.Add("columns", "%s Ask for fewer columns, or for fewer rows with limit.", sentence)
	return faults.Err()
}

// fill appends rows of one segment until the page is full.
func (q query) fill(c *sqlite.Conn, page *Page, list string, s segment) error {
	narrowed := q
	before := page.Batch.Rows
	narrowed.limit = q.limit - int64(before) + 1
	w := q.where.and(s.where)
	stmt, err := c.Prepare(q.selectSQL(list, w, s.order) + narrowed.limits())
	if err != nil {
		return err
	}
	defer stmt.Close()
	stmt.Bind(w.args...)
	more, err := page.take(stmt, int(q.limit))
	if n := page.Batch.Rows - before; n > 0 {
		page.tail = tail{w, s.order, n}
	}
	if err != nil || !more {
		return err
	}
	return q.endPage(c, page)
}

// take fills the page with the rows of a statement, and reports whether more follow,
// after those taken or because the next one is too large.
func (page *Page) take(stmt *sqlite.Stmt, limit int) (more bool, err error) {
	if page.Batch.Rows == 0 {
		if more, err = stmt.Fill(page.Batch, 1, math.MaxInt); err != nil || !more {
			return false, err
		}
	}
	page.Batch.Limit = maxPageBytes
	switch more, err = stmt.Fill(page.Batch, limit, maxPageBytes); {
	case errors.Is(err, sqlite.ErrTooLarge):
		page.HasMore, page.EndedByBytes = true, true
		return true, nil
	case err != nil || !more:
		return false, err
	}
	page.HasMore, err = stmt.Step()
	page.EndedByBytes = page.HasMore && page.Batch.Rows < limit
	return page.HasMore, err
}

// endPage sets the cursor of a page that is not the last.
func (q query) endPage(c *sqlite.Conn, page *Page) (err error) {
	if len(q.place()) == 0 {
		return nil
	}
	last := q.lastPlace(page.Batch)
	if len(q.placeBeside()) == 0 {
		if last, err = q.placeOf(c, page.tail); err != nil {
			return err
		}
	}
	page.NextCursor = q.encode(last)
	return nil
}

// placeBeside returns the expressions selected in addition to the columns for the
// cursor: the place, unless SQLite allows no more columns.
func (q query) placeBeside() []string {
	if place := q.place(); len(q.columns)+len(place) <= MaxColumns {
		return place
	}
	return nil
}

// tail says where the last rows of a page come from: the first n of a segment.
type tail struct {
	where where
	order string
	n     int
}

// placeOf returns the place of the last row of a page, using a separate statement.
func (q query) placeOf(c *sqlite.Conn, t tail) (last cursor, err error) {
	q.limit, q.offset = 1, q.offset+int64(t.n)-1
	err = c.Query(q.selectSQL(strings.Join(q.place(), ", "), t.where, t.order)+q.limits(), t.where.args, func(s *sqlite.Stmt) error {
		for i := range s.Columns() {
			last.values = append(last.values, s.Value(i))
		}
		return nil
	})
	return last, err
}

// lastPlace returns the place of the last row, which follows its columns.
func (q query) lastPlace(b *sqlite.Batch) cursor {
	if b.Rows == 0 {
		return cursor{}
	}
	var c cursor
	for _, cell := range b.Row(b.Rows - 1)[len(q.columns):] {
		c.values = append(c.values, b.Value(cell))
	}
	return c
}

// GetRecord returns the record with the given id: the text of its key, whose parts are
// percent-encoded and joined by commas.
func (db *DB) GetRecord(ctx context.Context, faults *problem.Faults, ref, id string, columns []string) (rows Rows, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		rows, err = tx.GetRecord(faults, ref, id, columns)
		return err
	})
	return rows, err
}

// GetRecord is [DB.GetRecord] inside the transaction.
func (tx *Tx) GetRecord(faults *problem.Faults, ref, id string, columns []string) (Rows, error) {
	t, err := tx.readable(ref)
	if err != nil {
		return Rows{}, err
	}
	q := Selection{Columns: columns, Limit: 1}.plan(t, faults, "")
	if err := faults.Err(); err != nil {
		return Rows{}, err
	}
	return q.one(tx.c, id)
}

// one reads the record with the given id.
func (q query) one(c *sqlite.Conn, id string) (Rows, error) {
	at, err := q.table.at(id)
	if err != nil {
		return Rows{}, err
	}
	rows := newRows(q.table, q.columns)
	if err := fillAll(c, rows.Batch, q.selectSQL(q.list, at, ""), at.args); err != nil {
		return rows, err
	}
	if rows.Len() == 0 {
		return rows, noRecord(id)
	}
	return rows, nil
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
