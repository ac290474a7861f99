package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// ApplicationID is the SQLite application id of journal.db.
const ApplicationID = 0x5a546a31 // "ZTj1"

// schema is the schema of journal.db. A run is known under its own id unless names
// maps the id to another run; keys are only in names. Times are nanoseconds since
// 1970.
var schema = sqlite.Schema{
	ApplicationID: ApplicationID,
	Migrations: []string{`
CREATE TABLE runs (
	project_id   INTEGER NOT NULL,
	token_id     INTEGER NOT NULL,
	run_id       TEXT NOT NULL,
	last_call_at INTEGER NOT NULL,
	PRIMARY KEY (project_id, token_id, run_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE names (
	project_id INTEGER NOT NULL,
	token_id   INTEGER NOT NULL,
	kind       INTEGER NOT NULL, -- 0: the id of a run that was continued, 1: a key
	name       TEXT NOT NULL,
	run_id     TEXT NOT NULL,
	PRIMARY KEY (project_id, token_id, kind, name)
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE runs ADD COLUMN generated INTEGER NOT NULL DEFAULT 0; -- 1: the id, and not by a client
`},
}

// Retention is how long the journal remembers a run after its last call. After that,
// its id counts as new.
const Retention = 30 * 24 * time.Hour

// storeEvery is how long changes made by a call wait to be stored.
const storeEvery = 500 * time.Millisecond

// load reads the run that a name stands for, nil if there is none.
func (j *Journal) load(ctx context.Context, n name) (r *run, err error) {
	var ownID any
	if n.kind == byRunID {
		ownID = n.text
	}
	err = j.db.Read(ctx, func(c *sqlite.Conn) error {
		return c.Query(`
SELECT run_id, last_call_at, generated
FROM runs
WHERE project_id = ?1
	AND token_id = ?2
	AND run_id = coalesce((
		SELECT run_id
		FROM names
		WHERE project_id = ?1 AND token_id = ?2 AND kind = ?3 AND name = ?4
	), ?5)`,
			[]any{n.caller.ProjectID, n.caller.TokenID, int(n.kind), n.text, ownID},
			func(s *sqlite.Stmt) error {
				r = &run{caller: n.caller, id: s.Text(0), last: time.Unix(0, s.Int(1)), generated: s.Int(2) != 0}
				return nil
			})
	})
	if j.damaged(err) {
		return nil, nil // a forgotten run counts as new
	}
	return r, err
}

// damaged reports whether err says that the file is damaged, and calls OnDamage if so.
// Calls are not refused because of their labels.
func (j *Journal) damaged(err error) bool {
	if sqlite.FaultOf(err) != sqlite.Damaged {
		return false
	}
	if j.options.OnDamage != nil {
		j.options.OnDamage(err)
	}
	return true
}

// storeSoon wakes the storing goroutine early.
func (j *Journal) storeSoon() {
	select {
	case j.hurry <- struct{}{}:
	default:
	}
}

// storeRegularly stores changes and, once a day, removes old runs, until the journal
// is closed.
func (j *Journal) storeRegularly() {
	store, prune := time.NewTicker(storeEvery), time.NewTicker(24*time.Hour)
	defer store.Stop()
	defer prune.Stop()
	j.try("remove old runs from the journal", j.prune)
	for stopping := false; !stopping; {
		select {
		case <-store.C:
		case <-j.hurry:
		case <-prune.C:
			j.try("remove old runs from the journal", j.prune)
		case <-j.stop:
			stopping = true
		}
		j.try("store runs in the journal", j.store)
	}
}

func (j *Journal) try(what string, work func() error) {
	if err := work(); err != nil {
		j.options.Log.Error(what, "error", err)
	}
}

// store writes all changes in one transaction.
func (j *Journal) store() error {
	j.storing.Lock()
	defer j.storing.Unlock()
	var records []record
	for i := range j.shards {
		records = j.shards[i].take(records)
	}
	if len(records) == 0 {
		return nil
	}
	err := j.write(context.Background(), func(c *sqlite.Conn) error {
		for _, r := range records {
			if err := r.write(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || j.damaged(err) {
		return nil
	}
	for _, r := range records {
		r.giveBack()
	}
	return err
}

func (r record) write(c *sqlite.Conn) error {
	caller := r.run.caller
	err := c.Exec(`
INSERT INTO runs (project_id, token_id, run_id, last_call_at, generated)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_call_at = excluded.last_call_at`,
		caller.ProjectID, caller.TokenID, r.run.id, r.last.UnixNano(), r.run.generated)
	for _, n := range r.names {
		if err != nil {
			return err
		}
		err = c.Exec(`
INSERT INTO names (project_id, token_id, kind, name, run_id)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET run_id = excluded.run_id`,
			caller.ProjectID, caller.TokenID, int(n.kind), n.text, r.run.id)
	}
	return err
}

// prune removes runs that are too old, and names without a run.
func (j *Journal) prune() error {
	j.storing.Lock()
	defer j.storing.Unlock()
	return j.write(context.Background(), func(c *sqlite.Conn) error {
		before := j.options.Now().Add(-Retention).UnixNano()
		if err := c.Exec("DELETE FROM runs WHERE last_call_at < ?", before); err != nil {
			return err
		}
		return c.Exec(`
DELETE FROM names
WHERE NOT EXISTS (
	SELECT 1
	FROM runs
	WHERE project_id = names.project_id AND token_id = names.token_id AND run_id = names.run_id
)`)
	})
}

// Forget removes everything about a project. It may be called more than once.
func (j *Journal) Forget(ctx context.Context, projectID ids.Project) error {
	j.storing.Lock()
	defer j.storing.Unlock()
	for i := range j.shards {
		j.shards[i].forget(projectID)
	}
	err := j.write(ctx, func(c *sqlite.Conn) error {
		if err := c.Exec("DELETE FROM names WHERE project_id = ?", projectID); err != nil {
			return err
		}
		return c.Exec("DELETE FROM runs WHERE project_id = ?", projectID)
	})
	if err != nil {
		return fmt.Errorf("forget the runs of project %d: %w", projectID, storage.Explain(err))
	}
	return nil
}

// write runs fn in a write transaction.
func (j *Journal) write(ctx context.Context, fn func(*sqlite.Conn) error) error {
	return j.options.Room.Free(func() error { return j.db.Exclusive(ctx, fn) })
}
