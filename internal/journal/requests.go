package journal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Request is one call as the journal shows it. Its JSON form is part of the wire
// contract.
type Request struct {
	RequestID    string     `json:"request_id"`
	Time         string     `json:"time" doc:"When it began."`
	Method       string     `json:"method"`
	Route        string     `json:"route" doc:"The operationId of the route, or unmatched."`
	Table        *string    `json:"table" doc:"As in the path: a name or an id."`
	ObjectKind   *string    `json:"object_kind" doc:"What object is the id of, such as record or export."`
	Object       *string    `json:"object" doc:"Null where there is none, or the token may not read the records of the table."`
	Status       int        `json:"status" doc:"499: the client had gone before it was answered."`
	Code         *string    `json:"error_code"`
	Fields       []string   `json:"error_fields" doc:"The fields at fault; ? stands for names that neither the route nor the table has."`
	TokenID      *ids.Token `json:"token_id"`
	TokenName    *string    `json:"token_name"`
	User         *string    `json:"user"`
	Source       string     `json:"source" enum:"api,cli,panel"`
	OperationKey *string    `json:"operation_key"`
	RunID        *string    `json:"operation_run_id"`
	Grouping     *string    `json:"operation_grouping_status"`
	RetryOf      *string    `json:"retry_of" doc:"The failed request of the same run that this one repeats."`
	TookMS       float64    `json:"took_ms" doc:"Until the last byte of the answer was handed to the system."`
	WaitedMS     float64    `json:"waited_ms" doc:"Waiting for the writer, a reader or a worker process."`
	DatabaseMS   float64    `json:"database_ms" doc:"In SQLite, with the commit."`
	SendingMS    float64    `json:"sending_ms" doc:"Encoding and sending the answer."`
	BytesIn      int64      `json:"bytes_in"`
	BytesOut     int64      `json:"bytes_out"`
	RowsRead     int64      `json:"rows_read"`
	RowsChanged  int64      `json:"rows_changed"`
	Address      *string    `json:"client_address"`
	UserAgent    *string    `json:"user_agent"`
	TraceParent  *string    `json:"traceparent"`
	Statement    *string    `json:"statement" doc:"The SQL of a query, with ? for its literals."`
	Parameters   *string    `json:"parameters" doc:"What a list was asked for, without values."`

	at      time.Time
	took    time.Duration
	id      int64
	created bool
	tableID ids.Table
}

// TableID returns the id of the table whose record the request was about, or 0 if it
// is not known: then nobody knows who may see the id of the record.
func (r *Request) TableID() ids.Table { return r.tableID }

// Created reports whether the request created its object, as one that starts an export
// does.
func (r *Request) Created() bool { return r.created }

// HideObject removes the id of a record unless its table is among the readable ones; nil
// means all tables.
func (r *Request) HideObject(readable []ids.Table) {
	isAboutRecord := r.ObjectKind != nil && *r.ObjectKind == "record"
	if readable != nil && isAboutRecord && (r.tableID == 0 || !slices.Contains(readable, r.tableID)) {
		r.Object = nil
	}
}

// timeLayout is how the journal writes times.
const timeLayout = "2006-01-02T15:04:05.000000Z"

func timestamp(us int64) string { return time.UnixMicro(us).UTC().Format(timeLayout) }

// milliseconds converts microseconds.
func milliseconds(us int64) float64 { return math.Round(float64(us)) / 1000 }

// shown returns an entry that was just stored as a request.
func (j *Journal) shown(e *Entry) Request {
	r := Request{
		RequestID: e.RequestID, Time: timestamp(e.Began.UnixMicro()), Method: e.Method, Route: e.Route, Table: pointer(e.Table),
		ObjectKind: pointer(e.Kind), Object: pointer(e.Object), Status: e.Status, Code: pointer(e.Code), Fields: append([]string{}, e.Fields...),
		TokenName: pointer(e.TokenName), User: pointer(e.User), Source: e.Source, RetryOf: pointer(e.retryOf),
		TookMS: milliseconds(e.Took.Microseconds()), WaitedMS: milliseconds(e.Waited.Microseconds()),
		DatabaseMS: milliseconds(e.Worked.Microseconds()), SendingMS: milliseconds(e.Sending.Microseconds()),
		BytesIn: e.BytesIn, BytesOut: e.BytesOut, RowsRead: e.RowsRead, RowsChanged: e.RowsChanged,
		Address: pointer(j.address(e.Address)), UserAgent: pointer(e.UserAgent), TraceParent: pointer(e.TraceParent),
		Statement: pointer(e.Statement), Parameters: pointer(e.Parameters),
		at: e.Began, took: e.Took, id: place(e.Began), created: e.Created, tableID: e.TableID,
	}
	if e.TokenID > 0 { // people have none
		r.TokenID = &e.TokenID
	}
	if o := e.Operation; o != nil {
		r.OperationKey, r.RunID, r.Grouping = o.Key, &o.RunID, pointer(string(o.Status))
	}
	return r
}

func pointer(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// scanRequest reads the columns in entryColumns.
func scanRequest(s *sqlite.Stmt) Request {
	r := Request{
		id: s.Int(0), RequestID: s.Text(1), TokenName: s.TextOrNil(3), User: s.TextOrNil(4), Source: s.Text(5), Method: s.Text(6), Route: s.Text(7),
		Table: s.TextOrNil(8), ObjectKind: s.TextOrNil(9), Object: s.TextOrNil(10), created: s.Int(11) != 0,
		Status: int(s.Int(12)), Code: s.TextOrNil(13), Fields: lines(s.Text(14)),
		TookMS: milliseconds(s.Int(15)), WaitedMS: milliseconds(s.Int(16)), DatabaseMS: milliseconds(s.Int(17)), SendingMS: milliseconds(s.Int(18)),
		BytesIn: s.Int(19), BytesOut: s.Int(20), RowsRead: s.Int(21), RowsChanged: s.Int(22),
		RunID: s.TextOrNil(23), OperationKey: s.TextOrNil(24), Grouping: s.TextOrNil(25), RetryOf: s.TextOrNil(26),
		Address: s.TextOrNil(27), UserAgent: s.TextOrNil(28), TraceParent: s.TextOrNil(29), Statement: s.TextOrNil(30), Parameters: s.TextOrNil(31), tableID: ids.Table(s.Int(32)),
	}
	us := r.id >> placeBits
	r.at, r.took, r.Time = time.UnixMicro(us), time.Duration(s.Int(15))*time.Microsecond, timestamp(us)
	if token := ids.Token(s.Int(2)); token > 0 {
		r.TokenID = &token
	}
	return r
}

// Page is a part of a list, newest first.
type Page[T any] struct {
	Items []T
	Next  string // where the next page begins; "" at the end
	Short bool   // it ended early, because too many entries would have to be looked at
}

// maxExamined is how many entries a page looks at: it takes some 50 ms.
const maxExamined = 20_000

// Requests returns a page of a project's requests, newest first, from the place after,
// "" for the newest.
func (j *Journal) Requests(ctx context.Context, projectID ids.Project, f Filter, after string, limit int) (page Page[Request], err error) {
	before, err := readPlace(after)
	if err != nil {
		return page, err
	}
	err = j.read(ctx, func(c *sqlite.Conn) error {
		page, err = f.page(c, projectID, before, limit)
		return err
	})
	return page, err
}

// readPlace reads the cursor of a page.
func readPlace(after string) (int64, error) {
	if after == "" {
		return math.MaxInt64, nil
	}
	place, err := strconv.ParseInt(after, 36, 64)
	if err != nil || place < 0 {
		return 0, problem.Invalid("after", "Expected the next_cursor of the previous page.")
	}
	return place, nil
}

// CheckPlace returns a validation_failed error unless after is the cursor of a page of
// requests, or "".
func CheckPlace(after string) error {
	_, err := readPlace(after)
	return err
}

// from returns the table, with the index to be used, and the conditions of the filter.
func (f *Filter) from(projectID ids.Project, before int64) (table string, narrow, where condition) {
	where.add("project_id = ?", projectID)
	table = "requests NOT INDEXED" // only the primary key
	switch run := f.Words["run"]; {
	case run != "":
		table = "requests INDEXED BY requests_of_runs"
		where.add("run_id = ?", run)
	case f.failed():
		table = "requests INDEXED BY requests_failed"
		where.add("status >= 400")
	}
	if !f.To.IsZero() {
		before = min(before, place(f.To))
	}
	from := int64(0)
	if !f.From.IsZero() {
		from = place(f.From)
	}
	if at, ok := timeOfID(f.RequestID); ok { // the clock may have been read twice
		from, before = max(from, place(at.Add(-time.Second))), min(before, place(at.Add(time.Second)))
	}
	where.add("id < ?", before)
	where.add("id >= ?", from)
	narrow = condition{append([]string{}, where.sql...), append([]any{}, where.args...)}
	f.conditions(&where)
	return table, narrow, where
}

func (f *Filter) page(c *sqlite.Conn, projectID ids.Project, before int64, limit int) (page Page[Request], err error) {
	table, narrow, where := f.from(projectID, before)
	// How far the page may look at most.
	last, err := c.Int("SELECT coalesce((SELECT id FROM "+table+" WHERE "+narrow.text()+" ORDER BY id DESC LIMIT 1 OFFSET ?), 0)", append(narrow.args, maxExamined)...)
	if err != nil {
		return page, err
	}
	where.add("id > ?", last)
	page.Items = []Request{}
	err = c.Query("SELECT "+entryColumns+" FROM "+table+" WHERE "+where.text()+" ORDER BY id DESC LIMIT ?", append(where.args, limit+1), func(s *sqlite.Stmt) error {
		page.Items = append(page.Items, scanRequest(s))
		return nil
	})
	switch n := len(page.Items); {
	case n > limit:
		page.Items = page.Items[:limit]
		page.Next = strconv.FormatInt(page.Items[limit-1].id, 36)
	case last > 0:
		page.Next, page.Short = strconv.FormatInt(last+1, 36), true
	}
	return page, err
}

// timeOfID returns the time in an id such as req_20260602T012345_123456Z_abc123def456.
func timeOfID(id string) (time.Time, bool) {
	parts := strings.Split(id, "_")
	if len(parts) != 4 || len(parts[2]) != 7 {
		return time.Time{}, false
	}
	at, err := time.Parse("20060102T150405.000000Z", parts[1]+"."+parts[2])
	return at, err == nil
}

// Request returns one request of a project, or not_found.
func (j *Journal) Request(ctx context.Context, projectID ids.Project, requestID string) (Request, error) {
	if _, ok := timeOfID(requestID); !ok {
		return Request{}, noRequest(requestID)
	}
	page, err := j.Requests(ctx, projectID, Filter{RequestID: requestID}, "", 1)
	if err != nil {
		return Request{}, err
	}
	if len(page.Items) == 0 {
		return Request{}, noRequest(requestID)
	}
	return page.Items[0], nil
}

func noRequest(id string) error { return problem.NotFound("The request", id) }

// read runs fn in a read transaction of a bounded time.
func (j *Journal) read(ctx context.Context, fn func(*sqlite.Conn) error) error {
	if j.closed() {
		return storage.Explain(sqlite.ErrClosed)
	}
	j.flush()
	err := j.db.ReadWithin(ctx, sqlite.Deadlines{Wait: readTime, Run: readTime}, fn)
	if j.damaged(err) {
		return problem.New(problem.CodeBusy, "The journal is damaged; the next start of the server begins a new one.").Because(err)
	}
	if err != nil {
		return fmt.Errorf("read the journal: %w", storage.Explain(err))
	}
	return nil
}

// readTime is how long a read of the journal may wait and run.
const readTime = 5 * time.Second
