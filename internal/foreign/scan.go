package foreign

import (
	"errors"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// A scan requests this many batches ahead, once it is known that there are several and
// that they are not large.
const (
	batchesAhead = 3
	largeBatch   = 4 << 20
)

// The size of the batches in which results are fetched.
const (
	fetchRows  = 512
	fetchBytes = 1 << 20
)

// scan is a statement whose rows are being read.
type scan struct {
	db      *DB
	id      int
	columns int
	ahead   []*answer
	deep    bool // the last batch was not large
	ended   bool
}

// Scan starts a statement whose rows are read in batches.
func (d *DB) Scan(query string, args ...any) (sqlite.Scan, error) {
	s, prepared, err := d.prepare(query, args)
	if err == nil {
		err = s.begin(prepared)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// prepare requests that a statement be compiled.
func (d *DB) prepare(query string, args []any) (*scan, *answer, error) {
	d.last++
	s := &scan{db: d, id: d.last}
	arguments, err := argumentsOf(args)
	if err != nil {
		return nil, nil, err
	}
	prepared, err := d.ask(request{Op: opPrepare, ID: s.id, SQL: []byte(query), Args: arguments})
	return s, prepared, err
}

// begin waits until the statement has been compiled.
func (s *scan) begin(prepared *answer) error {
	if err := s.db.await(prepared); err != nil {
		return err
	}
	s.columns = prepared.batch.Columns
	return nil
}

// Columns returns the number of columns of a row.
func (s *scan) Columns() int { return s.columns }

// Fill fills b with the next rows.
func (s *scan) Fill(b *sqlite.Batch, maxRows, maxBytes int) (more bool, err error) {
	b.Reset(s.columns)
	if s.ended {
		return false, nil
	}
	if err := s.ask(maxRows, maxBytes); err != nil {
		return false, err
	}
	a := s.ahead[0]
	s.ahead = s.ahead[1:]
	if err := s.db.await(a); err != nil {
		return false, err
	}
	if a.batch.Columns != s.columns || a.batch.Rows > maxRows {
		s.db.stop(errProtocol)
		return false, errProtocol
	}
	if len(s.db.spare) < batchesAhead {
		s.db.spare = append(s.db.spare, *b)
	}
	*b = a.batch
	s.ended, s.deep = !a.more, b.Size() <= largeBatch
	return a.more, nil
}

// ask makes sure that enough batches have been requested.
func (s *scan) ask(maxRows, maxBytes int) error {
	most := 1
	if s.deep {
		most = batchesAhead
	}
	for len(s.ahead) < most {
		a, err := s.db.ask(request{Op: opFetch, ID: s.id, Rows: maxRows, Bytes: maxBytes})
		if err != nil {
			return err
		}
		s.ahead = append(s.ahead, a)
	}
	return nil
}

// Close ends the statement. Batches in transit are dropped.
func (s *scan) Close() {
	for _, a := range s.ahead {
		s.db.forget(a)
	}
	s.ahead, s.ended = nil, true
	// If the worker cannot be told, it has ended.
	_ = s.db.tell(request{Op: opClose, ID: s.id})
}

// Rows runs one statement and calls row for each row.
func (d *DB) Rows(query string, args []any, row func(sqlite.Row) error) error {
	s, prepared, err := d.prepare(query, args)
	if err != nil {
		return err
	}
	defer s.Close()
	// Most results are a single batch: request it before the statement is known to be
	// valid.
	if err := s.ask(fetchRows, fetchBytes); err != nil {
		return err
	}
	if err := s.begin(prepared); err != nil {
		return err
	}
	var b sqlite.Batch
	for more := true; more; {
		if more, err = s.Fill(&b, fetchRows, fetchBytes); err != nil {
			return err
		}
		for i := range b.Rows {
			if err := row(b.RowOf(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// errFew stops a query once it has returned the one row that is needed.
var errFew = errors.New("one row is enough")

// Int runs a statement that returns one integer.
func (d *DB) Int(query string, args ...any) (n int64, err error) {
	err = d.one(query, args, func(r sqlite.Row) { n = r.Int(0) })
	return n, err
}

// Text runs a statement that returns one text.
func (d *DB) Text(query string, args ...any) (text string, err error) {
	err = d.one(query, args, func(r sqlite.Row) { text = r.Text(0) })
	return text, err
}

func (d *DB) one(query string, args []any, take func(sqlite.Row)) error {
	err := d.Rows(query, args, func(r sqlite.Row) error {
		take(r)
		return errFew
	})
	if errors.Is(err, errFew) {
		return nil
	}
	return err
}
