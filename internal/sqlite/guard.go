package sqlite

import (
	"context"
	"errors"
	"reflect"
	"strings"

	zs "zombiezen.com/go/sqlite"
)

// maxGuarded bounds the statements of strangers that run at once on one
// database.
const maxGuarded = 2

// guardLimits bound what one statement of a stranger can cost. The length
// limit matters most: it stops a single opcode that builds gigabytes, which no
// deadline can interrupt.
var guardLimits = [...]struct {
	limit zs.Limit
	value int32
}{
	{zs.LimitLength, 10_000_000},
	{zs.LimitSQLLength, 100_000},
	{zs.LimitColumn, 2000},
	{zs.LimitExprDepth, 100},
	{zs.LimitCompoundSelect, 50},
	{zs.LimitVDBEOp, 250_000},
	{zs.LimitFunctionArg, 32},
	{zs.LimitAttached, 0},
	{zs.LimitLikePatternLength, 100},
	{zs.LimitVariableNumber, 1000},
	{zs.LimitTriggerDepth, 10},
	{zs.LimitWorkerThreads, 0},
}

// ReadGuarded runs fn in a read transaction for SQL from a stranger. Every
// statement that fn prepares may only SELECT from tables for which permitted,
// called with the name folded as SQLite does (A to Z in lower case), answers true; anything else does not
// compile. Memory is bounded by limits and time by ctx.
func (db *DB) ReadGuarded(ctx context.Context, permitted func(table string) bool, fn func(*Conn) error) error {
	c, err := db.lease(ctx, db.guarded)
	if err != nil {
		return err
	}
	defer func() { db.guarded <- c }()
	return c.readGuarded(ctx, nil, permitted, fn)
}

// ReadGuardedAlone is ReadGuarded on a connection of its own, for what may run
// for minutes. Before the guard is up, first runs in the same transaction.
func (db *DB) ReadGuardedAlone(ctx context.Context, first func(*Conn) error, permitted func(table string) bool, fn func(*Conn) error) error {
	c, err := db.openReader()
	if err != nil {
		return err
	}
	return errors.Join(c.readGuarded(ctx, first, permitted, fn), c.Close())
}

func (c *Conn) readGuarded(ctx context.Context, first func(*Conn) error, permitted func(table string) bool, fn func(*Conn) error) error {
	defer c.rollback()
	// BEGIN is refused once the authorizer is in place, and so is ROLLBACK.
	if err := c.pin(); err != nil {
		return err
	}
	if first != nil {
		if err := first(c); err != nil {
			return err
		}
	}
	objects, err := c.objectNames()
	if err != nil {
		return err
	}
	for _, l := range guardLimits {
		c.c.Limit(l.limit, l.value)
	}
	if err := c.c.SetAuthorizer(guard{permitted, objects}); err != nil {
		return err
	}
	defer c.c.SetAuthorizer(nil)
	defer c.bound(ctx)()
	return fn(c)
}

// objectNames returns the folded names of every virtual table module, as
// false, and of everything in the schema, as true.
func (c *Conn) objectNames() (map[string]bool, error) {
	names := map[string]bool{}
	err := c.Query("SELECT name, 0 FROM pragma_module_list UNION ALL SELECT name, 1 FROM sqlite_schema", nil, func(s *Stmt) error {
		names[Fold(s.Text(0))] = s.Int(1) == 1
		return nil
	})
	return names, err
}

// guard is the allow-list for SQL from strangers.
type guard struct {
	permitted func(table string) bool
	objects   map[string]bool // see objectNames
}

// Authorize is called by SQLite for everything a statement does while it is
// compiled.
func (g guard) Authorize(action zs.Action) zs.AuthResult {
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

// mayRead decides on one table, or on one name that stands for a table: a read
// that uses no column, such as count(*), names tables and common table
// expressions alike. A common table expression passes when nothing real bears
// its name.
func (g guard) mayRead(table, column string) bool {
	inSchema, known := g.objects[table]
	switch {
	case strings.HasPrefix(table, "sqlite_"), strings.HasPrefix(table, "pragma_"), strings.HasPrefix(table, "_"):
		return false
	case inSchema:
		return g.permitted(table)
	case table == "json_each", table == "json_tree":
		return true
	case known:
		return false
	}
	return column == ""
}

// forbiddenFunction lists what reaches outside the database or tells about the
// build of the library.
func forbiddenFunction(name string) bool {
	switch name := strings.ToLower(name); name {
	case "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "":
		return true
	default:
		return strings.HasPrefix(name, "sqlite_")
	}
}

// functionName reads the name of a function from the action. SQLite tells it in
// the second argument, which the driver keeps without an accessor.
func functionName(action zs.Action) string {
	field := reflect.ValueOf(action).FieldByName("arg2")
	if !field.IsValid() || field.Kind() != reflect.String {
		return ""
	}
	return field.String()
}
