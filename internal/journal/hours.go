package journal

import (
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// hourKey identifies the calls of one token on one route about one table in one hour.
type hourKey struct {
	projectID ids.Project
	hour      int64 // since 1970
	tokenID   ids.Token
	route     string
	table     string
}

// maxCells is how many different sums of one hour a project has: calls beyond that are
// summed up by hour alone.
const maxCells = 5000

// hourSum is what was used in one hour.
type hourSum struct {
	calls, errors, in, out, read, changed int64
	spread                                spread
}

func addToHour(hours map[hourKey]*hourSum, e *Entry) {
	key := hourKey{e.ProjectID, e.Began.Unix() / 3600, e.TokenID, e.Route, e.Table}
	if e.Status == 404 {
		key.table = "" // it may be any text
	}
	sum := hours[key]
	if sum == nil {
		sum = &hourSum{spread: spread{}}
		hours[key] = sum
	}
	sum.calls++
	if e.Status >= 400 {
		sum.errors++
	}
	sum.in += e.BytesIn
	sum.out += e.BytesOut
	sum.read += e.RowsRead
	sum.changed += e.RowsChanged
	if !e.Stream {
		sum.spread.add(e.Took)
	}
}

// write adds the sum to the stored one.
func (s *hourSum) write(c *sqlite.Conn, key hourKey) error {
	found, err := s.update(c, key)
	if err != nil || found {
		return err
	}
	cells, err := c.Int("SELECT count(*) FROM (SELECT 1 FROM hours WHERE project_id = ? AND hour = ? LIMIT ?)", key.projectID, key.hour, maxCells)
	if err != nil {
		return err
	}
	if cells >= maxCells {
		key.tokenID, key.route, key.table = 0, "", ""
		if found, err = s.update(c, key); err != nil || found {
			return err
		}
	}
	return c.Exec("INSERT INTO hours (project_id, hour, token_id, route, tab, calls, errors, bytes_in, bytes_out, rows_read, rows_changed, spread) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		key.projectID, key.hour, key.tokenID, key.route, key.table, s.calls, s.errors, s.in, s.out, s.read, s.changed, s.spread.encode())
}

// update adds the sum to a stored one, if there is one.
func (s *hourSum) update(c *sqlite.Conn, key hourKey) (found bool, err error) {
	where := " WHERE project_id = ? AND hour = ? AND token_id = ? AND route = ? AND tab = ?"
	id := []any{key.projectID, key.hour, key.tokenID, key.route, key.table}
	err = c.Query("SELECT spread FROM hours"+where, id, func(row *sqlite.Stmt) error {
		found = true
		s.spread.addEncoded(row.Value(0).Bytes)
		return nil
	})
	if err != nil || !found {
		return found, err
	}
	return true, c.Exec(`
UPDATE hours
SET calls = calls + ?, errors = errors + ?, bytes_in = bytes_in + ?, bytes_out = bytes_out + ?, rows_read = rows_read + ?, rows_changed = rows_changed + ?, spread = ?`+where,
		append([]any{s.calls, s.errors, s.in, s.out, s.read, s.changed, s.spread.encode()}, id...)...)
}

// settle adds the runs that are over to the sums of their keys.
func (j *Journal) settle(c *sqlite.Conn) error {
	before := j.options.Now().Add(-Window).UnixNano()
	type ended struct {
		projectID              ids.Project
		tokenID                ids.Token
		id, key                string
		started, took          int64
		calls, failed, changed int64
	}
	var runs []ended
	err := c.Query(`
SELECT project_id, token_id, run_id, coalesce(operation_key, ''), started, ended - started, calls, failures, rows_changed
FROM runs INDEXED BY runs_open
WHERE settled = 0 AND calls > 0 AND last_call_at < ?
LIMIT 1000`, []any{before}, func(r *sqlite.Stmt) error {
		runs = append(runs, ended{ids.Project(r.Int(0)), ids.Token(r.Int(1)), r.Text(2), r.Text(3), r.Int(4), r.Int(5), r.Int(6), r.Int(7), r.Int(8)})
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range runs {
		sum := keySum{runs: 1, calls: r.calls, changed: r.changed, last: r.started, spread: spread{}}
		if r.failed > 0 {
			sum.failing = 1
		}
		sum.spread.add(time.Duration(r.took) * time.Microsecond)
		if err := sum.write(c, r.projectID, r.started/1e6/3600, r.key); err != nil {
			return err
		}
		if err := c.Exec("UPDATE runs SET settled = 1 WHERE project_id = ? AND token_id = ? AND run_id = ?", r.projectID, r.tokenID, r.id); err != nil {
			return err
		}
	}
	return nil
}

// keySum is what the runs of one key have come to.
type keySum struct {
	runs, failing, calls, changed int64
	last                          int64 // when the last one started, in microseconds since 1970
	spread                        spread
}

// maxKeys is how many keys an hour of a project has; runs of others are summed up
// without a key.
const maxKeys = 1000

// write adds the sum to that of its hour.
func (s *keySum) write(c *sqlite.Conn, projectID ids.Project, hour int64, key string) error {
	id := []any{projectID, hour, key}
	found := false
	err := c.Query("SELECT spread FROM key_hours WHERE project_id = ? AND hour = ? AND operation_key = ?", id, func(row *sqlite.Stmt) error {
		found = true
		s.spread.addEncoded(row.Value(0).Bytes)
		return nil
	})
	if err != nil {
		return err
	}
	if !found && key != "" {
		keys, err := c.Int("SELECT count(*) FROM (SELECT 1 FROM key_hours WHERE project_id = ? AND hour = ? LIMIT ?)", projectID, hour, maxKeys)
		if err != nil {
			return err
		}
		if keys >= maxKeys {
			return s.write(c, projectID, hour, "")
		}
	}
	return c.Exec(`
INSERT INTO key_hours (project_id, hour, operation_key, runs, failing, calls, rows_changed, last_run, spread)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
	runs = runs + excluded.runs,
	failing = failing + excluded.failing,
	calls = calls + excluded.calls,
	rows_changed = rows_changed + excluded.rows_changed,
	last_run = max(last_run, excluded.last_run),
	spread = excluded.spread`, append(id, s.runs, s.failing, s.calls, s.changed, s.last, s.spread.encode())...)
}
