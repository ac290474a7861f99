package projectdb

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

// The code in this file runs in workers.

var (
	queryTask = worker.Define("projectdb.query", answerQuery)
	checkTask = worker.Define("projectdb.check-query", checkQuery)
)

// QueryMessage is a query as it is sent to a worker.
type QueryMessage struct {
	SQL      string         `json:"sql"`
	Params   jsontext.Value `json:"params,omitzero"`
	Limit    int64          `json:"limit"`
	Cells    int64          `json:"cells,omitzero"` // CellLimit
	ReadsAll bool           `json:"reads_all"`
	Readable []ids.Table    `json:"readable"` // unless ReadsAll
}

func (q Query) message() QueryMessage {
	m := QueryMessage{SQL: q.SQL, Limit: q.Limit, Cells: q.CellLimit, ReadsAll: q.Readable == nil, Readable: q.Readable}
	if len(q.Params) > 0 {
		m.Params = q.Params
	}
	return m
}

// Message returns the query for a task of another package, which reads its rows with
// ScanQuery. It fails if the wording of the statement is refused.
func (q Query) Message() (QueryMessage, error) { return q.message(), q.checkWords() }

// CallQuery runs a task of another package that reads the rows of a query, in a worker
// of the project.
func CallQuery[In, Out any](ctx context.Context, db *DB, q Query, task worker.Task[In, Out], in In) (out Out, err error) {
	err = db.withQuery(ctx, q, func(ctx context.Context, w *worker.Worker) error {
		out, err = task.Call(ctx, w, in, nil)
		return err
	})
	return out, err
}

func (m QueryMessage) query() Query {
	q := Query{SQL: m.SQL, Params: m.Params, Limit: m.Limit}
	if !m.ReadsAll {
		q.Readable = append([]ids.Table{}, m.Readable...)
	}
	return q
}

// queryAnswer is the result of a query without its rows, which are sent as data.
type queryAnswer struct {
	Columns   []format.Column `json:"columns"`
	Truncated bool            `json:"truncated"`
	Cuts      []sqlite.Cut    `json:"cuts,omitempty"`
}

// rowPiece is the approximate number of bytes of rows sent at a time.
const rowPiece = 256 << 10

func answerQuery(ctx context.Context, s *worker.Session, m QueryMessage) (out queryAnswer, err error) {
	var b sqlite.Batch
	b.Limit, b.CellLimit = maxResultBytes, int(min(m.Cells, maxResultBytes))
	err = ScanQuery(ctx, s, m, func(_ int64, scan *Scan) error {
		out.Columns = scan.Columns
		b.Reset(len(scan.Columns))
		rows := min(int(m.Limit), max(1, maxResultValues/len(scan.Columns)))
		more, err := scan.stmt.Fill(&b, rows, maxResultBytes)
		switch {
		case errors.Is(err, sqlite.ErrTooLarge) && b.Rows > 0:
			out.Truncated, err = true, nil
		case more && err == nil:
			out.Truncated, err = scan.stmt.Step()
		}
		return err
	})
	if err != nil {
		return out, err
	}
	out.Cuts = b.Cuts
	return out, sendRows(s, &b)
}

// sendRows sends the rows of a batch in pieces.
func sendRows(s *worker.Session, b *sqlite.Batch) error {
	var piece []byte
	for i := range b.Rows {
		piece = b.AppendRows(piece, i, i+1)
		if len(piece) < rowPiece && i < b.Rows-1 {
			continue
		}
		if err := s.Send(piece); err != nil {
			return err
		}
		piece = piece[:0]
	}
	return nil
}

func checkQuery(ctx context.Context, s *worker.Session, m QueryMessage) (struct{}, error) {
	return struct{}{}, ScanQuery(ctx, s, m, func(int64, *Scan) error { return nil })
}

// ScanQuery runs a client's statement in the project that the worker is bound to, and
// passes its rows to use. All rows, the names of the tables and the right to read them
// are of the state at the given commit.
func ScanQuery(ctx context.Context, s *worker.Session, m QueryMessage, use func(commit int64, scan *Scan) error) error {
	r, err := readerOf(s)
	if err != nil {
		return explain(err)
	}
	q := m.query()
	var g *readPolicy
	err = r.conn.ReadPinned(func() error {
		commit, err := r.conn.Int("SELECT commits FROM _project")
		if err != nil {
			return err
		}
		ids, err := r.tableIDs()
		if err != nil {
			return err
		}
		g = newReadPolicy(ids, q.Readable)
		return r.conn.Guarded(ctx, sqlite.Guard{Permitted: g.permits}, func() error {
			scan, err := q.scan(r.conn, g)
			if err != nil {
				return err
			}
			defer scan.Close()
			return use(commit, scan)
		})
	})
	if g == nil {
		return explain(err)
	}
	return g.explain(err)
}

// queryReader is a worker's connection to its project.
type queryReader struct {
	conn    *sqlite.Conn
	ids     map[string]ids.Table // of tables, by folded name; immutable once built
	version int64                // of the catalog that ids come from
}

// readerOf returns the connection of a worker, which is kept for later calls.
func readerOf(s *worker.Session) (*queryReader, error) {
	if r, ok := s.State.(*queryReader); ok {
		return r, nil
	}
	c, err := sqlite.OpenReader(s.Path)
	if err != nil {
		return nil, err
	}
	// Sorts use files, which are bounded, and leave the memory to rows.
	if err := c.Exec("PRAGMA temp_store = FILE"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	r := &queryReader{conn: c}
	s.State = r
	return r, nil
}

// tableIDs returns the ids of all tables in the current transaction.
func (r *queryReader) tableIDs() (map[string]ids.Table, error) {
	version, err := r.conn.Int(catalogVersion)
	if err != nil || r.ids != nil && r.version == version {
		return r.ids, err
	}
	found := map[string]ids.Table{}
	err = r.conn.Query("SELECT id, table_name FROM _tables", nil, func(s *sqlite.Stmt) error {
		found[sqlite.Fold(s.Text(1))] = ids.Table(s.Int(0))
		return nil
	})
	if err == nil {
		r.ids, r.version = found, version
	}
	return found, err
}

func (q Query) scan(c *sqlite.Conn, g *readPolicy) (*Scan, error) {
	s, err := g.prepare(c, q.SQL)
	if err != nil {
		return nil, err
	}
	var faults problem.Faults
	columns := resultColumns(s, &faults)
	q.bind(s, &faults)
	if err := faults.Err(); err != nil {
		s.Close()
		return nil, err
	}
	return &Scan{Columns: columns, stmt: s, explain: g.explain}, nil
}

// SnapshotAt returns the id of a project's state at a commit, as reported by a worker.
func SnapshotAt(commit int64, at time.Time) SnapshotID {
	return SnapshotID{Commit: commit, Time: Timestamp(at)}
}
