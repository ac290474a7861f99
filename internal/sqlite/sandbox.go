package sqlite

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	zs "zombiezen.com/go/sqlite"
)

// A Sandbox is a new database file in which statements of a stranger may create tables
// and fill them, and nothing else.
type Sandbox struct {
	conn     *Conn
	longest  time.Duration
	watchdog *time.Timer // runs while a statement does
	late     atomic.Bool // the watchdog has fired
	stop     context.CancelFunc
}

// SandboxLimits bound the cost of a stranger's statements.
type SandboxLimits struct {
	Bytes     int64         // of the database file
	Statement time.Duration // maximum run time of one statement
}

// OpenSandbox creates the file path. Canceling ctx stops whatever runs in it.
func OpenSandbox(ctx context.Context, path string, limits SandboxLimits) (*Sandbox, error) {
	ctx, stop := context.WithCancel(ctx)
	c, err := OpenPrivate(ctx, path)
	if err != nil {
		stop()
		return nil, err
	}
	s := &Sandbox{conn: c, stop: stop, longest: limits.Statement}
	s.watchdog = time.AfterFunc(limits.Statement, func() {
		s.late.Store(true)
		stop()
	})
	s.watchdog.Stop()
	if err := s.confine(limits); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sandbox) confine(limits SandboxLimits) error {
	size, err := s.conn.Int("PRAGMA page_size")
	if err != nil {
		return err
	}
	if _, err := s.conn.Int("PRAGMA max_page_count = " + strconv.FormatInt(max(1, limits.Bytes/size), 10)); err != nil {
		return err
	}
	// The journal file is truncated rather than deleted: a worker may write it, but
	// may not create or remove files next to the database.
	if err := s.conn.Exec("PRAGMA journal_mode = TRUNCATE"); err != nil {
		return err
	}
	if err := s.conn.Exec("BEGIN"); err != nil {
		return err
	}
	for limit, value := range map[zs.Limit]int32{
		zs.LimitLength:        maxForeignValue,
		zs.LimitAttached:      0,
		zs.LimitWorkerThreads: 0,
	} {
		s.conn.c.Limit(limit, value)
	}
	s.conn.guarded = true
	return s.conn.c.SetAuthorizer(sandbox{})
}

// Run runs one statement and discards its rows. After a failure the sandbox can only
// be closed.
func (s *Sandbox) Run(statement string) error {
	s.watchdog.Reset(s.longest)
	defer s.watchdog.Stop()
	err := s.run(statement)
	if err != nil && s.late.Load() {
		return ErrTooLong
	}
	return err
}

func (s *Sandbox) run(statement string) error {
	stmt, err := s.conn.Prepare(statement)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for more := true; more && err == nil; {
		more, err = stmt.Step()
	}
	return err
}

// Prepare compiles a statement that will run often, each time briefly.
func (s *Sandbox) Prepare(statement string) (*Stmt, error) { return s.conn.Prepare(statement) }

// Commit commits what the statements have made. After it, only Close may be called.
func (s *Sandbox) Commit() error {
	if err := s.conn.c.SetAuthorizer(nil); err != nil {
		return err
	}
	s.conn.guarded = false
	return s.conn.Exec("COMMIT")
}

// Close closes the file. Uncommitted changes are lost.
func (s *Sandbox) Close() error {
	s.watchdog.Stop()
	err := s.conn.Close()
	s.stop()
	return err
}

// sandbox is the allow-list for statements that create tables and fill them. SQLite
// itself protects its own tables, except for the counters of AUTOINCREMENT and the
// statistics of ANALYZE.
type sandbox struct{}

// Authorize is called by SQLite for everything that a statement does, while it is
// compiled.
func (sandbox) Authorize(action zs.Action) zs.AuthResult {
	if action.Database() == "temp" { // CREATE TABLE temp.t is not reported as CREATE TEMP TABLE
		return zs.AuthResultDeny
	}
	ok := false
	switch action.Type() {
	case zs.OpSelect, zs.OpRecursive, zs.OpInsert, zs.OpUpdate, zs.OpDelete, zs.OpAnalyze, zs.OpReindex,
		zs.OpCreateTable, zs.OpCreateIndex, zs.OpDropTable, zs.OpDropIndex:
		ok = true
	case zs.OpRead:
		ok = !strings.HasPrefix(Fold(action.Table()), "pragma_")
	case zs.OpFunction:
		ok = !forbiddenFunction(functionName(action))
	}
	if ok {
		return zs.AuthResultOK
	}
	return zs.AuthResultDeny
}
