package journal

import (
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
)

// Filter selects requests. Zero fields select all.
type Filter struct {
	From, To  time.Time // From is included, To is not
	TokenID   ids.Token
	Status    int
	Class     int // the first digit of the status
	Failed    bool
	RequestID string
	MinTook   time.Duration
	MinRows   int64             // read and changed together
	Text      string            // in route, table, object or error, without regard to the case of ASCII letters
	Words     map[string]string // by the names in words
	// HidesObjects leaves objects out of the search for Text.
	HidesObjects bool
}

// word is a field of requests that a filter compares with a text.
type word struct {
	name, column string
	of           func(*Request) *string
}

var words = []word{
	{"method", "method", func(r *Request) *string { return &r.Method }},
	{"route", "route", func(r *Request) *string { return &r.Route }},
	{"table", "tab", func(r *Request) *string { return r.Table }},
	{"object", "object", func(r *Request) *string { return r.Object }},
	{"code", "code", func(r *Request) *string { return r.Code }},
	{"source", "source", func(r *Request) *string { return &r.Source }},
	{"user", "user", func(r *Request) *string { return r.User }},
	{"key", "operation_key", func(r *Request) *string { return r.OperationKey }},
	{"run", "run_id", func(r *Request) *string { return r.RunID }},
	{"grouping", "grouping", func(r *Request) *string { return r.Grouping }},
	{"retry_of", "retry_of", func(r *Request) *string { return r.RetryOf }},
	{"address", "address", func(r *Request) *string { return r.Address }},
	{"user_agent", "user_agent", func(r *Request) *string { return r.UserAgent }},
	{"traceparent", "traceparent", func(r *Request) *string { return r.TraceParent }},
}

// condition is a part of a WHERE clause with its arguments.
type condition struct {
	sql  []string
	args []any
}

func (c *condition) add(sql string, args ...any) {
	c.sql = append(c.sql, sql)
	c.args = append(c.args, args...)
}

func (c *condition) text() string { return strings.Join(c.sql, " AND ") }

// conditions returns the SQL of the filter, except for the times.
func (f *Filter) conditions(c *condition) {
	if f.TokenID != 0 {
		c.add("token_id = ?", f.TokenID)
	}
	if f.Status != 0 {
		c.add("status = ?", f.Status)
	}
	if f.Class != 0 {
		c.add("status BETWEEN ? AND ?", f.Class*100, f.Class*100+99)
	}
	if f.failed() {
		c.add("status >= 400") // word for word the condition of the index
	}
	if f.RequestID != "" {
		c.add("request_id = ?", f.RequestID)
	}
	if f.MinTook > 0 {
		c.add("took >= ?", f.MinTook.Microseconds())
	}
	if f.MinRows > 0 {
		c.add("rows_read + rows_changed >= ?", f.MinRows)
	}
	for _, w := range words {
		if text := f.Words[w.name]; text != "" {
			c.add(w.column+" = ?", text)
		}
	}
	if f.Text != "" {
		c.add("instr(lower(route || char(10) || coalesce(tab, '') || char(10) || iif(?, '', coalesce(object, '')) || char(10) || coalesce(code, '')), ?) > 0", f.HidesObjects, lowered(f.Text))
	}
}

// failed reports whether only failed requests are selected.
func (f *Filter) failed() bool { return f.Failed || f.Status >= 400 || f.Class >= 4 }

// matches reports whether a request that was just stored is selected.
func (f *Filter) matches(r *Request) bool {
	at := r.id >> placeBits
	switch {
	case !f.From.IsZero() && at < f.From.UnixMicro(), !f.To.IsZero() && at >= f.To.UnixMicro(),
		f.TokenID != 0 && (r.TokenID == nil || *r.TokenID != f.TokenID),
		f.Status != 0 && r.Status != f.Status,
		f.Class != 0 && r.Status/100 != f.Class,
		f.failed() && r.Status < 400,
		f.RequestID != "" && r.RequestID != f.RequestID,
		r.took < f.MinTook,
		r.RowsRead+r.RowsChanged < f.MinRows:
		return false
	}
	for _, w := range words {
		text := f.Words[w.name]
		if of := w.of(r); text != "" && (of == nil || *of != text) {
			return false
		}
	}
	object := orEmpty(r.Object)
	if f.HidesObjects {
		object = ""
	}
	all := strings.Join([]string{r.Route, orEmpty(r.Table), object, orEmpty(r.Code)}, "\n")
	return strings.Contains(lowered(all), lowered(f.Text))
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// lowered folds ASCII letters only, as SQLite's lower does.
func lowered(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
