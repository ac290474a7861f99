package export

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// orphan is an object in a bucket that no ready export needs, if it exists at all. Each
// upload is entered as an orphan before it begins. Triggers in the job store remove the
// entry when the export becomes ready, and add it again when the export is no longer
// ready. Nothing else is ever removed from a bucket. (The table is called leftovers.)
type orphan struct {
	store, key, exportID string
}

// addOrphan enters the object that a job is about to upload.
func (st jobStore) addOrphan(ctx context.Context, r *record) error {
	return st.Write(ctx, "enter the upload of "+r.manifest.ID, func(c *sqlite.Conn) error {
		return c.Exec("INSERT OR IGNORE INTO leftovers (store, key, export_id) VALUES (?, ?, ?)", r.store, r.ref().Key(), r.manifest.ID)
	})
}

func (st jobStore) removeOrphan(ctx context.Context, o orphan) error {
	return st.Write(ctx, "forget the object "+o.key, func(c *sqlite.Conn) error {
		return c.Exec("DELETE FROM leftovers WHERE store = ? AND key = ?", o.store, o.key)
	})
}

// orphans returns the orphans in a bucket that no job is going to upload.
func (st jobStore) orphans(ctx context.Context, store string) (all []orphan, err error) {
	err = st.Read(ctx, "list the orphans in the store", func(c *sqlite.Conn) error {
		return c.Query(`
SELECT key, export_id FROM leftovers
WHERE store = ? AND NOT EXISTS (SELECT 1 FROM exports WHERE id = export_id AND status IN ('pending', 'running'))`,
			[]any{store}, func(s *sqlite.Stmt) error {
				all = append(all, orphan{store, s.Text(0), s.Text(1)})
				return nil
			})
	})
	return all, err
}

// remove removes the artifact of an export that the job store no longer offers. An
// object in a bucket has become an orphan by then, which the sweeper removes.
func (e *Exports) remove(r *record) error {
	if r.store != "" {
		e.wakeSweeper()
	}
	return e.artifacts.Remove(r.ref())
}

// wakeSweeper tells the sweeper that there may be something to remove from a bucket.
func (e *Exports) wakeSweeper() {
	select {
	case e.swept <- struct{}{}:
	default:
	}
}

// tendBuckets removes orphans from the buckets periodically until Close.
func (e *Exports) tendBuckets() {
	ctx := e.runner.Stopped
	e.artifacts.Try(ctx)
	ticker := time.NewTicker(e.config.SweepInterval)
	defer ticker.Stop()
	for {
		e.sweepBuckets(ctx)
		select {
		case <-e.swept:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweepBuckets removes orphans. A bucket that fails is skipped until the next time.
func (e *Exports) sweepBuckets(ctx context.Context) {
	for _, name := range e.artifacts.Buckets() {
		if err := e.sweepBucket(ctx, name); err != nil && ctx.Err() == nil {
			e.log.Warn("sweep a store of exports", "store", name, "error", err)
		}
	}
}

func (e *Exports) sweepBucket(ctx context.Context, name string) error {
	all, err := e.jobs.orphans(ctx, name)
	if err != nil {
		return err
	}
	for _, o := range all {
		if e.runner.Find(o.exportID) != nil {
			continue // canceled, but perhaps still uploading
		}
		if err := e.artifacts.RemoveObject(ctx, o.store, o.key); err != nil {
			return err
		}
		if err := e.jobs.removeOrphan(ctx, o); err != nil {
			return err
		}
	}
	return nil
}
