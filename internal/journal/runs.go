package journal

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Run is one run of an operation as the journal shows it. Its JSON form is part of the
// wire contract.
type Run struct {
	RunID       string    `json:"run_id"`
	Key         *string   `json:"operation_key"`
	Status      string    `json:"status" enum:"open,idle" doc:"idle: a call that still names it continues it under a new id."`
	OpenUntil   *string   `json:"open_until" doc:"When it becomes idle, unless there is another call; null when it is idle."`
	StartedAt   string    `json:"started_at"`
	EndedAt     string    `json:"ended_at" doc:"When its last call so far had ended."`
	Calls       int64     `json:"calls"`
	Failures    int64     `json:"failures" doc:"Calls with a status of 400 or more."`
	TookMS      float64   `json:"took_ms" doc:"From the beginning of the first call to the end of the last."`
	ServerMS    float64   `json:"server_ms" doc:"What its calls took together."`
	RowsRead    int64     `json:"rows_read"`
	RowsChanged int64     `json:"rows_changed"`
	Tables      []string  `json:"tables" doc:"At most 50, as in the paths of its calls."`
	Artifacts   []string  `json:"artifacts" doc:"Exports and imports that it created; at most 50."`
	TokenID     ids.Token `json:"token_id"`
	TokenName   *string   `json:"token_name"`
	Continues   *string   `json:"continues" doc:"The run that was idle for too long when this one began."`
	ContinuedBy *string   `json:"continued_by"`

	started int64
}

// RunFilter selects runs. Zero fields select all.
type RunFilter struct {
	Key      string
	Keyless  bool   // only runs without a key
	Status   string // "open" or "idle"
	TokenID  ids.Token
	From, To time.Time // when they started
	MinTook  time.Duration
	Failing  bool
	RunID    string
}

const runColumns = `run_id, operation_key, last_call_at, started, ended, calls, failures, took, rows_read, rows_changed, tables, artifacts, token_id, token_name, continues,
	(SELECT min(n.run_id) FROM runs n WHERE n.project_id = r.project_id AND n.token_id = r.token_id AND n.continues = r.run_id)`

func (j *Journal) scanRun(s *sqlite.Stmt) Run {
	r := Run{
		RunID: s.Text(0), Key: s.TextOrNil(1), StartedAt: timestamp(s.Int(3)), EndedAt: timestamp(s.Int(4)), Calls: s.Int(5), Failures: s.Int(6),
		TookMS: milliseconds(s.Int(4) - s.Int(3)), ServerMS: milliseconds(s.Int(7)), RowsRead: s.Int(8), RowsChanged: s.Int(9),
		Tables: lines(s.Text(10)), Artifacts: lines(s.Text(11)), TokenID: ids.Token(s.Int(12)), TokenName: s.TextOrNil(13),
		Continues: s.TextOrNil(14), ContinuedBy: s.TextOrNil(15), Status: "idle", started: s.Int(3),
	}
	last := time.Unix(0, s.Int(2))
	if until := last.Add(Window); !j.options.Now().After(until) {
		text := timestamp(until.UnixMicro())
		r.Status, r.OpenUntil = "open", &text
	}
	return r
}

// Runs returns a page of a project's runs, the last started first, from the place
// after, "" for the first page.
func (j *Journal) Runs(ctx context.Context, projectID ids.Project, f RunFilter, after string, limit int) (page Page[Run], err error) {
	where, index := condition{}, "runs_started"
	where.add("r.project_id = ?", projectID)
	where.add("r.calls > 0")
	switch {
	case f.Keyless:
		index = "runs_of_key"
		where.add("r.operation_key IS NULL")
	case f.Key != "":
		index = "runs_of_key"
		where.add("r.operation_key = ?", f.Key)
	}
	f.conditions(j, &where)
	if err := continueRuns(&where, after); err != nil {
		return page, err
	}
	page.Items = []Run{}
	err = j.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT "+runColumns+" FROM runs r INDEXED BY "+index+" WHERE "+where.text()+" ORDER BY r.started DESC, r.token_id DESC, r.run_id DESC LIMIT ?",
			append(where.args, limit+1), func(s *sqlite.Stmt) error {
				page.Items = append(page.Items, j.scanRun(s))
				return nil
			})
	})
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		page.Next = strconv.FormatInt(last.started, 36) + "." + strconv.FormatInt(int64(last.TokenID), 36) + "." + last.RunID
	}
	return page, err
}

func (f *RunFilter) conditions(j *Journal, where *condition) {
	if f.TokenID != 0 {
		where.add("r.token_id = ?", f.TokenID)
	}
	switch open := j.options.Now().Add(-Window).UnixNano(); f.Status {
	case "open":
		where.add("r.last_call_at >= ?", open)
	case "idle":
		where.add("r.last_call_at < ?", open)
	}
	if !f.From.IsZero() {
		where.add("r.started >= ?", f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		where.add("r.started < ?", f.To.UnixMicro())
	}
	if f.MinTook > 0 {
		where.add("r.ended - r.started >= ?", f.MinTook.Microseconds())
	}
	if f.Failing {
		where.add("r.failures > 0")
	}
	if f.RunID != "" {
		where.add("r.run_id = ?", f.RunID)
	}
}

// continueRuns begins a page after the last run of the previous one.
func continueRuns(where *condition, after string) error {
	if after == "" {
		return nil
	}
	parts := strings.SplitN(after, ".", 3)
	if len(parts) == 3 && validRunID(parts[2]) {
		started, err := strconv.ParseInt(parts[0], 36, 64)
		token, err2 := strconv.ParseInt(parts[1], 36, 64)
		if err == nil && err2 == nil {
			where.add("(r.started, r.token_id, r.run_id) < (?, ?, ?)", started, token, parts[2])
			return nil
		}
	}
	return problem.Invalid("after", "Expected the next_cursor of the previous page.")
}

// CheckRunPlace is [CheckPlace] for a page of runs.
func CheckRunPlace(after string) error { return continueRuns(new(condition), after) }

// maxChain is how many runs of a chain are shown in each direction.
const maxChain = 50

// Run returns the run with the given id, and the chain of runs that it belongs to, the
// oldest first. Of several tokens with a run of that id, the last to start one counts,
// unless tokenID is not 0.
func (j *Journal) Run(ctx context.Context, projectID ids.Project, tokenID ids.Token, runID string) (run Run, chain []Run, err error) {
	err = j.read(ctx, func(c *sqlite.Conn) error {
		found, err := j.runsWhere(c, "r.run_id = ? AND r.calls > 0 AND (? = 0 OR r.token_id = ?) ORDER BY r.started DESC LIMIT 1", projectID, runID, tokenID, tokenID)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return problem.NotFound("The run", clipped(runID, maxText))
		}
		run = found[0]
		chain, err = j.chain(c, projectID, run)
		return err
	})
	return run, chain, err
}

func (j *Journal) chain(c *sqlite.Conn, projectID ids.Project, run Run) ([]Run, error) {
	before, err := j.linked(c, projectID, run, maxChain-1, func(r Run) *string { return r.Continues })
	if err != nil {
		return nil, err
	}
	slices.Reverse(before)
	chain := append(before, run)
	after, err := j.linked(c, projectID, run, 2*maxChain-len(chain), func(r Run) *string { return r.ContinuedBy })
	return append(chain, after...), err
}

// linked returns the runs that a link leads to, one from the other, at most limit.
func (j *Journal) linked(c *sqlite.Conn, projectID ids.Project, run Run, limit int, link func(Run) *string) (runs []Run, err error) {
	for id := link(run); id != nil && len(runs) < limit; id = link(runs[len(runs)-1]) {
		found, err := j.runsWhere(c, "r.run_id = ? AND r.token_id = ?", projectID, *id, run.TokenID)
		if err != nil || len(found) == 0 {
			return runs, err
		}
		runs = append(runs, found...)
	}
	return runs, nil
}

func (j *Journal) runsWhere(c *sqlite.Conn, where string, projectID ids.Project, args ...any) (runs []Run, err error) {
	err = c.Query("SELECT "+runColumns+" FROM runs r WHERE r.project_id = ? AND "+where, append([]any{projectID}, args...), func(s *sqlite.Stmt) error {
		runs = append(runs, j.scanRun(s))
		return nil
	})
	return runs, err
}

// maxCalls is how many calls of a run are shown at once.
const maxCalls = 1000

// Calls returns calls of a run in the order in which they began, from the place after.
func (j *Journal) Calls(ctx context.Context, projectID ids.Project, run Run, after string, limit int) (page Page[Request], err error) {
	first := int64(-1)
	if after != "" {
		if first, err = readPlace(after); err != nil {
			return page, err
		}
	}
	limit = min(limit, maxCalls)
	page.Items = []Request{}
	err = j.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT "+entryColumns+" FROM requests INDEXED BY requests_of_runs WHERE project_id = ? AND run_id = ? AND id > ? AND token_id = ? ORDER BY id LIMIT ?",
			[]any{projectID, run.RunID, first, run.TokenID, limit + 1}, func(s *sqlite.Stmt) error {
				page.Items = append(page.Items, scanRequest(s))
				return nil
			})
	})
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = strconv.FormatInt(page.Items[limit-1].id, 36)
	}
	return page, err
}

// Offset returns how long after the start of the run a call began, in milliseconds.
func (r *Run) Offset(call *Request) float64 {
	return milliseconds(call.at.UnixMicro() - r.started)
}

// Gap returns how long after the end of an earlier call a call began, in milliseconds;
// 0 if they overlap.
func Gap(earlier, call *Request) float64 {
	return milliseconds(max(call.at.Sub(earlier.at.Add(earlier.took)).Microseconds(), 0))
}

// RunCall is one call of a run. Its JSON form is part of the wire contract.
type RunCall struct {
	Request
	OffsetMS float64 `json:"offset_ms" doc:"From the start of the run to the start of the call."`
	GapMS    float64 `json:"gap_ms" doc:"From the end of the call before it on this page; 0 if they overlap."`
}

// CallOf returns a call of a run; earlier is the call before it, nil for none.
func CallOf(run *Run, earlier, call *Request) RunCall {
	c := RunCall{Request: *call, OffsetMS: run.Offset(call)}
	if earlier != nil {
		c.GapMS = Gap(earlier, call)
	}
	return c
}
