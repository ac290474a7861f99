package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Store holds the jobs of one kind, each as an R: a row of a table in a database of its
// own. The table has the columns seq, id, project_id, root, status, attempt and
// expires_at, among others; beside it are the tables and triggers of [QueueSchema],
// [HistorySchema] and [ReceiptSchema]. attempt counts how often the job has begun since
// it was last requested. expires_at is when a job that is uploading or ready expires, in
// milliseconds, or NULL.
type Store[R any] struct {
	DB       *sqlite.DB
	Room     *storage.Room // on the disk; nil: free space is not watched
	OnDamage func(error)   // see [Config]
	Table    string        // the table's name, which is also what clients call the jobs
	Job      string        // what clients call one job
	Columns  string        // of a record, in the order in which Scan reads them
	Scan     func(*sqlite.Stmt) (*R, error)
	Prunable string   // the condition for a record that is kept only to be looked at
	Measured []string // the columns that may be large
}

// Write runs fn in a write transaction. fn may run more than once.
func (st Store[R]) Write(ctx context.Context, action string, fn func(*sqlite.Conn) error) error {
	if err := st.Room.Free(func() error { return st.DB.Write(ctx, fn) }); err != nil {
		return fmt.Errorf("%s: %w", action, st.explain(err))
	}
	return nil
}

// Read runs fn in a read transaction.
func (st Store[R]) Read(ctx context.Context, action string, fn func(*sqlite.Conn) error) error {
	if err := st.DB.Read(ctx, fn); err != nil {
		return fmt.Errorf("%s: %w", action, st.explain(err))
	}
	return nil
}

// explain turns a database failure into a problem. A damaged database is set aside at
// the next start: until then others may be reading it.
func (st Store[R]) explain(err error) error {
	if sqlite.FaultOf(err) != sqlite.Damaged {
		return storage.Explain(err)
	}
	if st.OnDamage != nil {
		st.OnDamage(err)
	}
	return problem.New(problem.CodeBusy, "The list of %s is damaged and cannot be used until the server is restarted.", st.Table).Retry(time.Minute).Because(err)
}

// each calls fn with each record that satisfies a condition, which may include an ORDER
// BY.
func (st Store[R]) each(c *sqlite.Conn, condition string, args []any, fn func(*R) error) error {
	return c.Query("SELECT "+st.Columns+" FROM "+st.Table+" WHERE "+condition, args, func(s *sqlite.Stmt) error {
		r, err := st.Scan(s)
		if err != nil {
			return fmt.Errorf("decode a record of the %s: %w", st.Table, err)
		}
		return fn(r)
	})
}

// Select returns the records that satisfy a condition.
func (st Store[R]) Select(c *sqlite.Conn, condition string, args ...any) (list []*R, err error) {
	err = st.each(c, condition, args, func(r *R) error {
		list = append(list, r)
		return nil
	})
	return list, err
}

// Projects returns the projects of the jobs that satisfy a condition, by job id.
func (st Store[R]) Projects(ctx context.Context, condition string) (map[string]ids.Project, error) {
	projects := map[string]ids.Project{}
	err := st.Read(ctx, "list the projects of "+st.Table, func(c *sqlite.Conn) error {
		return c.Query("SELECT id, project_id FROM "+st.Table+" WHERE "+condition, nil, func(s *sqlite.Stmt) error {
			projects[s.Text(0)] = ids.Project(s.Int(1))
			return nil
		})
	})
	return projects, err
}

// Counts is how many jobs are pending and how many are running.
type Counts struct{ Pending, Running int64 }

// Counts counts the jobs of all projects.
func (st Store[R]) Counts(ctx context.Context) (n Counts, err error) {
	err = st.Read(ctx, "count "+st.Table, func(c *sqlite.Conn) error {
		const query = `
SELECT coalesce(sum(pending), 0) + (SELECT count(*) FROM %s WHERE status = 'pending' AND attempt > 0), coalesce(sum(running), 0)
FROM turns`
		return c.Query(fmt.Sprintf(query, st.Table), nil, func(s *sqlite.Stmt) error {
			n = Counts{s.Int(0), s.Int(1)}
			return nil
		})
	})
	return n, err
}

// Get returns one job of a project, or not_found.
func (st Store[R]) Get(c *sqlite.Conn, projectID ids.Project, id string) (*R, error) {
	found, err := st.Select(c, "id = ? AND project_id = ?", id, projectID)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problem.NotFound("The "+st.Job, id)
	}
	return found[0], nil
}

// Find is Get in a transaction of its own.
func (st Store[R]) Find(ctx context.Context, projectID ids.Project, id string) (r *R, err error) {
	err = st.Read(ctx, "read the "+st.Job+" "+id, func(c *sqlite.Conn) error {
		r, err = st.Get(c, projectID, id)
		return err
	})
	return r, err
}

// errEnough ends a listing.
var errEnough = errors.New("enough")

// selection says which jobs of a project to list.
type selection struct {
	condition string // for the records
	args      []any  // of the condition
	skip      int    // how many of these to pass over
	offset    int    // how many to pass over of those that are shown
	limit     int
	within    time.Duration
}

// page returns jobs of a project, newest first, as converted by show, and whether there
// are more. Records that show skips do not count.
func page[R, M any](ctx context.Context, st Store[R], projectID ids.Project, o selection, show func(*R) (m M, wanted bool)) (list []M, more bool, err error) {
	list = []M{}
	args := slices.Concat([]any{projectID}, o.args, []any{o.skip})
	err = st.DB.ReadWithin(ctx, sqlite.Deadlines{Run: o.within}, func(c *sqlite.Conn) error {
		return st.each(c, "project_id = ? AND ("+o.condition+") ORDER BY seq DESC LIMIT -1 OFFSET ?", args, func(r *R) error {
			m, wanted := show(r)
			switch {
			case !wanted:
			case o.offset > 0:
				o.offset--
			case len(list) == o.limit:
				return errEnough
			default:
				list = append(list, m)
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, errEnough):
		return list, true, nil
	case errors.Is(err, sqlite.ErrTooLong):
		err = problem.New(problem.CodeQueryTimeout, "Listing the %s took longer than %s. Use a smaller offset, or list another status.", st.Table, o.within).Because(err)
	case err != nil:
		err = fmt.Errorf("list the %s of project %d: %w", st.Table, projectID, st.explain(err))
	}
	return list, false, err
}

// PutBack makes a running job that was stopped through no fault of its own pending
// again.
func (st Store[R]) PutBack(ctx context.Context, id string) error {
	return st.Write(ctx, "put the "+st.Job+" "+id+" back", func(c *sqlite.Conn) error {
		return c.Exec("UPDATE "+st.Table+" SET status = 'pending', attempt = attempt - 1 WHERE id = ? AND status = 'running'", id)
	})
}

// RemoveProject removes the jobs of a project and their receipts.
func (st Store[R]) RemoveProject(ctx context.Context, projectID ids.Project) error {
	return st.Write(ctx, fmt.Sprintf("remove the %s of project %d", st.Table, projectID), func(c *sqlite.Conn) error {
		for _, table := range []string{"receipts", st.Table} {
			if err := c.Exec("DELETE FROM "+table+" WHERE project_id = ?", projectID); err != nil {
				return err
			}
		}
		return forgetQueue(c, projectID)
	})
}

// TimeValue returns the stored form of a time: milliseconds since 1970, and NULL for
// the zero time.
func TimeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// ReadTime returns the time in a column of s.
func ReadTime(s *sqlite.Stmt, column int) time.Time {
	if s.IsNull(column) {
		return time.Time{}
	}
	return time.UnixMilli(s.Int(column))
}
