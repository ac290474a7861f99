package jobs

import (
	"errors"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Bounds limits how much one project may have in a store. Negative means no limit.
type Bounds struct {
	Pending int   // pending jobs
	Bytes   int64 // of all its records together
}

// HistorySchema returns the migration that counts the bytes in the given columns of
// each project's records, and indexes the records that are kept only to be looked at.
// It must never change: later changes are further migrations.
func HistorySchema(table, spent string, columns ...string) string {
	return strings.NewReplacer(
		"@jobs", table, "@spent", spent, "@columns", strings.Join(columns, ", "),
		"@size", octets("", columns), "@new", octets("new.", columns), "@old", octets("old.", columns),
	).Replace(historySchema)
}

// octets returns the SQL expression for the total size of some columns, in bytes.
func octets(of string, columns []string) string {
	terms := make([]string, len(columns))
	for i, column := range columns {
		terms[i] = "octet_length(" + of + column + ")"
	}
	return strings.Join(terms, " + ")
}

const historySchema = `
CREATE TABLE history (
	project_id INTEGER PRIMARY KEY,
	bytes      INTEGER NOT NULL
) STRICT;
INSERT INTO history SELECT project_id, sum(@size) FROM @jobs GROUP BY project_id;
CREATE INDEX @jobs_spent ON @jobs (project_id, seq) WHERE @spent;
CREATE TRIGGER @jobs_entered AFTER INSERT ON @jobs
BEGIN
	INSERT INTO history (project_id, bytes) VALUES (new.project_id, @new)
	ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER @jobs_changed AFTER UPDATE OF @columns ON @jobs
BEGIN
	UPDATE history SET bytes = bytes + @new - (@old) WHERE project_id = new.project_id;
END;
CREATE TRIGGER @jobs_removed AFTER DELETE ON @jobs
BEGIN
	UPDATE history SET bytes = bytes - (@old) WHERE project_id = old.project_id;
END;
`

// Admit refuses another job if its project has reached its bounds: with rate_limited
// when too many jobs are pending, including others counted by the caller, and with
// storage_full when there is no room for a record of that many bytes. It first removes
// the oldest prunable records to make room. Admit is called in the transaction that
// adds the job.
func (st Store[R]) Admit(c *sqlite.Conn, projectID ids.Project, bounds Bounds, others, bytes int64) error {
	pending, err := c.Int("SELECT pending FROM queues WHERE project_id = ?", projectID)
	if err != nil {
		return err
	}
	if pending += others; bounds.Pending >= 0 && pending >= int64(bounds.Pending) {
		return problem.New(problem.CodeRateLimited,
			"The project already has %d %s waiting, which is the maximum. Wait until some of them have finished, or cancel some.", pending, st.Table).Retry(10 * time.Second)
	}
	if bounds.Bytes < 0 {
		return nil
	}
	used, err := c.Int("SELECT bytes FROM history WHERE project_id = ?", projectID)
	if excess := used + bytes - bounds.Bytes; err == nil && excess > 0 {
		return st.prune(c, projectID, excess, bounds.Bytes)
	}
	return err
}

// prune removes the oldest prunable records of a project until that many bytes are
// free, or fails with storage_full.
func (st Store[R]) prune(c *sqlite.Conn, projectID ids.Project, bytes, max int64) error {
	var last int64
	err := c.Query("SELECT seq, "+octets("", st.Measured)+" FROM "+st.Table+" WHERE project_id = ? AND "+st.Prunable+" ORDER BY seq", []any{projectID}, func(s *sqlite.Stmt) error {
		last, bytes = s.Int(0), bytes-s.Int(1)
		if bytes <= 0 {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return c.Exec("DELETE FROM "+st.Table+" WHERE project_id = ? AND "+st.Prunable+" AND seq <= ?", projectID, last)
	case err != nil:
		return err
	}
	return problem.New(problem.CodeStorageFull,
		"The requests and manifests of the project's %s may take up %d bytes in total, and there is no room for another. Delete %s that are no longer needed, or wait until some have expired.", st.Table, max, st.Table)
}
