package projectdb

import (
	"context"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Rows are rows of one table as SQLite gave them.
type Rows struct {
	Table   string
	Columns []format.Column
	Batch   *sqlite.Batch
}

// Len returns the number of rows.
func (r Rows) Len() int { return r.Batch.Rows }

// newRows returns no rows yet of the given columns.
func newRows(t *Table, columns []format.Column) Rows {
	rows := Rows{Table: t.Name, Columns: columns, Batch: &sqlite.Batch{}}
	rows.Batch.Reset(len(columns))
	return rows
}

// Page is one page of a table's records.
type Page struct {
	Rows
	HasMore bool
	Total   *int64 // rows that match the filters, when asked for
}

// ListRecords returns the selected records, whose Limit must be set. With
// count, it also counts all that match the filters.
func (db *DB) ListRecords(ctx context.Context, ref string, s Selection, count bool) (page Page, err error) {
	err = db.read(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := cat.table(ref)
		if err != nil {
			return err
		}
		var faults problem.Faults
		q := s.plan(t, &faults, "")
		if err := faults.Err(); err != nil {
			return err
		}
		page.Rows = newRows(t, q.columns)
		if page.HasMore, err = q.page(c, page.Batch); err != nil || !count {
			return err
		}
		q.limit, q.offset = 0, 0
		total, err := c.Int(q.countSQL(), q.where.args...)
		page.Total = &total
		return err
	})
	return page, err
}

// page reads the rows of the query and looks whether one more would follow.
func (q query) page(c *sqlite.Conn, b *sqlite.Batch) (more bool, err error) {
	limit := q.limit
	q.limit++
	s, err := c.Prepare(q.sql())
	if err != nil {
		return false, err
	}
	defer s.Close()
	s.Bind(q.where.args...)
	if more, err = s.Fill(b, int(limit), maxPageBytes); err != nil || !more {
		return false, err
	}
	if b.Rows < int(limit) {
		return false, problem.New(problem.CodeValidationFailed, "The page would hold more than %d MiB: ask for fewer rows or columns, or make an export.", maxPageBytes>>20)
	}
	return s.Step()
}

// maxPageBytes bounds the texts and blobs of one page.
const maxPageBytes = 64 << 20

// GetRecord returns the record with the given id: the text of its key, whose
// parts are joined by commas and percent-encoded.
func (db *DB) GetRecord(ctx context.Context, ref, id string) (rows Rows, err error) {
	err = db.read(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := cat.table(ref)
		if err != nil {
			return err
		}
		at, err := t.at(id)
		if err != nil {
			return err
		}
		q := Selection{}.plan(t, &problem.Faults{}, "")
		q.where, q.limit = at, 1
		rows = newRows(t, q.columns)
		if _, err := q.page(c, rows.Batch); err != nil {
			return err
		}
		if rows.Len() == 0 {
			return noRecord(id)
		}
		return nil
	})
	return rows, err
}

func noRecord(id string) error { return problem.NotFound("The record", id) }

// at returns the condition that finds the record with the given id. An id that
// no record can have is not_found.
func (t *Table) at(id string) (where, error) {
	key := t.key()
	parts := strings.Split(id, ",")
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
		w = w.and(where{column.name + " = ?", []any{v}})
	}
	return w, nil
}

// keyValue returns the value that a text in a path stands for.
func keyValue(columnType, text string) (sqlite.Value, error) {
	if columnType == "ANY" {
		if number, ok := numericText(text); ok {
			return parseNumber(columnType, number)
		}
	}
	return textAs(columnType, []byte(text))
}

// InsertRecord inserts one row, a JSON object, and returns it as stored.
func (db *DB) InsertRecord(ctx context.Context, ref string, object jsontext.Value) (rows Rows, err error) {
	err = db.write(ctx, func(c *sqlite.Conn, cat *catalogue) error {
		t, err := cat.table(ref)
		if err != nil {
			return err
		}
		var faults problem.Faults
		r := t.parseRow(&faults, "", object)
		t.requireColumns(&faults, "", r)
		if err := faults.Err(); err != nil {
			return err
		}
		rows = newRows(t, t.formatColumns())
		return t.insert(c, r, rows.Batch)
	})
	return rows, err
}

// requireColumns notes the columns that a row must have and lacks.
func (t *Table) requireColumns(faults *problem.Faults, prefix string, r row) {
	for i := range t.Columns {
		column := &t.Columns[i]
		if t.refusesNull(column) && column.Default == "" && column.Generated == "" && !r.has(column) {
			faults.Add(prefix+column.Name, "A value is required.")
		}
	}
}

func (t *Table) formatColumns() []format.Column {
	columns := make([]format.Column, len(t.Columns))
	for i, column := range t.Columns {
		columns[i] = format.Column{Name: column.Name, Type: column.Type}
	}
	return columns
}

// insert inserts one row and appends it, as stored, to stored.
func (t *Table) insert(c *sqlite.Conn, r row, stored *sqlite.Batch) error {
	s, err := c.Prepare(t.insertSQL(r.columns))
	if err != nil {
		return err
	}
	defer s.Close()
	for i, v := range r.values {
		s.BindValue(i+1, v)
	}
	_, err = s.Fill(stored, stored.Rows+2, maxPageBytes)
	return err
}

func (t *Table) insertSQL(columns []*Column) string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	returning := " RETURNING " + identList(names)
	if len(columns) == 0 {
		return "INSERT INTO " + quote(t.Name) + " DEFAULT VALUES" + returning
	}
	given := make([]string, len(columns))
	for i, column := range columns {
		given[i] = column.Name
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(given)), ", ")
	return "INSERT INTO " + quote(t.Name) + " (" + identList(given) + ") VALUES (" + marks + ")" + returning
}
