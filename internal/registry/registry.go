package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// ApplicationID is the SQLite application id of server.db.
const ApplicationID = 0x5a547231 // "ZTr1"

// schema is the schema of server.db. unfinished holds the ids of projects whose files
// are being built or deleted; since it is AUTOINCREMENT, it also gives every project
// an id that no other ever had. made_by_project is the first in the chain of projects
// whose tokens created the project, NULL if the operator created it; that project may
// no longer exist.
var schema = sqlite.Schema{
	ApplicationID: ApplicationID,
	Migrations: []string{`
CREATE TABLE accounts (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	account_name TEXT NOT NULL
) STRICT;
CREATE TABLE account_users (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	account_id INTEGER NOT NULL REFERENCES accounts (id),
	username   TEXT NOT NULL COLLATE NOCASE UNIQUE
) STRICT;
INSERT INTO accounts (account_name) VALUES ('default');
INSERT INTO account_users (account_id, username) VALUES (1, 'owner');
CREATE TABLE unfinished (
	project_id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
CREATE TABLE projects (
	id           INTEGER PRIMARY KEY,
	account_id   INTEGER NOT NULL REFERENCES accounts (id),
	project_slug TEXT NOT NULL UNIQUE,
	project_name TEXT NOT NULL,
	source       TEXT,
	created_at   TEXT NOT NULL,
	updated_at   TEXT NOT NULL
) STRICT;
CREATE INDEX projects_source ON projects (source);
CREATE TABLE project_users (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	project_id    INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	username      TEXT NOT NULL COLLATE NOCASE,
	password_hash TEXT NOT NULL,
	role          TEXT NOT NULL,
	created_at    TEXT NOT NULL,
	UNIQUE (project_id, username)
) STRICT;
CREATE TABLE tokens (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	project_id      INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	account_user_id INTEGER NOT NULL REFERENCES account_users (id),
	project_user_id INTEGER REFERENCES project_users (id) ON DELETE CASCADE,
	token_name      TEXT NOT NULL,
	hash            BLOB NOT NULL UNIQUE,
	scopes          TEXT NOT NULL,
	created_at      TEXT NOT NULL,
	expires_at      TEXT,
	revoked_at      TEXT,
	last_used_at    TEXT
) STRICT;
CREATE INDEX tokens_project ON tokens (project_id);
CREATE INDEX tokens_project_user ON tokens (project_user_id);
`, `
ALTER TABLE projects ADD COLUMN made_by_project INTEGER;
`, `
ALTER TABLE projects ADD COLUMN max_bytes INTEGER; -- 0: no limit; NULL: that of the server
`, `
ALTER TABLE projects ADD COLUMN stage TEXT;
ALTER TABLE projects ADD COLUMN track_changes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN cors_origins TEXT NOT NULL DEFAULT ''; -- separated by spaces
`, accountsMigration, `
ALTER TABLE tokens ADD COLUMN hint TEXT;
ALTER TABLE tokens ADD COLUMN created_by INTEGER; -- as in ids.Token
ALTER TABLE tokens ADD COLUMN created_by_name TEXT;
ALTER TABLE tokens ADD COLUMN replaced_by INTEGER;
`, auditMigration, `
ALTER TABLE tokens ADD COLUMN first INTEGER; -- of the tokens that have replaced one another; NULL for itself
`},
}

// The account and the account user created by the first migration, on whose behalf the
// operator acts.
const (
	defaultAccount     = 1
	defaultAccountUser = 1
)

// Options are what a registry needs in addition to its file. Zero fields mean the
// system's clock, the system's secure randomness and no log.
type Options struct {
	Log    *slog.Logger
	Now    func() time.Time
	Random io.Reader
	// MaxTokens is the maximum number of tokens of a project; 0 means no limit.
	MaxTokens int
	Room      *storage.Room   // nil if the disk is not watched
	Quotas    *storage.Quotas // receives the limits of projects; nil for none
	// Forget removes what others store about a project that is being deleted. It may
	// be called more than once for the same project.
	Forget func(ctx context.Context, projectID ids.Project) error
}

// Registry is the server's own database. Its methods are safe for concurrent use.
type Registry struct {
	db       *sqlite.DB
	projects *projectdb.Dir
	options  Options
	known    cache
	used     lastUsed
	bursts   bursts

	readingOrigins sync.Mutex
	allOrigins     atomic.Pointer[map[string]bool] // the union of the projects' lists

	background sync.WaitGroup
	stop       chan struct{}
}

// Open opens the registry at path and creates it if it is missing. The databases of
// its projects are in the given folder, which the caller closes after the registry.
func Open(path string, projects *projectdb.Dir, options Options) (*Registry, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Random == nil {
		options.Random = rand.Reader
	}
	db, err := sqlite.Open(path, sqlite.Options{Schema: schema})
	if err != nil {
		return nil, err
	}
	r := &Registry{db: db, projects: projects, options: options, stop: make(chan struct{})}
	for _, step := range []func(context.Context) error{r.tellLimits, r.readOrigins} {
		if err := step(context.Background()); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	r.background.Go(r.keep)
	return r, nil
}

// keep stores once a minute what need not be stored at once, until the registry is
// closed, and sweeps the audit log.
func (r *Registry) keep() {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for stopping := false; !stopping; {
		select {
		case <-ticker.C:
		case <-r.stop:
			stopping = true
		}
		if err := r.storeUses(); err != nil {
			r.options.Log.Error("store when tokens were last used", "error", err)
		}
		if err := r.storeBursts(stopping); err != nil {
			r.options.Log.Error("store what was counted for the audit log", "error", err)
		}
		if err := r.sweepAudit(context.Background()); err != nil {
			r.options.Log.Error("sweep the audit log", "error", err)
		}
	}
}

// Close ends the background work, stores what has not been stored yet and closes the
// database. It must be called once.
func (r *Registry) Close() error {
	close(r.stop)
	r.background.Wait()
	return r.db.Close()
}

// Ping fails if the registry cannot be read.
func (r *Registry) Ping(ctx context.Context) error {
	return r.read(ctx, func(c *sqlite.Conn) error {
		_, err := c.Int("SELECT count(*) FROM accounts")
		return err
	})
}

// Sweep finishes what a crash has interrupted: it removes the files of projects that
// were never completed or are already deleted. An unknown file, as after the loss of
// server.db, is left alone and logged, and its id is never given to a new project.
func (r *Registry) Sweep(ctx context.Context) error {
	unfinished, err := list[ids.Project](ctx, r, "SELECT project_id FROM unfinished")
	if err != nil {
		return err
	}
	for _, id := range unfinished {
		if err := r.finishRemoval(id); err != nil {
			return err
		}
	}
	registered, err := list[ids.Project](ctx, r, "SELECT id FROM projects")
	if err != nil {
		return err
	}
	files, err := r.projects.IDs()
	if err != nil {
		return err
	}
	for _, id := range files {
		if slices.Contains(registered, id) {
			continue
		}
		r.options.Log.Warn("a project's database belongs to no project and is left alone", "project_id", id)
		if err := r.retireID(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// retireID makes sure that no new project gets an id up to this one.
func (r *Registry) retireID(ctx context.Context, id ids.Project) error {
	return r.write(ctx, func(c *sqlite.Conn) error {
		if err := c.Exec("INSERT INTO unfinished (project_id) VALUES (?)", id); err != nil {
			return err
		}
		return c.Exec("DELETE FROM unfinished WHERE project_id = ?", id)
	})
}

// finishRemoval removes the remains of a project that no longer has a row.
func (r *Registry) finishRemoval(id ids.Project) error {
	// The caller may have gone; the work is done anyway.
	ctx := context.Background()
	if r.options.Forget != nil {
		// This comes first, because work on the project keeps its database open.
		if err := r.options.Forget(ctx, id); err != nil {
			return fmt.Errorf("forget project %d: %w", id, err)
		}
	}
	if err := r.projects.Remove(id); err != nil {
		return fmt.Errorf("remove the files of project %d: %w", id, err)
	}
	return r.write(ctx, func(c *sqlite.Conn) error {
		return c.Exec("DELETE FROM unfinished WHERE project_id = ?", id)
	})
}

// list returns the ids that a query selects.
func list[ID ~int64](ctx context.Context, r *Registry, query string, args ...any) (found []ID, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(query, args, func(s *sqlite.Stmt) error {
			found = append(found, ID(s.Int(0)))
			return nil
		})
	})
	return found, err
}

// write runs fn in a write transaction that it may share: see sqlite.DB.Write.
func (r *Registry) write(ctx context.Context, fn func(*sqlite.Conn) error) error {
	return storage.Explain(r.options.Room.Free(func() error { return r.db.Write(ctx, fn) }))
}

// read runs fn in a read transaction.
func (r *Registry) read(ctx context.Context, fn func(*sqlite.Conn) error) error {
	return storage.Explain(r.db.Read(ctx, fn))
}
