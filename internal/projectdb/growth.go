package projectdb

import (
	"context"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Whether a write may proceed when space is short depends on its effect on the size of
// the project: deletions always may, and everything else counts as growth. Growth is
// refused while the disk is nearly full, and ends at the project's quota.

// ownPages is how many free pages, about a megabyte, a project must have to be allowed
// to grow into them while the disk is nearly full.
const ownPages = 256

// mayGrow prepares the connection for a write that may grow the project, or refuses
// it.
func (db *DB) mayGrow(c *sqlite.Conn) error {
	pages, err := db.maxPages(c)
	if err == nil {
		err = c.LimitPages(pages)
	}
	if err != nil || !db.room.Low() {
		return err
	}
	// Space freed by deletions can be used again.
	free, err := c.Int("PRAGMA freelist_count")
	if err == nil && free < ownPages {
		err = storage.TooFull()
	}
	return err
}

// emptyLog checkpoints the log into the database while the disk is nearly full, if
// there is still room for that; deletions need a log that is not stuck. It does so at
// most once a second.
func (db *DB) emptyLog(ctx context.Context) {
	now := db.now().Unix()
	if last := db.trimmed.Load(); now != last && db.trimmed.CompareAndSwap(last, now) {
		db.sql.Trim(ctx)
	}
}

// maxPages returns the maximum number of pages that the quota allows the database; 0
// means no limit.
func (db *DB) maxPages(c *sqlite.Conn) (int64, error) {
	limit := db.quotas.Max(db.id)
	if limit == 0 {
		return 0, nil
	}
	size, err := c.Int("PRAGMA page_size")
	if err != nil {
		return 0, err
	}
	// SQLite does not go below the current number of pages: then nothing grows.
	return max(1, (limit-db.beside())/size), nil
}

// beside returns how many bytes count toward the project in addition to its database:
// the files of its imports, and its log beyond the size that the server normally
// allows.
func (db *DB) beside() int64 { return db.quotas.Beside(db.id) + db.sql.ExcessLog() }

// overQuota replaces a disk-full error with one about the quota if the quota was what
// was reached.
func (db *DB) overQuota(err error) error {
	if limit := db.quotas.Max(db.id); limit > 0 && storage.IsFull(err) && !db.room.Low() {
		return storage.OverQuota(limit).Because(err)
	}
	return err
}

// Usage is how many bytes a project uses, and how many it may use.
type Usage struct {
	Used int64 `json:"used_bytes" doc:"What counts toward the quota: the database without its free pages, and the files of imports."`
	Max  int64 `json:"max_bytes" doc:"The quota; 0 for no limit."`
}

// Usage returns how many bytes count toward the project's quota.
func (db *DB) Usage(ctx context.Context) (u Usage, err error) {
	err = db.readBounded(ctx, func(c *sqlite.Conn) error {
		u.Used, err = c.Int("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
		return err
	})
	u.Used += db.beside()
	u.Max = db.quotas.Max(db.id)
	return u, err
}

// Need fails with storage_full if adding the given bytes would exceed the project's
// quota.
func (d *Dir) Need(ctx context.Context, id ids.Project, bytes int64) error {
	limit := d.options.Quotas.Max(id)
	if limit == 0 {
		return nil
	}
	db, release, err := d.Lease(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	u, err := db.Usage(ctx)
	if err == nil && u.Used+bytes > limit {
		err = storage.OverQuota(limit)
	}
	return err
}
