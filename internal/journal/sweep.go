package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	pruned := j.pruned
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
		pruned, err = j.prune(c, pruned)
		done = pruned.over()
		return err
	})
	if err == nil {
		j.pruned = pruned
	}
	if j.damaged(err) {
		return true, nil
	}
	return done || err != nil, err
}

// pruning is how far the removal of old runs and their names has come.
type pruning struct {
	walk  int   // of walks; all of them: it is over
	after []any // the key of the last row that was looked at; nil at the beginning
}

// walk is a table that old rows are removed from, in the order of its key. The last
// column of the key is a text, the others are numbers.
type walk struct{ table, key, old string }

// walks are the runs, and then the names, which follow their runs.
var walks = [...]walk{
	{"runs", "project_id, token_id, run_id", "last_call_at < ?"},
	{"names", "project_id, token_id, kind, name", `? IS NOT NULL AND NOT EXISTS (
	SELECT 1
	FROM runs
	WHERE project_id = names.project_id AND token_id = names.token_id AND run_id = names.run_id
)`},
}

func (w walk) columns() int { return strings.Count(w.key, ",") + 1 }

// compared is a condition on the key, with a parameter for each column.
func (w walk) compared(operator string) string {
	return "(" + w.key + ") " + operator + " (" + strings.Repeat("?, ", w.columns()-1) + "?)"
}

// step selects the key of the last row to be looked at, after the given number of rows.
func (w walk) step(begun bool) string {
	where := ""
	if begun {
		where = " WHERE " + w.compared(">")
	}
	return "SELECT " + w.key + " FROM " + w.table + where + " ORDER BY " + w.key + " LIMIT 1 OFFSET ?"
}

// removal removes the old rows between two keys.
func (w walk) removal(begun, ends bool) string {
	sql := "DELETE FROM " + w.table + " WHERE " + w.old
	if begun {
		sql += " AND " + w.compared(">")
	}
	if ends {
		sql += " AND " + w.compared("<=")
	}
	return sql
}

func (p pruning) over() bool { return p.walk == len(walks) }

// prune goes on with the removal of runs that are too old, and then of names without a
// run. It looks at a few rows only.
func (j *Journal) prune(c *sqlite.Conn, from pruning) (to pruning, err error) {
	if from.over() {
		return from, nil
	}
	w, begun := walks[from.walk], from.after != nil
	to = pruning{walk: from.walk + 1} // unless there are more rows
	err = c.Query(w.step(begun), append(slices.Clone(from.after), sweepStep-1), func(s *sqlite.Stmt) error {
		to = pruning{walk: from.walk}
		for i := range w.columns() - 1 {
			to.after = append(to.after, s.Int(i))
		}
		to.after = append(to.after, s.Text(w.columns()-1))
		return nil
	})
	if err != nil {
		return from, err
	}
	args := append([]any{j.options.Now().Add(-Retention).UnixNano()}, from.after...)
	return to, c.Exec(w.removal(begun, to.after != nil), append(args, to.after...)...)
}

// removeOld removes entries that are too old.
func (j *Journal) removeOld(c *sqlite.Conn) (int64, error) {
	if j.options.KeepFor < 0 {
		return 0, nil
	}
	before := place(j.options.Now().Add(-j.options.KeepFor))
	projectID, first, err := oldest(c)
	if err != nil || first == 0 || first >= before {
		return 0, err
	}
	return removeFirst(c, projectID, before)
}

// removeExcess removes the oldest entries while the file is too large.
func (j *Journal) removeExcess(c *sqlite.Conn) (int64, error) {
	if j.options.KeepBytes < 0 {
		return 0, nil
	}
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
	for _, table := range [...]table{hoursTable, keyHoursTable} {
		var projectID int64
		err := c.Query(projectsIn(table.name)+`
SELECT project_id
FROM p
WHERE (SELECT min(hour) FROM `+table.name+` WHERE project_id = p.project_id) < ?
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
		if err := c.Exec(table.removal("project_id = ? AND hour < ?"), projectID, before, sweepStep); err != nil {
			return n, err
		}
		n += c.Changes()
	}
	return n, nil
}

// Forget makes the journal forget a project: nothing about it is found or recorded from
// now on. Its rows are removed in the background, a few at a time. Forget may be called
// more than once.
func (j *Journal) Forget(ctx context.Context, projectID ids.Project) error {
	j.forgottenMu.Lock()
	j.forgotten[projectID] = true
	j.forgottenMu.Unlock()
	for i := range j.shards {
		j.shards[i].forget(projectID)
	}
	j.storing.Lock()
	defer j.storing.Unlock()
	err := j.write(ctx, func(c *sqlite.Conn) error {
		return c.Exec("INSERT INTO forgotten (project_id) VALUES (?) ON CONFLICT DO NOTHING", projectID)
	})
	if err != nil {
		return fmt.Errorf("forget the runs and requests of project %d: %w", projectID, storage.Explain(err))
	}
	j.sweepSoon()
	return nil
}

// table is a table of the journal with its primary key.
type table struct{ name, key string }

var (
	hoursTable    = table{"hours", "project_id, hour, token_id, route, tab"}
	keyHoursTable = table{"key_hours", "project_id, hour, operation_key"}
)

// forgettable are the tables with rows of projects. Sums of keys come after the runs,
// which are added to them when they are over.
var forgettable = [...]table{
	{"requests", "project_id, id"},
	{"names", "project_id, token_id, kind, name"},
	{"runs", "project_id, token_id, run_id"},
	hoursTable,
	keyHoursTable,
}

// removal removes rows for which a condition holds, at most as many as its last
// parameter says, and finds them by their key.
func (t table) removal(where string) string {
	return "DELETE FROM " + t.name + " WHERE (" + t.key + ") IN (SELECT " + t.key + " FROM " + t.name + " WHERE " + where + " LIMIT ?)"
}

// removeForgotten removes some rows of a project that is gone, and returns how many.
func removeForgotten(c *sqlite.Conn) (n int64, err error) {
	projectID, err := c.Int("SELECT coalesce(min(project_id), 0) FROM forgotten")
	if err != nil || projectID == 0 {
		return 0, err
	}
	for _, t := range forgettable {
		err := c.Exec(t.removal("project_id = ?"), projectID, sweepStep)
		if err != nil || c.Changes() > 0 {
			return c.Changes(), err
		}
	}
	return 1, c.Exec("DELETE FROM forgotten WHERE project_id = ?", projectID)
}

// sweepSoon makes the journal look for entries to remove.
func (j *Journal) sweepSoon() {
	select {
	case j.sweepNow <- struct{}{}:
	default:
	}
}
