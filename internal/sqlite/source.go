package sqlite

import "strconv"

// Source is a read-only database: a connection of this process, or one in a worker.
type Source interface {
	// Rows runs one statement and calls row for each row; an error of row ends the
	// statement and is returned unchanged.
	Rows(query string, args []any, row func(Row) error) error
	// Int and Text run a statement that returns one value, like the methods of Conn.
	Int(query string, args ...any) (int64, error)
	Text(query string, args ...any) (string, error)
	// Scan starts a statement whose rows are read in batches.
	Scan(query string, args ...any) (Scan, error)
}

// Row is one row of a result. A *Stmt is its current row.
type Row interface {
	Int(i int) int64
	Text(i int) string
	IsNull(i int) bool
	Value(i int) Value
}

// Scan is a statement being read.
type Scan interface {
	Columns() int
	// Fill empties b and fills it with the next rows, up to maxRows rows or maxBytes
	// bytes. It reports whether there may be more.
	Fill(b *Batch, maxRows, maxBytes int) (more bool, err error)
	Close()
}

// Rows is Query for a Source.
func (c *Conn) Rows(query string, args []any, row func(Row) error) error {
	return c.Query(query, args, func(s *Stmt) error { return row(s) })
}

// Scan starts a statement whose rows are read in batches.
func (c *Conn) Scan(query string, args ...any) (Scan, error) {
	stmt, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	stmt.Bind(args...)
	return &connScan{stmt: stmt}, nil
}

// connScan is a statement of a connection of this process.
type connScan struct {
	stmt  *Stmt
	ended bool
}

func (s *connScan) Columns() int { return s.stmt.Columns() }
func (s *connScan) Close()       { s.stmt.Close() }

func (s *connScan) Fill(b *Batch, maxRows, maxBytes int) (more bool, err error) {
	b.Reset(s.stmt.Columns())
	if s.ended { // another step would start over
		return false, nil
	}
	more, err = s.stmt.Fill(b, maxRows, maxBytes)
	s.ended = !more
	return more, err
}

// RowOf returns row i of a batch, 0 ≤ i < b.Rows. It is valid until the batch is
// changed.
func (b *Batch) RowOf(i int) Row { return batchRow{b, b.Row(i)} }

type batchRow struct {
	batch *Batch
	cells []Cell
}

func (r batchRow) IsNull(i int) bool { return r.cells[i].Kind == Null }

func (r batchRow) Int(i int) int64 {
	switch c := r.cells[i]; c.Kind {
	case Integer:
		return c.Int()
	case Real:
		return int64(c.Float())
	}
	return 0
}

func (r batchRow) Text(i int) string {
	switch c := r.cells[i]; c.Kind {
	case Integer:
		return strconv.FormatInt(c.Int(), 10)
	case Real:
		return strconv.FormatFloat(c.Float(), 'g', -1, 64)
	case Text, Blob:
		return string(r.batch.Bytes(c))
	}
	return ""
}

func (r batchRow) Value(i int) Value {
	v := r.batch.Value(r.cells[i])
	v.Bytes = append([]byte(nil), v.Bytes...)
	return v
}
