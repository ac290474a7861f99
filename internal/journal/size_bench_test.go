package journal

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

var entriesFlag = flag.Int("journal.entries", 100_000, "entries of the journal whose lists and sweep are measured")

// large opens a journal with as many entries as the flag says: a call each 10 ms, of 50
// tokens, eight to a run, one in a hundred failed. They end at the clock's time.
func large(b *testing.B, options Options, end time.Time) *Journal {
	b.Helper()
	n := *entriesFlag
	first := place(end.Add(-time.Duration(n) * 10 * time.Millisecond))
	const each = 10_000 << placeBits
	j, err := newJournal(file(b), options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	const step = 100_000
	for from := 0; from < n; from += step {
		to := min(from+step, n)
		err := j.write(context.Background(), func(c *sqlite.Conn) error {
			err := c.Exec(`
WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
INSERT INTO requests (project_id, id, request_id, token_id, token_name, source, method, route, tab, created, status, code, took, waited, worked, sending, bytes_in, bytes_out, rows_read, rows_changed, run_id, operation_key, grouping, address, user_agent)
SELECT 1, ?3 + i * ?4, printf('req_%012x', i), 1 + i / 8 % 50, 'a token', 'api', 'POST', iif(i % 5 = 0, 'insert-records', 'list-records'), printf('table_%d', i % 40), 0,
	iif(i % 100 = 0, 422, 200), iif(i % 100 = 0, 'validation_failed', NULL), 1500 + i % 3000, 20, 900, 100, 200, 1500, 10, 1, printf('oprun_%d', i / 8), printf('key %d', i / 8 % 200), 'continued_run', '192.0.2.1', 'a client/1.0'
FROM n`, from, to, first, each)
			if err != nil {
				return err
			}
			return c.Exec(`
WITH RECURSIVE n (i) AS (SELECT (?1 + 7) / 8 UNION ALL SELECT i + 1 FROM n WHERE (i + 1) * 8 < ?2)
INSERT INTO runs (project_id, token_id, run_id, last_call_at, started, ended, calls, failures, took, operation_key, token_name, tables, settled)
SELECT 1, 1 + i % 50, printf('oprun_%d', i), (?3 + (i * 8 + 7) * ?4) / 1024 * 1000, (?3 + i * 8 * ?4) / 1024, (?3 + (i * 8 + 7) * ?4) / 1024, 8, i * 8 % 100 < 8, 12000, printf('key %d', i % 200), 'a token', 'table_1', 1
FROM n WHERE i * 8 < ?2`, from, to, first, each)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return j
}

// BenchmarkLists measures what the panel shows first: it is to take less than 100 ms
// with 10,000,000 entries.
func BenchmarkLists(b *testing.B) {
	clock := newClock()
	j := large(b, Options{Now: clock.Now, KeepBytes: -1, KeepFor: -1}, clock.Now())
	run := fmt.Sprintf("oprun_%d", *entriesFlag/16)
	for name, list := range map[string]func(context.Context) (found int, err error){
		"a page of runs": func(ctx context.Context) (int, error) {
			page, err := j.Runs(ctx, 1, RunFilter{}, "", 100)
			return len(page.Items), err
		},
		"a page of failing runs": func(ctx context.Context) (int, error) {
			page, err := j.Runs(ctx, 1, RunFilter{Failing: true}, "", 100)
			return len(page.Items), err
		},
		"one run with its calls": func(ctx context.Context) (int, error) {
			found, _, err := j.Run(ctx, 1, 0, run)
			if err != nil {
				return 0, err
			}
			page, err := j.Calls(ctx, 1, found, "", 500)
			return len(page.Items), err
		},
		"a page of failed requests": func(ctx context.Context) (int, error) {
			page, err := j.Requests(ctx, 1, Filter{Failed: true}, "", 100)
			return len(page.Items), err
		},
		"a page of requests by route and table": func(ctx context.Context) (int, error) {
			page, err := j.Requests(ctx, 1, Filter{Words: map[string]string{"route": "insert-records", "table": "table_5"}}, "", 100)
			return len(page.Items), err
		},
		"a page of requests that finds none": func(ctx context.Context) (int, error) {
			page, err := j.Requests(ctx, 1, Filter{Text: "no such text"}, "", 100)
			return len(page.Items) + 1, err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var slowest time.Duration
			for b.Loop() {
				began := time.Now()
				if found, err := list(b.Context()); err != nil || found == 0 {
					b.Fatal(found, err)
				}
				slowest = max(slowest, time.Since(began))
			}
			b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-ms")
		})
	}
}

// BenchmarkCallsDuringASweep measures what a call waits for the journal while all of
// the entries are too old and being removed: 99 % are to wait less than 20 ms.
func BenchmarkCallsDuringASweep(b *testing.B) {
	clock := newClock()
	end := clock.Now()
	clock.Add(2 * time.Hour)
	j := large(b, Options{Now: clock.Now, KeepFor: time.Hour, KeepBytes: -1}, end)
	j.stopped.Go(j.storeRegularly)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		join(b, j, alice, "nightly", "")
		e := entry(clock, i)
		j.Record(e)
		took = append(took, time.Since(began))
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "slowest-ms")
	_, dropped := j.Lag()
	b.ReportMetric(float64(dropped), "dropped")
}
