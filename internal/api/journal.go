package api

import (
	"context"
	"strconv"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// within is the part of an input that selects a time.
type within struct {
	From string `query:"from" doc:"From this time on, as in 2026-06-02T10:00:00Z."`
	To   string `query:"to" doc:"Before this time."`
}

// read returns both times, zero for one not sent.
func (in within) read(faults *problem.Faults) (from, to time.Time) {
	for _, part := range []struct {
		name, text string
		at         *time.Time
	}{{"from", in.From, &from}, {"to", in.To, &to}} {
		if part.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, part.text)
		if err != nil || at.Year() < 1970 || at.Year() > 2200 {
			faults.Add(part.name, "Expected a time from 1970 to 2200, such as 2026-06-02T10:00:00Z.")
			continue
		}
		*part.at = at
	}
	return from, to
}

// lately returns both times, or the given time up to now.
func (h *handlers) lately(in within, faults *problem.Faults, span time.Duration) (from, to time.Time) {
	from, to = in.read(faults)
	if to.IsZero() {
		to = h.now()
	}
	if from.IsZero() {
		from = to.Add(-span)
	}
	return from, to
}

// placeIn is the part of an input that asks for a page of the journal.
type placeIn struct {
	After string `query:"after" doc:"The next_cursor of the previous page."`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

// JournalPage says which part of a list an answer holds.
type JournalPage struct {
	Returned   int     `json:"returned"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor" doc:"Null at the end."`
	EndedBy    string  `json:"ended_by,omitzero" enum:"scan" doc:"Why the page has fewer entries than the limit though there may be more: a page looks at no more than 20,000 entries."`
}

func journalPage[T any](p journal.Page[T]) JournalPage {
	out := JournalPage{Returned: len(p.Items), HasMore: p.Next != ""}
	if p.Next != "" {
		out.NextCursor = &p.Next
	}
	if p.Short {
		out.EndedBy = "scan"
	}
	return out
}

// requestFilter is the part of an input that selects requests.
type requestFilter struct {
	within
	TokenID     int64     `query:"token" minimum:"1" doc:"The id of the token."`
	Method      string    `query:"method"`
	Route       string    `query:"route" doc:"The operationId of the route."`
	Table       string    `query:"table" doc:"As in the path: a name or an id."`
	Object      string    `query:"object" doc:"The id of a record, export or the like. Needs records:read."`
	Status      int       `query:"status" minimum:"100" maximum:"599"`
	Class       string    `query:"class" enum:"2xx,3xx,4xx,5xx"`
	Failed      rest.Flag `query:"failed" doc:"Only those with a status of 400 or more."`
	Code        string    `query:"code" doc:"The error code."`
	Source      string    `query:"source" enum:"api,cli,panel"`
	User        string    `query:"user"`
	Key         string    `query:"key" doc:"The operation key."`
	Run         string    `query:"run" doc:"The run id."`
	Grouping    string    `query:"grouping" doc:"The grouping status."`
	RetryOf     string    `query:"retry_of"`
	RequestID   string    `query:"request_id"`
	Address     string    `query:"address"`
	UserAgent   string    `query:"user_agent"`
	TraceParent string    `query:"traceparent"`
	MinMS       int64     `query:"min_ms" minimum:"0" maximum:"86400000" doc:"Only those that took at least this long."`
	MinRows     int64     `query:"min_rows" minimum:"0" doc:"Only those that read and changed at least so many rows."`
	Text        string    `query:"q" doc:"A part of the route, the table, the object or the error code."`
}

func (in requestFilter) read(ws *Workspace, faults *problem.Faults) journal.Filter {
	f := journal.Filter{
		TokenID: ids.Token(in.TokenID), Status: in.Status, Failed: in.Failed.Or(false), RequestID: in.RequestID, Text: in.Text,
		MinTook: time.Duration(in.MinMS) * time.Millisecond, MinRows: in.MinRows,
		Words: map[string]string{
			"method": in.Method, "route": in.Route, "table": in.Table, "object": in.Object, "code": in.Code, "source": in.Source, "user": in.User,
			"key": in.Key, "run": in.Run, "grouping": in.Grouping, "retry_of": in.RetryOf, "address": in.Address, "user_agent": in.UserAgent, "traceparent": in.TraceParent,
		},
	}
	f.From, f.To = in.within.read(faults)
	if in.Class != "" {
		f.Class, _ = strconv.Atoi(in.Class[:1]) // one of the choices
	}
	// What the answer would hide must not be found either.
	if f.HidesObjects = !ws.May(registry.RecordsRead); f.HidesObjects && in.Object != "" {
		faults.Add("object", "Needs the scope records:read for all tables.")
	}
	return f
}

type listRequestsIn struct {
	requestFilter
	placeIn
}

type requestsOut struct {
	Requests []journal.Request `json:"requests"`
	JournalPage
	Dropped int64 `json:"dropped" doc:"Entries of all projects that were lost since the server started, because they came too fast or could not be stored."`
}

func (h *handlers) listRequests(ctx context.Context, ws *Workspace, in *listRequestsIn, faults *problem.Faults) (out requestsOut, err error) {
	f := in.requestFilter.read(ws, faults)
	faults.Merge("", journal.CheckPlace(in.After))
	if err := faults.Err(); err != nil {
		return out, err
	}
	page, err := h.journal.Requests(ctx, ws.Project.ID, f, in.After, in.Limit)
	if err != nil {
		return out, err
	}
	_, out.Dropped = h.journal.Lag()
	out.Requests, out.JournalPage = page.Items, journalPage(page)
	hideObjects(ws, pointers(out.Requests))
	return out, nil
}

func pointers(list []journal.Request) (all []*journal.Request) {
	for i := range list {
		all = append(all, &list[i])
	}
	return all
}

// hideObjects removes the ids of records that the token may not read. What counts is the
// table that the call was about, whatever has its name now.
func hideObjects(ws *Workspace, list []*journal.Request) {
	if ws.May(registry.RecordsRead) {
		return
	}
	for _, r := range list {
		isAboutRecord := r.ObjectKind != nil && *r.ObjectKind == "record"
		if isAboutRecord && (r.TableID() == 0 || !ws.MayTable(registry.RecordsRead, r.TableID())) {
			r.Object = nil
		}
	}
}

type requestIn struct {
	RequestID string `path:"request_id"`
}

type requestOut struct {
	Request journal.Request `json:"request"`
}

func (h *handlers) getRequest(ctx context.Context, ws *Workspace, in *requestIn) (out requestOut, err error) {
	out.Request, err = h.journal.Request(ctx, ws.Project.ID, in.RequestID)
	if err != nil {
		return out, err
	}
	hideObjects(ws, []*journal.Request{&out.Request})
	return out, nil
}

func (h *handlers) followRequests(ctx context.Context, ws *Workspace, in *followRequestsIn, faults *problem.Faults) (*rest.Events[journal.Request], error) {
	f := in.requestFilter.read(ws, faults)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	ctx, _ = in.limited(ctx) // ends with the request
	return h.requestEvents(ctx, ws, f), nil
}

// streamIn is the part of an input that asks for a stream.
type streamIn struct {
	Seconds int `query:"seconds" minimum:"1" maximum:"86400" doc:"When the stream ends; otherwise the client ends it."`
}

// limited returns a context that ends as the stream shall.
func (in streamIn) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if in.Seconds == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(in.Seconds)*time.Second)
}

type followRequestsIn struct {
	requestFilter
	streamIn
}

// requestEvents streams requests as they are recorded, while the token is valid.
func (h *handlers) requestEvents(ctx context.Context, ws *Workspace, f journal.Filter) *rest.Events[journal.Request] {
	ctx = whileAdmitted(ctx, ws)
	found, shown := h.journal.Follow(ctx, ws.Project.ID, f), make(chan journal.Request)
	go func() {
		defer close(shown)
		for r := range found {
			hideObjects(ws, []*journal.Request{&r})
			select {
			case shown <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return &rest.Events[journal.Request]{Updates: shown, Name: "request"}
}

// runFilter is the part of an input that selects runs.
type runFilter struct {
	within
	Key     string    `query:"key" doc:"The operation key."`
	Keyless rest.Flag `query:"keyless" doc:"Only runs without a key."`
	Status  string    `query:"status" enum:"open,idle"`
	TokenID int64     `query:"token" minimum:"1" doc:"The id of the token."`
	MinMS   int64     `query:"min_ms" minimum:"0" maximum:"86400000" doc:"Only those that took at least this long."`
	Failing rest.Flag `query:"failing" doc:"Only those with a call that failed."`
	RunID   string    `query:"run" doc:"The run id."`
}

func (in runFilter) read(faults *problem.Faults) journal.RunFilter {
	f := journal.RunFilter{Key: in.Key, Keyless: in.Keyless.Or(false), Status: in.Status, TokenID: ids.Token(in.TokenID), MinTook: time.Duration(in.MinMS) * time.Millisecond, Failing: in.Failing.Or(false), RunID: in.RunID}
	f.From, f.To = in.within.read(faults)
	return f
}

type listRunsIn struct {
	runFilter
	placeIn
}

type runsOut struct {
	Runs []journal.Run `json:"runs"`
	JournalPage
}

func (h *handlers) listRuns(ctx context.Context, ws *Workspace, in *listRunsIn, faults *problem.Faults) (out runsOut, err error) {
	f := in.runFilter.read(faults)
	faults.Merge("", journal.CheckRunPlace(in.After))
	if err := faults.Err(); err != nil {
		return out, err
	}
	page, err := h.journal.Runs(ctx, ws.Project.ID, f, in.After, in.Limit)
	if err != nil {
		return out, err
	}
	return runsOut{page.Items, journalPage(page)}, nil
}

type runIn struct {
	RunID   string `path:"run_id"`
	TokenID int64  `query:"token" minimum:"1" doc:"The id of the token, where several tokens have a run of this id; the last started when absent."`
}

type followRunIn struct {
	runIn
	streamIn
}

type getRunIn struct {
	runIn
	After string `query:"after" doc:"The next_cursor of the previous page of calls."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"500"`
}

type runOut struct {
	Run   journal.Run       `json:"run"`
	Calls []journal.RunCall `json:"calls" doc:"In the order in which they began."`
	Chain []journal.Run     `json:"chain" doc:"The run with those that it continues and that continue it, the oldest first."`
	JournalPage
}

func (h *handlers) getRun(ctx context.Context, ws *Workspace, in *getRunIn) (out runOut, err error) {
	if out.Run, out.Chain, err = h.journal.Run(ctx, ws.Project.ID, ids.Token(in.TokenID), in.RunID); err != nil {
		return out, err
	}
	page, err := h.journal.Calls(ctx, ws.Project.ID, out.Run, in.After, in.Limit)
	if err != nil {
		return out, err
	}
	hideObjects(ws, pointers(page.Items))
	out.Calls, out.JournalPage = []journal.RunCall{}, journalPage(page)
	var before *journal.Request
	for i := range page.Items {
		out.Calls = append(out.Calls, journal.CallOf(&out.Run, before, &page.Items[i]))
		before = &page.Items[i]
	}
	return out, nil
}

func (h *handlers) followRun(ctx context.Context, ws *Workspace, in *followRunIn) (*rest.Events[journal.Request], error) {
	run, _, err := h.journal.Run(ctx, ws.Project.ID, ids.Token(in.TokenID), in.RunID)
	if err != nil {
		return nil, err
	}
	f := journal.Filter{TokenID: run.TokenID, Words: map[string]string{"run": run.RunID}}
	if run.Status != "open" {
		closed := make(chan journal.Request)
		close(closed)
		return &rest.Events[journal.Request]{Updates: closed, Name: "request"}, nil
	}
	ctx, end := in.limited(ctx)
	go func() {
		defer end()
		look := time.NewTicker(admittedInterval)
		defer look.Stop()
		for run.Status == "open" && err == nil {
			select {
			case <-look.C:
				run, _, err = h.journal.Run(ctx, ws.Project.ID, run.TokenID, run.RunID)
			case <-ctx.Done():
				return
			}
		}
	}()
	return h.requestEvents(ctx, ws, f), nil
}

type listOperationsIn struct {
	within
	Contains string `query:"contains" doc:"Only keys that contain this text."`
}

type operationsOut struct {
	Operations []*journal.KeyUsage `json:"operations" doc:"The last used first; at most 1,000."`
	HasMore    bool                `json:"has_more"`
	From       string              `json:"from"`
	To         string              `json:"to"`
}

// week is how long operations and usage are shown for by default.
const week = 7 * 24 * time.Hour

func (h *handlers) listOperations(ctx context.Context, ws *Workspace, in *listOperationsIn, faults *problem.Faults) (out operationsOut, err error) {
	from, to := h.lately(in.within, faults, week)
	if err := faults.Err(); err != nil {
		return out, err
	}
	list, more, err := h.journal.Keys(ctx, ws.Project.ID, from, to, in.Contains)
	return operationsOut{append([]*journal.KeyUsage{}, list...), more, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339)}, err
}

type usageIn struct {
	within
	Interval string `query:"interval" enum:"hour,day,none" default:"hour" doc:"How long each part is, by UTC; none: one sum for the whole time."`
	By       string `query:"by" enum:"token,route,table" doc:"Sums are made for each of these."`
	TokenID  int64  `query:"token" minimum:"1" doc:"The id of the token."`
	Route    string `query:"route" doc:"The operationId of the route."`
	Table    string `query:"table"`
}

type usageOut struct {
	Usage   []*journal.Usage `json:"usage" doc:"The oldest first; hours without calls are absent; at most 10,000."`
	HasMore bool             `json:"has_more"`
	From    string           `json:"from"`
	To      string           `json:"to"`
}

func (h *handlers) usageFilter(in usageIn, faults *problem.Faults) journal.UsageFilter {
	f := journal.UsageFilter{Hours: map[string]int64{"hour": 1, "day": 24}[in.Interval], By: in.By, TokenID: ids.Token(in.TokenID), Route: in.Route, Table: in.Table}
	f.From, f.To = h.lately(in.within, faults, week)
	return f
}

func (h *handlers) usage(ctx context.Context, ws *Workspace, in *usageIn, faults *problem.Faults) (out usageOut, err error) {
	f := h.usageFilter(*in, faults)
	if err := faults.Err(); err != nil {
		return out, err
	}
	list, more, err := h.journal.Usage(ctx, ws.Project.ID, f)
	return usageOut{append([]*journal.Usage{}, list...), more, f.From.UTC().Format(time.RFC3339), f.To.UTC().Format(time.RFC3339)}, err
}

// knownColumn reports whether a table has a column.
func knownColumn(ctx context.Context, who rest.Caller, table, name string) (known bool) {
	ws, ok := who.(*Workspace)
	if !ok {
		return false
	}
	err := use(ctx, ws, func(ws *Opened) error {
		t, err := ws.DB.Table(ctx, table)
		known = err == nil && t.Column(name) != nil
		return err
	})
	return err == nil && known
}
