package rest

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
)

// Observation is what metrics and the journal record about a call: where it went, how
// it ended and what it cost, but nothing of its body or its answer.
type Observation struct {
	Route  string // the id of the endpoint, or "unmatched"
	Method string
	Status int
	Took   time.Duration // including the answer
	Stream bool          // the answer is a stream of events, which lasts as long as its client likes
	Slow   bool          // databases took longer than Config.SlowCall, with waiting for them

	// Everything below is only set for calls with a valid credential.

	Who         Caller
	Began       time.Time
	RequestID   string
	Table       string // as in the path, decoded; "" for none
	TableID     int64  // of the table whose records the call was about; 0 if unknown
	Kind        string // what Object is the id of, such as "record" or "export"; "" for nothing
	Object      string // as in the path, decoded, or of what the call created
	Created     bool   // the call created Object
	Code        problem.Code
	Fields      []string // at fault: the names that the route or the table has, others as "?"
	Operation   *Operation
	Waited      time.Duration // for a connection to a database
	Worked      time.Duration // of a database
	Sending     time.Duration // encoding and sending the answer
	BytesIn     int64
	BytesOut    int64
	RowsRead    int64
	RowsChanged int64
	Address     netip.Addr
	UserAgent   string
	TraceParent string // as sent
	Statement   string // SQL as sent, with its literals
	Parameters  string // what a list was asked for, without values

	Note string // what the audit log says about the call besides its object
}

// Describer is an input that says more about its call than the path does. statement is
// SQL; parameters are the parameters of a list without values.
type Describer interface {
	Describe() (statement, parameters string)
}

// Noted is an input that has more for the audit log than the path says: names, rights
// and settings, but neither values of records nor secrets.
type Noted interface{ AuditNote() string }

// Effect is what an answer says about what its call has done.
type Effect struct {
	Rows    int64  // that were read, or that were changed if the route changes rows
	Kind    string // of what was created, such as "export"
	Created string // its id; "" for nothing
	// Operation is the run that the call belongs to without having said so in headers;
	// nil for none.
	Operation *Operation
}

// Effective is the data of an answer that knows the effect of its call.
type Effective interface{ Effect() Effect }

// noteEffect keeps what the data of an answer says about the effect of the call. A kept
// answer that is replayed never comes here: its call has changed nothing.
func (c *call) noteEffect(out output) {
	a, ok := out.(answered)
	if !ok {
		return
	}
	if data, ok := a.data().(Effective); ok {
		c.effect = data.Effect()
	}
}

// StatusGone is observed for a call whose client disconnected before it was answered.
const StatusGone = 499

// observe reports the call once it is over.
func (c *call) observe() {
	o := Observation{Route: "unmatched", Method: c.r.Method, Status: cmp.Or(c.w.status, StatusGone), Took: time.Since(c.began)}
	if c.ep != nil {
		o.Route, o.Stream = c.ep.ID, c.ep.streams
	}
	if c.who != nil {
		c.describe(&o)
		o.Slow = c.SlowCall > 0 && o.Waited+o.Worked >= c.SlowCall
	}
	if o.Slow {
		c.logSlow(&o)
	}
	if c.Observe != nil {
		c.Observe(o)
	}
}

// logSlow logs where the time of a slow call went, and the plan of its slowest
// statement. The path is left out: the ids of records in it are values.
func (c *call) logSlow(o *Observation) {
	projectID, tokenID := o.Who.Identity()
	args := []any{
		"request_id", o.RequestID, "route", o.Route, "status", o.Status, "project_id", projectID, "token_id", tokenID, "took", o.Took, "waited", o.Waited,
		"database", o.Worked, "sending", o.Sending, "rows_read", o.RowsRead, "rows_changed", o.RowsChanged, "bytes_out", o.BytesOut,
	}
	if plan := c.meter.Plan(); plan != nil {
		args = append(args, "plan", strings.Join(plan, "; "))
	}
	c.logBounded(slog.LevelWarn, "slow call", o.Route, args...)
}

// audit reports a call of an audited route. Calls that were refused for other reasons
// than rights, and answers that were replayed, have done nothing.
func (c *call) audit(status int) {
	if c.audited || c.Audit == nil || c.ep == nil || !c.ep.audited || c.who == nil || c.w.Header().Get(ReplayedHeader) != "" {
		return
	}
	if status >= 400 && status < 500 && status != http.StatusForbidden && status != StatusGone {
		return
	}
	c.audited = true
	o := Observation{Route: c.ep.ID, Method: c.r.Method, Status: status}
	c.describe(&o)
	if in, ok := c.in.(Noted); ok {
		o.Note = in.AuditNote()
	}
	c.Audit(context.WithoutCancel(c.r.Context()), o)
}

func (c *call) describe(o *Observation) {
	o.Who, o.Began, o.RequestID, o.Operation = c.who, c.at, c.id, c.operation
	if o.Operation == nil {
		o.Operation = c.effect.Operation
	}
	o.Waited, o.Worked = c.meter.Times()
	o.TableID = c.meter.Table()
	if !c.sending.IsZero() {
		o.Sending = time.Since(c.sending)
	}
	o.BytesIn, o.BytesOut = c.received, c.w.sent
	o.Address, o.UserAgent = c.ClientAddress(c.r), c.r.UserAgent()
	o.TraceParent = c.r.Header.Get("Traceparent")
	if c.ep != nil {
		o.Table, o.Kind, o.Object = c.ep.subject(c.r.URL.EscapedPath())
	}
	if d, ok := c.in.(Describer); ok {
		o.Statement, o.Parameters = d.Describe()
	}
	if c.problem == nil {
		c.describeEffect(o)
		return
	}
	// Without success, the columns in the parameters may be anything.
	o.Code, o.Fields, o.Parameters = c.problem.Code, c.fieldsAtFault(o.Table), ""
}

func (c *call) describeEffect(o *Observation) {
	if c.effect.Created != "" {
		o.Kind, o.Object, o.Created = c.effect.Kind, c.effect.Created, true
	}
	if c.ep != nil && c.ep.reads {
		o.RowsRead = c.effect.Rows
	} else {
		o.RowsChanged = c.effect.Rows
	}
}

// CLIAgent begins the User-Agent of our own command line.
const CLIAgent = "zangtable/"

// subject returns the table in the path of a call, and the last thing that it names.
func (ep *Endpoint) subject(path string) (table, kind, object string) {
	parts := strings.Split(path, "/")
	for i, name := range strings.Split(ep.Path, "/") {
		if !strings.HasPrefix(name, "{") || i >= len(parts) {
			continue
		}
		text, err := url.PathUnescape(parts[i])
		if err != nil {
			text = parts[i]
		}
		switch name = strings.Trim(name, "{}"); name {
		case "project":
		case "table", "table_id_or_name":
			table = text
		case "id":
			kind, object = "record", text
		default:
			kind, _, _ = strings.Cut(name, "_")
			object = text
		}
	}
	return table, kind, object
}

// maxFieldsAtFault is how many fields of a failed call are recorded.
const maxFieldsAtFault = 20

// fieldsAtFault returns the fields at fault without what only the client has named.
func (c *call) fieldsAtFault(table string) (fields []string) {
	known := map[string]bool{}
	for _, d := range c.problem.Details[:min(len(c.problem.Details), maxFieldsAtFault)] {
		var path []string
		for part := range strings.SplitSeq(d.Field, ".") {
			name, places, _ := strings.Cut(part, "[")
			is, asked := known[name]
			if !asked {
				is = name == "" || c.knows(table, name)
				known[name] = is
			}
			if places != "" {
				places = "[" + places
			}
			if !is || strings.Trim(places, "[]0123456789") != "" {
				name, places = "?", ""
			}
			path = append(path, name+places)
		}
		fields = append(fields, strings.Join(path, "."))
	}
	return fields
}

// knows reports whether the route, or the table that the call is about, has a field of
// that name.
func (c *call) knows(table, name string) bool {
	if c.ep != nil && c.ep.plan.known()[name] {
		return true
	}
	return table != "" && c.KnownColumn != nil && c.KnownColumn(c.r.Context(), c.who, table, name)
}

// knownNames returns the names of all parameters and of all members of the body.
func (p *plan) knownNames() map[string]bool {
	names := map[string]bool{KeyHeader: true}
	for _, param := range p.params {
		names[param.name] = true
		param.shape.addNames(names)
	}
	if p.body != nil {
		p.body.addNames(names)
	}
	return names
}

func (s *shape) addNames(names map[string]bool) {
	for _, name := range s.names {
		names[name] = true
	}
	if s.schema != nil { // of a type that decodes itself
		for name := range s.schema.Properties {
			names[name] = true
		}
	}
	for _, f := range s.fields {
		f.shape.addNames(names)
	}
	if s.elem != nil {
		s.elem.addNames(names)
	}
}
