package foreign

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

// opening is the first thing that the worker is told.
type opening struct {
	Path  string `json:"path"`
	Check bool   `json:"check"` // refuse a damaged database
}

// reading is the worker's task, from opening a file until the worker is ended.
var reading = worker.Define("foreign.read", func(ctx context.Context, s *worker.Session, o opening) (struct{}, error) {
	return struct{}{}, serve(ctx, s, o)
})

// peer is the server, as the worker sees it.
type peer interface {
	Send(p []byte) error
	Receive(ctx context.Context) ([]byte, error)
}

// serve opens the file and answers requests until ctx ends.
func serve(ctx context.Context, p peer, o opening) error {
	c, err := openFile(ctx, o)
	if err != nil {
		return err
	}
	defer c.Close()
	defer c.Interrupt(ctx)()
	if err := p.Send([]byte{isReady}); err != nil {
		return err
	}
	s := &server{peer: p, conn: c, scans: map[int]sqlite.Scan{}}
	for {
		text, err := p.Receive(ctx)
		if err != nil {
			return err
		}
		var r request
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("decode a request: %w", err)
		}
		if err := s.answer(r); err != nil {
			return err
		}
	}
}

// server answers requests about one file.
type server struct {
	peer  peer
	conn  *sqlite.Conn
	scans map[int]sqlite.Scan
	batch sqlite.Batch
	piece []byte
}

// answer answers one request. It returns errors of the connection to the peer; those of
// SQLite are sent as answers.
func (s *server) answer(r request) error {
	if r.Op == opClose {
		if scan := s.scans[r.ID]; scan != nil {
			scan.Close()
		}
		delete(s.scans, r.ID)
		return nil
	}
	more, err := s.do(r)
	if err != nil {
		return s.fail(err)
	}
	for i := 0; i < s.batch.Rows; {
		n, ok := s.pieceFrom(i)
		if !ok {
			return s.fail(&sqlite.Failure{Fault: sqlite.TooBig, Message: fmt.Sprintf("a row has more than %d bytes", maxRow)})
		}
		s.piece = s.batch.AppendRows(appendHead(s.piece[:0], isRows, s.batch.Columns), i, n)
		if err := s.peer.Send(s.piece); err != nil {
			return err
		}
		i = n
	}
	s.piece = append(appendHead(s.piece[:0], isEnd, s.batch.Columns), 0)
	if more {
		s.piece[len(s.piece)-1] = 1
	}
	return s.peer.Send(s.piece)
}

// pieceFrom returns the end of the rows, starting at row i, that are sent in one
// message. It reports false if row i alone is too long.
func (s *server) pieceFrom(i int) (end int, ok bool) {
	if i == 0 && s.batch.Size() < 2*maxPiece && s.batch.Rows*s.batch.Columns < maxPiece/16 {
		return s.batch.Rows, true // the usual case, without checking each row
	}
	size := 0
	for end = i; end < s.batch.Rows && (end == i || size < maxPiece); end++ {
		size += s.batch.RowBytes(end)
	}
	return end, end > i+1 || size <= maxRow
}

// do fills the batch that answers a request.
func (s *server) do(r request) (more bool, err error) {
	if r.Op == opPrepare {
		scan, err := s.conn.Scan(string(r.SQL), valuesOf(r.Args)...)
		if err != nil {
			return false, err
		}
		s.scans[r.ID] = scan
		s.batch.Reset(scan.Columns())
		return true, nil
	}
	scan := s.scans[r.ID]
	if r.Op != opFetch || scan == nil {
		return false, errors.New("there is no such statement")
	}
	return scan.Fill(&s.batch, r.Rows, r.Bytes)
}

func (s *server) fail(err error) error {
	failure := sqlite.FailureOf(err)
	failure.Message = failure.Message[:min(len(failure.Message), maxFailure/8)]
	text, err := json.Marshal(failure, jsontext.AllowInvalidUTF8(true)) // may quote names in the file
	if err != nil {
		return err
	}
	return s.peer.Send(append([]byte{isFailure}, text...))
}

// openFile opens a file in one read transaction.
func openFile(ctx context.Context, o opening) (*sqlite.Conn, error) {
	c, err := sqlite.OpenFile(o.Path)
	if err != nil {
		return nil, Damaged(err)
	}
	release := c.Interrupt(ctx)
	err = begin(c, o.Check)
	release()
	if err != nil {
		c.Close()
		return nil, Damaged(err)
	}
	return c, nil
}

func begin(c *sqlite.Conn, thenCheck bool) error {
	for _, statement := range []string{
		// A CHECK may call functions that we lack, which would make quick_check fail.
		"PRAGMA ignore_check_constraints = ON",
		"BEGIN",
	} {
		if err := c.Exec(statement); err != nil {
			return err
		}
	}
	if !thenCheck {
		return nil
	}
	return check(c)
}

// check refuses a database whose structure is damaged. It ignores findings of
// quick_check about single values, which copying the rows finds as well.
func check(c *sqlite.Conn) error {
	var finding string
	err := c.Query("PRAGMA quick_check(1000000)", nil, func(s *sqlite.Stmt) error {
		if text := s.Text(0); finding == "" && !aboutValues(text) {
			finding = text
		}
		return nil
	})
	switch {
	case sqlite.FaultOf(err).InSQL():
		return readSchema(c)
	case err != nil:
		return Damaged(err)
	case finding != "":
		return invalid("The database is damaged. SQLite says: %s. The sqlite3 shell's .recover may save what is left.", oneLine(finding))
	}
	return nil
}

// readSchema checks that at least the list of tables can be read; each table is then
// checked as it is read.
func readSchema(c *sqlite.Conn) error {
	if err := c.Exec("SELECT * FROM sqlite_schema"); err != nil {
		return Damaged(err)
	}
	return nil
}

// aboutValues reports whether a finding of quick_check is about a value that violates a
// constraint, rather than about the structure of the file.
func aboutValues(finding string) bool {
	for _, start := range []string{"ok", "NULL value in ", "TEXT value in ", "NUMERIC value in ", "non-", "CHECK constraint failed in "} {
		if strings.HasPrefix(finding, start) {
			return true
		}
	}
	return false
}

// Damaged returns the problem of a database that SQLite cannot read.
func Damaged(err error) error {
	if known := (*problem.Error)(nil); errors.As(err, &known) {
		return err
	}
	message := sqlite.Message(err)
	switch sqlite.FaultOf(err) {
	case sqlite.Busy:
		return invalid("The database is locked: close the program that writes to it, and try again.").Because(err)
	case sqlite.IO:
		return invalid("The database cannot be opened without changing it. A program may not have finished writing it (there is a file ending in -journal beside it): open it once with that program, and try again.").Because(err)
	case sqlite.NoMemory, sqlite.TooBig:
		return invalid("The database cannot be read: a value or a row in it is too large. SQLite says: %s.", oneLine(message)).Because(err)
	case sqlite.Damaged:
		return invalid("The database is damaged or was cut short. SQLite says: %s.", oneLine(message)).Because(err)
	}
	return invalid("The database cannot be read. SQLite says: %s.", oneLine(message)).Because(err)
}

func invalid(format string, args ...any) *problem.Error {
	return problem.Invalid("file", format, args...)
}

// oneLine turns an SQLite message into part of a sentence.
func oneLine(message string) string {
	const most = 300
	message = strings.TrimRight(strings.Join(strings.Fields(message), " "), ".")
	return message[:min(len(message), most)]
}
