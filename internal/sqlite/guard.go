package sqlite

import (
	"context"
	"reflect"
	"strings"

	zs "zombiezen.com/go/sqlite"
)

// MaxGuardedSQL is the maximum length of a stranger's statement, in bytes.
const MaxGuardedSQL = 100_000

// guardLimits bound what one statement of a stranger can ask for. They cannot bound
// its cost: 1,900 columns of 10 MB each are within them.
var guardLimits = [...]struct {
	limit zs.Limit
	value int32
}{
	{zs.LimitLength, 10_000_000},
	{zs.LimitSQLLength, MaxGuardedSQL},
	{zs.LimitColumn, 2000},
	{zs.LimitExprDepth, 1000},
	{zs.LimitCompoundSelect, 500},
	{zs.LimitVDBEOp, 250_000},
	{zs.LimitFunctionArg, 127},
	{zs.LimitAttached, 0},
	{zs.LimitLikePatternLength, 50_000},
	{zs.LimitVariableNumber, 10_000},
	{zs.LimitTriggerDepth, 10},
	{zs.LimitWorkerThreads, 0},
}

// A Guard is the allow-list for the statements of one stranger.
type Guard struct {
	// Permitted reports whether the rows of a table may be read. It is called with the
	// name folded as SQLite does (A to Z in lower case).
	Permitted func(table string) bool
	objects   map[string]bool // see objects
}

// Guarded runs fn in the read transaction that is open on c. Every statement that fn
// prepares may only SELECT from tables that the guard permits; anything else does not
// compile. Canceling ctx interrupts whatever runs.
//
// The guard bounds what a statement may name. Its cost is bounded per process: see
// Confine.
func (c *Conn) Guarded(ctx context.Context, g Guard, fn func() error) error {
	if err := c.readObjects(); err != nil {
		return err
	}
	g.objects = c.objects.names
	for _, l := range guardLimits {
		l.value = c.c.Limit(l.limit, l.value)
		defer c.c.Limit(l.limit, l.value)
	}
	if err := c.c.SetAuthorizer(g); err != nil {
		return err
	}
	c.guarded = true
	defer func() {
		c.guarded = false
		c.c.SetAuthorizer(nil)
	}()
	defer c.bound(ctx)()
	return fn()
}

// ReadPinned runs fn in a read transaction that pins the current state from its start.
func (c *Conn) ReadPinned(fn func() error) error {
	defer c.rollback()
	if err := c.pin(); err != nil {
		return err
	}
	return fn()
}

// objects maps the folded names of all virtual table modules to false, and of
// everything in the schema to true.
type objects struct {
	version int64 // of the schema
	names   map[string]bool
}

// readObjects rereads the names if the schema has changed.
func (c *Conn) readObjects() error {
	version, err := c.Int("PRAGMA schema_version")
	if err != nil || c.objects.names != nil && c.objects.version == version {
		return err
	}
	names := map[string]bool{}
	err = c.Query("SELECT name, 0 FROM pragma_module_list UNION ALL SELECT name, 1 FROM sqlite_schema", nil, func(s *Stmt) error {
		names[Fold(s.Text(0))] = s.Int(1) == 1
		return nil
	})
	if err == nil {
		c.objects = objects{version, names}
	}
	return err
}

// Authorize is called by SQLite for everything that a statement does, while it is
// compiled.
func (g Guard) Authorize(action zs.Action) zs.AuthResult {
	var ok bool
	switch action.Type() {
	case zs.OpSelect, zs.OpRecursive:
		ok = true
	case zs.OpFunction:
		ok = !forbiddenFunction(functionName(action))
	case zs.OpRead:
		ok = g.mayRead(Fold(action.Table()), action.Column())
	}
	if ok {
		return zs.AuthResultOK
	}
	return zs.AuthResultDeny
}

// mayRead decides on one table, or on one name that stands for a table: a read that
// uses no column, such as count(*), names tables and common table expressions alike. A
// common table expression is allowed if no real object has its name.
func (g Guard) mayRead(table, column string) bool {
	inSchema, known := g.objects[table]
	switch {
	case strings.HasPrefix(table, "sqlite_"), strings.HasPrefix(table, "pragma_"), strings.HasPrefix(table, "_"):
		return false
	case inSchema:
		return g.Permitted(table)
	case table == "json_each", table == "json_tree":
		return true
	case known:
		return false
	}
	return column == ""
}

// forbiddenFunction reports whether a function reaches outside the database or reveals
// how the library was built.
func forbiddenFunction(name string) bool {
	switch name := strings.ToLower(name); name {
	case "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "":
		return true
	default:
		return strings.HasPrefix(name, "sqlite_")
	}
}

// functionName returns the function name of the action. SQLite passes it as the second
// argument, which the driver stores without an accessor.
func functionName(action zs.Action) string {
	field := reflect.ValueOf(action).FieldByName("arg2")
	if !field.IsValid() || field.Kind() != reflect.String {
		return ""
	}
	return field.String()
}
