package projectdb

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/meter"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
	"github.com/zangtable/zangtable/internal/worker"
)

// Query is one read-only SQL statement of a client.
type Query struct {
	SQL    string
	Params jsontext.Value // an array, or an object of named values; nil for none
	Limit  int64          // maximum number of rows
	// CellLimit is the number of bytes to which texts and blobs are cut; 0 means no limit.
	CellLimit int64
	Timeout   time.Duration // 0 means QueryTimeout; below 0, no limit
	Readable  []ids.Table   // the ids of the readable tables; nil for all
	// Group is the project whose share of the workers the query uses: the first in the
	// chain of projects whose tokens created this one.
	Group ids.Project
}

// QueryTimeout is how long a statement of a client may run.
const QueryTimeout = 5 * time.Second

// maxResultBytes bounds the texts and blobs in a query's result, and maxResultValues
// the number of its values.
const (
	maxResultBytes  = 8 << 20
	maxResultValues = 500_000
)

// Result is the result of a query.
type Result struct {
	Rows
	Truncated bool          // there are more rows
	Took      time.Duration // without waiting for a worker
}

// Query runs one SELECT of a client in a worker. SQLite's authorizer, not the
// statement's wording, decides what it may read.
func (db *DB) Query(ctx context.Context, q Query) (result Result, err error) {
	err = db.withQuery(ctx, q, func(ctx context.Context, w *worker.Worker) error {
		began := time.Now()
		result, err = q.call(ctx, w)
		result.Took = time.Since(began)
		q.notePlan(ctx, w, result.Took)
		return err
	})
	return result, err
}

// planTime is how long SQLite may take for the plan of a slow statement.
const planTime = 500 * time.Millisecond

// notePlan notes the plan of a statement that took as long as the meter of ctx calls
// slow. That has failed if the statement has, or its worker is gone: then there is none.
func (q Query) notePlan(ctx context.Context, w *worker.Worker, took time.Duration) {
	m := meter.Of(ctx)
	if !m.NotesPlans() || took < m.Slow || sqltext.Tokens(q.SQL)[0].Is("EXPLAIN") {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), planTime)
	defer cancel()
	q.SQL, q.Limit = "EXPLAIN QUERY PLAN "+q.SQL, maxPlanLines
	plan, err := q.call(ctx, w)
	if err != nil {
		return
	}
	var lines []string
	for i := range plan.Len() {
		lines = append(lines, string(plan.Batch.Bytes(plan.Batch.Row(i)[3])))
	}
	m.NotePlan(took, lines)
}

// maxPlanLines is how many lines of a plan are noted.
const maxPlanLines = 20

// CheckQuery returns every fault of a query without running it.
func (db *DB) CheckQuery(ctx context.Context, q Query) error {
	q.Timeout = QueryTimeout
	return db.withQuery(ctx, q, func(ctx context.Context, w *worker.Worker) error {
		_, err := checkTask.Call(ctx, w, q.message(), nil)
		return err
	})
}

// withQuery runs fn with a worker of the project, within the time limit of the query.
func (db *DB) withQuery(ctx context.Context, q Query, fn func(context.Context, *worker.Worker) error) error {
	if err := q.checkWords(); err != nil {
		return err
	}
	scope := db.Scope()
	scope.Group = q.Group
	watch := meter.Start(ctx)
	defer watch.Stop()
	w, err := db.workers.Acquire(ctx, scope)
	if err != nil {
		return err
	}
	watch.Got()
	defer db.workers.Release(w)
	return q.Within(ctx, func(ctx context.Context) error { return fn(ctx, w) })
}

// Within runs fn within the time limit of the query, and explains its end.
func (q Query) Within(ctx context.Context, fn func(context.Context) error) error {
	limit := cmp.Or(q.Timeout, QueryTimeout)
	limited, cancel := context.WithCancel(ctx)
	if limit > 0 {
		limited, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	err := fn(limited)
	var died *worker.Died
	switch {
	case err == nil:
		return nil
	case limited.Err() != nil && ctx.Err() == nil:
		return problem.New(problem.CodeQueryTimeout, "The statement ran longer than %s.", limit)
	case errors.As(err, &died):
		return tooLarge().Because(err)
	}
	return err
}

func tooLarge() *problem.Error {
	return problem.New(problem.CodeResultTooLarge, "The statement needs more memory than it may use. Select fewer or shorter values.")
}

// Scope returns the files that a worker reading the project may open.
func (db *DB) Scope() worker.Scope {
	path := db.sql.Path()
	log := path + "-wal"
	// Readers of a database with a write-ahead log record their position in its index.
	return worker.Scope{Path: path, Read: []string{log}, Write: []string{path + "-shm"}, Log: log}
}

// call has the worker run the query and collects the rows.
func (q Query) call(ctx context.Context, w *worker.Worker) (result Result, err error) {
	var rows []byte
	out, err := queryTask.Call(ctx, w, q.message(), func(p []byte) error {
		if len(rows)+len(p) > maxRowBytes {
			return errors.New("a worker has sent more rows than it may")
		}
		rows = append(rows, p...)
		return nil
	})
	if err != nil {
		return result, err
	}
	result.Rows = Rows{Columns: out.Columns, Batch: &sqlite.Batch{}}
	result.Truncated = out.Truncated
	result.Batch.Reset(len(out.Columns))
	result.Batch.Cuts = out.Cuts
	if len(rows) > 0 {
		err = result.Batch.TakeRows(rows)
	}
	return result, err
}

// maxRowBytes bounds the rows of a result in transit: in addition to texts and blobs,
// the kind and the number, or the length, of each value.
const maxRowBytes = maxResultBytes + 11*maxResultValues

// readPolicy decides what a statement may read, and remembers the last table that it
// refused.
type readPolicy struct {
	permitted map[string]bool // by folded name, for every table
	refused   string
}

// newReadPolicy returns the policy for a client that may read the tables with the
// given ids; nil means all. tables holds the ids of all tables by folded name.
func newReadPolicy(tables map[string]ids.Table, readable []ids.Table) *readPolicy {
	g := &readPolicy{permitted: make(map[string]bool, len(tables))}
	for name, id := range tables {
		g.permitted[name] = readable == nil || slices.Contains(readable, id)
	}
	return g
}

func (g *readPolicy) permits(name string) bool {
	permitted, exists := g.permitted[name]
	if exists && !permitted {
		g.refused = name
	}
	return permitted
}

// hides reports whether a client must not learn more about a table than its name.
func (g *readPolicy) hides(name string) bool {
	name = sqlite.Fold(name)
	permitted, exists := g.permitted[name]
	return exists && !permitted || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "pragma_")
}

// mask is a suffix that turns a name into one that no table has.
const mask = "\uE000"

// masked returns the statement with every hidden name replaced by a name that does not
// exist.
func (g *readPolicy) masked(sql string) string {
	var b strings.Builder
	done := 0
	hide := func(name string, end int) {
		if g.hides(name) {
			b.WriteString(sql[done:end])
			b.WriteString(mask)
			done = end
		}
	}
	for _, t := range sqltext.Tokens(sql) {
		switch t.Kind {
		case sqltext.Quoted, sqltext.String:
			hide(t.Name(), t.End-1)
		case sqltext.Word:
			hide(t.Text, t.End)
		}
	}
	return b.String() + sql[done:]
}

// prepare compiles a statement. SQLite resolves columns before it asks who may read
// their table, so its error would reveal columns. If the statement also fails with its
// hidden tables masked because one of those is missing, that is the error.
func (g *readPolicy) prepare(c *sqlite.Conn, sql string) (*sqlite.Stmt, error) {
	s, err := c.Prepare(sql)
	if err == nil {
		return s, nil
	}
	if sqlite.FaultOf(err) == sqlite.TooBig {
		return nil, problem.Invalid("sql", "The statement is longer than 100,000 bytes.").Because(err)
	}
	refused := g.refused
	if without := g.masked(sql); without != sql {
		if missing := compile(c, without); missing != nil {
			table, ok := strings.CutPrefix(sqlite.Message(missing), "no such table: ")
			if name, hidden := strings.CutSuffix(table, mask); ok && hidden {
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

// refuse returns what a client is told about a table that it must not see.
func (g *readPolicy) refuse(name string) error {
	table := sqlite.Fold(strings.TrimPrefix(name, "main."))
	if _, exists := g.permitted[table]; exists {
		return mayNotRead(table)
	}
	return problem.Invalid("sql", "SQLite says: no such table: %s.", name)
}

func mayNotRead(table string) error {
	return problem.New(problem.CodePermissionDenied, "This token may not read the records of the table %s.", table)
}

// explain turns the error of a client's statement into what the client may see.
func (g *readPolicy) explain(err error) error {
	var known *problem.Error
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	case g.refused != "":
		return mayNotRead(g.refused)
	case errors.Is(err, sqlite.ErrTooLarge):
		return tooLarge().Because(err)
	case errors.Is(err, sqlite.ErrTrailing):
		return problem.Invalid("sql", "Only one statement is allowed.")
	}
	switch sqlite.FaultOf(err) {
	case sqlite.Denied:
		return problem.Invalid("sql", "The statement does something that is not allowed here: %s.", sqlite.Message(err))
	case sqlite.TooBig, sqlite.NoMemory:
		return tooLarge().Because(err)
	case sqlite.Full:
		if sqlite.TempExceeded() {
			return problem.New(problem.CodeResultTooLarge, "The statement needs more space for temporary files than it may use. An index on the columns that it sorts or groups by may help.").Because(err)
		}
	case sqlite.Other, sqlite.BadSQL, sqlite.Expression, sqlite.DataType, sqlite.NotNull:
		return problem.Invalid("sql", "SQLite says: %s.", sqlite.Message(err))
	}
	return explain(err)
}

// maxParameters is the maximum number of parameters in SQLite.
const maxParameters = 32_766

// checkWords tells SELECT, WITH and EXPLAIN QUERY PLAN from everything else, for the
// sake of a clear message. Safety does not depend on it, except for EXPLAIN, which the
// authorizer cannot distinguish.
func (q Query) checkWords() error {
	if countSeparators(q.Params) >= maxParameters {
		return problem.Invalid("params", "Expected at most %d parameters.", maxParameters)
	}
	tokens := sqltext.Tokens(q.SQL)
	switch {
	case len(tokens) == 0:
		return problem.Missing("sql")
	case !utf8.ValidString(q.SQL):
		return problem.Invalid("sql", "The statement is not valid UTF-8.")
	case len(q.SQL) > sqlite.MaxGuardedSQL:
		return problem.Invalid("sql", "The statement has %d bytes; at most %d are allowed. Values can stand in params.", len(q.SQL), sqlite.MaxGuardedSQL)
	case strings.IndexByte(q.SQL, 0) >= 0:
		return problem.Invalid("sql", "The statement contains a NUL character.")
	case tokens[0].Is("SELECT", "WITH"):
		return nil
	case len(tokens) > 2 && tokens[0].Is("EXPLAIN") && tokens[1].Is("QUERY") && tokens[2].Is("PLAN"):
		return nil
	}
	return problem.Invalid("sql", "Only SELECT, WITH and EXPLAIN QUERY PLAN are allowed.")
}

// resultColumns returns the columns of a result. Rows are objects, so no two columns
// may have the same name: repeated names get a number.
func resultColumns(s *sqlite.Stmt, faults *problem.Faults) []format.Column {
	names := s.ColumnNames()
	taken := make(map[string]bool, len(names))
	for i, name := range names {
		taken[name] = true
		if name == "" {
			faults.Add("sql", "Column %d of the result has no name: name it with AS.", i+1)
		}
	}
	columns := make([]format.Column, len(names))
	times := map[string]int{}
	for i, name := range names {
		if times[name]++; times[name] > 1 {
			name = numbered(name, times, taken)
		}
		columns[i].Name = name
	}
	return columns
}

// numbered returns the name with the next number that makes it unique.
func numbered(name string, times map[string]int, taken map[string]bool) string {
	for ; ; times[name]++ {
		if n := name + "_" + itoa(times[name]); !taken[n] {
			taken[n] = true
			return n
		}
	}
}

// bind binds the parameters, and notes missing and surplus ones.
func (q Query) bind(s *sqlite.Stmt, faults *problem.Faults) {
	switch q.Params.Kind() {
	case 0, 'n':
		if n := s.Parameters(); n > 0 {
			faults.Add("params", "The statement has %d parameters, but none are given.", n)
		}
	case '[':
		q.bindList(s, faults)
	case '{':
		q.bindNamed(s, faults)
	default:
		faults.WrongType("params", "an array, or an object of named values")
	}
}

func (q Query) bindList(s *sqlite.Stmt, faults *problem.Faults) {
	if n, err := countElements(q.Params); err != nil || n != s.Parameters() {
		faults.Add("params", "The statement has %d parameters, but %d are given.", s.Parameters(), n)
		return
	}
	// Counting has already parsed the whole text.
	_ = eachElement(q.Params, func(i int, item jsontext.Value) error {
		v, err := storedAs("ANY", item)
		if err != nil {
			faults.Add("params["+itoa(i)+"]", "%s", err)
		}
		s.BindValue(i+1, v)
		return nil
	})
}

// bindNamed binds an object. A name may be given with the prefix it has in the
// statement, or without.
func (q Query) bindNamed(s *sqlite.Stmt, faults *problem.Faults) {
	places, names := map[string][]int{}, []string{}
	for i := 1; i <= s.Parameters(); i++ {
		p := s.ParameterName(i)
		names = append(names, strings.TrimLeft(p, ":@$?"))
		if p == "" {
			continue
		}
		places[p], places[p[1:]] = append(places[p], i), append(places[p[1:]], i)
	}
	given := map[int]bool{}
	err := eachMember(q.Params, func(name string, value jsontext.Value) {
		if faults.Full() {
			return
		}
		if places[name] == nil {
			faults.Unknown("params."+name, "parameter", name, "in the statement", names)
			return
		}
		v, err := storedAs("ANY", value)
		if err != nil {
			faults.Add("params."+name, "%s", err)
		}
		for _, i := range places[name] {
			s.BindValue(i, v)
			given[i] = true
		}
	})
	if err != nil {
		faults.Add("params", "The parameters are not valid JSON.")
	}
	for i, name := range names {
		switch {
		case name == "":
			faults.Add("params", "Parameter %d of the statement has no name: send an array.", i+1)
		case !given[i+1]:
			faults.Required("params." + name)
		}
	}
}
