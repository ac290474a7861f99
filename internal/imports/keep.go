package imports

import (
	"context"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// The files of a project's imports share one limit. Files that are arriving or waiting
// for their job have their bytes reserved; files of failed imports and dry runs, kept
// only for another run, are spare and make room for newer ones.

// isHeld is the condition for an import whose file exists, or has bytes reserved for
// it.
const isHeld = "expires_at IS NOT NULL OR status IN ('pending', 'running')"

// isSpare is the condition for an import whose file is kept only for another run.
const isSpare = "expires_at IS NOT NULL AND status IN ('failed', 'ready')"

// makeRoom lets the files of a project grow by that many bytes, within max in total. It
// expires the oldest spare imports if necessary, and returns them; if that is not
// enough it fails with storage_full. A negative max means no limit.
func (st jobStore) makeRoom(c *sqlite.Conn, projectID ids.Project, bytes, max int64) (expired []*record, err error) {
	held, err := c.Int("SELECT coalesce(sum(held), 0) FROM imports WHERE project_id = ? AND ("+isHeld+")", projectID)
	if err != nil || max < 0 || bytes <= 0 || held+bytes <= max {
		return nil, err
	}
	spare, err := c.Int("SELECT coalesce(sum(held), 0) FROM imports WHERE project_id = ? AND ("+isSpare+")", projectID)
	switch {
	case err != nil:
		return nil, err
	case held-spare+bytes > max:
		return nil, problem.New(problem.CodeStorageFull,
			"The files of a project's imports may take up %d bytes in total. %d are taken up by unfinished uploads and imports, which leaves no room for %d more. Wait until they have finished, or cancel some.",
			max, held-spare, bytes)
	}
	return st.expireSpare(c, "project_id = ? AND ("+isSpare+") ORDER BY seq", []any{projectID}, func(r *record) bool {
		if held+bytes <= max {
			return false
		}
		held -= r.held
		return true
	})
}

// dropSurplus expires the oldest spare files of a project beyond count, and returns
// their imports.
func (st jobStore) dropSurplus(c *sqlite.Conn, projectID ids.Project, count int64) (expired []*record, err error) {
	if count < 0 {
		return nil, nil
	}
	return st.expireSpare(c, "project_id = ? AND ("+isSpare+") ORDER BY seq DESC LIMIT -1 OFFSET ?", []any{projectID, count}, func(*record) bool { return true })
}

// expireSpare expires imports that satisfy a condition, oldest first, for as long as
// wanted returns true.
func (st jobStore) expireSpare(c *sqlite.Conn, condition string, args []any, wanted func(*record) bool) (expired []*record, err error) {
	found, err := st.Select(c, condition, args...)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		if !wanted(r) {
			break
		}
		r.expire()
		if err := update(c, r); err != nil {
			return nil, err
		}
		expired = append(expired, r)
	}
	return expired, nil
}

// hold reserves bytes for an upload, applies also to its record, and returns the
// updated record.
func (im *Imports) hold(ctx context.Context, r *record, bytes int64, also func(*record)) (*record, error) {
	var expired []*record
	r, err := im.jobs.change(ctx, r.projectID, r.manifest.ID, func(c *sqlite.Conn, r *record) (err error) {
		if expired, err = im.jobs.makeRoom(c, r.projectID, bytes-r.held, im.config.KeepBytes); err != nil {
			return err
		}
		r.held = bytes
		also(r)
		return im.accepts(r)
	})
	if err == nil {
		im.removeFiles(expired)
	}
	return r, err
}

// grow reserves bytes for what has arrived of an upload of unknown size and, if there
// is room, for some more, so that it is not called for every piece.
func (im *Imports) grow(ctx context.Context, r *record, have int64) (*record, error) {
	grown, err := im.hold(ctx, r, have+min(max(have, 1<<20), spaceEvery), func(*record) {})
	if problem.Is(err, problem.CodeStorageFull) {
		grown, err = im.hold(ctx, r, have, func(*record) {})
	}
	return grown, err
}

// removeFiles removes the files of imports that have expired.
func (im *Imports) removeFiles(expired []*record) {
	for _, r := range expired {
		if err := im.dir.remove(r); err != nil {
			// The next Open removes it, because no record needs it any longer.
			im.log.Error("remove an upload", "import", r.manifest.ID, "error", err)
		}
	}
	if len(expired) > 0 {
		im.runner.NotifyFinished()
	}
}
