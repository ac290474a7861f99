package export

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// leftover is an object in a bucket that no ready export needs, if it is there
// at all. Each upload is entered as one before it begins; the triggers of the
// job store take it out when the export becomes ready, and enter it again when the
// export is so no more. Only what is in this list is ever removed from a bucket.
type leftover struct {
	store, key, exportID string
}

// addLeftover enters the object that a job will upload.
func (st jobStore) addLeftover(ctx context.Context, r *record) error {
	return st.Write(ctx, "enter the upload of "+r.manifest.ID, func(c *sqlite.Conn) error {
		return c.Exec("INSERT OR IGNORE INTO leftovers (store, key, export_id) VALUES (?, ?, ?)", r.store, r.key(), r.manifest.ID)
	})
}

func (st jobStore) removeLeftover(ctx context.Context, l leftover) error {
	return st.Write(ctx, "forget the object "+l.key, func(c *sqlite.Conn) error {
		return c.Exec("DELETE FROM leftovers WHERE store = ? AND key = ?", l.store, l.key)
	})
}

// leftovers returns the objects in a bucket that no job is going to upload.
func (st jobStore) leftovers(ctx context.Context, store string) (all []leftover, err error) {
	err = st.Read(ctx, "list what is left in the store", func(c *sqlite.Conn) error {
		return c.Query(`
SELECT key, export_id FROM leftovers
WHERE store = ? AND NOT EXISTS (SELECT 1 FROM exports WHERE id = export_id AND status IN ('pending', 'running'))`,
			[]any{store}, func(s *sqlite.Stmt) error {
				all = append(all, leftover{store, s.Text(0), s.Text(1)})
				return nil
			})
	})
	return all, err
}

// wakeSweeper tells that there may be something to remove from a bucket.
func (e *Exports) wakeSweeper() {
	select {
	case e.swept <- struct{}{}:
	default:
	}
}

// tendBuckets removes what is left in the buckets, again and again until Close.
func (e *Exports) tendBuckets() {
	e.tryBuckets(e.runner.Stopped)
	ticker := time.NewTicker(e.config.SweepInterval)
	defer ticker.Stop()
	for {
		e.sweepBuckets(e.runner.Stopped)
		select {
		case <-e.swept:
		case <-ticker.C:
		case <-e.runner.Stopped.Done():
			return
		}
	}
}

// sweepBuckets removes what is left in the buckets. A bucket that fails is left
// alone until the next time.
func (e *Exports) sweepBuckets(ctx context.Context) {
	for name, b := range e.buckets {
		if err := e.sweepBucket(ctx, b); err != nil && ctx.Err() == nil {
			e.log.Warn("sweep a store of exports", "store", name, "error", err)
		}
	}
}

func (e *Exports) sweepBucket(ctx context.Context, b *bucket) error {
	all, err := e.jobs.leftovers(ctx, b.name)
	if err != nil {
		return err
	}
	for _, l := range all {
		if e.runner.Find(l.exportID) != nil {
			continue // canceled, but perhaps uploading still
		}
		if err := b.remove(ctx, l.key); err != nil {
			return err
		}
		if err := e.jobs.removeLeftover(ctx, l); err != nil {
			return err
		}
	}
	return nil
}
