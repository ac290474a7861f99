package export

import (
	"context"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// retain expires the oldest exports of a project while there are too many or their
// total size is too large. It always keeps the newest.
func (e *Exports) retain(ctx context.Context, projectID ids.Project) {
	if e.config.KeepCount == 0 && e.config.KeepBytes == 0 {
		return
	}
	excess, err := e.jobs.retain(ctx, projectID, e.config.KeepCount, e.config.KeepBytes, e.now())
	if err != nil {
		e.log.Error("look for exports beyond the limits", "project", projectID, "error", err)
	}
	for _, r := range excess {
		if err := e.remove(r); err != nil {
			// The next Open removes it, because no record needs it any longer.
			e.log.Error("remove an artifact beyond the limits", "export", r.manifest.ID, "error", err)
		}
	}
}

// retain marks as expired, and returns, the ready exports of a project that exceed
// count or bytes, counted from the newest; 0 means no limit.
func (st jobStore) retain(ctx context.Context, projectID ids.Project, count, bytes int64, now time.Time) (excess []*record, err error) {
	err = st.Write(ctx, "expire exports beyond the limits", func(c *sqlite.Conn) error {
		const beyond = `id IN (
	SELECT id FROM (
		SELECT id, row_number() OVER newest AS nth, sum(json_extract(manifest, '$.size_bytes')) OVER newest AS bytes
		FROM exports
		WHERE project_id = ?1 AND status = 'ready'
		WINDOW newest AS (ORDER BY settled_at DESC, seq DESC)
	)
	WHERE nth > 1 AND (?2 > 0 AND nth > ?2 OR ?3 > 0 AND bytes > ?3)
)`
		var err error
		if excess, err = st.Select(c, beyond, projectID, count, bytes); err != nil {
			return err
		}
		for _, r := range excess {
			err := c.Exec(`
UPDATE exports
SET status = 'expired', expires_at = min(expires_at, ?),
	manifest = json_set(manifest, '$.status', 'expired', '$.expires_at', ?)
WHERE id = ?`, now.UnixMilli(), jobs.Timestamp(now), r.manifest.ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return excess, err
}
