package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// schema of exports.db. Times are milliseconds since 1970. turn grows with
// every job that begins: by it the projects take turns. attempt counts how
// often the job has begun. store is the bucket that the artifact of a ready export
// is in, empty for the folder; the triggers keep the list of leftovers.
var schema = sqlite.Schema{
	ApplicationID: 0x5a546531, // "ZTe1"
	Migrations: []string{`
CREATE TABLE exports (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	project_id INTEGER NOT NULL,
	status     TEXT NOT NULL,
	attempt    INTEGER NOT NULL DEFAULT 0,
	turn       INTEGER,
	life       INTEGER NOT NULL,
	settled_at INTEGER,
	expires_at INTEGER,
	failure    TEXT NOT NULL DEFAULT '',
	ext        TEXT NOT NULL,
	work       TEXT NOT NULL,
	table_ids  TEXT NOT NULL,
	manifest   TEXT NOT NULL
) STRICT;
CREATE INDEX exports_by_project ON exports (project_id, seq);
CREATE INDEX exports_by_turn ON exports (project_id, turn);
CREATE INDEX exports_unsettled ON exports (status, project_id) WHERE status IN ('pending', 'running');
CREATE INDEX exports_by_expiry ON exports (expires_at) WHERE expires_at IS NOT NULL;
`, `
CREATE TABLE receipts (
	project_id INTEGER NOT NULL,
	token_id   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	request    BLOB NOT NULL,
	export_id  TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (project_id, token_id, key)
) STRICT;
CREATE INDEX receipts_by_age ON receipts (created_at);
`, `
ALTER TABLE exports ADD COLUMN store TEXT NOT NULL DEFAULT '';
CREATE TABLE leftovers (
	store     TEXT NOT NULL,
	key       TEXT NOT NULL,
	export_id TEXT NOT NULL,
	PRIMARY KEY (store, key)
) STRICT;
CREATE TRIGGER object_needed AFTER UPDATE OF status ON exports
WHEN new.store <> '' AND new.status = 'ready'
BEGIN
	DELETE FROM leftovers WHERE store = new.store AND key = new.project_id || '/' || new.id || '.' || new.ext;
END;
CREATE TRIGGER object_not_needed AFTER UPDATE OF status ON exports
WHEN old.store <> '' AND old.status = 'ready' AND new.status <> 'ready'
BEGIN
	INSERT OR IGNORE INTO leftovers VALUES (old.store, old.project_id || '/' || old.id || '.' || old.ext, old.id);
END;
CREATE TRIGGER export_removed AFTER DELETE ON exports
WHEN old.store <> '' AND old.status = 'ready'
BEGIN
	INSERT OR IGNORE INTO leftovers VALUES (old.store, old.project_id || '/' || old.id || '.' || old.ext, old.id);
END;
`},
}

// book is exports.db: what was ordered and what became of it.
type book struct {
	db *sqlite.DB
}

// record is an export as the book has it.
type record struct {
	manifest  Manifest // its status is that of the book, without the clock
	projectID int64
	attempt   int64
	life      time.Duration
	expires   time.Time // zero until it is ready
	settled   time.Time // zero until then
	failure   problem.Code
	ext       string
	store     string // the name of a bucket, or "" for the folder
	work      work
	receipt   *receipt // of a new order; nil for none
}

// file returns the name of the artifact in the folder of its project.
func (r *record) file() string { return r.manifest.ID + "." + r.ext }

// explain turns what SQLite says into what a client may see.
func explain(err error) error {
	switch {
	case errors.Is(err, sqlite.ErrClosed):
		return problem.New(problem.CodeBusy, "The server is stopping.").Retry(5 * time.Second)
	case sqlite.FaultOf(err) == sqlite.Full:
		return storageFull(err)
	}
	return err
}

func storageFull(err error) error {
	return problem.New(problem.CodeStorageFull, "The disk is full. Nothing was written.").Because(err)
}

// write runs fn in a write transaction. fn may run more than once.
func (b book) write(ctx context.Context, action string, fn func(*sqlite.Conn) error) error {
	if err := b.db.Write(ctx, fn); err != nil {
		return fmt.Errorf("%s: %w", action, explain(err))
	}
	return nil
}

func (b book) add(ctx context.Context, r *record) error {
	manifest, err := json.Marshal(r.manifest)
	if err != nil {
		return fmt.Errorf("encode the manifest of %s: %w", r.manifest.ID, err)
	}
	// A list that is not there means everything, an empty one nothing.
	work, err := json.Marshal(r.work, json.FormatNilSliceAsNull(true))
	if err != nil {
		return fmt.Errorf("encode the work of %s: %w", r.manifest.ID, err)
	}
	tableIDs, err := json.Marshal(r.manifest.TableIDs)
	if err != nil {
		return fmt.Errorf("encode the tables of %s: %w", r.manifest.ID, err)
	}
	return b.write(ctx, "enter the export "+r.manifest.ID, func(c *sqlite.Conn) error {
		if r.receipt != nil {
			if err := r.receipt.keep(c, r.projectID, r.manifest.ID); err != nil {
				return err
			}
		}
		return c.Exec(`
INSERT INTO exports (id, project_id, status, life, ext, work, table_ids, manifest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.manifest.ID, r.projectID, string(Pending), r.life.Milliseconds(), r.ext,
			string(work), string(tableIDs), string(manifest))
	})
}

// columns in the order in which scanRecord reads them.
const columns = "project_id, status, attempt, life, settled_at, expires_at, failure, ext, store, work, table_ids, manifest"

func scanRecord(s *sqlite.Stmt) (*record, error) {
	r := &record{
		projectID: s.Int(0),
		attempt:   s.Int(2),
		life:      time.Duration(s.Int(3)) * time.Millisecond,
		failure:   problem.Code(s.Text(6)),
		ext:       s.Text(7),
		store:     s.Text(8),
	}
	if !s.IsNull(4) {
		r.settled = time.UnixMilli(s.Int(4))
	}
	if !s.IsNull(5) {
		r.expires = time.UnixMilli(s.Int(5))
	}
	for i, into := range []any{&r.work, &r.manifest.TableIDs, &r.manifest} {
		if err := json.Unmarshal([]byte(s.Text(9+i)), into); err != nil {
			return nil, fmt.Errorf("decode an entry of the book of exports: %w", err)
		}
	}
	r.manifest.Status = Status(s.Text(1))
	return r, nil
}

// find returns one export of a project, or not_found.
func (b book) find(ctx context.Context, projectID int64, id string) (r *record, err error) {
	err = b.db.Read(ctx, func(c *sqlite.Conn) error {
		r, err = findRecord(c, projectID, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the export %s: %w", id, explain(err))
	}
	return r, nil
}

func findRecord(c *sqlite.Conn, projectID int64, id string) (r *record, err error) {
	const query = "SELECT " + columns + " FROM exports WHERE id = ? AND project_id = ?"
	err = c.Query(query, []any{id, projectID}, func(s *sqlite.Stmt) error {
		r, err = scanRecord(s)
		return err
	})
	if err == nil && r == nil {
		err = problem.NotFound("The export", id)
	}
	return r, err
}

// errStop ends a walk early.
var errStop = errors.New("enough")

// walk calls fn with each export of a project, newest first, until it returns
// errStop.
func (b book) walk(ctx context.Context, projectID int64, fn func(*record) error) error {
	const query = "SELECT " + columns + " FROM exports WHERE project_id = ? ORDER BY seq DESC"
	err := b.db.Read(ctx, func(c *sqlite.Conn) error {
		return c.Query(query, []any{projectID}, func(s *sqlite.Stmt) error {
			r, err := scanRecord(s)
			if err != nil {
				return err
			}
			return fn(r)
		})
	})
	if err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("list the exports of project %d: %w", projectID, explain(err))
	}
	return nil
}

// claim takes the next pending job and marks it as running; nil when there is
// none. Of the projects with fewer than perProject running jobs, the one is
// served whose last turn is longest ago, and of its jobs the oldest.
func (b book) claim(ctx context.Context, perProject int) (r *record, err error) {
	err = b.write(ctx, "claim an export", func(c *sqlite.Conn) error {
		r = nil
		id, err := jobs.Claim(c, "exports", perProject)
		if err != nil || id == "" {
			return err
		}
		return c.Query("SELECT "+columns+" FROM exports WHERE id = ?", []any{id}, func(s *sqlite.Stmt) error {
			r, err = scanRecord(s)
			return err
		})
	})
	return r, err
}

// queue returns the places of the pending jobs in the order in which claim
// would take them, from 1: of each project one after the other.
func (b book) queue(ctx context.Context) (places map[string]int64, err error) {
	err = b.db.Read(ctx, func(c *sqlite.Conn) error {
		places, err = jobs.Queue(c, "exports")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the queue of exports: %w", explain(err))
	}
	return places, nil
}

// settle enters what became of a running job. It reports false when the job
// was canceled or removed meanwhile.
func (b book) settle(ctx context.Context, r *record) (done bool, err error) {
	manifest, err := json.Marshal(r.manifest)
	if err != nil {
		return false, fmt.Errorf("encode the manifest of %s: %w", r.manifest.ID, err)
	}
	tableIDs, err := json.Marshal(r.manifest.TableIDs)
	if err != nil {
		return false, fmt.Errorf("encode the tables of %s: %w", r.manifest.ID, err)
	}
	err = b.write(ctx, "settle the export "+r.manifest.ID, func(c *sqlite.Conn) error {
		err := c.Exec(`
UPDATE exports
SET status = ?, settled_at = ?, expires_at = ?, failure = ?, store = ?, manifest = ?, table_ids = ?
WHERE id = ? AND status = 'running'`,
			string(r.manifest.Status), millis(r.settled), millis(r.expires), string(r.failure),
			r.store, string(manifest), string(tableIDs), r.manifest.ID)
		done = c.Changes() == 1
		return err
	})
	return done && err == nil, err
}

func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// putBack makes a running job pending again that was stopped through no fault
// of its own.
func (b book) putBack(ctx context.Context, id string) error {
	return b.write(ctx, "put the export "+id+" back", func(c *sqlite.Conn) error {
		return jobs.PutBack(c, "exports", id)
	})
}

// maxAttempts is how often a job may begin.
const maxAttempts = 3

// recover settles what a crash has interrupted: running jobs are pending
// again, up to maxAttempts.
func (b book) recover(ctx context.Context, now time.Time) error {
	return b.write(ctx, "take up interrupted exports", func(c *sqlite.Conn) error {
		err := c.Exec(`
UPDATE exports
SET status = 'failed', settled_at = ?, failure = ?,
	manifest = json_set(manifest, '$.status', 'failed', '$.completed_at', ?, '$.error', ?)
WHERE status = 'running' AND attempt >= ?`,
			now.UnixMilli(), string(problem.CodeExportFailed), timestamp(now),
			"The server stopped each time while it worked on the export.", maxAttempts)
		if err != nil {
			return err
		}
		return c.Exec("UPDATE exports SET status = 'pending' WHERE status = 'running'")
	})
}

// withdraw takes an export out of the book, or marks it as canceled when it is
// not settled, and returns it as it was before.
func (b book) withdraw(ctx context.Context, projectID int64, id string, now time.Time) (before *record, err error) {
	err = b.write(ctx, "withdraw the export "+id, func(c *sqlite.Conn) error {
		before, err = findRecord(c, projectID, id)
		if err != nil {
			return err
		}
		if before.manifest.Status.Settled() {
			return c.Exec("DELETE FROM exports WHERE id = ?", id)
		}
		return c.Exec(`
UPDATE exports
SET status = 'canceled', settled_at = ?,
	manifest = json_set(manifest, '$.status', 'canceled', '$.completed_at', ?)
WHERE id = ?`, now.UnixMilli(), timestamp(now), id)
	})
	return before, err
}

func (b book) removeProject(ctx context.Context, projectID int64) error {
	return b.write(ctx, fmt.Sprintf("remove the exports of project %d", projectID), func(c *sqlite.Conn) error {
		if err := c.Exec("DELETE FROM receipts WHERE project_id = ?", projectID); err != nil {
			return err
		}
		return c.Exec("DELETE FROM exports WHERE project_id = ?", projectID)
	})
}

// artifacts returns the exports whose artifact is in the folder, by id, with
// their projects.
func (b book) artifacts(ctx context.Context) (map[string]int64, error) {
	ready := map[string]int64{}
	err := b.db.Read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT id, project_id FROM exports WHERE status = 'ready' AND store = ''", nil, func(s *sqlite.Stmt) error {
			ready[s.Text(0)] = s.Int(1)
			return nil
		})
	})
	return ready, explain(err)
}

// expire marks ready exports as expired whose time had come by then, and
// returns them. Manifests that have been kept long enough are removed.
func (b book) expire(ctx context.Context, then time.Time, keep time.Duration) (expired []*record, err error) {
	err = b.write(ctx, "expire exports", func(c *sqlite.Conn) error {
		expired = nil
		const query = "SELECT " + columns + " FROM exports WHERE status = 'ready' AND expires_at <= ?"
		err := c.Query(query, []any{then.UnixMilli()}, func(s *sqlite.Stmt) error {
			r, err := scanRecord(s)
			expired = append(expired, r)
			return err
		})
		if err != nil {
			return err
		}
		if len(expired) > 0 {
			err = c.Exec("UPDATE exports SET status = 'expired' WHERE status = 'ready' AND expires_at <= ?", then.UnixMilli())
		}
		if err != nil {
			return err
		}
		const remove = "DELETE FROM exports WHERE status IN ('expired', 'failed', 'canceled') AND coalesce(expires_at, settled_at) <= ?"
		return c.Exec(remove, then.Add(-keep).UnixMilli())
	})
	return expired, err
}
