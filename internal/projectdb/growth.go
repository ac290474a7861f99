package projectdb

import (
	"context"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// What a write does to the size of a project decides whether it may go on where
// there is little room: what deletes always may, and everything else counts as
// growing. Growth is refused while the disk is nearly full, and ends at the quota
// of the project.

// ownPages is how many free pages a project must have to grow into them while the
// disk is nearly full: a megabyte.
const ownPages = 256

// mayGrow prepares the connection for a write that may make the project grow, or
// refuses it.
func (db *DB) mayGrow(c *sqlite.Conn) error {
	pages, err := db.maxPages(c)
	if err == nil {
		err = c.LimitPages(pages)
	}
	if err != nil || !db.room.Low() {
		return err
	}
	// What has been deleted from a project can be filled again.
	free, err := c.Int("PRAGMA freelist_count")
	if err == nil && free < ownPages {
		err = storage.TooFull()
	}
	return err
}

// emptyLog moves the log into the database while the disk is nearly full and there
// still is room for that; deletions need a log that is not stuck. It does so once
// a second at most.
func (db *DB) emptyLog(ctx context.Context) {
	now := db.now().Unix()
	if last := db.trimmed.Load(); now != last && db.trimmed.CompareAndSwap(last, now) {
		db.sql.Trim(ctx)
	}
}

// maxPages returns how many pages the quota leaves to the database; 0: there is no
// limit.
func (db *DB) maxPages(c *sqlite.Conn) (int64, error) {
	limit := db.quotas.Max(db.id)
	if limit == 0 {
		return 0, nil
	}
	size, err := c.Int("PRAGMA page_size")
	if err != nil {
		return 0, err
	}
	// SQLite takes no fewer than there are: then nothing grows.
	return max(1, (limit-db.beside())/size), nil
}

// beside returns how many bytes count to the project beside its database: the
// files of its imports, and its log as far as that is larger than the server lets
// it be for long.
func (db *DB) beside() int64 { return db.quotas.Beside(db.id) + db.sql.ExcessLog() }

// overQuota replaces the error of a full disk by one about the quota, if it is the
// quota that was reached.
func (db *DB) overQuota(err error) error {
	if limit := db.quotas.Max(db.id); limit > 0 && storage.IsFull(err) && !db.room.Low() {
		return storage.OverQuota(limit).Because(err)
	}
	return err
}

// Usage is how many bytes a project takes up, and how many it may.
type Usage struct {
	Used int64 `json:"used_bytes" doc:"What counts toward the quota: the database without its free pages, and the files of imports."`
	Max  int64 `json:"max_bytes" doc:"The quota; 0 for no limit."`
}

// Usage returns how many bytes count to the quota of the project.
func (db *DB) Usage(ctx context.Context) (u Usage, err error) {
	err = db.readBounded(ctx, func(c *sqlite.Conn) error {
		u.Used, err = c.Int("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
		return err
	})
	u.Used += db.beside()
	u.Max = db.quotas.Max(db.id)
	return u, err
}

// Need fails with storage_full if adding the given bytes would exceed the quota of
// a project.
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
