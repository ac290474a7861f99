package sqlite

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unsafe"

	zs "zombiezen.com/go/sqlite"

	"github.com/zangtable/zangtable/internal/sqltext"
)

// Stmt is a prepared statement in use. Close returns it to its connection.
type Stmt struct {
	conn  *Conn
	s     *zs.Stmt
	query string    // the key in Conn.idle; "" if the statement is not kept
	err   error     // of Bind, reported by Step
	began time.Time // see begin

	running bool // a row was asked for since the last start
	before  mark // of what was recorded before this start
}

// Prepare compiles one statement, or reuses a prepared one. Text with a second
// statement, or without any, is refused.
//
// A stranger's text is compiled for each use. It need not list its columns, and when
// SQLite recompiles such a statement for a changed schema, the driver still has the
// old column names.
func (c *Conn) Prepare(query string) (*Stmt, error) {
	if c.guarded {
		s, err := c.compile(query)
		if err != nil {
			return nil, err
		}
		return &Stmt{conn: c, s: s}, nil
	}
	if idle, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return (&Stmt{conn: c, s: idle.stmt, query: query}).begin(), nil
	}
	s, err := c.compile(query)
	if err != nil {
		return nil, err
	}
	return (&Stmt{conn: c, s: s, query: query}).begin(), nil
}

func (c *Conn) compile(query string) (*zs.Stmt, error) {
	if strings.IndexByte(query, 0) >= 0 {
		return nil, errors.New("prepare: the statement contains a NUL character")
	}
	text := sqltext.SkipEmpty(query)
	if text == "" {
		return nil, ErrNoStatement
	}
	s, trailing, err := c.c.PrepareTransient(text)
	if err != nil {
		return nil, err
	}
	if sqltext.SkipEmpty(text[len(text)-trailing:]) != "" {
		s.Finalize()
		return nil, ErrTrailing
	}
	return s, nil
}

// ErrTrailing is returned by Prepare when something follows the first
// statement.
var ErrTrailing = errors.New("only one statement is allowed")

// ErrNoStatement is returned by Prepare for text without a statement, such as a
// comment. SQLite compiles it to a null pointer, which crashes the driver.
var ErrNoStatement = errors.New("there is no statement")

// Close resets the statement and keeps it for the next Prepare of the same text,
// unless it is a stranger's.
func (s *Stmt) Close() {
	if s.s == nil {
		return
	}
	s.note()
	c, stmt := s.conn, s.s
	s.s = nil
	if s.query == "" {
		stmt.Finalize()
		return
	}
	_, taken := c.idle[s.query]
	// Reset returns the error of the last step again, which the caller has already
	// seen.
	_ = stmt.Reset()
	if taken || c.idle == nil || stmt.ClearBindings() != nil {
		stmt.Finalize()
		return
	}
	if len(c.idle) >= maxIdleStmts {
		c.dropOldest()
	}
	c.clock++
	c.idle[s.query] = idleStmt{stmt, c.clock}
}

func (c *Conn) dropOldest() {
	var oldest string
	age := c.clock + 1
	for query, idle := range c.idle {
		if idle.used < age {
			oldest, age = query, idle.used
		}
	}
	c.idle[oldest].stmt.Finalize()
	delete(c.idle, oldest)
}

// Reset makes the statement ready to run again with new values.
func (s *Stmt) Reset() error {
	s.running = false
	return s.s.Reset()
}

// Bind sets the parameters in order. It takes nil, bool, integers, float64, string,
// []byte (a BLOB) and Value; an error is reported by the next Step.
func (s *Stmt) Bind(args ...any) {
	for i, arg := range args {
		if !s.bindOne(i+1, arg) {
			s.err = fmt.Errorf("bind parameter %d: a %T cannot be stored", i+1, arg)
		}
	}
}

func (s *Stmt) bindOne(i int, arg any) bool {
	switch v := arg.(type) {
	case nil:
		s.s.BindNull(i)
	case bool:
		s.s.BindBool(i, v)
	case int:
		s.s.BindInt64(i, int64(v))
	case int64:
		s.s.BindInt64(i, v)
	case float64:
		s.s.BindFloat(i, v)
	case string:
		s.s.BindText(i, v)
	case []byte:
		s.s.BindBytes(i, v)
	case Value:
		s.BindValue(i, v)
	default:
		number := reflect.ValueOf(arg)
		if !number.CanInt() { // a named type based on int64, such as an id
			return false
		}
		s.s.BindInt64(i, number.Int())
	}
	return true
}

// BindValue sets parameter i, counted from 1.
func (s *Stmt) BindValue(i int, v Value) {
	switch v.Kind {
	case Integer:
		s.s.BindInt64(i, v.Int)
	case Real:
		s.s.BindFloat(i, v.Float)
	case Text:
		// The driver copies the text before it returns.
		s.s.BindText(i, unsafe.String(unsafe.SliceData(v.Bytes), len(v.Bytes)))
	case Blob:
		s.s.BindBytes(i, v.Bytes)
	default:
		s.s.BindNull(i)
	}
}

// BindNamed sets the parameter with the given name, such as ":id", and reports
// whether the statement has it.
func (s *Stmt) BindNamed(name string, v Value) bool {
	for i := 1; i <= s.s.BindParamCount(); i++ {
		if s.s.BindParamName(i) == name {
			s.BindValue(i, v)
			return true
		}
	}
	return false
}

// Parameters returns how many parameters the statement has.
func (s *Stmt) Parameters() int { return s.s.BindParamCount() }

// ParameterName returns the name of parameter i, counted from 1, with its prefix, or
// "" if it has none.
func (s *Stmt) ParameterName(i int) string { return s.s.BindParamName(i) }

// Step goes to the next row and reports whether there is one.
func (s *Stmt) Step() (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	if !s.running {
		s.running, s.before = true, s.conn.recording.mark()
	}
	more, err := s.s.Step()
	if err != nil {
		s.conn.recording.cut(s.before) // SQLite has undone what the statement did
	}
	s.running = more
	return more, stepFailure(err)
}

// Columns returns the number of columns of a row.
func (s *Stmt) Columns() int { return s.s.ColumnCount() }

// ColumnNames returns the names of the columns of a row. They may repeat.
func (s *Stmt) ColumnNames() []string {
	names := make([]string, s.Columns())
	for i := range names {
		names[i] = columnName(s.s, i)
	}
	return names
}

// Int returns column i of the row as an integer, 0 for NULL.
func (s *Stmt) Int(i int) int64 { return s.s.ColumnInt64(i) }

// Text returns column i of the row as a string, "" for NULL.
func (s *Stmt) Text(i int) string { return s.s.ColumnText(i) }

// IsNull reports whether column i of the row is NULL.
func (s *Stmt) IsNull(i int) bool { return s.s.ColumnIsNull(i) }

// TextOrNil returns column i of the row, nil for NULL.
func (s *Stmt) TextOrNil(i int) *string {
	if s.s.ColumnIsNull(i) {
		return nil
	}
	text := s.s.ColumnText(i)
	return &text
}

// Value returns column i of the row with a copy of its bytes.
func (s *Stmt) Value(i int) Value {
	switch s.s.ColumnType(i) {
	case zs.TypeInteger:
		return IntValue(s.s.ColumnInt64(i))
	case zs.TypeFloat:
		return FloatValue(s.s.ColumnFloat(i))
	case zs.TypeText:
		return TextValue(s.s.ColumnText(i))
	case zs.TypeBlob:
		b := make([]byte, s.s.ColumnLen(i))
		s.s.ColumnBytes(i, b)
		return BlobValue(b)
	}
	return Value{}
}
