package projectdb

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Query is one read-only statement of a client.
type Query struct {
	SQL       string
	Params    jsontext.Value           // an array, or an object of named values; nil without
	Limit     int64                    // rows
	Timeout   time.Duration            // 0 means QueryTimeout
	Permitted func(tableID int64) bool // the tables that may be read
}

// QueryTimeout is how long a statement of a client may run.
const QueryTimeout = 5 * time.Second

// maxResultBytes bounds the texts and blobs of a query's result.
const maxResultBytes = 16 << 20

// Result is what a query has given.
type Result struct {
	Rows
	Truncated bool // there are more rows
}

// Query runs one SELECT of a client. What it may read is decided by SQLite's
// authorizer, not by its words.
func (db *DB) Query(ctx context.Context, q Query) (result Result, err error) {
	if err := q.checkWords(); err != nil {
		return result, err
	}
	if q.Timeout == 0 {
		q.Timeout = QueryTimeout
	}
	limited, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	result, err = db.askSettled(limited, q)
	if limited.Err() != nil && ctx.Err() == nil && err != nil {
		return result, problem.New(problem.CodeQueryTimeout, "The statement ran longer than %s. A query export has no such limit.", q.Timeout)
	}
	return result, err
}

// askSettled asks until no name has changed hands meanwhile: rights belong to the
// ids of tables, and SQL to their names.
func (db *DB) askSettled(ctx context.Context, q Query) (Result, error) {
	before, err := db.current(ctx)
	for err == nil {
		result, failure := db.ask(ctx, q, before.tables)
		var after *catalogue
		if after, err = db.current(ctx); err == nil && after.version == before.version {
			return result, failure
		}
		before = after
	}
	return Result{}, err
}

func (db *DB) ask(ctx context.Context, q Query, tables []Table) (result Result, err error) {
	gate := q.gate(tables)
	err = db.sql.ReadGuarded(ctx, gate.permits, func(c *sqlite.Conn) error {
		result, err = q.run(c, gate)
		return err
	})
	return result, gate.explain(err)
}

// gate knows what a statement may read, and remembers which table it was
// refused.
type gate struct {
	permitted map[string]bool // by folded name, for every table
	refused   string
}

func (q Query) gate(tables []Table) *gate {
	g := &gate{permitted: map[string]bool{}}
	for _, t := range tables {
		g.permitted[sqlite.Fold(t.Name)] = q.Permitted == nil || q.Permitted(t.ID)
	}
	return g
}

func (g *gate) permits(name string) bool {
	permitted, exists := g.permitted[name]
	if exists && !permitted {
		g.refused = name
	}
	return permitted
}

// hides reports whether a client must not learn more of a table than its name.
func (g *gate) hides(name string) bool {
	name = sqlite.Fold(name)
	permitted, exists := g.permitted[name]
	return exists && !permitted || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "pragma_")
}

// veil, at the end of a name, makes it one that no table has.
const veil = "\uE000"

// veiled returns the statement with every name that is hidden made one that
// stands for nothing.
func (g *gate) veiled(sql string) string {
	var b strings.Builder
	done := 0
	hide := func(name string, end int) {
		if g.hides(name) {
			b.WriteString(sql[done:end])
			b.WriteString(veil)
			done = end
		}
	}
	for _, t := range scanSQL(sql) {
		if isQuoted(t.text) {
			hide(t.name(), t.end-1)
			continue
		}
		at := t.start
		for part := range strings.SplitSeq(t.text, ".") {
			hide(part, at+len(part))
			at += len(part) + 1
		}
	}
	return b.String() + sql[done:]
}

func isQuoted(token string) bool { return len(token) > 1 && strings.IndexByte("\"`'[", token[0]) >= 0 }

// prepare compiles a statement. SQLite looks up columns before it asks who may
// read their table, and its error would tell of them. So when the statement
// fails without its hidden tables too, for the lack of one, this is its failure.
func (g *gate) prepare(c *sqlite.Conn, sql string) (*sqlite.Stmt, error) {
	s, err := c.Prepare(sql)
	if err == nil {
		return s, nil
	}
	refused := g.refused
	if without := g.veiled(sql); without != sql {
		if missing := compile(c, without); missing != nil {
			table, ok := strings.CutPrefix(sqlite.Message(missing), "no such table: ")
			if name, hidden := strings.CutSuffix(table, veil); ok && hidden {
				return nil, g.refuse(name)
			}
		}
	}
	g.refused = refused
	return nil, err
}

func compile(c *sqlite.Conn, sql string) error {
	s, err := c.Prepare(sql)
	if err == nil {
		s.Close()
	}
	return err
}

// refuse returns what a client is told of a table that it must not see.
func (g *gate) refuse(name string) error {
	table := sqlite.Fold(strings.TrimPrefix(name, "main."))
	if _, exists := g.permitted[table]; exists {
		return mayNotRead(table)
	}
	return problem.Invalid("sql", "SQLite says: no such table: %s.", name)
}

func mayNotRead(table string) error {
	return problem.New(problem.CodePermissionDenied, "This token may not read the records of the table %s.", table)
}

// explain turns the failure of a client's statement into what it may see.
func (g *gate) explain(err error) error {
	var known *problem.Error
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	case g.refused != "":
		return mayNotRead(g.refused)
	case errors.Is(err, sqlite.ErrTrailing):
		return problem.Invalid("sql", "Only one statement is allowed.")
	}
	switch sqlite.FaultOf(err) {
	case sqlite.Denied:
		return problem.Invalid("sql", "The statement does what is not allowed here: %s.", sqlite.Message(err))
	case sqlite.Other, sqlite.BadSQL, sqlite.Expression, sqlite.TooBig, sqlite.DataType, sqlite.NotNull:
		return problem.Invalid("sql", "SQLite says: %s.", sqlite.Message(err))
	}
	return explain(err)
}

// checkWords tells SELECT, WITH and EXPLAIN QUERY PLAN from everything else,
// for a clear message. Safety does not rest on it, but for EXPLAIN alone, which
// the authorizer cannot tell apart.
func (q Query) checkWords() error {
	tokens := scanSQL(q.SQL)
	switch {
	case len(tokens) == 0:
		return problem.Invalid("sql", "A statement is required.")
	case strings.IndexByte(q.SQL, 0) >= 0:
		return problem.Invalid("sql", "The statement holds a NUL character.")
	case tokens[0].is("SELECT", "WITH"):
		return nil
	case len(tokens) > 2 && tokens[0].is("EXPLAIN") && tokens[1].is("QUERY") && tokens[2].is("PLAN"):
		return nil
	}
	return problem.Invalid("sql", "Only SELECT, WITH and EXPLAIN QUERY PLAN are allowed.")
}

func (q Query) run(c *sqlite.Conn, g *gate) (Result, error) {
	s, err := g.prepare(c, q.SQL)
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	columns, err := resultColumns(s)
	if err != nil {
		return Result{}, err
	}
	if err := q.bind(s); err != nil {
		return Result{}, err
	}
	result := Result{Rows: Rows{Columns: columns, Batch: &sqlite.Batch{}}}
	result.Batch.Reset(len(columns))
	more, err := s.Fill(result.Batch, int(q.Limit), maxResultBytes)
	if more && err == nil {
		result.Truncated, err = s.Step()
	}
	return result, err
}

// resultColumns returns the columns of a result. Rows are objects, so no two
// columns can have the same name.
func resultColumns(s *sqlite.Stmt) ([]format.Column, error) {
	columns := make([]format.Column, s.Columns())
	for i := range columns {
		columns[i].Name = s.ColumnName(i)
		if columns[i].Name == "" {
			return nil, problem.Invalid("sql", "Column %d of the result has no name, or that of a later column: give it one with AS.", i+1)
		}
	}
	return columns, nil
}

// bind sets the parameters, and notes those missing and those too many.
func (q Query) bind(s *sqlite.Stmt) error {
	var faults problem.Faults
	switch q.Params.Kind() {
	case 0, 'n':
		if n := s.Parameters(); n > 0 {
			faults.Add("params", "The statement has %d parameters, and none is given.", n)
		}
	case '[':
		q.bindList(s, &faults)
	case '{':
		q.bindNamed(s, &faults)
	default:
		faults.Add("params", "The parameters are an array, or an object of named values.")
	}
	return faults.Err()
}

func (q Query) bindList(s *sqlite.Stmt, faults *problem.Faults) {
	items, err := elements(q.Params)
	if err != nil || len(items) != s.Parameters() {
		faults.Add("params", "The statement has %d parameters, and %d are given.", s.Parameters(), len(items))
		return
	}
	for i, item := range items {
		v, err := storedAs("ANY", item)
		if err != nil {
			faults.Add("params["+itoa(i)+"]", "%s", err)
		}
		s.BindValue(i+1, v)
	}
}

// bindNamed binds an object. A name may be written with the sign it has in the
// statement, or without.
func (q Query) bindNamed(s *sqlite.Stmt, faults *problem.Faults) {
	given := map[string]bool{}
	err := eachMember(q.Params, func(name string, value jsontext.Value) {
		v, err := storedAs("ANY", value)
		if err != nil {
			faults.Add("params."+name, "%s", err)
		}
		known := false
		for i := 1; i <= s.Parameters(); i++ {
			if p := s.ParameterName(i); p == name || p != "" && p[1:] == name {
				s.BindValue(i, v)
				given[p] = true
				known = true
			}
		}
		if !known {
			faults.Add("params."+name, "The statement has no such parameter.")
		}
	})
	if err != nil {
		faults.Add("params", "The parameters are not valid JSON.")
	}
	for i := 1; i <= s.Parameters(); i++ {
		switch p := s.ParameterName(i); {
		case p == "":
			faults.Add("params", "Parameter %d of the statement has no name: give an array.", i)
		case !given[p]:
			faults.Add("params."+p[1:], "A value is required.")
		}
	}
}
