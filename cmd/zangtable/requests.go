package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/server"
)

// timesFlag selects a time.
type timesFlag struct {
	From  time.Time     `placeholder:"TIME" help:"From this time on, as in 2026-06-02T10:00:00Z."`
	To    time.Time     `placeholder:"TIME" help:"Before this time."`
	Since time.Duration `placeholder:"DURATION" help:"The last hours or minutes, such as 2h or 15m; in place of --from."`
}

// from returns the beginning of the time selected, zero for none.
func (f timesFlag) from() time.Time {
	if f.Since > 0 {
		return time.Now().Add(-f.Since)
	}
	return f.From
}

// requests is the command that prints recorded calls.
type requests struct {
	projectFlag
	timesFlag
	JSON      bool          `name:"json" help:"Print each call as a line of JSON, with all that is recorded."`
	Follow    bool          `short:"f" help:"Go on and print calls as they are recorded."`
	Limit     int           `default:"50" help:"At most so many of the newest calls (${default})."`
	Failed    bool          `help:"Only calls with a status of 400 or more."`
	Status    int           `help:"Only calls with this status."`
	Route     string        `help:"Only calls of this route, such as insert-records."`
	Method    string        `help:"Only calls with this method."`
	Table     string        `help:"Only calls about this table, named as in their paths."`
	Object    string        `placeholder:"ID" help:"Only calls about the record, export or the like with this id."`
	Code      string        `help:"Only calls that ended with this error code."`
	Token     int64         `placeholder:"ID" help:"Only calls of the token with this id."`
	User      string        `help:"Only calls of this person."`
	Source    string        `enum:"api,cli,panel," default:"" help:"Only calls from api, cli or panel."`
	Key       string        `help:"Only calls with this operation key."`
	InRun     string        `name:"run" placeholder:"RUN_ID" help:"Only calls of this run."`
	RequestID string        `placeholder:"ID" help:"Only the call with this id."`
	Slower    time.Duration `placeholder:"DURATION" help:"Only calls that took at least this long."`
	Text      string        `name:"text" short:"q" help:"Only calls with this text in the route, table, object or error code."`
}

func (cmd *requests) filter() journal.Filter {
	return journal.Filter{
		From: cmd.from(), To: cmd.To, TokenID: ids.Token(cmd.Token), Status: cmd.Status, Failed: cmd.Failed, RequestID: cmd.RequestID, MinTook: cmd.Slower, Text: cmd.Text,
		Words: map[string]string{
			"route": cmd.Route, "method": cmd.Method, "table": cmd.Table, "object": cmd.Object, "code": cmd.Code, "user": cmd.User, "source": cmd.Source,
			"key": cmd.Key, "run": cmd.InRun,
		},
	}
}

// requestsPage is how many calls are asked for at once.
const requestsPage = 500

// Run prints the newest calls, the newest last, and then those that come if so asked.
func (cmd *requests) Run(p *program) error {
	show := cmd.printer(p)
	return withAdmin(p, cmd.Data, func(admin *server.Admin) error {
		in := server.RequestsIn{Project: cmd.Project, Filter: cmd.filter()}
		var found []journal.Request
		for len(found) < cmd.Limit {
			in.Limit = min(cmd.Limit-len(found), requestsPage)
			page, err := server.ListRequests.Call(p.ctx, admin, in)
			if err != nil {
				return err
			}
			found = append(found, page.Items...)
			if in.After = page.Next; page.Next == "" {
				break
			}
		}
		slices.Reverse(found)
		for _, r := range found {
			if err := show(r); err != nil {
				return err
			}
		}
		if !cmd.Follow {
			return nil
		}
		in.Filter.From, in.Filter.To = time.Time{}, time.Time{}
		return server.FollowRequests.Call(p.ctx, admin, in, show)
	})
}

// printer returns a function that prints a call.
func (cmd *requests) printer(p *program) func(journal.Request) error {
	if cmd.JSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		return func(r journal.Request) error { return encoder.Encode(r) }
	}
	return func(r journal.Request) error {
		_, err := fmt.Fprintln(p.stdout, requestLine(r.Time, r))
		return err
	}
}

// requestLine writes a call for people, after when it began. Names that others chose are
// quoted.
func requestLine(when string, r journal.Request) string {
	line := fmt.Sprintf("%s %d %-6s %-20s %8s", when, r.Status, r.Method, r.Route, shortTime(r.TookMS))
	for _, part := range []struct {
		name string
		text *string
	}{{"table", r.Table}, {"object", r.Object}, {"code", r.Code}} {
		if part.text != nil {
			line += fmt.Sprintf(" %s=%s", part.name, quoted(*part.text))
		}
	}
	if len(r.Fields) > 0 {
		line += " fields=" + quoted(strings.Join(r.Fields, ","))
	}
	if rows := r.RowsRead + r.RowsChanged; rows > 0 {
		line += fmt.Sprintf(" rows=%d", rows)
	}
	for _, part := range []struct {
		name string
		text *string
	}{{"token", r.TokenName}, {"user", r.User}, {"key", r.OperationKey}, {"run", r.RunID}, {"retry_of", r.RetryOf}} {
		if part.text != nil {
			line += fmt.Sprintf(" %s=%s", part.name, quoted(*part.text))
		}
	}
	return line + " " + r.RequestID
}

// quoted returns a text as it is if it is one word, else in quotes.
func quoted(text string) string {
	if q := strconv.Quote(text); len(q) != len(text)+2 || strings.ContainsAny(text, " =") || text == "" {
		return q
	}
	return text
}

// shortTime writes milliseconds.
func shortTime(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2fms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.0fms", ms)
	}
	return time.Duration(ms * float64(time.Millisecond)).Round(100 * time.Millisecond).String()
}

// runs is the command that prints runs of operations, or one with its calls.
type runs struct {
	projectFlag
	timesFlag
	RunID   string        `arg:"" optional:"" help:"Print this run with its calls."`
	JSON    bool          `name:"json" help:"Print each run as a line of JSON; one run with its calls as a single object."`
	Limit   int           `default:"50" help:"At most so many of the last runs (${default})."`
	Key     string        `help:"Only runs with this operation key."`
	Status  string        `enum:"open,idle," default:"" help:"Only runs that are open or idle."`
	Token   int64         `placeholder:"ID" help:"Only runs of the token with this id."`
	Failing bool          `help:"Only runs with a call that failed."`
	Slower  time.Duration `placeholder:"DURATION" help:"Only runs that took at least this long."`
}

// Run prints the last runs, the last started first, or one run with its calls.
func (cmd *runs) Run(p *program) error {
	return withAdmin(p, cmd.Data, func(admin *server.Admin) error {
		if cmd.RunID != "" {
			return cmd.showRun(p, admin)
		}
		in := server.RunsIn{Project: cmd.Project, Filter: journal.RunFilter{
			Key: cmd.Key, Status: cmd.Status, TokenID: ids.Token(cmd.Token), From: cmd.from(), To: cmd.To, MinTook: cmd.Slower, Failing: cmd.Failing,
		}}
		var found []journal.Run
		for len(found) < cmd.Limit {
			in.Limit = min(cmd.Limit-len(found), requestsPage)
			page, err := server.ListRuns.Call(p.ctx, admin, in)
			if err != nil {
				return err
			}
			found = append(found, page.Items...)
			if in.After = page.Next; page.Next == "" {
				break
			}
		}
		return cmd.print(p, found)
	})
}

func (cmd *runs) print(p *program, found []journal.Run) error {
	if cmd.JSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		for _, run := range found {
			if err := encoder.Encode(run); err != nil {
				return err
			}
		}
		return nil
	}
	return list(p, jsonFlag{}, "STARTED RUN STATUS CALLS FAILED TOOK ROWS TOKEN KEY", func(run journal.Run) []any {
		return []any{run.StartedAt, run.RunID, run.Status, run.Calls, run.Failures, shortTime(run.TookMS), run.RowsRead + run.RowsChanged, quotedOr(run.TokenName), quotedOr(run.Key)}
	})(found)
}

func quotedOr(text *string) string {
	if text == nil {
		return "-"
	}
	return quoted(*text)
}

// showRun prints one run with all of its calls.
func (cmd *runs) showRun(p *program, admin *server.Admin) error {
	in := server.RunIn{Project: cmd.Project, RunID: cmd.RunID, TokenID: ids.Token(cmd.Token), Limit: requestsPage}
	shown, err := server.ShowRun.Call(p.ctx, admin, in)
	if err != nil {
		return err
	}
	for in.After = shown.Next; in.After != ""; {
		more, err := server.ShowRun.Call(p.ctx, admin, in)
		if err != nil {
			return err
		}
		shown.Calls, in.After = append(shown.Calls, more.Calls...), more.Next
	}
	if cmd.JSON {
		shown.Next = ""
		return printJSON(p.stdout, shown)
	}
	run := shown.Run
	fmt.Fprintf(p.stdout, "%s: %s, started %s, %d calls, %d failed, took %s, %d rows read, %d changed\n",
		run.RunID, run.Status, run.StartedAt, run.Calls, run.Failures, shortTime(run.TookMS), run.RowsRead, run.RowsChanged)
	for _, link := range []struct {
		verb  string
		runID *string
	}{{"continues", run.Continues}, {"is continued by", run.ContinuedBy}} {
		if link.runID != nil {
			fmt.Fprintf(p.stdout, "%s %s %s\n", run.RunID, link.verb, *link.runID)
		}
	}
	for _, call := range shown.Calls {
		if _, err := fmt.Fprintln(p.stdout, requestLine(fmt.Sprintf("%+10s", "+"+shortTime(call.OffsetMS)), call.Request)); err != nil {
			return err
		}
	}
	return nil
}
