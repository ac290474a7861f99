package jobs

import (
	"fmt"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// The books of jobs have a table with the columns seq, id, project_id, status,
// attempt and turn. turn grows with every job that begins: by it the projects
// take turns.

// Claim marks the next pending job of a table as running and returns its id, ""
// when there is none. Of the projects with fewer than perProject running jobs,
// the one is served whose last turn is longest ago, and of its jobs the oldest.
func Claim(c *sqlite.Conn, table string, perProject int) (id string, err error) {
	id, err = c.Text(fmt.Sprintf(`
SELECT id FROM %[1]s AS j
WHERE status = 'pending'
AND (SELECT count(*) FROM %[1]s WHERE status = 'running' AND project_id = j.project_id) < ?
ORDER BY (SELECT max(turn) FROM %[1]s WHERE project_id = j.project_id), seq
LIMIT 1`, table), perProject)
	if err != nil || id == "" {
		return "", err
	}
	return id, c.Exec(fmt.Sprintf(`
UPDATE %[1]s
SET status = 'running', attempt = attempt + 1, turn = 1 + (SELECT coalesce(max(turn), 0) FROM %[1]s)
WHERE id = ?`, table), id)
}

// PutBack makes a running job of a table pending again that was stopped through
// no fault of its own.
func PutBack(c *sqlite.Conn, table, id string) error {
	return c.Exec("UPDATE "+table+" SET status = 'pending', attempt = attempt - 1 WHERE id = ? AND status = 'running'", id)
}

// Queue returns the places of the pending jobs of a table in the order in which
// Claim would take them, from 1: of each project one after the other.
func Queue(c *sqlite.Conn, table string) (map[string]int64, error) {
	places := map[string]int64{}
	err := c.Query(fmt.Sprintf(`
SELECT id, row_number() OVER (ORDER BY nth, turn, first)
FROM (
	SELECT id, row_number() OVER (PARTITION BY project_id ORDER BY seq) AS nth,
		min(seq) OVER (PARTITION BY project_id) AS first,
		(SELECT max(turn) FROM %[1]s WHERE project_id = j.project_id) AS turn
	FROM %[1]s AS j
	WHERE status = 'pending'
)`, table), nil, func(s *sqlite.Stmt) error {
		places[s.Text(0)] = s.Int(1)
		return nil
	})
	return places, err
}
