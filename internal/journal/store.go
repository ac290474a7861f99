package journal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
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
`, `
ALTER TABLE runs ADD COLUMN continues TEXT;      -- the run that was idle for too long
ALTER TABLE runs ADD COLUMN operation_key TEXT;
ALTER TABLE runs ADD COLUMN token_name TEXT;
ALTER TABLE runs ADD COLUMN started INTEGER;     -- from here on, times are microseconds
ALTER TABLE runs ADD COLUMN ended INTEGER;
ALTER TABLE runs ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN took INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN rows_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN rows_changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN tables TEXT;         -- a name on each line
ALTER TABLE runs ADD COLUMN artifacts TEXT;
ALTER TABLE runs ADD COLUMN settled INTEGER NOT NULL DEFAULT 0; -- 1: it is in key_hours
CREATE INDEX runs_started ON runs (project_id, started) WHERE calls > 0;
CREATE INDEX runs_of_key ON runs (project_id, operation_key, started) WHERE calls > 0;
CREATE INDEX runs_continued ON runs (project_id, continues) WHERE continues IS NOT NULL;
CREATE INDEX runs_named ON runs (project_id, run_id);
CREATE INDEX runs_open ON runs (last_call_at) WHERE settled = 0 AND calls > 0;
CREATE TABLE requests (
	project_id    INTEGER NOT NULL,
	id            INTEGER NOT NULL, -- when it began, see place
	request_id    TEXT NOT NULL,
	token_id      INTEGER NOT NULL,
	token_name    TEXT,
	user          TEXT,
	source        TEXT NOT NULL,
	method        TEXT NOT NULL,
	route         TEXT NOT NULL,
	tab           TEXT,
	kind          TEXT,
	object        TEXT,
	created       INTEGER NOT NULL,
	status        INTEGER NOT NULL,
	code          TEXT,
	fields        TEXT, -- one on each line
	took          INTEGER NOT NULL,
	waited        INTEGER NOT NULL,
	worked        INTEGER NOT NULL,
	sending       INTEGER NOT NULL,
	bytes_in      INTEGER NOT NULL,
	bytes_out     INTEGER NOT NULL,
	rows_read     INTEGER NOT NULL,
	rows_changed  INTEGER NOT NULL,
	run_id        TEXT,
	operation_key TEXT,
	grouping      TEXT,
	retry_of      TEXT,
	address       TEXT,
	user_agent    TEXT,
	traceparent   TEXT,
	statement     TEXT,
	parameters    TEXT,
	PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_of_runs ON requests (project_id, run_id, id) WHERE run_id IS NOT NULL;
CREATE INDEX requests_failed ON requests (project_id, id) WHERE status >= 400;
CREATE TABLE hours (
	project_id   INTEGER NOT NULL,
	hour         INTEGER NOT NULL, -- since 1970
	token_id     INTEGER NOT NULL,
	route        TEXT NOT NULL,    -- '' sums up what would be too many rows
	tab          TEXT NOT NULL,
	calls        INTEGER NOT NULL,
	errors       INTEGER NOT NULL,
	bytes_in     INTEGER NOT NULL,
	bytes_out    INTEGER NOT NULL,
	rows_read    INTEGER NOT NULL,
	rows_changed INTEGER NOT NULL,
	spread       BLOB NOT NULL,    -- a histogram of durations
	PRIMARY KEY (project_id, hour, token_id, route, tab)
) STRICT, WITHOUT ROWID;
CREATE TABLE key_hours (
	project_id    INTEGER NOT NULL,
	hour          INTEGER NOT NULL,
	operation_key TEXT NOT NULL,
	runs          INTEGER NOT NULL,
	failing       INTEGER NOT NULL,
	calls         INTEGER NOT NULL,
	rows_changed  INTEGER NOT NULL,
	last_run      INTEGER NOT NULL,
	spread        BLOB NOT NULL,
	PRIMARY KEY (project_id, hour, operation_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO secrets VALUES ('ids', randomblob(32));
CREATE TABLE forgotten (project_id INTEGER PRIMARY KEY) STRICT; -- whose entries are being removed
`, `
ALTER TABLE requests ADD COLUMN table_id INTEGER; -- of the table that a call about a record was about; NULL if unknown
`},
}

// Retention is how long the journal remembers a run after its last call. After that,
// its id counts as new.
const Retention = 30 * 24 * time.Hour

// storeEvery is how long changes made by a call wait to be stored.
const storeEvery = 500 * time.Millisecond

// load reads the run that a name stands for, nil if there is none.
func (j *Journal) load(ctx context.Context, n name) (r *run, err error) {
	if j.isForgotten(n.caller.ProjectID) { // it may not have been removed yet
		return nil, nil
	}
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

// storeRegularly stores changes and sweeps until the journal is closed.
func (j *Journal) storeRegularly() {
	store, prune, sweep := time.NewTicker(storeEvery), time.NewTicker(24*time.Hour), time.NewTicker(sweepEvery)
	defer store.Stop()
	defer prune.Stop()
	defer sweep.Stop()
	next := time.NewTimer(0) // when the sweep goes on
	defer next.Stop()
	for {
		select {
		case <-store.C:
			j.tryStore()
		case <-j.hurry:
			j.tryStore()
		case <-prune.C:
			j.storing.Lock()
			j.pruned = pruning{}
			j.storing.Unlock()
		case <-sweep.C:
			next.Reset(0)
		case <-j.sweepNow:
			next.Reset(0)
		case <-next.C:
			if pause, more := j.sweepStep(); more {
				next.Reset(pause)
			}
		case <-j.stop:
			j.tryStore()
			return
		}
	}
}

func (j *Journal) tryStore() { j.try("store runs and requests in the journal", j.store) }

// sweepShare is which part of the time a sweep takes at most, so that it leaves the
// disk and the processor to the calls.
const sweepShare = 5

// sweepStep removes some of what there is to remove, and returns how long to wait
// before the next step, if there is more.
func (j *Journal) sweepStep() (pause time.Duration, more bool) {
	began := time.Now()
	j.try("remove old entries from the journal", func() error {
		done, err := j.sweep()
		more = !done
		return err
	})
	return (sweepShare - 1) * time.Since(began), more
}

func (j *Journal) try(what string, work func() error) {
	if err := work(); err != nil {
		j.options.Log.Error(what, "error", err)
	}
}

// store writes what has changed since it was last called.
func (j *Journal) store() error {
	j.storing.Lock()
	defer j.storing.Unlock()
	entries := j.queued() // first: their runs are in memory by now
	return errors.Join(j.storeRuns(), j.storeEntries(entries))
}

// flush stores what is waiting, so that a reader finds every call that was answered
// before. A failure is logged.
func (j *Journal) flush() {
	if len(j.queue) > 0 {
		j.tryStore()
	}
}

// storeRuns writes all changed runs in one transaction.
func (j *Journal) storeRuns() error {
	var records []record
	for i := range j.shards {
		records = j.shards[i].take(records)
	}
	records = slices.DeleteFunc(records, func(r record) bool { return j.isForgotten(r.run.caller.ProjectID) })
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
INSERT INTO runs (project_id, token_id, run_id, last_call_at, generated, continues)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_call_at = excluded.last_call_at`,
		caller.ProjectID, caller.TokenID, r.run.id, r.last.UnixNano(), r.run.generated, orNull(r.run.continues))
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

// write runs fn in a write transaction.
func (j *Journal) write(ctx context.Context, fn func(*sqlite.Conn) error) error {
	return j.options.Room.Free(func() error { return j.db.Exclusive(ctx, fn) })
}
