package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

const (
	// sweepEvery is how often the journal looks for entries to remove.
	sweepEvery = time.Minute
	// sweepStep is how many rows one transaction removes: it takes about 10 ms.
	sweepStep = 1000
	// keepHours is how long the sums of hours are kept.
	keepHours = 13 * 31 * 24
)

func (j *Journal) readSecret() error {
	return j.db.Read(context.Background(), func(c *sqlite.Conn) error {
		return c.Query("SELECT value FROM secrets WHERE name = 'ids'", nil, func(s *sqlite.Stmt) error {
			j.secret = s.Value(0).Bytes
			return nil
		})
	})
}

// sweep settles runs and removes some of what is too old or too much, and reports
// whether nothing is left to be removed.
func (j *Journal) sweep() (done bool, err error) {
	j.storing.Lock()
	defer j.storing.Unlock()
	err = j.write(context.Background(), func(c *sqlite.Conn) error {
		if err := j.settle(c); err != nil {
			return err
		}
		for _, remove := range []func(*sqlite.Conn) (int64, error){removeForgotten, j.removeHours, j.removeOld, j.removeExcess} {
			n, err := remove(c)
			if err != nil || n > 0 {
				return err
			}
		}
		done = true
		return nil
	})
	if j.damaged(err) {
		return true, nil
	}
	return done || err != nil, err
}

// removeOld removes entries that are too old.
func (j *Journal) removeOld(c *sqlite.Conn) (int64, error) {
	before := place(j.options.Now().Add(-j.options.KeepFor))
	projectID, first, err := oldest(c)
	if err != nil || first == 0 || first >= before {
		return 0, err
	}
	return removeFirst(c, projectID, before)
}

// removeExcess removes the oldest entries while the file is too large.
func (j *Journal) removeExcess(c *sqlite.Conn) (int64, error) {
	used, err := c.Int("SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s")
	if err != nil || used <= j.options.KeepBytes {
		return 0, err
	}
	projectID, first, err := oldest(c)
	if err != nil || first == 0 {
		return 0, err
	}
	return removeFirst(c, projectID, place(j.options.Now().Add(time.Hour)))
}

// projectsIn begins a statement that selects from p the projects in a table whose key
// begins with them. SQLite finds each without passing over the rows of the one before.
func projectsIn(table string) string {
	return `
WITH RECURSIVE p (project_id) AS (
	SELECT min(project_id) FROM ` + table + `
	UNION ALL
	SELECT (SELECT min(project_id) FROM ` + table + ` WHERE project_id > p.project_id) FROM p WHERE p.project_id IS NOT NULL
)`
}

// oldest returns the project with the oldest entry, and its place; 0 for none.
func oldest(c *sqlite.Conn) (projectID ids.Project, first int64, err error) {
	err = c.Query(projectsIn("requests")+`
SELECT project_id, (SELECT min(id) FROM requests WHERE project_id = p.project_id) AS first
FROM p
WHERE project_id IS NOT NULL
ORDER BY first
LIMIT 1`, nil, func(s *sqlite.Stmt) error {
		projectID, first = ids.Project(s.Int(0)), s.Int(1)
		return nil
	})
	return projectID, first, err
}

// removeFirst removes the first entries of a project before a place.
func removeFirst(c *sqlite.Conn, projectID ids.Project, before int64) (int64, error) {
	err := c.Exec(`
DELETE FROM requests
WHERE project_id = ?1 AND id <= (
	SELECT max(id)
	FROM (SELECT id FROM requests WHERE project_id = ?1 AND id < ?2 ORDER BY id LIMIT ?3)
)`, projectID, before, sweepStep)
	return c.Changes(), err
}

// removeHours removes sums that are too old, of one project after the other.
func (j *Journal) removeHours(c *sqlite.Conn) (n int64, err error) {
	before := j.options.Now().Unix()/3600 - keepHours
	for _, table := range [...]string{"hours", "key_hours"} {
		var projectID int64
		err := c.Query(projectsIn(table)+`
SELECT project_id
FROM p
WHERE (SELECT min(hour) FROM `+table+` WHERE project_id = p.project_id) < ?
LIMIT 1`, []any{before}, func(s *sqlite.Stmt) error {
			projectID = s.Int(0)
			return nil
		})
		if err != nil {
			return n, err
		}
		if projectID == 0 {
			continue
		}
		if err := c.Exec("DELETE FROM "+table+" WHERE project_id = ? AND hour < ?", projectID, before); err != nil {
			return n, err
		}
		n += c.Changes()
	}
	return n, nil
}

// Forget removes everything about a project. It may be called more than once. Many
// entries are removed in the background.
func (j *Journal) Forget(ctx context.Context, projectID ids.Project) error {
	j.forgottenMu.Lock()
	j.forgotten[projectID] = true
	j.forgottenMu.Unlock()
	j.storing.Lock()
	defer j.storing.Unlock()
	for i := range j.shards {
		j.shards[i].forget(projectID)
	}
	err := j.write(ctx, func(c *sqlite.Conn) error {
		for _, table := range [...]string{"names", "runs", "hours", "key_hours"} {
			if err := c.Exec("DELETE FROM "+table+" WHERE project_id = ?", projectID); err != nil {
				return err
			}
		}
		if err := c.Exec("INSERT INTO forgotten (project_id) VALUES (?) ON CONFLICT DO NOTHING", projectID); err != nil {
			return err
		}
		_, err := removeForgotten(c)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the runs and requests of project %d: %w", projectID, storage.Explain(err))
	}
	j.sweepSoon()
	return nil
}

// removeForgotten removes entries of a project that is gone.
func removeForgotten(c *sqlite.Conn) (n int64, err error) {
	projectID, err := c.Int("SELECT coalesce(min(project_id), 0) FROM forgotten")
	if err != nil || projectID == 0 {
		return 0, err
	}
	if n, err = removeFirst(c, ids.Project(projectID), 1<<62); err != nil || n == sweepStep {
		return n, err
	}
	return n + 1, c.Exec("DELETE FROM forgotten WHERE project_id = ?", projectID)
}

// sweepSoon makes the journal look for entries to remove.
func (j *Journal) sweepSoon() {
	select {
	case j.sweepNow <- struct{}{}:
	default:
	}
}
