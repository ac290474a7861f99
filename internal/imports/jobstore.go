package imports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ApplicationID marks imports.db.
const ApplicationID = 0x5a546931 // "ZTi1"

// schema is the schema of imports.db. Times are milliseconds since 1970. attempt counts
// how often the job has begun since it was last requested, and begun_at is when the
// first attempt that may have been committed began. work is the spec of the job, and
// settled_at is when it finished. expires_at is until when the file is kept, NULL if it
// is not. held is the size of the file in bytes, actual or expected.
var schema = sqlite.Schema{
	ApplicationID: ApplicationID,
	Migrations: []string{`
CREATE TABLE imports (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	project_id INTEGER NOT NULL,
	status     TEXT NOT NULL,
	attempt    INTEGER NOT NULL DEFAULT 0,
	turn       INTEGER,
	begun_at   INTEGER,
	settled_at INTEGER,
	expires_at INTEGER,
	resumable  INTEGER NOT NULL,
	work       TEXT NOT NULL,
	rejects    TEXT NOT NULL DEFAULT '[]',
	manifest   TEXT NOT NULL
) STRICT;
CREATE INDEX imports_by_project ON imports (project_id, seq);
CREATE INDEX imports_by_turn ON imports (project_id, turn);
CREATE INDEX imports_unsettled ON imports (status, project_id) WHERE status IN ('pending', 'running');
CREATE INDEX imports_by_expiry ON imports (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE receipts (
	project_id INTEGER NOT NULL,
	token_id   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	request    BLOB NOT NULL,
	import_id  TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (project_id, token_id, key)
) STRICT;
CREATE INDEX receipts_by_age ON receipts (created_at);
`, jobs.QueueSchema("imports") + `
CREATE INDEX imports_uploading ON imports (project_id) WHERE status = 'uploading';
`, `
ALTER TABLE imports ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
UPDATE imports SET held = coalesce(json_extract(manifest, '$.size_bytes'), 0);
CREATE INDEX imports_held ON imports (project_id, held) WHERE ` + isHeld + `;
CREATE INDEX imports_spare ON imports (project_id, seq, held) WHERE ` + isSpare + `;
`, jobs.HistorySchema("imports", prunable, measured...), jobs.ReceiptSchema("import_id")},
}

// prunable is the condition for an import of which only the manifest is left; measured
// lists the columns that may be large.
const prunable = "settled_at IS NOT NULL AND expires_at IS NULL"

var measured = []string{"work", "manifest", "rejects"}

// jobStore is imports.db: what was sent and what became of it.
type jobStore struct {
	jobs.Store[record]
}

func openJobStore(c *Config) (jobStore, error) {
	store, err := jobs.OpenStore(&c.Config, schema, jobs.Store[record]{
		Table: "imports", Job: "import", Columns: columns, Scan: scanRecord, Prunable: prunable, Measured: measured,
	})
	return jobStore{store}, err
}

// record is an import as stored in the job store.
type record struct {
	manifest  Manifest // with the stored status, which does not account for the clock
	projectID ids.Project
	root      ids.Project // of a new import: the project whose turn the job takes
	attempt   int64
	begun     time.Time // of the first attempt that may have been committed; zero for none
	finished  time.Time // zero until the job has finished
	expires   time.Time // of the file; zero when the file is not kept
	resumable bool
	held      int64 // size of the file in bytes, or bytes reserved for it
	spec      spec
	rejects   []ingest.Reject // set only while a job is being saved; see readRejects
}

// spec is what a job needs to know besides the manifest.
type spec struct {
	TableID    ids.Table     // the only table that may be written to; 0: any
	NewProject *NewProject   // of a project import
	SHA256     string        // promised by the sender, in hexadecimal; "" for none
	Keyed      *jobs.Receipt // of the call that created the import; nil for none
	Metadata   string        // of an upload in parts, as sent
}

// storeOptions preserve everything in a file: text that is not UTF-8 can be stored, and
// numbers keep all their digits.
var storeOptions = json.JoinOptions(jsontext.AllowInvalidUTF8(true), json.Deterministic(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, v *any) error {
		if d.PeekKind() != jsontext.KindNumber {
			return errors.ErrUnsupported
		}
		number, err := d.ReadValue()
		*v = number.Clone()
		return err
	})))

// texts returns the parts of a record that are stored as JSON.
func (r *record) texts() (spec, manifest string, err error) {
	w, err := json.Marshal(r.spec, storeOptions)
	if err != nil {
		return "", "", fmt.Errorf("encode the spec of the import %s: %w", r.manifest.ID, err)
	}
	m, err := json.Marshal(r.manifest, storeOptions)
	if err != nil {
		return "", "", fmt.Errorf("encode the manifest of the import %s: %w", r.manifest.ID, err)
	}
	return string(w), string(m), nil
}

// add stores a new import, or refuses it if its project has reached its bounds. It
// returns the imports that were expired to make room for its file.
func (st jobStore) add(ctx context.Context, r *record, now time.Time, bounds jobs.Bounds, keepBytes int64) (expired []*record, err error) {
	spec, manifest, err := r.texts()
	if err != nil {
		return nil, err
	}
	err = st.Write(ctx, "enter the import "+r.manifest.ID, func(c *sqlite.Conn) error {
		if r.resumable {
			if err := r.keepReceipt(c, "", now); err != nil {
				return err
			}
		}
		uploading, err := c.Int("SELECT count(*) FROM imports WHERE project_id = ? AND status = 'uploading'", r.projectID)
		if err != nil {
			return err
		}
		if err := st.Admit(c, r.projectID, bounds, uploading, int64(len(spec)+len(manifest))); err != nil {
			return err
		}
		if expired, err = st.makeRoom(c, r.projectID, r.held, keepBytes); err != nil {
			return err
		}
		return c.Exec(`
INSERT INTO imports (id, project_id, root, status, expires_at, resumable, held, work, manifest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.manifest.ID, r.projectID, r.root, string(r.manifest.Status), jobs.TimeValue(r.expires), r.resumable, r.held, spec, manifest)
	})
	return expired, err
}

// columns are in the order in which scanRecord reads them.
const columns = "project_id, status, attempt, begun_at, settled_at, expires_at, resumable, held, work, manifest"

func scanRecord(s *sqlite.Stmt) (*record, error) {
	r := &record{
		projectID: ids.Project(s.Int(0)),
		attempt:   s.Int(2),
		begun:     jobs.ReadTime(s, 3),
		finished:  jobs.ReadTime(s, 4),
		expires:   jobs.ReadTime(s, 5),
		resumable: s.Int(6) != 0,
		held:      s.Int(7),
	}
	for i, into := range []any{&r.spec, &r.manifest} {
		if err := json.Unmarshal([]byte(s.Text(8+i)), into, storeOptions); err != nil {
			return nil, err
		}
	}
	r.manifest.Status = Status(s.Text(1))
	return r, nil
}

// change reads an import, has fn change it, and writes it back, in one transaction. An
// error of fn is returned, and nothing is changed.
func (st jobStore) change(ctx context.Context, projectID ids.Project, id string, fn func(*sqlite.Conn, *record) error) (r *record, err error) {
	err = st.Write(ctx, "change the import "+id, func(c *sqlite.Conn) error {
		r, err = st.Get(c, projectID, id)
		if err == nil {
			err = fn(c, r)
		}
		if err != nil {
			return err
		}
		return update(c, r)
	})
	return r, err
}

func update(c *sqlite.Conn, r *record) error {
	spec, manifest, err := r.texts()
	if err != nil {
		return err
	}
	return c.Exec(`
UPDATE imports
SET status = ?, attempt = ?, begun_at = ?, settled_at = ?, expires_at = ?, held = ?, work = ?, manifest = ?
WHERE id = ?`,
		string(r.manifest.Status), r.attempt, jobs.TimeValue(r.begun), jobs.TimeValue(r.finished), jobs.TimeValue(r.expires), r.held, spec, manifest, r.manifest.ID)
}

// keepRejects stores the rejected rows of a job, replacing those of an earlier run.
func keepRejects(c *sqlite.Conn, id string, rejects []ingest.Reject) error {
	text, err := json.Marshal(rejects, storeOptions)
	if err != nil {
		return fmt.Errorf("encode the rejects of %s: %w", id, err)
	}
	return c.Exec("UPDATE imports SET rejects = ? WHERE id = ?", string(text), id)
}

// readRejects returns the rejected rows of an import.
func (st jobStore) readRejects(ctx context.Context, projectID ids.Project, id string) (rejects []ingest.Reject, err error) {
	text := ""
	err = st.Read(ctx, "read the rejects of "+id, func(c *sqlite.Conn) error {
		text, err = c.Text("SELECT rejects FROM imports WHERE id = ? AND project_id = ?", id, projectID)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case text == "":
		return nil, problem.NotFound("The import", id)
	}
	if err := json.Unmarshal([]byte(text), &rejects, storeOptions); err != nil {
		return nil, fmt.Errorf("decode the rejects of %s: %w", id, err)
	}
	return rejects, nil
}

// saveOutcome stores the outcome of a running job. A project keeps at most count files
// for another run; the imports whose files exceed that are returned. It reports false
// if the import was removed in the meantime.
func (st jobStore) saveOutcome(ctx context.Context, r *record, count int64) (done bool, surplus []*record, err error) {
	err = st.Write(ctx, "settle the import "+r.manifest.ID, func(c *sqlite.Conn) error {
		status, err := c.Text("SELECT status FROM imports WHERE id = ?", r.manifest.ID)
		if done = status == string(Running); err != nil || !done {
			// An earlier call may have been committed although it returned an error:
			// after an I/O error the outcome is unknown.
			done = status == string(r.manifest.Status)
			return err
		}
		if err := keepRejects(c, r.manifest.ID, r.rejects); err != nil {
			return err
		}
		if err := update(c, r); err != nil {
			return err
		}
		surplus, err = st.dropSurplus(c, r.projectID, count)
		return err
	})
	return done && err == nil, surplus, err
}

// interrupted returns the jobs and uploads interrupted by a crash.
func (st jobStore) interrupted(ctx context.Context) (all []*record, err error) {
	err = st.Read(ctx, "list what was interrupted", func(c *sqlite.Conn) error {
		all, err = st.Select(c, "status IN ('running', 'uploading')")
		return err
	})
	return all, err
}

// putBack makes a running job that was stopped with the server pending again. known
// says that it was certainly not committed, so that the next attempt need not check.
func (st jobStore) putBack(ctx context.Context, id string, known bool) error {
	return st.Write(ctx, "put the import "+id+" back", func(c *sqlite.Conn) error {
		return c.Exec(`
UPDATE imports
SET status = 'pending', attempt = attempt - 1, begun_at = CASE WHEN ? THEN NULL ELSE begun_at END
WHERE id = ? AND status = 'running'`, known, id)
	})
}

func (st jobStore) remove(ctx context.Context, id string) error {
	return st.Write(ctx, "remove the import "+id, func(c *sqlite.Conn) error {
		return c.Exec("DELETE FROM imports WHERE id = ?", id)
	})
}

// withdraw removes an import that failed while its file was arriving, and the receipt
// of its call. The failure may have come after both were stored, and then every
// repetition of the call would return an import that does not exist.
func (st jobStore) withdraw(ctx context.Context, id string) error {
	return st.Write(ctx, "withdraw the import "+id, func(c *sqlite.Conn) error {
		if err := c.Exec("DELETE FROM receipts WHERE job_id = ?", id); err != nil {
			return err
		}
		return c.Exec("DELETE FROM imports WHERE id = ?", id)
	})
}

// wanted returns the imports whose files are kept: a map from their ids to their
// projects.
func (st jobStore) wanted(ctx context.Context) (map[string]ids.Project, error) {
	return st.Projects(ctx, "expires_at IS NOT NULL OR status IN ('uploading', 'pending', 'running')")
}

// expire expires, and returns, uploads that were never finished and finished imports
// whose files are no longer kept. It also removes old receipts, and manifests that have
// been kept long enough.
func (st jobStore) expire(ctx context.Context, then time.Time, keep time.Duration) (expired []*record, err error) {
	err = st.Write(ctx, "expire imports", func(c *sqlite.Conn) error {
		var err error
		if expired, err = st.Select(c, "expires_at <= ? AND status NOT IN ('pending', 'running')", then.UnixMilli()); err != nil {
			return err
		}
		for _, r := range expired {
			r.expire()
			if err := update(c, r); err != nil {
				return err
			}
		}
		if err := jobs.SweepReceipts(c, then); err != nil {
			return err
		}
		return c.Exec("DELETE FROM imports WHERE expires_at IS NULL AND settled_at <= ?", then.Add(-keep).UnixMilli())
	})
	return expired, err
}

// expire marks the record as an import whose file is no longer kept.
func (r *record) expire() {
	m := &r.manifest
	if m.Status == Uploading || m.Status == Ready && m.DryRun {
		m.Status = Expired
	}
	if r.finished.IsZero() {
		r.finished = r.expires
	}
	r.forget()
	r.expires, m.ExpiresAt = time.Time{}, nil
}
