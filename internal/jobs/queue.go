package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// MaxAttempts is how many attempts a job gets when the server crashes during each.
// After the first crash it waits until no other job is pending and runs alone; after
// the second it has failed.
const MaxAttempts = 2

// QueueSchema returns the migration that gives a table of jobs its queue. It must never
// change: later changes are further migrations.
//
// Jobs wait in one queue per project, and projects take turns together with the project
// that they were made from, their root. The counters in queues and turns follow the
// jobs through triggers, so that no statement has to read all jobs to find the next
// one. A job that was running when the server crashed (attempt > 0) is pending, but in
// no queue: see [Store.ClaimSuspect].
func QueueSchema(table string) string { return strings.ReplaceAll(queueSchema, "@jobs", table) }

const queueSchema = `
ALTER TABLE @jobs ADD COLUMN root INTEGER NOT NULL DEFAULT 0;
UPDATE @jobs SET root = project_id;
DROP INDEX @jobs_by_turn;
DROP INDEX @jobs_unsettled;
CREATE INDEX @jobs_queued ON @jobs (project_id, seq) WHERE status = 'pending' AND attempt = 0;
CREATE INDEX @jobs_suspect ON @jobs (seq) WHERE status = 'pending' AND attempt > 0;
CREATE INDEX @jobs_running ON @jobs (project_id) WHERE status = 'running';

CREATE TABLE turns (
	root    INTEGER PRIMARY KEY,
	turn    INTEGER NOT NULL DEFAULT 0, -- grows with every job that begins
	since   INTEGER NOT NULL,           -- seq of the job with which the queue began to fill
	pending INTEGER NOT NULL DEFAULT 0,
	running INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX turns_waiting ON turns (running, turn, since) WHERE pending > 0;
CREATE INDEX turns_running ON turns (running) WHERE running > 0;
CREATE INDEX turns_by_turn ON turns (turn);
CREATE TABLE queues (
	project_id INTEGER PRIMARY KEY,
	root       INTEGER NOT NULL,
	turn       INTEGER NOT NULL DEFAULT 0,
	since      INTEGER NOT NULL,
	pending    INTEGER NOT NULL DEFAULT 0,
	running    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX queues_waiting ON queues (root, turn, since) WHERE pending > 0;
CREATE INDEX queues_by_root ON queues (root);

INSERT INTO turns (root, turn, since, pending, running)
SELECT root, coalesce(max(turn), 0), coalesce(min(seq) FILTER (WHERE status = 'pending'), 0),
	count(*) FILTER (WHERE status = 'pending' AND attempt = 0), count(*) FILTER (WHERE status = 'running')
FROM @jobs GROUP BY root;
INSERT INTO queues (project_id, root, turn, since, pending, running)
SELECT root, root, turn, since, pending, running FROM turns;
ALTER TABLE @jobs DROP COLUMN turn;

CREATE TRIGGER @jobs_enter AFTER INSERT ON @jobs
WHEN new.status IN ('pending', 'running')
BEGIN
	INSERT OR IGNORE INTO turns (root, since) VALUES (new.root, new.seq);
	INSERT OR IGNORE INTO queues (project_id, root, since) VALUES (new.project_id, new.root, new.seq);
	UPDATE turns SET
		since = CASE WHEN pending > 0 THEN since ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0),
		running = running + (new.status = 'running')
	WHERE root = new.root;
	UPDATE queues SET
		since = CASE WHEN pending > 0 THEN since ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0),
		running = running + (new.status = 'running')
	WHERE project_id = new.project_id;
END;
CREATE TRIGGER @jobs_go_on AFTER UPDATE OF status, attempt ON @jobs
WHEN (old.status, old.attempt) <> (new.status, new.attempt)
	AND (old.status IN ('pending', 'running') OR new.status IN ('pending', 'running'))
BEGIN
	INSERT OR IGNORE INTO turns (root, since) VALUES (new.root, new.seq);
	INSERT OR IGNORE INTO queues (project_id, root, since) VALUES (new.project_id, new.root, new.seq);
	UPDATE turns SET
		since = CASE WHEN new.status <> 'pending' THEN since WHEN pending > 0 THEN min(since, new.seq) ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0) - (old.status = 'pending' AND old.attempt = 0),
		running = running + (new.status = 'running') - (old.status = 'running')
	WHERE root = new.root;
	UPDATE queues SET
		since = CASE WHEN new.status <> 'pending' THEN since WHEN pending > 0 THEN min(since, new.seq) ELSE new.seq END,
		pending = pending + (new.status = 'pending' AND new.attempt = 0) - (old.status = 'pending' AND old.attempt = 0),
		running = running + (new.status = 'running') - (old.status = 'running')
	WHERE project_id = new.project_id;
END;
CREATE TRIGGER @jobs_leave AFTER DELETE ON @jobs
WHEN old.status IN ('pending', 'running')
BEGIN
	UPDATE turns SET
		pending = pending - (old.status = 'pending' AND old.attempt = 0),
		running = running - (old.status = 'running')
	WHERE root = old.root;
	UPDATE queues SET
		pending = pending - (old.status = 'pending' AND old.attempt = 0),
		running = running - (old.status = 'running')
	WHERE project_id = old.project_id;
END;
`

// forgetQueue removes the queue of a removed project. The turn of its root stays for as
// long as other projects share it: removing a project and making another must not put
// anyone first.
func forgetQueue(c *sqlite.Conn, projectID ids.Project) error {
	for _, table := range []string{"queues", "history"} {
		if err := c.Exec("DELETE FROM "+table+" WHERE project_id = ?", projectID); err != nil {
			return err
		}
	}
	return c.Exec("DELETE FROM turns WHERE root = ?1 AND NOT EXISTS (SELECT 1 FROM queues WHERE root = ?1)", projectID)
}

// Limits limits how many jobs may run at once.
type Limits struct {
	Workers    int // for all projects, plus one more job for a root that has none running
	PerProject int
}

// Claim marks the next pending job as running and returns it, or nil if there is none.
// begin, if not nil, makes further updates to the record in the same transaction.
//
// Among the roots with pending jobs, Claim picks the one with the fewest running jobs
// and, among equals, the longest time since its last turn; then by the same rule one of
// its projects with fewer than PerProject running jobs; and then the oldest job of that
// project. While all workers are busy, one more job may run, of a root that has none
// running: those who request work without end delay only themselves.
func (st Store[R]) Claim(ctx context.Context, limits Limits, begin func(c *sqlite.Conn, id string) error) (r *R, err error) {
	return st.claim(ctx, begin, func(c *sqlite.Conn) (string, error) {
		running, err := c.Int("SELECT coalesce(sum(running), 0) FROM turns WHERE running > 0")
		if err != nil || running > int64(limits.Workers) {
			return "", err
		}
		ofRoot := running // how many jobs of the same root may already be running
		if running == int64(limits.Workers) {
			ofRoot = 0
		}
		return c.Text(fmt.Sprintf(`
SELECT id FROM %[1]s
WHERE status = 'pending' AND attempt = 0 AND project_id = (
	SELECT project FROM (
		SELECT (SELECT project_id FROM queues WHERE root = t.root AND pending > 0 AND running < ?1 ORDER BY turn, since LIMIT 1) AS project
		FROM turns AS t
		WHERE pending > 0 AND running <= ?2
		ORDER BY running, turn, since
	)
	WHERE project IS NOT NULL
	LIMIT 1
)
ORDER BY seq LIMIT 1`, st.Table), limits.PerProject, ofRoot)
	})
}

// ClaimSuspect is Claim for the jobs that were running when the server crashed, oldest
// first. It returns nil as long as any other job is pending or running.
func (st Store[R]) ClaimSuspect(ctx context.Context, begin func(c *sqlite.Conn, id string) error) (r *R, err error) {
	return st.claim(ctx, begin, func(c *sqlite.Conn) (string, error) {
		return c.Text(fmt.Sprintf(`
SELECT id FROM %[1]s
WHERE status = 'pending' AND attempt > 0
	AND NOT EXISTS (SELECT 1 FROM turns WHERE pending > 0) AND NOT EXISTS (SELECT 1 FROM turns WHERE running > 0)
ORDER BY seq LIMIT 1`, st.Table))
	})
}

// claim marks the job whose id next returns as running.
func (st Store[R]) claim(ctx context.Context, begin func(c *sqlite.Conn, id string) error, next func(*sqlite.Conn) (id string, err error)) (r *R, err error) {
	err = st.Write(ctx, "claim one of the "+st.Table, func(c *sqlite.Conn) error {
		r = nil
		id, err := next(c)
		if err != nil || id == "" {
			return err
		}
		if err := st.begin(c, id); err != nil {
			return err
		}
		if begin != nil {
			if err := begin(c, id); err != nil {
				return err
			}
		}
		return st.each(c, "id = ?", []any{id}, func(claimed *R) error {
			r = claimed
			return nil
		})
	})
	return r, err
}

// begin marks a job as running, and records the turn of its project and root.
func (st Store[R]) begin(c *sqlite.Conn, id string) error {
	if err := c.Exec("UPDATE "+st.Table+" SET status = 'running', attempt = attempt + 1 WHERE id = ?", id); err != nil {
		return err
	}
	turn, err := c.Int("SELECT coalesce(max(turn), 0) + 1 FROM turns")
	if err != nil {
		return err
	}
	if err := c.Exec("UPDATE turns SET turn = ? WHERE root = (SELECT root FROM "+st.Table+" WHERE id = ?)", turn, id); err != nil {
		return err
	}
	return c.Exec("UPDATE queues SET turn = ? WHERE project_id = (SELECT project_id FROM "+st.Table+" WHERE id = ?)", turn, id)
}

// Places returns the places in the queue of a project's pending jobs, by id: 1 for the
// job that would be claimed next.
func (st Store[R]) Places(ctx context.Context, projectID ids.Project, ids ...string) (places map[string]int64, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = st.Read(ctx, "read the queue of "+st.Table, func(c *sqlite.Conn) error {
		places = map[string]int64{}
		line, err := readLine(c, projectID)
		if err != nil {
			return err
		}
		return st.eachQueued(c, projectID, ids, func(id string, suspect bool, behind int64) error {
			if !suspect {
				places[id] = line.place(behind)
				return nil
			}
			ahead, err := c.Int("SELECT count(*) FROM "+st.Table+" WHERE status = 'pending' AND attempt > 0 AND seq <= (SELECT seq FROM "+st.Table+" WHERE id = ?)", id)
			places[id] = line.waiting() + ahead
			return err
		})
	})
	return places, err
}

// eachQueued calls fn with each of the given jobs that is pending, newest first, and
// with how many jobs of the project are queued behind it. It counts from the end of the
// queue, because a new job has few behind it, however many are ahead.
func (st Store[R]) eachQueued(c *sqlite.Conn, projectID ids.Project, ids []string, fn func(id string, suspect bool, behind int64) error) error {
	type queued struct {
		seq     int64
		id      string
		suspect bool
	}
	var list []queued
	for _, id := range ids {
		err := c.Query("SELECT seq, attempt > 0 FROM "+st.Table+" WHERE id = ? AND project_id = ? AND status = 'pending'", []any{id, projectID}, func(s *sqlite.Stmt) error {
			list = append(list, queued{s.Int(0), id, s.Int(1) != 0})
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(list, func(x, y queued) int { return cmp.Compare(y.seq, x.seq) })
	behind, counted := int64(0), int64(1)<<62
	for _, q := range list {
		n, err := c.Int("SELECT count(*) FROM "+st.Table+" WHERE status = 'pending' AND attempt = 0 AND project_id = ? AND seq > ? AND seq <= ?", projectID, q.seq, counted)
		if err != nil {
			return err
		}
		behind, counted = behind+n, q.seq
		if err := fn(q.id, q.suspect, behind); err != nil {
			return err
		}
	}
	return nil
}

// line is what the place of a project's job depends on: the lengths of the queues, in
// the order of their turns, of the projects of its root and of all roots.
type line struct {
	projects, roots []int64
	project, root   int // indexes of the job's own queues
}

// readLine reads the queues that a project takes turns with.
func readLine(c *sqlite.Conn, projectID ids.Project) (l line, err error) {
	root, err := c.Int("SELECT root FROM queues WHERE project_id = ?", projectID)
	if err != nil {
		return l, err
	}
	note := func(list *[]int64, own *int, self int64) func(*sqlite.Stmt) error {
		return func(s *sqlite.Stmt) error {
			if s.Int(0) == self {
				*own = len(*list)
			}
			*list = append(*list, s.Int(1))
			return nil
		}
	}
	const projects = "SELECT project_id, pending FROM queues WHERE root = ? AND pending > 0 ORDER BY turn, since"
	const roots = "SELECT root, pending FROM turns WHERE pending > 0 ORDER BY running, turn, since"
	err = errors.Join(
		c.Query(projects, []any{root}, note(&l.projects, &l.project, int64(projectID))),
		c.Query(roots, nil, note(&l.roots, &l.root, root)))
	return l, err
}

// place returns the place of a job with that many jobs of its project behind it.
func (l line) place(behind int64) int64 {
	if len(l.projects) == 0 || len(l.roots) == 0 {
		return 0 // it has just begun
	}
	inProject := l.projects[l.project] - behind
	return round(l.roots, l.root, round(l.projects, l.project, inProject))
}

// round returns the place of the nth job of one queue among several that take turns:
// each round takes one job from every queue that is not empty.
func round(queues []int64, own int, nth int64) int64 {
	place := int64(0)
	for i, pending := range queues {
		if i <= own {
			place += min(pending, nth)
		} else {
			place += min(pending, nth-1)
		}
	}
	return place
}

// waiting returns how many jobs are queued.
func (l line) waiting() (n int64) {
	for _, pending := range l.roots {
		n += pending
	}
	return n
}
