package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

const (
	// maxQueued is how many entries wait to be stored. Of a longer burst, the rest is
	// dropped and counted: no call ever waits for the journal.
	maxQueued = 8192
	// enoughQueued is when they are stored at once.
	enoughQueued = maxQueued / 4
)

// Record hands an entry over to be stored. It never waits: if too many entries are
// waiting already, the entry is dropped and counted.
func (j *Journal) Record(e Entry) {
	if j.options.Off {
		return
	}
	e.clip()
	select {
	case j.queue <- &e:
		if len(j.queue) == enoughQueued {
			j.storeSoon()
		}
	default:
		j.dropped.Add(1)
	}
}

// Lag returns how many entries wait to be stored, and how many were dropped since the
// start because they came too fast or could not be stored.
func (j *Journal) Lag() (waiting, dropped int64) {
	return int64(len(j.queue)), j.dropped.Load()
}

// Failing reports whether the last entries were lost because they could not be stored.
func (j *Journal) Failing() bool { return j.failing.Load() }

// queued takes the entries that wait to be stored.
func (j *Journal) queued() (entries []*Entry) {
	for range maxQueued {
		select {
		case e := <-j.queue:
			if !j.isForgotten(e.ProjectID) {
				j.sanitize(e)
				entries = append(entries, e)
			}
		default:
			return entries
		}
	}
	return entries
}

// storeEntries writes entries, their runs and the sums of their hours.
func (j *Journal) storeEntries(entries []*Entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := j.options.Room.MayGrow()
	if err == nil {
		err = j.db.Exclusive(context.Background(), func(c *sqlite.Conn) error { return j.writeEntries(c, entries) })
	}
	j.failing.Store(err != nil)
	if err == nil {
		j.publish(entries)
		return nil
	}
	j.dropped.Add(int64(len(entries)))
	if j.damaged(err) {
		return nil
	}
	return fmt.Errorf("%d entries are dropped: %w", len(entries), err)
}

func (j *Journal) writeEntries(c *sqlite.Conn, entries []*Entry) error {
	runs, hours := map[runKey]*runSum{}, map[hourKey]*hourSum{}
	for _, e := range entries {
		if e.Operation != nil {
			sum, err := sumOf(c, runs, e)
			if err != nil {
				return err
			}
			sum.add(e)
		}
		if err := j.insert(c, e); err != nil {
			return err
		}
		addToHour(hours, e)
	}
	for key, sum := range runs {
		if err := sum.write(c, key); err != nil {
			return err
		}
	}
	for key, sum := range hours {
		if err := sum.write(c, key); err != nil {
			return err
		}
	}
	return nil
}

// place returns the id of an entry that began at a time: microseconds since 1970, with
// room for several entries in each.
func place(at time.Time) int64 { return at.UnixMicro() << placeBits }

// placeBits is how much room there is for entries of the same microsecond.
const placeBits = 10

// entryColumns are the columns of an entry, in the order in which insert and scan use
// them.
const entryColumns = `id, request_id, token_id, token_name, user, source, method, route, tab, kind, object, created,
	status, code, fields, took, waited, worked, sending, bytes_in, bytes_out, rows_read, rows_changed,
	run_id, operation_key, grouping, retry_of, address, user_agent, traceparent, statement, parameters, table_id`

var insertEntry = "INSERT INTO requests (project_id, " + entryColumns + ") VALUES (?" + strings.Repeat(", ?", 33) + ") ON CONFLICT DO NOTHING"

// insert stores one entry at a free place, from its time on.
func (j *Journal) insert(c *sqlite.Conn, e *Entry) error {
	var key, runID, status any
	if o := e.Operation; o != nil {
		runID, status = o.RunID, string(o.Status)
		if o.Key != nil {
			key = *o.Key
		}
	}
	id := place(e.Began)
	for range maxQueued {
		err := c.Exec(insertEntry, e.ProjectID, id, e.RequestID, e.TokenID, orNull(e.TokenName), orNull(e.User), e.Source, e.Method, e.Route,
			orNull(e.Table), orNull(e.Kind), orNull(e.Object), e.Created, e.Status, orNull(e.Code), orNull(strings.Join(e.Fields, "\n")),
			e.Took.Microseconds(), e.Waited.Microseconds(), e.Worked.Microseconds(), e.Sending.Microseconds(),
			e.BytesIn, e.BytesOut, e.RowsRead, e.RowsChanged, runID, key, status, orNull(e.retryOf),
			orNull(j.address(e.Address)), orNull(e.UserAgent), orNull(e.TraceParent), orNull(e.Statement), orNull(e.Parameters), e.TableID)
		if err != nil || c.Changes() > 0 {
			return err
		}
		if id, err = c.Int("SELECT max(id) + 1 FROM requests WHERE project_id = ? AND id BETWEEN ? AND ?", e.ProjectID, id, id|(1<<placeBits-1)); err != nil {
			return err
		}
	}
	return nil
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// runKey identifies a run.
type runKey struct {
	caller Caller
	id     string
}

// runSum is what calls add to their run.
type runSum struct {
	key, tokenName      string
	started, ended      int64 // microseconds since 1970; started is 0 without calls
	calls, failures     int64
	took, read, changed int64
	tables, artifacts   []string
	failuresBefore      int64
}

// maxMentions is how many tables and artifacts of a run are remembered.
const maxMentions = 50

// sumOf returns the sum of the run of an entry, and finds out which call the entry
// repeats: the last one on the same route and object in the run, if that failed.
func sumOf(c *sqlite.Conn, runs map[runKey]*runSum, e *Entry) (*runSum, error) {
	key := runKey{Caller{e.ProjectID, e.TokenID}, e.Operation.RunID}
	sum := runs[key]
	if sum == nil {
		sum = &runSum{}
		runs[key] = sum
		n, err := c.Int("SELECT coalesce(max(failures), 0) FROM runs WHERE project_id = ? AND token_id = ? AND run_id = ?", e.ProjectID, e.TokenID, key.id)
		if err != nil {
			return nil, err
		}
		sum.failuresBefore = n
	}
	if sum.failuresBefore+sum.failures == 0 {
		return sum, nil
	}
	var err error
	e.retryOf, err = c.Text(`
SELECT coalesce(max(request_id), '')
FROM (
	SELECT request_id, status
	FROM requests
	WHERE project_id = ? AND run_id = ? AND id < ? AND token_id = ? AND method = ? AND route = ? AND coalesce(tab, '') = ?
		AND (coalesce(object, '') = ? OR ?)
	ORDER BY id DESC
	LIMIT 1
)
WHERE status >= 400`, e.ProjectID, key.id, place(e.Began.Add(time.Microsecond)), e.TokenID, e.Method, e.Route, e.Table, e.Object, e.Created)
	return sum, err
}

func (s *runSum) add(e *Entry) {
	began := e.Began.UnixMicro()
	if s.calls == 0 || began < s.started {
		s.started = began
	}
	s.ended = max(s.ended, e.Began.Add(e.Took).UnixMicro())
	s.calls++
	if e.Status >= 400 {
		s.failures++
	}
	s.took += e.Took.Microseconds()
	s.read += e.RowsRead
	s.changed += e.RowsChanged
	s.tokenName = e.TokenName
	if e.Operation.Key != nil {
		s.key = *e.Operation.Key
	}
	s.tables = mention(s.tables, e.Table)
	if e.Created {
		s.artifacts = mention(s.artifacts, e.Object)
	}
}

// mention adds a name to a list of different names.
func mention(list []string, name string) []string {
	if name == "" || len(list) >= maxMentions || slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// write adds the sum to the stored run.
func (s *runSum) write(c *sqlite.Conn, key runKey) error {
	id := []any{key.caller.ProjectID, key.caller.TokenID, key.id}
	err := c.Query("SELECT coalesce(tables, ''), coalesce(artifacts, '') FROM runs WHERE project_id = ? AND token_id = ? AND run_id = ?", id, func(row *sqlite.Stmt) error {
		before := runSum{tables: lines(row.Text(0)), artifacts: lines(row.Text(1))}
		for _, name := range s.tables {
			before.tables = mention(before.tables, name)
		}
		for _, name := range s.artifacts {
			before.artifacts = mention(before.artifacts, name)
		}
		s.tables, s.artifacts = before.tables, before.artifacts
		return nil
	})
	if err != nil {
		return err
	}
	return c.Exec(`
INSERT INTO runs (project_id, token_id, run_id, last_call_at, operation_key, token_name, started, ended, calls, failures, took, rows_read, rows_changed, tables, artifacts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT DO UPDATE SET
	last_call_at = max(last_call_at, excluded.last_call_at),
	operation_key = coalesce(excluded.operation_key, operation_key),
	token_name = excluded.token_name,
	started = min(coalesce(started, excluded.started), excluded.started),
	ended = max(coalesce(ended, excluded.ended), excluded.ended),
	calls = calls + excluded.calls,
	failures = failures + excluded.failures,
	took = took + excluded.took,
	rows_read = rows_read + excluded.rows_read,
	rows_changed = rows_changed + excluded.rows_changed,
	tables = excluded.tables,
	artifacts = excluded.artifacts`,
		append(id, s.started*1000, orNull(s.key), orNull(s.tokenName), s.started, s.ended, s.calls, s.failures, s.took, s.read, s.changed,
			orNull(strings.Join(s.tables, "\n")), orNull(strings.Join(s.artifacts, "\n")))...)
}

// lines splits a stored list.
func lines(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, "\n")
}

// forgotten reports whether a project has been removed while the server runs.
func (j *Journal) isForgotten(id ids.Project) bool {
	j.forgottenMu.Lock()
	defer j.forgottenMu.Unlock()
	return j.forgotten[id]
}
