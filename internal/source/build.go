package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

// building tells a worker to build a SQLite file from a dump or from the JSON of a
// database.
type building struct {
	Format   string `json:"format"`
	Path     string `json:"path"`
	Database string `json:"database"` // an empty file that becomes the database
	Room     int64  `json:"room"`     // bytes that it may take up
	Limit    int64  `json:"limit"`    // nanoseconds that building it may take
}

// built is a worker's result for a database that it has built.
type built struct {
	Notes Notes `json:"notes"`
	Full  bool  `json:"full"` // there was not enough room, so there is no database
}

var buildTask = worker.Define("ingest.build", func(ctx context.Context, _ *worker.Session, b building) (built, error) {
	return b.run(ctx)
})

// buildMemory is what a worker needs on top of SQLite's memory for the longest statement
// of a dump.
const buildMemory = 256 << 20

// killAfter is how long past its limit a worker has to report that it took too long.
const killAfter = 2 * time.Second

// build has a worker build a SQLite file from a dump or from the JSON of a database, and
// returns its path.
func (s *scratch) build(ctx context.Context, f *format.Format, path string) (database string, found Notes, err error) {
	room, err := s.room()
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, Unreadable(err)
	}
	database = s.path()
	journal := database + "-journal"
	for _, name := range []string{database, journal} { // the worker may write but not create files
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			return "", nil, fmt.Errorf("make a database: %w", err)
		}
	}
	// A second per million bytes is ten times what their rows and indexes take.
	limit := s.patience + time.Duration(info.Size())*time.Microsecond
	bounded, cancel := context.WithTimeoutCause(ctx, limit+killAfter, errComputes)
	defer cancel()
	w, err := s.workers.Start(bounded, worker.Scope{Path: path, Write: []string{database, journal}, Memory: buildMemory})
	if err != nil {
		return "", nil, err
	}
	out, err := buildTask.Call(bounded, w, building{Format: f.Name, Path: path, Database: database, Room: room, Limit: int64(limit)}, nil)
	w.End()
	switch {
	case ctx.Err() != nil:
		return "", nil, ctx.Err()
	case bounded.Err() != nil:
		return "", nil, Invalid("The file could not be read within %s: it computes more than it stores.", limit.Round(time.Second)).Because(err)
	case err != nil:
		return "", nil, explainWorker(err)
	case out.Full:
		return "", nil, s.full(room, nil)
	}
	return database, out.Notes, errors.Join(os.Remove(journal), isRegular(database))
}

// isRegular checks that a worker has not replaced a file with a link.
func isRegular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no longer a regular file", path)
	}
	return err
}

// explainWorker returns the error to report for a failed worker.
func explainWorker(err error) error {
	var died *worker.Died
	switch known := (*problem.Error)(nil); {
	case errors.As(err, &known), !errors.As(err, &died):
		return err
	case died.TooLarge:
		return Invalid("The file needs more memory or disk than it may use.").Because(err)
	}
	return Invalid("The file crashed the process that read it. It is damaged or malicious.").Because(err)
}

// run builds the database, in the worker.
func (b building) run(ctx context.Context) (out built, err error) {
	f, err := os.Open(b.Path)
	if err != nil {
		return out, Unreadable(err)
	}
	defer f.Close()
	limit := time.Duration(b.Limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errComputes)
	defer cancel()
	sandbox, err := sqlite.OpenSandbox(ctx, b.Database, sqlite.SandboxLimits{Bytes: b.Room, Statement: limit})
	if err != nil {
		return out, fmt.Errorf("open a sandbox: %w", err)
	}
	defer func() { err = errors.Join(err, sandbox.Close()) }()
	switch b.Format {
	case "sql":
		out.Notes, err = b.runDump(ctx, f, sandbox)
	case "json":
		out.Notes, err = b.readDocument(ctx, f, sandbox)
	default:
		err = fmt.Errorf("the format %s is not one that databases are built of", b.Format)
	}
	if sqlite.FaultOf(err) == sqlite.Full {
		return built{Full: true}, nil
	}
	if err != nil {
		return out, err
	}
	return out, sandbox.Commit()
}
