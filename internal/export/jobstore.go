package export

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ApplicationID marks exports.db.
const ApplicationID = 0x5a546531 // "ZTe1"

// schema is the schema of exports.db. Times are milliseconds since 1970. attempt counts
// how often the job has begun, work is its spec, and settled_at is when it finished.
// store is the bucket that holds the artifact of a ready export, empty for the
// directory; triggers maintain the list of orphans, in the table leftovers.
var schema = sqlite.Schema{
	ApplicationID: ApplicationID,
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
`, jobs.QueueSchema("exports"), jobs.HistorySchema("exports", prunable, measured...), jobs.ReceiptSchema("export_id")},
}

// prunable is the condition for an export of which only the manifest is left; measured
// lists the columns that may be large.
const prunable = "status IN ('failed', 'canceled', 'expired')"

var measured = []string{"work", "manifest"}

// jobStore is exports.db: what was requested and what became of it.
type jobStore struct {
	jobs.Store[record]
}

func openJobStore(c *Config) (jobStore, error) {
	store, err := jobs.OpenStore(&c.Config, schema, jobs.Store[record]{
		Table: "exports", Job: "export", Columns: columns, Scan: scanRecord, Prunable: prunable, Measured: measured,
	})
	return jobStore{store}, err
}

// record is an export as stored in the job store.
type record struct {
	manifest  Manifest // with the stored status, which does not account for the clock
	projectID ids.Project
	root      ids.Project // of a new request: the project whose turn the job takes
	attempt   int64
	life      time.Duration
	expires   time.Time // zero until it is ready
	finished  time.Time // zero until the job has finished
	failure   problem.Code
	ext       string
	store     string // the name of a bucket, or "" for the directory
	spec      spec
	receipt   *jobs.Receipt // of a new request; nil for none
}

// ref returns the reference to the export's artifact.
func (r *record) ref() artifact.Ref {
	ref := artifact.Ref{ProjectID: r.projectID, ID: r.manifest.ID, Ext: r.ext, Store: r.store}
	if r.manifest.SizeBytes != nil {
		ref.Size = *r.manifest.SizeBytes
	}
	return ref
}

// recordTexts are the parts of a record that are stored as JSON.
type recordTexts struct{ spec, tableIDs, manifest string }

func (r *record) texts() (t recordTexts, err error) {
	for _, part := range []struct {
		to    *string
		value any
	}{{&t.spec, r.spec}, {&t.tableIDs, r.manifest.TableIDs}, {&t.manifest, r.manifest}} {
		// In a spec, a null list means everything, an empty list nothing.
		text, err := json.Marshal(part.value, json.FormatNilSliceAsNull(part.to == &t.spec))
		if err != nil {
			return t, fmt.Errorf("encode the export %s: %w", r.manifest.ID, err)
		}
		*part.to = string(text)
	}
	return t, nil
}

// add stores a new request, or refuses it if its project has reached its bounds.
func (st jobStore) add(ctx context.Context, r *record, now time.Time, bounds jobs.Bounds) error {
	text, err := r.texts()
	if err != nil {
		return err
	}
	return st.Write(ctx, "enter the export "+r.manifest.ID, func(c *sqlite.Conn) error {
		if r.receipt != nil {
			if err := r.receipt.Keep(c, r.projectID, r.manifest.ID, now); err != nil {
				return err
			}
		}
		if err := st.Admit(c, r.projectID, bounds, 0, int64(len(text.spec)+len(text.manifest))); err != nil {
			return err
		}
		return c.Exec(`
INSERT INTO exports (id, project_id, root, status, life, ext, work, table_ids, manifest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.manifest.ID, r.projectID, r.root, string(Pending), r.life.Milliseconds(), r.ext,
			text.spec, text.tableIDs, text.manifest)
	})
}

// columns are in the order in which scanRecord reads them.
const columns = "project_id, status, attempt, life, settled_at, expires_at, failure, ext, store, work, table_ids, manifest"

func scanRecord(s *sqlite.Stmt) (*record, error) {
	r := &record{
		projectID: ids.Project(s.Int(0)),
		attempt:   s.Int(2),
		life:      time.Duration(s.Int(3)) * time.Millisecond,
		finished:  jobs.ReadTime(s, 4),
		expires:   jobs.ReadTime(s, 5),
		failure:   problem.Code(s.Text(6)),
		ext:       s.Text(7),
		store:     s.Text(8),
	}
	for i, into := range []any{&r.spec, &r.manifest.TableIDs, &r.manifest} {
		if err := json.Unmarshal([]byte(s.Text(9+i)), into); err != nil {
			return nil, err
		}
	}
	r.manifest.Status = Status(s.Text(1))
	return r, nil
}

// saveOutcome stores the outcome of a running job. It reports false if the job has been
// canceled or removed in the meantime. A record that is already finished comes from an
// earlier call that returned an error but was committed: after an I/O error the outcome
// is unknown. The last call wins.
func (st jobStore) saveOutcome(ctx context.Context, r *record) (done bool, err error) {
	text, err := r.texts()
	if err != nil {
		return false, err
	}
	err = st.Write(ctx, "settle the export "+r.manifest.ID, func(c *sqlite.Conn) error {
		err := c.Exec(`
UPDATE exports
SET status = ?, settled_at = ?, expires_at = ?, failure = ?, store = ?, manifest = ?, table_ids = ?
WHERE id = ? AND status IN ('running', 'ready', 'failed')`,
			string(r.manifest.Status), jobs.TimeValue(r.finished), jobs.TimeValue(r.expires), string(r.failure),
			r.store, text.manifest, text.tableIDs, r.manifest.ID)
		done = c.Changes() == 1
		return err
	})
	return done && err == nil, err
}

// recover takes up jobs interrupted by a crash: running jobs become pending again,
// unless they have been interrupted jobs.MaxAttempts times.
func (st jobStore) recover(ctx context.Context, now time.Time) error {
	return st.Write(ctx, "take up interrupted exports", func(c *sqlite.Conn) error {
		err := c.Exec(`
UPDATE exports
SET status = 'failed', settled_at = ?, failure = ?,
	manifest = json_set(manifest, '$.status', 'failed', '$.completed_at', ?, '$.error', ?)
WHERE status = 'running' AND attempt >= ?`,
			now.UnixMilli(), string(problem.CodeExportFailed), jobs.Timestamp(now),
			"The server crashed twice while it worked on this export, so it is not tried again.", jobs.MaxAttempts)
		if err != nil {
			return err
		}
		return c.Exec("UPDATE exports SET status = 'pending' WHERE status = 'running'")
	})
}

// withdraw removes an export from the store, or marks it as canceled if it has not
// finished, and returns its previous state.
func (st jobStore) withdraw(ctx context.Context, projectID ids.Project, id string, now time.Time) (before *record, err error) {
	err = st.Write(ctx, "withdraw the export "+id, func(c *sqlite.Conn) error {
		before, err = st.Get(c, projectID, id)
		if err != nil {
			return err
		}
		if before.manifest.Status.Finished() {
			return c.Exec("DELETE FROM exports WHERE id = ?", id)
		}
		return c.Exec(`
UPDATE exports
SET status = 'canceled', settled_at = ?,
	manifest = json_set(manifest, '$.status', 'canceled', '$.completed_at', ?)
WHERE id = ?`, now.UnixMilli(), jobs.Timestamp(now), id)
	})
	return before, err
}

// artifacts returns the exports whose artifacts are in the directory: a map from their
// ids to their projects.
func (st jobStore) artifacts(ctx context.Context) (map[string]ids.Project, error) {
	return st.Projects(ctx, "status = 'ready' AND store = ''")
}

// expire marks ready exports whose time has come as expired, and returns them. It also
// removes old receipts, and manifests that have been kept long enough.
func (st jobStore) expire(ctx context.Context, then time.Time, keep time.Duration) (expired []*record, err error) {
	err = st.Write(ctx, "expire exports", func(c *sqlite.Conn) error {
		var err error
		if expired, err = st.Select(c, "status = 'ready' AND expires_at <= ?", then.UnixMilli()); err != nil {
			return err
		}
		if len(expired) > 0 {
			err = c.Exec("UPDATE exports SET status = 'expired' WHERE status = 'ready' AND expires_at <= ?", then.UnixMilli())
		}
		if err != nil {
			return err
		}
		if err := jobs.SweepReceipts(c, then); err != nil {
			return err
		}
		const remove = "DELETE FROM exports WHERE status IN ('expired', 'failed', 'canceled') AND coalesce(expires_at, settled_at) <= ?"
		return c.Exec(remove, then.Add(-keep).UnixMilli())
	})
	return expired, err
}
