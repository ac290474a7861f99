package journal

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// KeyUsage is what the runs of one key have come to. Its JSON form is part of the wire
// contract.
type KeyUsage struct {
	Key         *string `json:"operation_key" doc:"Null: runs without a key."`
	Runs        int64   `json:"runs"`
	OpenRuns    int64   `json:"open_runs" doc:"Not in the percentiles yet."`
	Failing     int64   `json:"failing_runs" doc:"Runs with a call that failed."`
	FailingPct  float64 `json:"failing_percent"`
	Calls       int64   `json:"calls"`
	RowsChanged int64   `json:"rows_changed"`
	P50         float64 `json:"p50_ms" doc:"Of the time from the first call to the end of the last; at most an eighth too high."`
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`
	LastRunAt   string  `json:"last_run_at"`
	Spark       []Spark `json:"spark" doc:"24 equal parts of the time asked for, the oldest first."`

	last   int64
	spread spread
}

// Spark is a part of the time that an operation is shown for.
type Spark struct {
	Runs    int64 `json:"runs"`
	Failing int64 `json:"failing"`
}

// sparks is how many parts the time is shown in.
const sparks = 24

// maxShownKeys is how many keys are listed.
const maxShownKeys = 1000

// Keys returns the keys that were used in the hours between two times, the last used
// first, and whether there are more. Only keys that contain a text are listed.
func (j *Journal) Keys(ctx context.Context, projectID ids.Project, from, to time.Time, contains string) (list []*KeyUsage, more bool, err error) {
	first, last := from.Unix()/3600, (to.Unix()+3599)/3600
	keys := map[string]*KeyUsage{}
	at := func(key string) *KeyUsage {
		if keys[key] == nil {
			keys[key] = &KeyUsage{Key: pointer(key), Spark: make([]Spark, sparks), spread: spread{}}
		}
		return keys[key]
	}
	spark := func(k *KeyUsage, hour, runs, failing int64) {
		s := &k.Spark[min(max(int((hour-first)*sparks/max(last-first, 1)), 0), sparks-1)]
		s.Runs += runs
		s.Failing += failing
	}
	err = j.read(ctx, func(c *sqlite.Conn) error {
		err := c.Query("SELECT operation_key, hour, runs, failing, calls, rows_changed, last_run, spread FROM key_hours WHERE project_id = ? AND hour >= ? AND hour < ?",
			[]any{projectID, first, last}, func(s *sqlite.Stmt) error {
				k := at(s.Text(0))
				k.add(s.Int(2), s.Int(3), s.Int(4), s.Int(5), s.Int(6))
				k.spread.addEncoded(s.Value(7).Bytes)
				spark(k, s.Int(1), s.Int(2), s.Int(3))
				return nil
			})
		if err != nil {
			return err
		}
		return c.Query("SELECT coalesce(operation_key, ''), started, failures > 0, calls, rows_changed FROM runs INDEXED BY runs_started WHERE project_id = ? AND calls > 0 AND settled = 0 AND started >= ? AND started < ?",
			[]any{projectID, first * 3600e6, last * 3600e6}, func(s *sqlite.Stmt) error {
				k := at(s.Text(0))
				k.add(1, s.Int(2), s.Int(3), s.Int(4), s.Int(1))
				k.OpenRuns++
				spark(k, s.Int(1)/3600e6, 1, s.Int(2))
				return nil
			})
	})
	for key, k := range keys {
		if strings.Contains(lowered(key), lowered(contains)) {
			k.finish()
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *KeyUsage) int {
		return cmp.Or(cmp.Compare(b.last, a.last), strings.Compare(orEmpty(a.Key), orEmpty(b.Key)))
	})
	more = len(list) > maxShownKeys
	return list[:min(len(list), maxShownKeys)], more, err
}

func (k *KeyUsage) add(runs, failing, calls, changed, last int64) {
	k.Runs += runs
	k.Failing += failing
	k.Calls += calls
	k.RowsChanged += changed
	k.last = max(k.last, last)
}

func (k *KeyUsage) finish() {
	k.FailingPct = percent(k.Failing, k.Runs)
	k.P50, k.P95, k.P99 = k.spread.percentile(50), k.spread.percentile(95), k.spread.percentile(99)
	k.LastRunAt = timestamp(k.last)
}

func percent(part, whole int64) float64 { return milliseconds(100_000 * part / max(whole, 1)) }

// percentile returns a quantile in milliseconds.
func (s spread) percentile(n float64) float64 {
	return milliseconds(s.quantile(n / 100).Microseconds())
}

// Usage is what calls have come to in one hour or day, or in the whole time asked for.
// Its JSON form is part of the wire contract.
type Usage struct {
	From        string    `json:"from"`
	TokenID     ids.Token `json:"token_id,omitzero" doc:"When grouped by token; 0 sums up what would be too many."`
	Route       string    `json:"route,omitzero" doc:"When grouped by route."`
	Table       string    `json:"table,omitzero" doc:"When grouped by table."`
	Calls       int64     `json:"calls"`
	Errors      int64     `json:"errors"`
	P50         float64   `json:"p50_ms" doc:"At most an eighth too high."`
	P95         float64   `json:"p95_ms"`
	P99         float64   `json:"p99_ms"`
	RowsRead    int64     `json:"rows_read"`
	RowsChanged int64     `json:"rows_changed"`
	BytesIn     int64     `json:"bytes_in"`
	BytesOut    int64     `json:"bytes_out"`

	hour   int64
	spread spread
}

// UsageFilter says which calls are summed up, and how.
type UsageFilter struct {
	From, To     time.Time
	Hours        int64  // of each part; 0: one sum for the whole time
	By           string // "", "token", "route" or "table"
	TokenID      ids.Token
	Route, Table string
	Limit        int // of sums; 0 means 10,000
}

// maxUsage is how many sums are returned by default.
const maxUsage = 10_000

// Usage sums up the calls of a project, by the hours of UTC, the oldest first.
func (j *Journal) Usage(ctx context.Context, projectID ids.Project, f UsageFilter) (list []*Usage, more bool, err error) {
	first, last := f.From.Unix()/3600, (f.To.Unix()+3599)/3600
	where := condition{}
	where.add("project_id = ? AND hour >= ? AND hour < ?", projectID, first, last)
	if f.TokenID != 0 {
		where.add("token_id = ?", f.TokenID)
	}
	if f.Route != "" {
		where.add("route = ?", f.Route)
	}
	if f.Table != "" {
		where.add("tab = ?", f.Table)
	}
	type key struct {
		hour         int64
		token        ids.Token
		route, table string
	}
	found := map[key]*Usage{}
	err = j.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT hour, token_id, route, tab, calls, errors, bytes_in, bytes_out, rows_read, rows_changed, spread FROM hours WHERE "+where.text(), where.args, func(s *sqlite.Stmt) error {
			k := key{hour: first}
			if f.Hours > 0 {
				k.hour = s.Int(0) - s.Int(0)%f.Hours
			}
			switch f.By {
			case "token":
				k.token = ids.Token(s.Int(1))
			case "route":
				k.route = s.Text(2)
			case "table":
				k.table = s.Text(3)
			}
			u := found[k]
			if u == nil {
				u = &Usage{hour: k.hour, TokenID: k.token, Route: k.route, Table: k.table, spread: spread{}}
				found[k] = u
			}
			u.Calls += s.Int(4)
			u.Errors += s.Int(5)
			u.BytesIn += s.Int(6)
			u.BytesOut += s.Int(7)
			u.RowsRead += s.Int(8)
			u.RowsChanged += s.Int(9)
			u.spread.addEncoded(s.Value(10).Bytes)
			return nil
		})
	})
	for _, u := range found {
		u.From = timestamp(u.hour * 3600e6)
		u.P50, u.P95, u.P99 = u.spread.percentile(50), u.spread.percentile(95), u.spread.percentile(99)
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *Usage) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.TokenID, b.TokenID), strings.Compare(a.Route, b.Route), strings.Compare(a.Table, b.Table))
	})
	limit := cmp.Or(f.Limit, maxUsage)
	return list[:min(len(list), limit)], len(list) > limit, err
}
